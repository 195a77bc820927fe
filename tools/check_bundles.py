"""Check every bundle as MONAI's model zoo does, and also every id of every config, packages, weights and their hashes.

Usage::

    python tools/check_bundles.py                      # every folder in bundles/
    python tools/check_bundles.py bundles/mrsi_inpainting
    python tools/check_bundles.py --update-hashes      # after new weights: write their SHA-256 into metadata.json

The tool prints one line per problem; the exit code is 1 if there is any. It trains nothing, and writes nothing to the
bundle but the hashes, if asked: it tries the configs in a temporary copy. It works without a network.
"""

import argparse
import ast
import builtins
import configparser
import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ignite.distributed
import nibabel
import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata, verify_net_in_out
from monai.bundle.config_item import ConfigExpression
from monai.utils import BundlePropertyConfig
from packaging.version import InvalidVersion, Version
from tqdm import tqdm

from mrsikit.io import Fids, write_fids

logger = logging.getLogger("check_bundles")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_SCHEMA = REPOSITORY.parent / "shared" / "meta_schema_20240725.json"
OWN_PACKAGE = "mrsikit"
MAX_FILE_BYTES = 25 * 1024 * 1024
REQUIRED_FILES = (
    "LICENSE",
    "configs/metadata.json",
    "configs/train.json",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "docs/README.md",
    "docs/data_license.txt",
    "models/model.pt",
)
# name of a workflow -> its config files, merged in this order (a later one overrides), and the type of its properties
WORKFLOWS = {
    "inference": (("inference.json",), "inference"),
    "train": (("train.json",), "train"),
    "evaluate": (("train.json", "evaluate.json"), "train"),
    "multi_gpu_train": (("train.json", "multi_gpu_train.json"), "train"),
}
# Lists of expressions that do the work: the check parses them but does not run them. It runs "initialize" first, as
# MONAI does.
WORK_IDS = ("run", "finalize")
# Keys that mean the same in every bundle must have the same value in each bundle that has them.
COMMON_METADATA = ("schema", "monai_version", "pytorch_version", "numpy_version", "authors", "copyright")
COMMON_CONFIG = {
    "inference.json": ("imports", "bundle_root", "device", "dataset_dir", "output_dir", "overwrite", "skip_invalid"),
    "train.json": ("bundle_root", "device", "output_dir", "ckpt_dir", "seed"),
}


def load_json(path: Path) -> dict[str, Any]:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weight_files(bundle: Path) -> list[Path]:
    """Shipped weights, ``models/*.pt``; files of a training in folders below do not count."""
    return sorted((bundle / "models").glob("*.pt"))


