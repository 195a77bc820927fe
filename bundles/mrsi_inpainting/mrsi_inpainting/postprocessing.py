"""Postprocessing: turn the network's output into the filled map, its uncertainty and its warnings."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from mrsi_inpainting.check_summary import check_records, check_warnings, summary_of
from mrsi_inpainting.fit_quality import NEVER_FITTED
from mrsi_inpainting.fluid import SURE, common_zeros
from mrsi_inpainting.network import judged_missing
from mrsi_inpainting.preprocessing import outlines
from mrsikit.restoration.inpainting.session_fill import SessionMap, fill_from_session
from mrsikit.restoration.resampling import resampling_warnings, upright_axis
from mrsikit.restoration.sampled_matrix import interpolated_in_words, sampled_matrix

MATRIX = {2: (12, 128), 3: (12, 64)}
"""Smallest and largest matrix on which a network was trained or tested, by its number of dimensions."""

BOUNDS = "inpainted_crlb"
TRAINED_LOSS = 0.4
NEGATIVE_SHARE = 0.05


class PostprocessMapd(Transform):
    """Fill the missing voxels of the measured map by what does best in a check on it, and leave all others unchanged.

    The candidates are the network's fill, classical fills and what the other maps of the session tell, see
    :func:`mrsikit.restoration.inpainting.session_fill.fill_from_session`.

    Args:
        image: key of the network's input.
        pred: key of the network's output.
        threshold: probability above which a zero of unknown state is judged missing; must equal the network's.
        wrong_threshold: probability above which another value is judged wrong; must equal the network's.

    A zero that all maps of the session share, within the signal, is judged missing from a higher probability on, see
    :mod:`mrsi_inpainting.fluid`.

    Output:
        "inpainted" (M, X, Y[, Z]): filled map. "holes" (M, X, Y[, Z]) uint8: 1 = missing. "uncertainty" (M, X, Y[, Z]):
        standard deviation of the filled voxels in the map's unit, 0 where measured. "calibrated" (M, X, Y[, Z]) uint8:
        1 where a filled voxel is like those of the check. "inpainted_crlb" (M, X, Y[, Z]), if the input has bounds:
        these, and at filled voxels the standard deviation in percent. "names": keys of these images. "summary": row of
        the summary. "checks": what the report shows of the check. "flags": warnings for the user.
    """

    def __init__(
        self, *, image: str = "image", pred: str = "pred", threshold: float = 0.5, wrong_threshold: float = 0.9
    ) -> None:
        self.image, self.pred = image, pred
        self.threshold, self.wrong_threshold = threshold, wrong_threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the outputs of one map."""
        out = dict(data)
        values = out["map"]
        plain = convert_to_tensor(values).cpu()
        upright = upright_axis(values.affine if isinstance(values, MetaTensor) else torch.eye(4))
        results = self._unstacked(out[self.pred], plain, upright)
        others = convert_to_tensor(out.get("others", plain[:0])).cpu().isfinite()
        lonely = len(plain) == 1 and not others.any()  # the MRIs have no map to confirm them
        mris = out.pop("mri names", "") if lonely else ""
        if lonely:
            out.pop("mris", None)
        probability = results[2][: len(plain)]
        layers = self._unstacked(out[self.image], plain, upright)
        measured, observation, brain = (layer[: len(plain)] for layer in layers)
        judged = (observation < -0.5) & judged_missing(measured, probability, self.threshold, self.wrong_threshold)
        own = ((measured != 0) & (brain != 0)).numpy()
        axis = upright if out[self.image].ndim == 4 else 2
        shared = torch.from_numpy(common_zeros(np.concatenate([own, others.numpy()]), axis))
        unsure = judged & shared & (probability.amax(0) < SURE)  # all maps of a file alike
        judged = judged & ~unsure
        missing = (observation > 0.5) | judged
        filled, sd, calibrated, checks = self._fill(out, torch.stack(results[:2], 1), measured, missing, brain)
        out["inpainted"] = self._like(torch.where(missing, filled, plain), values)
        out["holes"] = self._like(missing.to(torch.uint8), values)
        out["uncertainty"] = self._like(torch.where(missing, sd, 0.0), values)
        out["calibrated"] = self._like(calibrated.to(torch.uint8), values)
        signal = (measured != 0) & (brain != 0)
        lost = float(missing.sum() / (signal | missing).sum().clamp(min=1))
        names = ", ".join(str(out[key]) for key in ("other names", "mri names") if key in out)
        out["checks"] = check_records(checks, str(out.get("other names", "")))
        out["names"] = ["inpainted", "holes", "uncertainty", "calibrated"]
        if "crlb" in out:
            out[BOUNDS] = self._like(_bounds(out["crlb"], out["inpainted"], out["uncertainty"], missing), values)
            out["names"].append(BOUNDS)
        out["summary"] = {
            "matrix": "x".join(str(n) for n in plain.shape[1:]),
            "maps": plain.shape[0],
            "network": "2D" if out[self.image].ndim == 3 else "3D",
            "voxels filled": int(missing.sum()),
            "of these judged missing": int(judged.sum()),
            "of these judged wrong, not zero": int((judged & torch.isfinite(plain) & (plain != 0)).sum()),
            **({"of these with broad lines": out["broad lines"]} if "fwhm" in out else {}),
            "share of map filled": round(lost, 4),
            "median uncertainty of filled / median of map": self._ratio(sd[missing], measured[signal].abs()),
            "share of filled voxels not calibrated": round(
                float((missing & ~calibrated).sum() / missing.sum().clamp(min=1)), 4
            ),
            **summary_of(checks, names),
        }
        marked = convert_to_tensor(out["missing"]).cpu() > 0 if "missing" in out else None
        excited = convert_to_tensor(out["excited"]).cpu().bool()
        known = brain if "brain" in out else torch.full_like(brain, -1.0)
        out["flags"] = self._interpolation_flags(plain) + self._box_flags(excited, out["excited_certain"])
        out["flags"] += self._flags(
            plain, measured, missing, observation, known, excited, lost, out[self.image].ndim - 1
        )
        if plain.ndim == 4 and plain.shape[-1] > 1 and out[self.image].ndim == 3 and upright != 2:
            out["flags"].append("slices are not axial; the 2D network was trained on axial ones")
        if marked is not None:
            out["flags"] += self._mask_flags(marked.reshape(-1, *plain.shape[1:]).expand_as(plain), measured, known)
        if out["misjudged"]:
            out["flags"].append(f"{out['misjudged']}: linewidths were not used; give the limit in their unit")
        if unsure.any():
            out["flags"].append(
                f"{int(unsure.any(0).sum())} zeros that all maps of the session share were left: they lie within the "
                "signal and may be fluid; mark those that failed in a mask _missing"
            )
        if out["fluid"]:
            out["flags"].append(f"{out['fluid']} voxels were left because at least half of each is fluid by _csf")
        if "beside" in out:
            out["flags"].append(f"{out['beside']} not used: covers less than half of the map; check its position")
        if mris:
            out["flags"].append(f"{mris} not used: an MRI helps only beside another map of the session")
        out["flags"] += resampling_warnings(out) + check_warnings(checks, missing, calibrated)
        return out

    def _fill(
        self, data: Mapping[Hashable, Any], fills: Tensor, measured: Tensor, missing: Tensor, brain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[dict[str, Any]]]:
        """Fill each of the maps (M, X, Y[, Z]): values, standard deviation, calibrated, and what the check found."""
        count = len(measured)
        values = data["map"]
        affine = values.affine if isinstance(values, MetaTensor) else torch.eye(4)
        spacing = affine_to_spacing(affine, 3)[: measured.ndim - 1].tolist()
        hidden = (
            convert_to_tensor(data["hidden"]).cpu().bool().numpy()
            if "hidden" in data
            else np.zeros((0, *measured.shape[1:]), bool)
        )
        excited = convert_to_tensor(data["excited"]).cpu().bool()
        inside = torch.where(brain > -0.5, brain > 0.5, outlines(measured) & excited)
        known = (inside & ~missing).numpy()
        maps = measured.double().numpy()
        session = np.where(known & (maps != 0), maps, np.nan)
        others = (
            convert_to_tensor(data["others"]).cpu().double().numpy()
            if "others" in data
            else np.zeros((0, *measured.shape[1:]))
        )
        mris = convert_to_tensor(data["mris"]).cpu().double().numpy() if "mris" in data else others[:0]
        bounds = None
        if "crlb" in data:
            bounds = _amounts(_percent(data["crlb"], measured).numpy(), maps, known)
        filled, sd, calibrated = maps.copy(), np.zeros_like(maps), np.zeros(maps.shape, bool)
        checks: list[dict[str, Any]] = []
        for k in range(count):
            target = missing[k].numpy()
            if not target.any() or not known[k].any():
                checks.append({})
                continue
            found = fill_from_session(
                SessionMap(
                    values=maps[k],
                    data=known[k],
                    spacing=spacing,
                    bounds=None if bounds is None else bounds[k],
                    others=np.concatenate([session[np.arange(count) != k], others, mris]),
                    mris=len(mris),
                ),
                target,
                hidden=list(hidden[k::count]),
                network=fills[k].numpy(),
                network_hidden=list(fills[count:][k::count].numpy()),
            )
            filled[k][target], sd[k][target], calibrated[k][target] = found.values, found.sd, found.calibrated
            checks.append(found.record)
        return torch.from_numpy(filled).float(), torch.from_numpy(sd).float(), torch.from_numpy(calibrated), checks

    @staticmethod
    def _unstacked(stacked: Tensor, values: Tensor, upright: int) -> tuple[Tensor, Tensor, Tensor]:
        """Split the network's layout (3 n, X, Y[, Z]) into three tensors (M, X, Y[, Z]), the check's last."""
        stacked = convert_to_tensor(stacked).cpu().float()
        stacked = stacked.reshape(-1, 3, *stacked.shape[1:])
        if stacked.ndim == 4 and values.ndim == 4:
            stacked = stacked.reshape(-1, values.shape[3], 3, *values.shape[1:3]).permute(0, 2, 3, 4, 1)
        elif stacked.ndim == 5:
            stacked = stacked.movedim(-1, 2 + upright)
        return stacked[:, 0], stacked[:, 1], stacked[:, 2]

    @staticmethod
    def _like(result: Tensor, values: Tensor) -> Tensor:
        return MetaTensor(result, meta=values.meta) if isinstance(values, MetaTensor) else result

    @staticmethod
    def _ratio(uncertainty: Tensor, values: Tensor) -> float | str:
        """Ratio of the medians; 0 if nothing was filled, and not known if nothing was measured."""
        if not len(uncertainty):
            return 0.0
        return round(float(uncertainty.median() / values.median()), 4) if len(values) else "not known"

    def _flags(
        self,
        values: Tensor,
        measured: Tensor,
        missing: Tensor,
        observation: Tensor,
        brain: Tensor,
        excited: Tensor,
        lost: float,
        dims: int,
    ) -> list[str]:
        flags = []
        boxed = not excited.all()
        low, high = MATRIX[dims]
        if min(values.shape[1:3]) < low or max(values.shape[1:]) > high:
            flags.append(f"matrix {tuple(values.shape[1:])} outside the {low} to {high} a side that were tried")
        if lost > TRAINED_LOSS:
            flags.append(f"{lost:.0%} of the map is filled; the networks were trained up to {TRAINED_LOSS:.0%}")
        brain_known = bool((brain > -0.5).any())
        if bool((observation < -0.5).any()) and not brain_known and not boxed:
            flags.append(
                "give a brain mask: without one, tissue lost at the rim or at a slab edge cannot be told from a "
                "smaller brain"
            )
        unknown = observation < -0.5
        if unknown.any() and not (missing | (measured == 0)).any():
            flags.append("no voxel is zero, so none can be found failed: set failed ones to 0 or NaN, or mark them")
        if missing.ndim == 4:
            filled, known = missing.sum((0, 1, 2)), ((measured != 0) & ~missing).sum((0, 1, 2))
            invented = torch.where((filled > 0) & (known == 0))[0].tolist()
            if invented:
                which = ", ".join(str(k) for k in invented)
                flags.append(f"slices {which} (the first is 0) hold no measured voxel and were filled: leave them out")
        below, signals = int((measured < 0).sum()), int((measured != 0).sum())
        if below > NEGATIVE_SHARE * signals:
            flags.append(f"{below} of {signals} values are negative; the networks were trained on concentrations")
        if not (measured != 0).any():
            flags.append("no voxel was left to fill the others from: are the Cramér-Rao bounds in percent?")
        if (measured.abs() * (brain == 0)).sum() > (measured.abs() * (brain != 0)).sum():
            flags.append("most of the map's signal lies outside the brain mask: is it inverted?")
        left = torch.isfinite(values) & (values != 0) & (measured == 0) & ~missing
        if left.any():
            where = "the brain mask" if brain_known else "the signal" if boxed else "the outline of the good fits"
            or_else = "" if brain_known else ", or give a brain mask if they are brain"
            poor = f"{int(left.sum())} poor fits outside {where} were not filled"
            flags.append(f"{poor}, they are as measured: mask them before any statistics{or_else}")
        if (~torch.isfinite(values) & ~missing).any():
            flags.append("NaN or infinity outside the signal was left as it is: mask the map before any statistics")
        return flags

    @staticmethod
    def _interpolation_flags(plain: Tensor) -> list[str]:
        """Name the measured matrix of maps (M, X, Y[, Z]) that were interpolated."""
        sampled = sampled_matrix((plain if plain.ndim == 4 else plain[..., None]).numpy())
        if not any(sampled):
            return []
        return [
            f"{interpolated_in_words(sampled, plain.shape[1:])}: failed voxels have spread into their neighbours, "
            "which are taken for measured; fill the map on the matrix that was measured"
        ]

    @staticmethod
    def _box_flags(excited: Tensor, certain: bool) -> list[str]:
        """Name the excited volume (X, Y[, Z]), if the map's outline is or may be that of a box."""
        if excited.all():
            return []
        if not certain:
            return [
                "give a brain mask: without one it cannot be told whether the map shows the whole head or a box that "
                "PRESS or semi-LASER excited, and nothing was filled beyond the signal, which spans "
                f"{int(excited.sum())} of {excited.numel()} voxels"
            ]
        return [
            f"the map shows a box, as PRESS or semi-LASER excites it ({int(excited.sum())} of {excited.numel()} "
            "voxels): nothing outside it was filled; if it is a whole head, give a brain mask"
        ]

    @staticmethod
    def _mask_flags(marked: Tensor, measured: Tensor, brain: Tensor) -> list[str]:
        """Return warnings about the user's mask of missing voxels."""
        if (brain > -0.5).any():
            outside = int((marked & (brain == 0)).sum())
            return [f"{outside} voxels marked missing lie outside the brain mask and were left"] if outside else []
        outside, count = int((marked & ~outlines(measured)).sum()), int(marked.sum())
        if outside <= count / 2:
            return []
        return [f"{outside} of {count} voxels marked missing lie outside the map's outline: is its background marked?"]


