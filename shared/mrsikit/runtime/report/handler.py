"""Run an evaluator over the inputs, and write a record of every finished input beside its outputs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.utils import ImageMetaKey
from tqdm import tqdm

from mrsikit.io.atomic import write_text_atomically
from mrsikit.io.geometry import header_warnings
from mrsikit.runtime.inputs import SESSION, InputFolder
from mrsikit.runtime.provenance import jsonable, provenance, read_record, shipped_weights
from mrsikit.runtime.report.grouped_warnings import most_urgent_first

logger = logging.getLogger(__name__)


class RunReport:
    """Handler that writes the record ``<stem>.json`` of each input after its other outputs, which marks it as done.

    It belongs in the ``val_handlers`` of a ``SupervisedEvaluator`` whose postprocessing saves the images. Each
    decollated item must hold ``image`` (a MetaTensor with ``filename_or_obj`` in ``meta``). It may hold ``summary`` (a
    flat dict, the row of summary.csv), ``flags`` (a list of warnings) and ``checks`` (what the check on hidden voxels
    found, see :func:`mrsikit.runtime.report.check_panel.check_views`). The postprocessing must make them, because
    collation changes lists and dicts that are made before the network.

    Args:
        inputs: the inputs of the run, which give the paths of the records and the companions of each input.
        bundle_name: name of the bundle.
        bundle_version: version of the bundle.
        weights_path: weights file or files in use, None for none.
        parameters: every parameter that changes the result.
        metadata: content of the bundle's metadata.json with the SHA-256 of the shipped weights; None: not compared.
    """

    def __init__(
        self,
        *,
        inputs: InputFolder,
        bundle_name: str,
        bundle_version: str,
        weights_path: str | Path | Sequence[str | Path] | None = None,
        parameters: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.inputs = inputs
        self.metadata = metadata
        self.bundle_name = bundle_name
        self.bundle_version = bundle_version
        self.weights_path = weights_path
        self.parameters = dict(parameters or {})
        self._to_do: dict[str, dict[str, str]] = {}
        self._progress: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register with an ignite engine; warn if the weights are not the shipped ones or old results are outdated."""
        if self.inputs.dataset_dir is not None or not self.inputs.reads_files:
            self._warn()
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _warn(self) -> None:
        if isinstance(self.weights_path, str | Path) and self.metadata is not None:
            shipped_weights(self.weights_path, self.metadata)
        to_do = {item["image"] for item in self.inputs.datalist()}
        for item in self.inputs.items():
            if item["image"] in to_do or item["image"] in self.inputs.invalid or item["image"] in self.inputs.taken:
                continue
            before = read_record(self.inputs.record_path(self.inputs.name_of(item["image"])))
            now = self._provenance((), item)
            other = [name for name in ("bundle", "weights", "inputs", "parameters") if before.get(name) != now[name]]
            if other:
                self.inputs.outdated[item["image"]] = " and ".join(other)
                logger.warning(
                    "%s: was done before with other %s and is left as it is; --overwrite true computes it again",
                    item["image"],
                    self.inputs.outdated[item["image"]],
                )

    def _provenance(self, flags: Sequence[str], inputs: Mapping[str, str]) -> dict[str, Any]:
        return provenance(
            self.bundle_name,
            self.bundle_version,
            self.weights_path,
            self.parameters,
            flags,
            self.inputs.sources(inputs),
        )

    def _header_flags(self, inputs: Mapping[str, str]) -> list[str]:
        """Return the warnings about the headers of an input and its companions, each with the name of its file."""
        own = {name: path for name, path in self.inputs.sources(inputs).items() if not name.startswith(SESSION)}
        files = dict.fromkeys(own.values())
        return [f"{Path(file).name}: {warning}" for file in files for warning in header_warnings(file)]

    def _start(self, engine: Engine) -> None:
        to_do = self.inputs.datalist()
        for item in to_do:
            # With overwrite, an old record must not mark new outputs as done if the run is killed in between.
            name = self.inputs.name_of(item["image"])
            self.inputs.record_path(name).unlink(missing_ok=True)
            for suffix in self.inputs.optional_outputs:  # none may remain from an earlier run
                self.inputs.output_path(name, suffix).unlink(missing_ok=True)
        self._to_do = {self.inputs.name_of(item["image"]): item for item in to_do}
        self._progress = tqdm(total=len(to_do), desc=self.bundle_name, unit="file")

    def _record(self, engine: Engine) -> None:
        state: Any = engine.state
        for batch, output in zip(state.batch, state.output, strict=True):
            item = {**batch, **output}
            path = Path(str(item["image"].meta[ImageMetaKey.FILENAME_OR_OBJ]))
            name = self.inputs.name_of(path)
            inputs = self._to_do.get(name, {"image": str(path)})
            flags = [*item.get("flags", ()), *self._header_flags(inputs)]
            record = self._provenance(flags, inputs)
            record["summary"] = jsonable(item.get("summary", {}))
            if item.get("checks"):
                record["checks"] = jsonable(item["checks"])
            made = {suffix: self.inputs.output_path(name, suffix) for suffix in self.inputs.optional_outputs}
            record["outputs"] = [suffix for suffix, file in made.items() if file.exists()]
            text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
            write_text_atomically(self.inputs.record_path(name), text + "\n")
            with tqdm.external_write_mode():
                for flag in most_urgent_first(flags):
                    logger.warning("%s: %s", path.name, flag)
            if self._progress is not None:
                self._progress.update()

    def _end(self, engine: Engine) -> None:
        if self._progress is not None:
            self._progress.close()


def run_evaluator(evaluator: Evaluator) -> None:
    """Run an evaluator, or log that there is no input to compute.

    With an empty loader, MONAI's own run only warns that distributed training may hang.

    Args:
        evaluator: a MONAI evaluator with its data loader.
    """
    if evaluator.state.epoch_length == 0:
        logger.info("nothing to do: every input is done, or left to another run (--overwrite true computes them again)")
        return
    evaluator.run()