def one_line(error: BaseException) -> str:
    """Describe the original error in one line: MONAI wraps an error once for every id above it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def check_files(bundle: Path) -> list[str]:
    """Check the name of the bundle, the files that it must have, and the size of each file."""
    problems = []
    if not re.fullmatch(r"[a-z][a-z0-9_]*", bundle.name) or bundle.name.startswith("monai"):
        problems.append(f"the name {bundle.name} must be lower_snake and not begin with monai")
    for name in (*REQUIRED_FILES, f"{bundle.name}/__init__.py"):
        if not (bundle / name).is_file():
            problems.append(f"{name} is missing")
    for path in sorted(bundle.rglob("*")):
        if path.is_file() and "training" not in path.parts and path.stat().st_size > MAX_FILE_BYTES:
            size = path.stat().st_size / 2**20
            problems.append(f"{path.relative_to(bundle)} has {size:.1f} MB, at most 25 are allowed")
    return problems


def check_metadata(bundle: Path, schema: Path | None) -> list[str]:
    """Check that the version is in the changelog, and that metadata.json follows MONAI's schema.

    Args:
        bundle: folder of the bundle.
        schema: MONAI's metadata schema; None: fetch it from the address in the metadata. If that cannot be reached, a
            line in the log says that the check was skipped.
    """
    path = bundle / "configs" / "metadata.json"
    metadata = load_json(path)
    problems = []
    if metadata.get("version") not in metadata.get("changelog", {}):
        problems.append(f"metadata.json: version {metadata.get('version')} is not in the changelog")
    try:
        with tempfile.TemporaryDirectory() as folder, default_timeout(20), quiet():
            verify_metadata(meta_file=str(path), filepath=str(schema or Path(folder) / "schema.json"))
    except OSError as error:
        logger.warning("%s: schema not reachable: skipped (%s)", bundle.name, one_line(error))
    except Exception as error:  # a wrong schema file or wrong metadata: both give a line in the report
        problems.append(f"metadata.json: {one_line(error) if error.__cause__ is None else error.__cause__.args[0]}")
    return problems


def check_packages(bundle: Path) -> list[str]:
    """Check that the packages are installed: ours in the stated version, the others in that or a later one.

    The packages for training stand under a name of our own, for MONAI renames "optional_packages_version" and drops
    what is required.
    """
    metadata = load_json(bundle / "configs" / "metadata.json")
    required = dict(metadata.get("required_packages_version", {}))
    problems = []
    if OWN_PACKAGE not in required:
        problems.append(f"metadata.json: required_packages_version does not name {OWN_PACKAGE}")
    required |= {"monai": metadata.get("monai_version", ""), **metadata.get("training_packages_version", {})}
    for package, wanted in required.items():
        try:
            installed, least = Version(version(package)), Version(str(wanted))
        except PackageNotFoundError:
            problems.append(f"package {package} {wanted} is required and not installed")
        except InvalidVersion:
            problems.append(f"metadata.json: {wanted!r} is no version of {package}")
        else:
            if package == OWN_PACKAGE and installed != least:
                problems.append(f"package {package} {wanted} is required, {installed} is installed")
            elif installed < least:
                problems.append(f"package {package} {wanted} or later is required, {installed} is installed")
    spec = importlib.util.find_spec(bundle.name)
    if spec is None or not spec.has_location:
        problems.append(f"the bundle's own package {bundle.name} cannot be imported: pip install it first")
    return problems


def check_weights(bundle: Path) -> list[str]:
    """Check that weights are flat state dicts, load without running code, and have the SHA-256 of metadata.json."""
    stated = load_json(bundle / "configs" / "metadata.json").get("weights_sha256", {})
    files = weight_files(bundle)
    problems = [
        f"metadata.json: weights_sha256 names {name}, which is not in models/"
        for name in sorted(set(stated) - {file.name for file in files})
    ]
    for file in files:
        if file.name not in stated:
            problems.append(f"metadata.json: weights_sha256 lacks {file.name} (tools/check_bundles.py --update-hashes)")
        elif stated[file.name] != sha256(file):
            problems.append(f"models/{file.name} is not the file whose SHA-256 is in metadata.json")
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises many kinds of errors of the unpickler
            problems.append(f"models/{file.name} does not load with weights_only=True: {one_line(error)}")
            continue
        if not (isinstance(state, dict) and state and all(isinstance(v, torch.Tensor) for v in state.values())):
            problems.append(f"models/{file.name} is not a flat state dict")
    return problems


def update_hashes(bundle: Path) -> None:
    """Write the SHA-256 of every weights file of the bundle into its metadata.json."""
    path = bundle / "configs" / "metadata.json"
    metadata = load_json(path)
    metadata["weights_sha256"] = {file.name: sha256(file) for file in weight_files(bundle)}
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("%s: wrote %d hashes", bundle.name, len(metadata["weights_sha256"]))


def texts(config: Any) -> Iterator[str]:
    """Iterate over all strings in a config, at any depth."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for item in config.values() if isinstance(config, dict) else config:
            yield from texts(item)


def check_config_text(bundle: Path) -> list[str]:
    """Check for texts that MONAI accepts silently and that fail later, and that logging.conf can be read."""
    problems = []
    for path in sorted((bundle / "configs").glob("*.json")):
        for text in texts(load_json(path)):
            if re.match(r"%.*\.(json|yaml|yml)", text):
                problems.append(f"{path.name}: {text}: a reference to another file works from one directory alone")
            if "#" in text and path.name != "metadata.json" and text[0] not in "@$%":
                problems.append(f"{path.name}: {text}: MONAI turns # in a text into ::")
    try:
        configparser.RawConfigParser().read(bundle / "configs" / "logging.conf", encoding="utf-8")
    except configparser.Error as error:
        problems.append(f"logging.conf: {one_line(error)}")
    return problems