def _percent(bounds: Any, maps: Tensor) -> Tensor:
    """Return bounds of each of the maps (M, X, Y[, Z]), float64; those of one channel hold for all."""
    return convert_to_tensor(bounds).cpu().double().reshape(-1, *maps.shape[1:]).expand_as(maps)


def _bounds(percent: Any, filled: Tensor, sd: Tensor, missing: Tensor) -> Tensor:
    """Return bounds in percent (M, X, Y[, Z]) that go with the filled map, for whatever reads it next; at most 999."""
    own = _percent(percent, missing).float()
    plain, deviation = convert_to_tensor(filled).float(), convert_to_tensor(sd).float()
    of_filled = (100 * deviation / plain.abs().clamp(min=1e-30)).clamp(max=NEVER_FITTED)
    of_filled = torch.where(deviation > 0, of_filled, NEVER_FITTED)  # where nothing was known, nothing is
    return torch.where(missing, of_filled, own)


def _amounts(percent: np.ndarray, maps: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Turn bounds in percent (M, X, Y[, Z]) into the maps' unit; where there is none, the map's median bound stands."""
    percent = np.nan_to_num(percent, nan=0, posinf=0, neginf=0).clip(0, 1000)
    for bound, data in zip(percent, known, strict=True):
        given = bound[data & (bound > 0)]
        bound[bound <= 0] = np.median(given) if given.size else 0
    return percent / 100 * np.abs(maps)
