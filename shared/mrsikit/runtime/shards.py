"""Shards of a run: every n-th case, so that n jobs of a cluster share one folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from mrsikit.io.errors import InputError

Item = TypeVar("Item")


class Shard(NamedTuple):
    """Every ``total``-th case, from case number ``place`` on.

    Attributes:
        place: number of the shard, from 1 to ``total``.
        total: number of shards. Together they hold every case once.

    Example:
        >>> Shard(2, 3).of(["a", "b", "c", "d", "e"])
        ['b', 'e']
    """

    place: int
    total: int

    def of(self, cases: Sequence[Item]) -> Sequence[Item]:
        """Return the cases of this shard; none if there are fewer cases than its place."""
        return cases[self.place - 1 :: self.total]


def read_shard(value: object) -> Shard | None:
    """Read the option ``--shard``.

    Args:
        value: "2/40": the second of 40 shards; None: no shards.

    Raises:
        InputError: the value is no such text, or its first number is not from 1 to its second.

    Example:
        >>> read_shard("2/40")
        Shard(place=2, total=40)
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", str(value).strip(), re.ASCII)
    if found is None:
        raise InputError(f"--shard {value}: is not of the form i/n; give for example --shard 2/40, the second of 40")
    shard = Shard(int(found[1]), int(found[2]))
    if not 1 <= shard.place <= shard.total:
        right = f"from 1 to {shard.total}" if shard.total else "from 1 to n, and n from 1 on"
        raise InputError(f"--shard {value}: there is no shard {shard.place} of {shard.total}; i goes {right}")
    return shard
