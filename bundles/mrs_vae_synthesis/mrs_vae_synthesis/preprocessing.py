"""Preprocessing: draw the random numbers of a session, and append its measured FIDs if it has any."""

from __future__ import annotations

import json
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
from mrs_vae_synthesis.measured_session import measured_session
from mrs_vae_synthesis.network import SessionVae
from mrs_vae_synthesis.options import EditOrder
from mrs_vae_synthesis.sampling import edits_of
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io.nifti_mrs import fids_of
from mrsikit.runtime.options import Sign

PLAN = 4
"""Columns after the deviates: whether a row has a new transient, whether it is ON; the same for a measured one."""


class PreprocessSessiond(MapTransform):
    """Draw the normal deviates of a session, and append its measured transients if it has any.

    The deviates depend only on the seed and on the session's number in the run ("place").

    Args:
        keys: keys of the result.
        network: network whose sizes are used. Its acquisition is read when the transform runs, with the weights.
        sampling: one of :data:`mrs_vae_synthesis.options.SAMPLINGS`.
        number: new transients of a measured session; None: as many as it has.
        transients: transients of a new session; None: :data:`mrs_vae_synthesis.inputs.USUAL`.
        condition: one of :data:`mrs_vae_synthesis.options.Condition`.
        seed: seed of the run.
        total: transients of all new sessions together, so that the last session may have fewer; None: all sessions
            have the same number.
        edit_order: order of ON and OFF of measured transients, as of
            :func:`mrs_vae_synthesis.nifti_sessions.laid_out`.
        sign: of measured FIDs, as of :func:`mrs_vae_synthesis.measured_session.measured_session`.
        fids: key of the measured FIDs (1, X, Y, Z, T, ...), with the metadata of
            :class:`mrsikit.io.NiftiMRSReader`.

    Output:
        The key holds (R, W + 4 + 2 T): normal deviates, the columns of :data:`PLAN`, and real and imaginary parts of
        the measured FIDs. R is the larger of the numbers of new and of measured transients. The metadata are those of
        the FIDs, or the name of the new session. "measured_warnings" holds what was done to the measured FIDs, as JSON
        text, because collation would change a list.
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
        edit_order: EditOrder = "header",
        sign: Sign = "standard",
        fids: str = "fids",
    ) -> None:
        super().__init__(keys)
        self.network = network
        self.points, self.width = network.points, network.deviates
        self.sampling, self.number, self.condition = sampling, number, condition
        self.transients = USUAL if transients is None else transients
        self.seed, self.total, self.fids = seed, total, fids
        self.edit_order, self.sign = edit_order, sign

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw the deviates of one session and arrange its input."""
        out = dict(data)
        place = int(out.get("place", 0))
        measured, edits = torch.zeros(0, self.points, dtype=torch.complex64), torch.zeros(0, dtype=torch.bool)
        warnings: tuple[str, ...] = ()
        meta: dict[str, Any] = {ImageMetaKey.FILENAME_OR_OBJ: str(out.get("image", "session"))}
        if self.fids in out:
            image = out[self.fids]
            meta = dict(image.meta)
            stored = fids_of(convert_to_tensor(image)[0].numpy(), meta)
            session = measured_session(
                stored,
                Acquisition.of(self.network.acquisition.cpu()),
                self.network.templates.cpu(),
                meta.get(ImageMetaKey.FILENAME_OR_OBJ, "fids"),
                edit_order=self.edit_order,
                sign=self.sign,
            )
            measured, edits, warnings = session.fids, session.on, session.warnings
        wanted = self._more(edits) if self.fids in out else self._new(place)
        rows = max(len(wanted), len(measured))
        rng = np.random.default_rng([self.seed, place])
        values = torch.zeros(rows, self.width + PLAN + 2 * self.points)
        values[:, : self.width] = torch.from_numpy(rng.standard_normal((rows, self.width), dtype=np.float32))
        plan = values[:, self.width : self.width + PLAN]
        plan[: len(wanted), 0], plan[: len(wanted), 1] = 1, wanted.float()
        plan[: len(measured), 2], plan[: len(measured), 3] = 1, edits.float()
        values[: len(measured), self.width + PLAN :] = as_real(measured)
        out["measured_warnings"] = json.dumps(warnings)
        for key in self.keys:
            out[key] = MetaTensor(values, meta=meta)
        return out

    def _more(self, edits: torch.Tensor) -> torch.Tensor:
        """Whether each new transient of a measured session is ON, (N,), from the edits of the measured ones."""
        if self.sampling == "reconstruct":
            return edits
        count, edited = len(edits), bool(edits.any())
        if self.condition == "both" and edited:
            count -= count % 2
        return edits_of(count if self.number is None else self.number, self.condition, edited)

    def _new(self, place: int) -> torch.Tensor:
        """Whether each transient of a new session is ON, (N,)."""
        edited = Acquisition.of(self.network.acquisition.cpu()).edited
        count = self.transients
        if self.total is not None:
            count = max(1, min(count, self.total - place * self.transients))
        return edits_of(count, self.condition, edited)
