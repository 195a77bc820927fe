"""File names of BIDS: entities such as ``sub-01`` and ``met-NAA``, then a suffix such as ``mrsimap``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class BidsName(NamedTuple):
    """Parts of a file name of BIDS.

    Attributes:
        entities: label of each entity, in the order of the name.
        suffix: the last part.
    """

    entities: Mapping[str, str]
    suffix: str

    @property
    def participant(self) -> str:
        """Label of the participant, without ``sub-``."""
        return self.entities["sub"]

    @property
    def session(self) -> str:
        """Label of the session, without ``ses-``; empty if there is none."""
        return self.entities.get("ses", "")

    def described(self, desc: str, suffix: str) -> str:
        """Return the stem of a file that is derived from this one: other description and suffix.

        Example:
            >>> read_bids_name("sub-01_met-NAA_desc-signal_mrsi").described("inpainted", "mrsimap")
            'sub-01_met-NAA_desc-inpainted_mrsimap'
        """
        parts = [f"{key}-{label}" for key, label in self.entities.items() if key != "desc"]
        return "_".join([*parts, f"desc-{desc}", suffix])


def read_bids_name(stem: str) -> BidsName | None:
    """Read a file name without its ending.

    Returns:
        The parts; None for a name that BIDS does not allow: one that does not begin with ``sub-``, has a part without
        a hyphen before the suffix, or an entity twice.

    Example:
        >>> read_bids_name("sub-01_ses-2_T1w")
        BidsName(entities={'sub': '01', 'ses': '2'}, suffix='T1w')
    """
    *parts, suffix = stem.split("_")
    pairs = [part.split("-") for part in parts]
    if any(len(pair) != 2 or not all(pair) for pair in pairs) or not suffix or "-" in suffix:
        return None
    entities = {key: label for key, label in pairs}
    if len(entities) < len(pairs) or next(iter(entities), "") != "sub":
        return None
    return BidsName(entities, suffix)