def unknown_names(expression: str, known: set[str]) -> list[str]:
    """Undefined names in a Python expression; MONAI notices a missing import only on first use.

    Args:
        expression: Python source, with MONAI's references already replaced by names.
        known: names that are defined elsewhere: imports, builtins.
    """
    tree = ast.parse(expression)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return sorted(loaded - bound - known)


class ConfigResolver:
    """Resolve every id of a parsed config once, its references first, and collect the ids that fail by themselves.

    Args:
        parser: parser of an initialized workflow.
    """

    def __init__(self, parser: ConfigParser) -> None:
        self.parser = parser
        self.resolver = parser.ref_resolver
        self.problems: list[str] = []
        self._sound: dict[str, bool] = {}
        imported = {
            (alias.asname or alias.name)
            for item in self.resolver.items.values()
            if ConfigExpression.is_import_statement(item.get_config())
            for node in ast.walk(ast.parse(item.get_config()[1:]))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        self._known = set(dir(builtins)) | set(parser.globals) | imported | {"__local_refs"}

    def check(self) -> list[str]:
        """List one problem for each id that fails by itself, but none for the ids that depend on it."""
        for id_ in list(self.resolver.items):
            top = id_.split("::")[0]
            if top in ("", "_meta_", "initialize"):
                continue
            if top in WORK_IDS:
                self._read(id_)
            else:
                self._resolve(id_)
        return self.problems

    def _references(self, id_: str) -> list[str]:
        config = self.resolver.items[id_].get_config()
        references = set(self.resolver.find_refs_in_config(config=config, id=id_))
        if isinstance(config, dict | list):
            references |= {sub for _, sub, _ in self.resolver.iter_subconfigs(id_, config)}
        return sorted(references - {id_})

    def _read(self, id_: str) -> bool:
        """Check an expression without running it: its syntax, its names, and that its references exist."""
        config = self.resolver.items[id_].get_config()
        if not ConfigExpression.is_expression(config):
            return True
        for reference in self.resolver.match_refs_pattern(config):
            if reference not in self.resolver.items:
                self.problems.append(f"id {id_}: the reference @{reference} is not defined")
                return False
        # replace each reference by a valid Python name
        text = re.sub(re.escape(self.resolver.ref) + r"[\w:#]*\w", "__local_refs", config[1:])
        try:
            names = unknown_names(text.strip(), self._known)
        except SyntaxError as error:
            self.problems.append(f"id {id_}: {one_line(error)}")
            return False
        if names:
            unbound = sorted(name for name in self._known if "." in name and name.split(".")[0] in names)
            hint = "".join(f' ("$import {name}" binds no name: write "as")' for name in unbound)
            self.problems.append(f"id {id_}: {', '.join(names)} is not imported{hint}")
        return not names

    def _resolve(self, id_: str) -> bool:
        if id_ in self._sound:
            return self._sound[id_]
        self._sound[id_] = True  # prevents endless recursion; MONAI finds a circular reference below
        if id_ not in self.resolver.items:
            return True  # reported at the id that names it
        sound = all([self._resolve(reference) for reference in self._references(id_)])
        sound = sound and self._read(id_)
        if sound:
            try:
                self.parser.get_parsed_content(id_)
            except Exception as error:  # whatever a constructor raises is a problem of this id
                self.problems.append(f"id {id_}: {one_line(error)}")
                sound = False
        self._sound[id_] = sound
        return sound


def check_references(workflow: ConfigWorkflow) -> list[str]:
    """Check that references to optional properties are strings: MONAI fails on anything else there."""
    problems = []
    for rule in workflow.properties.values():
        place = rule.get(BundlePropertyConfig.REF_ID)
        value = workflow.parser.get(place) if place else None
        if value is not None and not isinstance(value, str):
            problems.append(f"id {place}: must be the reference @{rule[BundlePropertyConfig.ID]}")
    return problems


def workflows(bundle: Path) -> dict[str, tuple[tuple[str, ...], str]]:
    """Workflows of a bundle: those of every bundle, and one for each further config.

    A further config overrides the configs that it lists under "over". If it lists none, it overrides train.json if its
    name is ``train_*``, else inference.json.
    """
    out = dict(WORKFLOWS)
    standard = {file for files, _ in WORKFLOWS.values() for file in files} | {"metadata.json"}
    for path in sorted((bundle / "configs").glob("*.json")):
        if path.name not in standard:
            type_ = "train" if path.name.startswith("train_") else "inference"
            out[path.stem] = ((*load_json(path).get("over", [f"{type_}.json"]), path.name), type_)
    return out


def check_workflow(bundle: Path, name: str) -> list[str]:
    """Resolve every id of a workflow's configs and check MONAI's properties for it.

    Args:
        bundle: folder of a copy of the bundle, because some handlers make folders in it.
        name: name of a workflow of :func:`workflows`.
    """
    files, workflow_type = workflows(bundle)[name]
    paths = [bundle / "configs" / file for file in files]
    if not all(path.is_file() for path in paths):
        return []  # check_files reports missing files; only the image bundles train on several devices
    overrides: dict[str, Any] = {"bundle_root": str(bundle)}
    if workflow_type == "inference":
        overrides["dataset_dir"] = str(write_example_input(bundle / "example", bundle))
        overrides["output_dir"] = str(bundle / "output")
    try:
        workflow = ConfigWorkflow(
            config_file=[str(path) for path in paths], workflow_type=workflow_type, logging_file=False, **overrides
        )
        workflow.initialize()
        if name == "multi_gpu_train" and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")  # the config does this in its run list
    except Exception as error:  # anything a config can do wrong
        return [f"{name}: initialize: {one_line(error)}"]
    problems = ConfigResolver(workflow.parser).check() + check_references(workflow)
    if not problems:
        try:
            problems = [f"property {prop} is missing or has another id" for prop in workflow.check_properties() or []]
        except Exception as error:  # a missing required property is a KeyError in some versions of MONAI
            problems = [f"check_properties: {one_line(error)}"]
    return [f"{name}: {problem}" for problem in problems]


def network_of(bundle: Path, config: str) -> torch.nn.Module:
    """Build the network of ``network_def``, which ``monai.bundle.load`` fills with the weights of models/model.pt.

    Args:
        bundle: folder of the bundle.
        config: name of a file in its configs.
    """
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / config))
    parser["bundle_root"] = str(bundle)
    return parser.get_parsed_content("network_def")


