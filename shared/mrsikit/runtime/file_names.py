"""What the name of a file says: the metabolite, the session, and whether the file is a map at all.

Names follow no standard. This module reads the common ones: ``sub-01_NAA``, ``NAA_crlb``, ``T1w``, and the BIDS
entities ``met-NAA``, ``desc-crlb`` and ``run-2``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


METABOLITE = re.compile(
    r"t?naa|naag|t?cr|pcr|t?cho|gpc|pch|pcho|glx|glu|gln|glc|lac|m?ins|mi|gaba|gsh|tau|asp|ala|asc|2hg"
    r"|scyllo|sins|gly|gua|crch2|pyr|bic|lip(id)?s?\d*[ab]?|mm\d*|water|hdo|[abg]?atp|p[dm]e|sodium"
    r"|creatine|choline|lactate|pyruvate|bicarbonate|glutamate|glutamine|glucose|glutathione",
    re.IGNORECASE,
)
"""Names of metabolites in file names."""

REPEAT = re.compile(r"(run|rep|repeat)\d*", re.IGNORECASE)
"""Names of the repeats of one session."""

NO_MEANING = ("mrsi", "mrsimap", "inpainted")
"""Words that say nothing of what a map is: suffixes of BIDS, and that of a filled map, which takes the map's place."""

SPELLINGS = {
    "brain": "brainmask bet skullstripped",
    "mask": "masks skull voi box pressbox outline contour fov",
    "crlb": "crb crlbs crbs crmvb sdpc bound bounds relsd relerr percentsd cramer rao",
    "sd": "std stdev se sem sigma variance conf",
    "error": "err errors fehler",
    "uncertainty": "uncertainties unc confidence",
    "snr": "noise psnr",
    "fwhm": "lw linewidth linewidths width linienbreite broadening",
    "shift": "freq frequency offset shifts deltaf dfreq phase ph0 ph1",
    "quality": "qc valid failed rejected accepted outlier outliers pvalue pval tstat zstat tmap zmap",
    "residual": "resid residuals residuum baseline chi2 chisq chisquare rmse mse sse gof fiterror",
    "seg": "dseg labels label roi atlas aseg aparc wmparc ribbon parcellation segmentation segmentierung synthseg "
    "pveseg mixeltype segm segs lesion lesions tumor tumour ventricle ventricles hippocampus thalamus edema oedema "
    "necrosis enhancing infarct cavity parcels parc aal schaefer harvardoxford maxprob",
    "b0": "fieldmap phasediff magnitude deltab0 df0 fmap feldkarte shim homogeneity",
    "b1": "tb1 tb1tfl b1plus flip flipangle famp afi dream gfactor sensitivity sensitivities",
    "probseg": "prob probs probability posterior posteriors pve tpm matter tissue",
    "gm": "graymatter greymatter grey gray",
    "wm": "whitematter",
    "csf": "liquor",
    "t1": "mprage mp2rage memprage mpr tfl tfe bravo spgr vibe unit1",
    "flair": "tirm darkfluid",
    "mri": "localizer localiser scout survey anatomy anatomical structural tse haste ciss cube stir dixon fiesta bssfp "
    "trufi dess inphase outphase dwi dti trace fa md epi bold sbref fmri swi qsm gre tof asl cbf cbv rcbv rcbf "
    "perfusion dce dsc ktrans mtt r2star t2star t1rho myelin mwf mtr mtsat cest noddi dki kurtosis inv1 inv2 inplane "
    "template warp warpfield deformation jacobian",
    "pet": "suv fdg fet ct cbct dose gtv ctv ptv planning",
}
"""Words that mean the same as one of :data:`NO_MAPS`."""

SAME = {word: kind for kind, words in SPELLINGS.items() for word in words.split()}
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
    "rois": "labels of regions (for mrsikit regions)",
    "pet": "a PET, CT or dose image",
    **dict.fromkeys(("sd", "uncertainty", "error"), "standard deviations"),
    **dict.fromkeys(("b0", "b1"), "a field map"),
    **dict.fromkeys(("t1", "t1c", "t1ce", "t2", "flair", "pd", "mri", "anat", "adc"), "an MRI"),
    **dict.fromkeys(("gm", "wm", "csf", "probseg"), "a tissue map"),
}
"""Words that name something else than a metabolite map.

It holds the companions and the quality maps of all bundles, so that every bundle knows those of the others.
"""

MRI = re.compile(r"(t1|t2|pd|flair)(?:w|gd|post|pre|tse|se|fse|space|star|flair|tirm|mpr|mprage|mp2rage|tfl|km)+")
"""Names of MRIs with their sequence, such as ``t1w``, ``t1gd``, ``t2flair``, ``t2tse``."""

TISSUE = re.compile(r"[mwrs]*[cp][0-6](.+)")
"""Names of SPM's and CAT12's tissue maps of an image, such as ``c1T1`` and ``mwp2T1``."""

NEUTRAL = re.compile(
    r"\d+|maps?|karte|ima?ge?|vol|volume|reg|registered|coreg|resliced|resampled|bin|manual|auto|final|new|edited"
    r"|hz|ppm|perc|percent|pct|mean|total|all|v\d+|slice\d*"
)
"""Words after one of :data:`NO_MAPS` that change nothing, such as in ``snr_map`` and ``T1_reg``."""

BEFORE = ("crlb", "sd", "uncertainty", "error", "snr", "fwhm", "shift", "quality", "residual", "mask", "b0", "b1")
AFTER = ("crlb", "sd", "uncertainty", "error", "snr", "fwhm", "mask")
"""Words that count also where they stand just before or just after a metabolite, such as in ``CRLB_NAA_pat07``."""

