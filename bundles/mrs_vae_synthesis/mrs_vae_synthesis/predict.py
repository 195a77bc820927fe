"""Run the bundle as one Python call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import ImageMetaKey, convert_to_tensor
from numpy.typing import NDArray

from mrs_vae_synthesis.measured_session import acquisition_problems
from mrs_vae_synthesis.nifti_sessions import EDITED
from mrs_vae_synthesis.options import SynthesisOptions
from mrs_vae_synthesis.postprocessing import SYNTHETIC
from mrs_vae_synthesis.sessions import Acquisition
from mrsikit.io import Fids, InputError
from mrsikit.io.nifti_mrs import fids_of, metadata_of
from mrsikit.runtime.bundles import bundle_root
from mrsikit.runtime.options import Sign
from mrsikit.runtime.pipeline import cached_pipeline, check_positive

BUNDLE_ROOT = bundle_root("mrs_vae_synthesis")


class Synthesised(NamedTuple):
    """Result of :func:`predict`.

    Attributes:
        fids: complex (T, N, 2), ON and OFF last, or (T, N) if all have one edit.
        dwell: time between two samples (s).
        larmor: Larmor frequency (MHz), that of the measured FIDs if there are any.
        reference: chemical shift of zero frequency (ppm).
        flags: warnings.
    """

    fids: NDArray[np.complex64]
    dwell: float
    larmor: float
    reference: float
    flags: list[str]


def predict(
    fids: NDArray[Any] | None = None,
    *,
    dwell: float | None = None,
    larmor: float | None = None,
    sampling: str | None = None,
    number: int | None = None,
    condition: str = "both",
    sign: Sign = "auto",
    seed: int = 0,
    noise: bool = True,
    bundle_root: str | Path = BUNDLE_ROOT,
    device: str = "cpu",
) -> Synthesised:
    """Synthesise one session with the pipeline of ``configs/inference.json``.

    Args:
        fids: complex (T, N, 2), measured transients with ON and OFF last; None: make a new session.
        dwell: dwell time of the measured FIDs (s).
        larmor: Larmor frequency of the measured FIDs (MHz).
        sampling: "hybrid", "interpolate" or "reconstruct" with ``fids``; "random" without. None: hybrid or random.
        number: total number of new transients; None: as many as were measured, or 32.
        condition: "both", "on" or "off".
        sign: of ``fids``: "standard", NIfTI-MRS's; "conjugate", the other; "auto": that which the FIDs say.
        seed: the same seed gives the same spectra.
        noise: whether to add noise as measured spectra have it.
        bundle_root: folder of the bundle.
        device: device to compute on.

    Raises:
        InputError: the input is one that the command would refuse.

    Example:
        >>> predict(number=4).fids.shape
        (2048, 2, 2)
    """
    chosen = sampling or ("random" if fids is None else "hybrid")
    given: dict[str, Any] = {"number": number}
    if chosen == "random":  # one session with all transients that are asked for
        given = {"number": number, "transients": number}
    options = SynthesisOptions.keywords(
        {"sampling": chosen, "condition": condition, "sign": sign, "seed": seed, "noise": noise, "device": device}
        | given
    )
    if (fids is None) != (chosen == "random"):
        raise InputError("random sampling takes no fids, all others do")
    pipeline = cached_pipeline(
        Path(bundle_root), tuple(sorted((k, torch.device(v) if k == "device" else v) for k, v in options.items()))
    )
    known = Acquisition.of(pipeline.network.acquisition.cpu())  # type: ignore[arg-type]
    item: dict[str, Any] = {"image": "session", "place": 0}
    if fids is not None:
        item["fids"] = _measured(np.asarray(fids), dwell, larmor, known, pipeline.network.templates.cpu(), sign)
    out = pipeline(item)
    made = fids_of(convert_to_tensor(out[SYNTHETIC])[0].numpy(), out[SYNTHETIC].meta)
    return Synthesised(made.values[0, 0, 0], made.dwell, made.larmor, known.reference, out["flags"])


def _measured(
    values: NDArray[Any], dwell: float | None, larmor: float | None, known: Acquisition, templates: Any, sign: Sign
) -> MetaTensor:
    if not np.iscomplexobj(values) or values.ndim != 3 or values.shape[2] != 2:
        raise InputError(f"fids must be complex (T, N, 2), ON and OFF last, not {values.dtype} of {values.shape}")
    for name, value in (("dwell", dwell), ("larmor", larmor)):
        if value is None:
            raise InputError(f"{name} is not given; measured fids need dwell and larmor")
        check_positive(value, name)
    stored = Fids(
        values=values.astype(np.complex64)[None, None, None], affine=np.eye(4), dwell=float(dwell or 0),
        larmor=float(larmor or 0), nucleus="1H", reference=known.reference, delay=None, echo=known.echo,
        extension={"dim_5": "DIM_DYN", "EchoTime": known.echo, **EDITED},
    )  # fmt: skip
    problems = acquisition_problems(stored, known, templates, "fids", sign=sign)
    if problems:
        raise InputError(problems[0])
    meta = {**metadata_of(stored), ImageMetaKey.FILENAME_OR_OBJ: "fids"}
    return MetaTensor(torch.from_numpy(stored.values)[None], meta=meta)