def check_network(bundle: Path) -> list[str]:
    """Check that channels and type of the network match the metadata, and that the shipped weights fit it.

    They must also fit ``network_def`` of train.json. ``monai.bundle.load`` builds that one, copies the weights that
    fit, and leaves out the others without an error.
    """
    config, metadata = str(bundle / "configs" / "inference.json"), str(bundle / "configs" / "metadata.json")
    size = 16  # stands for "any size" in the metadata
    try:
        verify_net_in_out("network_def", metadata, config, device="cpu", n=1, p=1, any=size, bundle_root=str(bundle))
        weights = torch.load(bundle / "models/model.pt", map_location="cpu", weights_only=True)
        for name in ("inference.json", "train.json"):
            network = network_of(bundle, name)
            try:
                network.load_state_dict(weights)
            except RuntimeError as error:
                return [f"{name}: network_def: {one_line(error)}"]
    except Exception as error:  # whatever the network raises
        return [f"network_def: {one_line(error)}"]
    return []


def shared_part(key: str, value: Any, bundle: str) -> Any:
    """Value of a key that bundles share; of ``imports``, all but what comes from the bundle's own package."""
    return [line for line in value if f"from {bundle}." not in line] if key == "imports" else value


def check_common_keys(bundles: Sequence[Path]) -> list[str]:
    """Check that the keys of ``COMMON_METADATA`` and ``COMMON_CONFIG`` have the same value in every bundle."""
    problems: list[str] = []
    first: dict[str, tuple[str, Any]] = {}

    def compare(bundle: Path, key: str, value: Any) -> None:
        other, expected = first.setdefault(key, (bundle.name, value))
        if value != expected:
            problems.append(f"{bundle.name}: {key} is not as in {other}")

    for bundle in bundles:
        metadata = load_json(bundle / "configs" / "metadata.json")
        for key in COMMON_METADATA:
            if key in metadata:
                compare(bundle, f"metadata.json: {key}", metadata[key])
        for package, wanted in metadata.get("required_packages_version", {}).items():
            compare(bundle, f"metadata.json: required version of {package}", wanted)
        for file, keys in COMMON_CONFIG.items():
            config = load_json(bundle / "configs" / file)
            for key in keys:
                if key in config:
                    compare(bundle, f"{file}: {key}", shared_part(key, config[key], bundle.name))
        for file in ("LICENSE", "configs/logging.conf"):
            compare(bundle, file, (bundle / file).read_text(encoding="utf-8"))
    return problems