LAST = _words(
    "brain fit bias lesion lesions tumor tumour fa md error quality width planning valid rejected accepted dream",
    "template",
)
"""Words that count only at the end: elsewhere they may be part of a study's name, such as ``brain_study``."""

WITHOUT_METABOLITE = _words(
    "baseline phase conf valid rejected accepted outlier outliers dose suv fet label labels flip stir cube md fa se",
    "box cavity lesion lesions tumor tumour edema oedema necrosis enhancing infarct ventricle ventricles hippocampus",
    "thalamus noise width offset",
)
"""Words that count only in names without a metabolite: ``Glc_baseline`` and ``NAA_tumor`` are maps."""

TOWARDS = ("in", "to", "on", "space")
"""Words before the image on whose grid a map lies, such as in ``NAA_to_T1w`` and ``space-T1w``."""

PATIENTS = _words(
    "brain t1 t2 pd sd se fa md ct gm wm fet box cavity label std tumor tumour lesion lesions phantom",
)
"""Words that, with a number alone, may be the name of a patient or an object, such as ``PD_01`` and ``tumor_01``."""

MASKS = ("mask", "maske", "masker", "masque")
"""Ends of words that name a mask."""

_LONG = sorted((word for word in (*SAME, *NO_MAPS) if len(word) > 2 or word in ("b0", "b1")), key=len, reverse=True)
COMPOUND = re.compile(rf"(?:{'|'.join(_LONG)})*?({'|'.join(_LONG)})(?:maps?|karte|image|volume|fraction)?")
"""Words written as one, such as ``freqshift`` and ``snrmap``; the last one counts."""

_CAPITAL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])")
_TIME_POINT = re.compile(r"(.*[_-]t)(\d+)", re.IGNORECASE)
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


def is_time_point(stem: str, stems: Iterable[str]) -> bool:
    """Whether ``x_t1`` or ``x_t2`` is a point of a time series and no MRI: ``x_t0`` or ``x_t3`` and on is there too."""
    found = _TIME_POINT.fullmatch(stem)
    others = (_TIME_POINT.fullmatch(other) for other in stems) if found else ()
    return any(other and other[1] == found[1] and other[2] not in "12" for other in others if found)


def read_name(stem: str) -> FileName:
    """Read a file name without its ending.

    Example:
        >>> read_name("sub-01_NAA_crlb")
        FileName(base='sub-01_NAA', session='sub-01', metabolite='NAA', kind='crlb')
        >>> read_name("sub-01_met-tCr_desc-inpainted_mrsimap").session
        'sub-01'
    """
    parts = [part for separator, word in _PART.findall(stem) for part in _capitals(separator, word)]
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


def _capitals(separator: str, word: str) -> list[tuple[str, str]]:
    """Split a word that is written as ``SnrMap`` or ``ConcNAA``."""
    if METABOLITE.fullmatch(word):
        return [(separator, word)]
    first, *others = _CAPITAL.split(word)
    return [(separator, first), *(("", other) for other in others)]


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
            skip = bool(found) or after[1].lower() in ("signal", "inpainted")
            kind = found or kind
            if skip:
                continue
        if word.lower() not in NO_MEANING:
            kept.append((separator, word))
    if kind or not kept:
        return kept, kind
    named = _place_of_kind([word.lower() for _, word in kept])
    if named is None:
        return kept, ""
    before, (_, word), behind = kept[:named], kept[named], kept[named + 1 :]
    kind = _kind_of(word)
    if kind == "mask" and before and _kind_of(before[-1][1]) == "brain":  # "brain_mask"
        before, kind = before[:-1], "brain"
    ends = all(NEUTRAL.fullmatch(after.lower()) for _, after in behind)
    return before if ends else before + behind, kind


def _place_of_kind(words: list[str]) -> int | None:
    """Find the word that says that a file is no map; None if none does."""
    kinds = ["" if before in TOWARDS else _kind_of(word) for before, word in zip(["", *words], words, strict=False)]
    metabolites = [bool(METABOLITE.fullmatch(word)) for word in words]
    if any(metabolites):
        kinds = ["" if _bare(word) in WITHOUT_METABOLITE else kind for word, kind in zip(words, kinds, strict=True)]
    neutral = [bool(NEUTRAL.fullmatch(word)) for word in words]
    last = max((k for k, plain in enumerate(neutral) if not plain), default=len(words) - 1)
    numbered = words[last] in PATIENTS and words[last + 1 :] and all(word.isdigit() for word in words[last + 1 :])
    if kinds[last] and not numbered:
        return last
    for k, kind in enumerate(kinds):
        before, after = metabolites[k + 1 : k + 2] == [True], k > 0 and metabolites[k - 1]
        if (before and kind in BEFORE) or (after and kind in AFTER):
            return k
    if any(metabolites) or len(words) - sum(neutral) == 1:
        return None
    return next((k for k in reversed(range(len(words))) if kinds[k] and words[k] not in LAST), None)


def _bare(word: str) -> str:
    return word.strip("0123456789")


def _kind_of(word: str) -> str:
    """Return which of :data:`NO_MAPS` a word means; empty if none."""
    word = word.lower()
    if (tissue := TISSUE.fullmatch(word)) and NO_MAPS.get(_kind_of(tissue[1])) == "an MRI":
        return "gm"
    if mri := MRI.fullmatch(word):
        return "flair" if "flair" in word or "tirm" in word else mri[1]
    bare = _bare(word)
    bare = word if bare in PATIENTS else bare
    for short in (word, bare):
        if SAME.get(short, short) in NO_MAPS:
            return SAME.get(short, short)
    parts = COMPOUND.fullmatch(bare)
    return _kind_of(parts[1]) if parts else "mask" if bare.endswith(MASKS) else ""


def _joined(parts: list[tuple[str, str]]) -> str:
    return "".join(separator + word for separator, word in parts).lstrip("_-. +")
