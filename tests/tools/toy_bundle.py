"""A small but whole bundle, written to disk: for the tests of the tools, and as a second bundle beside a real one."""

import json
from pathlib import Path
from typing import Any

import torch

SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"

NETWORK = '''"""A network of one number: the map times a gain."""

import torch


class Gain(torch.nn.Module):
    """Multiply by a learned gain."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Same shape as ``image``."""
        return image * self.gain


def examples(count: int) -> list[dict[str, torch.Tensor]]:
    """Maps with the label to learn: twice the map."""
    maps = [torch.full((1, 8, 8), 1.0 + i) for i in range(count)]
    return [{"image": image, "label": 2 * image} for image in maps]
'''

LOGGING = """[loggers]
keys=root

[handlers]
keys=console

[formatters]
keys=short

[logger_root]
level=WARNING
handlers=console

[handler_console]
class=StreamHandler
level=WARNING
formatter=short
args=(sys.stdout,)

[formatter_short]
format=%(levelname)s %(message)s
"""


def metadata(name: str) -> dict[str, Any]:
    """The metadata of the toy bundle ``name``."""
    tensor = {
        "type": "image",
        "format": "magnitude",
        "modality": "MRSI",
        "num_channels": 1,
        "spatial_shape": ["*", "*"],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {"0": "map"},
    }
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "first"},
        "name": name,
        "monai_version": "1.6.1",
        "pytorch_version": "2.13.0",
        "numpy_version": "2.4.6",
        "required_packages_version": {},
        "task": "multiply a map",
        "description": "multiplies a map by a gain",
        "authors": "test",
        "copyright": "test",
        "network_data_format": {"inputs": {"image": tensor}, "outputs": {"pred": tensor}},
        "weights_sha256": {},
    }


def train_config(name: str) -> dict[str, Any]:
    """Two epochs on four maps, with a validation."""
    return {
        "imports": ["$import torch", f"$import {name}.network as network"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "dataset_dir": "",
        "output_dir": "$@bundle_root + '/eval'",
        "max_epochs": 2,
        "val_interval": 1,
        "network_def": {"_target_": f"{name}.network.Gain"},
        "network": "$@network_def.to(@device)",
        "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 0.1},
        "train": {
            "preprocessing": {"_target_": "Compose", "transforms": [{"_target_": "EnsureTyped", "keys": "image"}]},
            "dataset": {
                "_target_": "Dataset",
                "data": "$network.examples(4)",
                "transform": "@train::preprocessing",
            },
            "dataloader": {"_target_": "DataLoader", "dataset": "@train::dataset", "batch_size": 2},
            "inferer": {"_target_": "SimpleInferer"},
            "handlers": [
                {"_target_": "ValidationHandler", "validator": "@validate::evaluator", "interval": "@val_interval"},
                {
                    "_target_": "CheckpointSaver",
                    "save_dir": "$@bundle_root + '/models/training'",
                    "save_dict": {"model": "@network"},
                    "save_final": True,
                },
            ],
            "trainer": {
                "_target_": "SupervisedTrainer",
                "max_epochs": "@max_epochs",
                "device": "@device",
                "train_data_loader": "@train::dataloader",
                "network": "@network",
                "loss_function": {"_target_": "torch.nn.MSELoss"},
                "optimizer": "@optimizer",
                "inferer": "@train::inferer",
                "train_handlers": "@train::handlers",
            },
        },
        "validate": {
            "dataset": {"_target_": "Dataset", "data": "$network.examples(2)"},
            "dataloader": {"_target_": "DataLoader", "dataset": "@validate::dataset"},
            "inferer": {"_target_": "SimpleInferer"},
            "handlers": [{"_target_": "StatsHandler", "output_transform": "$lambda output: None"}],
            "evaluator": {
                "_target_": "SupervisedEvaluator",
                "device": "@device",
                "val_data_loader": "@validate::dataloader",
                "network": "@network",
                "inferer": "@validate::inferer",
                "val_handlers": "@validate::handlers",
            },
        },
        "initialize": ["$torch.manual_seed(0)"],
        "run": ["$@train::trainer.run()"],
    }


def inference_config(name: str) -> dict[str, Any]:
    """Every map of a folder, times the gain, saved as <stem>_gained.nii.gz."""
    return {
        "imports": ["$import torch", "$from pathlib import Path"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "dataset_dir": "",
        "output_dir": "$@bundle_root + '/eval'",
        "network_def": {"_target_": f"{name}.network.Gain"},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True}],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': str(path)} for path in sorted(Path(@dataset_dir).glob('*.nii*'))]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset"},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "gained",
                    "separate_folder": False,
                    "print_log": False,
                }
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` as JSON."""
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def write_toy_bundle(folder: Path, name: str = "toy_gain", gain: float = 2.0) -> Path:
    """Write a whole bundle to ``folder/name``.

    It multiplies maps by ``gain``. Its own package is ``name``: put ``folder/name`` on sys.path to import it.
    Without hashes and without ``mrsikit`` among its packages: a caller who wants the checks to pass adds both.

    Returns:
        The bundle's folder.
    """
    bundle = folder / name
    for part in ("configs", "docs", "models", name):
        (bundle / part).mkdir(parents=True)
    (bundle / "LICENSE").write_text("test\n", encoding="utf-8")
    (bundle / "docs" / "README.md").write_text(f"# {name}\n", encoding="utf-8")
    (bundle / "docs" / "data_license.txt").write_text("no data\n", encoding="utf-8")
    (bundle / name / "__init__.py").write_text('"""A toy bundle."""\n', encoding="utf-8")
    (bundle / name / "network.py").write_text(NETWORK, encoding="utf-8")
    torch.save({"gain": torch.tensor([gain])}, bundle / "models" / "model.pt")
    (bundle / "configs" / "logging.conf").write_text(LOGGING, encoding="utf-8")
    configs = {
        "metadata": metadata(name),
        "train": train_config(name),
        "evaluate": {"run": ["$@validate::evaluator.run()"]},
        "inference": inference_config(name),
        "multi_gpu_train": {
            "network": {
                "_target_": "torch.nn.parallel.DistributedDataParallel",
                "module": "$@network_def.to(@device)",
            },
            "initialize": ["$import torch.distributed as dist", "$dist.init_process_group('gloo')"],
            "finalize": ["$dist.destroy_process_group()"],
        },
    }
    for file, content in configs.items():
        write_json(bundle / "configs" / f"{file}.json", content)
    return bundle