def write_example_input(folder: Path, bundle: Path) -> Path:
    """Write one small input of the kind that a bundle takes: a map with missing voxels, or FIDs.

    It only serves for the config to find an input.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = load_json(bundle / "configs" / "inference.json").get("inputs", {})
    if isinstance(inputs, dict) and inputs.get("holds") == "fids":
        decay = 10 * np.exp(-np.arange(256) / 75).astype(np.complex64)
        fids = Fids(
            values=np.tile(decay, (8, 8, 1, 1)), affine=np.eye(4), dwell=4e-4, larmor=45.7, nucleus="2H",
            reference=None, delay=0.0, extension={},
        )  # fmt: skip
        write_fids(folder / "example.nii.gz", fids)
        return folder
    x, y = np.mgrid[-1:1:16j, -1:1:16j]
    disc = np.where(x**2 + y**2 < 0.8, 1.0 + 0.2 * x, 0.0)
    disc[7:9, 7:9] = 0
    nibabel.save(nibabel.Nifti1Image(disc[..., None].astype(np.float32), np.eye(4)), folder / "example.nii.gz")
    return folder


@contextlib.contextmanager
def default_timeout(seconds: float) -> Iterator[None]:
    """Limit how long a download may stall; MONAI sets no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress what libraries print, and log below the level of an error, so that only problems are shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as null:
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
                yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def one_process_world() -> Iterator[None]:
    """Set what torchrun sets for one process, so that the multi-GPU configs can be built on any machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    before = dict(os.environ)
    os.environ.update(world)
    try:
        yield
    finally:
        ignite.distributed.finalize()  # ignite caches the process group, which would break the next workflow
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name in world:
            os.environ.pop(name)
        os.environ.update({name: value for name, value in before.items() if name in world})


def check_bundle(bundle: Path, schema: Path | None = None) -> list[str]:
    """Run all checks of one bundle.

    Args:
        bundle: folder of the bundle.
        schema: see :func:`check_metadata`.

    Returns:
        One line per problem, empty if there is none.
    """
    problems = check_files(bundle)
    for path in sorted((bundle / "configs").glob("*.json")):
        try:
            load_json(path)
        except ValueError as error:
            return [*problems, f"configs/{path.name}: {one_line(error)}"]
    if not (bundle / "configs" / "metadata.json").is_file():
        return problems
    problems += check_metadata(bundle, schema)
    problems += check_packages(bundle)
    problems += check_config_text(bundle)
    problems += check_weights(bundle)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / bundle.name
        shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns("training", "__pycache__", "eval", "runs"))
        with contextlib.chdir(copy), quiet():
            for name in workflows(copy):
                with one_process_world() if name == "multi_gpu_train" else contextlib.nullcontext():
                    problems += check_workflow(copy, name)
            if all((copy / name).is_file() for name in ("models/model.pt", "configs/inference.json")):
                problems += check_network(copy)
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the bundles named on the command line, or all.

    Returns:
        0 if there is no problem, else 1.
    """
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("bundles", nargs="*", type=Path, help="folders of bundles (default: all in bundles/)")
    parser.add_argument("--schema", type=Path, help="MONAI's metadata schema (default: ../shared/, else fetched)")
    parser.add_argument("--update-hashes", action="store_true", help="first write the SHA-256 of the weights")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)

    bundles = [path.resolve() for path in options.bundles]
    bundles = bundles or sorted(path for path in (REPOSITORY / "bundles").iterdir() if path.is_dir())
    schema = options.schema or (SHARED_SCHEMA if SHARED_SCHEMA.is_file() else None)
    problems = []
    for bundle in tqdm(bundles, desc="bundles", leave=False):
        if options.update_hashes:
            update_hashes(bundle)
        found = check_bundle(bundle, schema)
        problems += [f"{bundle.name}: {problem}" for problem in found]
    if not problems:
        problems += check_common_keys(bundles)
    for problem in problems:
        logger.error(problem)
    logger.info("%d bundle(s) checked, %d problem(s)", len(bundles), len(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
