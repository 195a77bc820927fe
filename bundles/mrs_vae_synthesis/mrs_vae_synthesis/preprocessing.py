"""From the place of a session in a run, or its measured FIDs, to the numbers that its synthesis takes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, convert_to_tensor

from mrs_vae_synthesis.inputs import USUAL
from mrs_vae_synthesis.matched_filter import as_real
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.nifti_sessions import laid_out, referenced
from mrs_vae_synthesis.sampling import edits_of, width_of
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io.nifti_mrs import fids_of

PLAN = 4
"""Columns after the deviates: whether a row is wanted and ON, whether it is measured and ON."""


class PreprocessSessiond(MapTransform):
    """Draw the normal deviates of a session, and lay its measured transients, if it has any, beside them.

    Deviates depend on the seed and the place of the session alone.

    Args:
        keys: where the result goes.
        network: whose sizes count, and once its weights are there its acquisition.
        sampling: one of :data:`mrs_vae_synthesis.sampling.SAMPLINGS`.
        number: new transients of a measured session; None: as many as it has.
        transients: of a new session; None: :data:`mrs_vae_synthesis.inputs.USUAL`.
        condition: one of :data:`mrs_vae_synthesis.sampling.Condition`.
        seed: of the run.
        total: transients of all new sessions, the last of which may have fewer; None: all have as many.
        fids: key of the measured FIDs (1, X, Y, Z, T, ...), with the metadata of
            :class:`mrsikit.io.NiftiMRSReader`.

    Output:
        the key holds (R, W + 4 + 2 T): deviates, :data:`PLAN`, and measured real and imaginary parts, R the larger
        number of new and of measured transients; its metadata those of the FIDs, or the name of the new session.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        network: SessionVae,
        sampling: str = "random",
        number: int | None = None,
        transients: int | None = None,
        condition: str = "both",
        seed: int = 0,
        total: int | None = None,
        fids: str = "fids",
    ) -> None:
        super().__init__(keys)
        self.network = network
        self.points, self.width = network.points, width_of(network.points, network.session, network.transient)
        self.sampling, self.number, self.condition = sampling, number, condition
        self.transients = USUAL if transients is None else transients
        self.seed, self.total, self.fids = seed, total, fids

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw and lay out."""
        out = dict(data)
        place = int(out.get("place", 0))
        measured, edits = torch.zeros(0, self.points, dtype=torch.complex64), torch.zeros(0, dtype=torch.bool)
        meta: dict[str, Any] = {ImageMetaKey.FILENAME_OR_OBJ: str(out.get("image", "session"))}
        if self.sampling != "random":
            image = out[self.fids]
            meta = dict(image.meta)
            stored = fids_of(convert_to_tensor(image)[0].numpy(), meta)
            measured, edits = laid_out(stored, meta.get(ImageMetaKey.FILENAME_OR_OBJ, "fids"))
            measured = referenced(measured, stored, Acquisition.of(self.network.acquisition.cpu()))
        wanted = self._wanted(place, len(measured), edits)
        rows = max(len(wanted), len(measured))
        rng = np.random.default_rng([self.seed, place])
        values = torch.zeros(rows, self.width + PLAN + 2 * self.points)
        values[:, : self.width] = torch.from_numpy(rng.standard_normal((rows, self.width), dtype=np.float32))
        plan = values[:, self.width : self.width + PLAN]
        plan[: len(wanted), 0], plan[: len(wanted), 1] = 1, wanted.float()
        plan[: len(measured), 2], plan[: len(measured), 3] = 1, edits.float()
        values[: len(measured), self.width + PLAN :] = as_real(measured)
        for key in self.keys:
            out[key] = MetaTensor(values, meta=meta)
        return out

    def _wanted(self, place: int, measured: int, edits: torch.Tensor) -> torch.Tensor:
        """Edits of the new transients."""
        if self.sampling == "reconstruct":
            return edits
        if self.sampling != "random":
            return edits_of(measured if self.number is None else self.number, self.condition, bool(edits.any()))
        edited = Acquisition.of(self.network.acquisition.cpu()).edited
        count = self.transients
        if self.total is not None:
            count = max(1, min(count, self.total - place * self.transients))
        return edits_of(count, self.condition, edited)
