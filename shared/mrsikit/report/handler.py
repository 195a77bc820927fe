"""Run an evaluator over the inputs, and record every finished input beside its outputs."""

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

from mrsikit.io.inputs import InputFolder
from mrsikit.io.provenance import jsonable, provenance
from mrsikit.io.readers import stem_of
from mrsikit.io.writers import write_text_atomically

logger = logging.getLogger(__name__)


class RunReport:
    """Handler that writes ``<stem>.json`` of each input, last of its files: the record marks the input as done.

    To stand in the ``val_handlers`` of a ``SupervisedEvaluator`` whose postprocessing saves the images. Each decollated
    item must hold ``image`` (a MetaTensor with ``filename_or_obj`` in ``meta``), and may hold ``summary`` (a flat dict,
    the row of summary.csv) and ``flags`` (a list of texts). Both are made in the postprocessing: a list or dict made
    before the network would not survive collation unchanged.

    Args:
        inputs: the inputs of the run; say where the records lie and which companions an input had.
        bundle_name: name of the bundle.
        bundle_version: its version.
        weights_path: file or files of weights in use, None for none.
        parameters: every parameter that changes the result.
    """

    def __init__(
        self,
        *,
        inputs: InputFolder,
        bundle_name: str,
        bundle_version: str,
        weights_path: str | Path | Sequence[str | Path] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.inputs = inputs
        self.bundle_name = bundle_name
        self.bundle_version = bundle_version
        self.weights_path = weights_path
        self.parameters = dict(parameters or {})
        self._to_do: dict[str, dict[str, str]] = {}
        self._progress: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register with an ignite engine."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._record)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def _start(self, engine: Engine) -> None:
        to_do = self.inputs.datalist()
        for item in to_do:
            # with overwrite, an old record must not vouch for new outputs if the run is killed between them
            self.inputs.record_path(stem_of(item["image"])).unlink(missing_ok=True)
        self._to_do = {stem_of(item["image"]): item for item in to_do}
        self._progress = tqdm(total=len(to_do), desc=self.bundle_name, unit="file")

    def _record(self, engine: Engine) -> None:
        state: Any = engine.state
        for batch, output in zip(state.batch, state.output, strict=True):
            item = {**batch, **output}
            path = Path(str(item["image"].meta[ImageMetaKey.FILENAME_OR_OBJ]))
            record = provenance(
                self.bundle_name,
                self.bundle_version,
                self.weights_path,
                self.parameters,
                item.get("flags", ()),
                self._to_do.get(stem_of(path), {"image": str(path)}),
            )
            record["summary"] = jsonable(item.get("summary", {}))
            text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
            write_text_atomically(self.inputs.record_path(stem_of(path)), text + "\n")
            if self._progress is not None:
                self._progress.update()

    def _end(self, engine: Engine) -> None:
        if self._progress is not None:
            self._progress.close()


def run_evaluator(evaluator: Evaluator) -> None:
    """Run an evaluator; with no input to compute, say so instead.

    MONAI's own run of an empty loader does nothing but warn that distributed training may hang.

    Args:
        evaluator: a MONAI evaluator with its data loader.
    """
    if evaluator.state.epoch_length == 0:
        logger.info("nothing to do: every input is done already (--overwrite true computes them again)")
        return
    evaluator.run()
