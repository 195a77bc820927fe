"""What the name of a file says: the metabolite, the session, and whether the file is a map at all.

Names follow no standard. This module reads the common ones: ``sub-01_NAA``, ``NAA_crlb``, ``T1w``, and the BIDS
entities ``met-NAA``, ``desc-crlb`` and ``run-2``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

METABOLITE = re.compile(
    r"t?naa|naag|t?cr|pcr|t?cho|gpc|pch|pcho|glx|glu|gln|glc|lac|m?ins|mi|gaba|gsh|tau|asp|ala|asc|2hg"
    r"|pyr|bic|lip(id)?s?\d*[ab]?|mm\d*|water|hdo|[abg]?atp|p[dm]e|sodium"
    r"|creatine|choline|lactate|pyruvate|bicarbonate|glutamate|glutamine|glucose|glutathione",
    re.IGNORECASE,
)
"""Names of metabolites in file names."""

REPEAT = re.compile(r"(run|rep|repeat)\d*", re.IGNORECASE)
"""Names of the repeats of one session."""

NO_MEANING = ("mrsi", "mrsimap")
"""Suffixes of BIDS that say nothing about a file beyond what the other parts say."""

SAME = {
    "t1w": "t1", "t2w": "t2", "pdw": "pd", "brainmask": "brain", "bet": "brain", "crb": "crlb", "crlbs": "crlb",
    "std": "sd", "stdev": "sd", "se": "sd", "lw": "fwhm", "linewidth": "fwhm", "width": "fwhm", "dseg": "seg",
    "labels": "seg", "roi": "seg", "freq": "shift", "qc": "quality", "resid": "residual",
}  # fmt: skip
"""Other spellings of the words in :data:`NO_MAPS`."""

NO_MAPS = {
    "mask": "a mask",
    "brain": "a brain mask",
    "missing": "a mask of missing voxels",
    "holes": "a mask of filled voxels",
    "crlb": "Cramér-Rao bounds",
    "bias": "a bias",
    "snr": "a signal-to-noise ratio",
    "fwhm": "a linewidth",
    "shift": "a frequency shift",
    "quality": "a quality map",
    "residual": "residuals",
    "fit": "a fit",
    "seg": "a segmentation",
    **dict.fromkeys(("sd", "uncertainty", "error"), "standard deviations"),
    **dict.fromkeys(("b0", "b1"), "a field map"),
    **dict.fromkeys(("t1", "t1c", "t1ce", "t2", "flair", "pd", "mprage", "mri", "anat", "adc"), "an MRI"),
    **dict.fromkeys(("gm", "wm", "csf", "probseg"), "a tissue map"),
}
"""Words at the end of a name, or in the BIDS entity ``desc``, that name something else than a metabolite map.

It holds the companions and the quality maps of all bundles, so that every bundle knows those of the others.
"""

_PART = re.compile(r"([_\-. +]*)([^_\-. +]+)")


class FileName(NamedTuple):
    """Parts of a file name.

    Attributes:
        base: name without what says that the file is no map: the name of the map that the file belongs to.
        session: base without metabolites and repeats: the same for all maps of a session.
        metabolite: names of the metabolites as written, joined by ``+``; empty if there is none.
        kind: one of :data:`NO_MAPS`; empty if the name is that of a map.
    """

    base: str
    session: str
    metabolite: str
    kind: str


def read_name(stem: str) -> FileName:
    """Read a file name without its ending.

    Example:
        >>> read_name("sub-01_NAA_crlb")
        FileName(base='sub-01_NAA', session='sub-01', metabolite='NAA', kind='crlb')
        >>> read_name("sub-01_met-tCr_desc-signal_mrsi").session
        'sub-01'
    """
    parts: list[tuple[str, str]] = _PART.findall(stem)
    base, kind = _without_kind(parts)
    metabolites: list[str] = []
    session: list[tuple[str, str]] = []
    entity = ""
    for separator, word in base:
        before, entity = entity, word.lower() if word.lower() in ("met", "run", "rep", "repeat") else ""
        if before and separator == "-":
            metabolites += [word] if before == "met" else []
        elif METABOLITE.fullmatch(word):
            metabolites.append(word)
        elif not entity and not REPEAT.fullmatch(word):
            session.append((separator, word))
    return FileName(_joined(base), _joined(session), "+".join(metabolites), kind)


def _without_kind(parts: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], str]:
    """Split the parts of a name into those of the map's name and the kind."""
    kept, kind = [], ""
    skip = False
    for place, (separator, word) in enumerate(parts):
        if skip:
            skip = False
            continue
        after = parts[place + 1] if place + 1 < len(parts) else ("", "")
        if word.lower() == "desc" and after[0] == "-":
            found = _kind_of(after[1])
            skip = bool(found) or after[1].lower() == "signal"
            kind = found or kind
            if skip:
                continue
        if word.lower() not in NO_MEANING:
            kept.append((separator, word))
    if not kind and kept and (kind := _kind_of(kept[-1][1])):
        kept.pop()
    return kept, kind


def _kind_of(word: str) -> str:
    word = SAME.get(word.lower(), word.lower())
    return word if word in NO_MAPS else ""


def _joined(parts: list[tuple[str, str]]) -> str:
    return "".join(separator + word for separator, word in parts).lstrip("_-. +")
