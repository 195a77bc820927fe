"""Training datasets whose random transforms depend only on seed, epoch and index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset
from monai.transforms import Compose, apply_transform

from mrsikit.io import InputError
from mrsikit.runtime import InputFolder

HELD_OUT = 5
"""Every fifth of the user's own maps is held out for validation."""


def training_items(
    dataset_dir: str | Path | None,
    *,
    seed: int,
    number: int,
    validation: bool = False,
    suffixes: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """List the training items: virtual patients, or the user's own maps.

    Args:
        dataset_dir: folder or datalist of the user's maps; None: virtual patients.
        seed: seed of the first virtual patient; the others take the following integers.
        number: number of virtual patients.
        validation: return the user's maps that are held out (every fifth, sorted by name) instead of the others.
        suffixes: files named ``<stem>_<suffix>`` are companions or results, not maps.

    Returns:
        One ``{"tissues": seed}`` per virtual patient, or one ``{"map": path}`` per map.

    Raises:
        InputError: the folder holds no map, or fewer than five.
    """
    if dataset_dir is None:
        return [{"tissues": seed + k} for k in range(number)]
    files = InputFolder(dataset_dir=dataset_dir, output_dir=None, outputs=suffixes).files
    if len(files) < HELD_OUT:
        raise InputError(
            f"{dataset_dir}: holds {len(files)} maps; give at least {HELD_OUT}, of which every fifth is held out"
        )
    return [{"map": str(f)} for k, f in enumerate(files) if (k % HELD_OUT == HELD_OUT - 1) == validation]


class SeededDataset(Dataset):
    """Dataset that applies random transforms with a random state made from (seed, epoch, index).

    A sample is therefore the same whichever worker makes it. A training that resumes at an epoch draws the samples it
    would have drawn without the interruption, so no random state needs to be stored.

    Args:
        data: dictionaries, or a dataset (such as MONAI's PersistentDataset) that holds them; each gets the key "epoch".
        transform: random transforms.
        seed: seed of the run.
        length: number of items of one epoch, which cycles through ``data``; None: each item once.
        shuffle: whether each epoch takes the data in an order of its own.
    """

    def __init__(
        self,
        data: Sequence[Any],
        transform: Compose | Sequence[Callable],
        *,
        seed: int,
        length: int | None = None,
        shuffle: bool = False,
    ) -> None:
        super().__init__(data, None)
        self.shuffle = shuffle
        self.random_transform = transform if isinstance(transform, Compose) else Compose(transform)
        self.seed = seed
        self.length = len(data) if length is None else length
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next samples belong to."""
        self.epoch = epoch
        if self.shuffle:
            self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.data))

    def __len__(self) -> int:
        """Return the number of items of one epoch."""
        return self.length

    def __getitem__(self, index: int) -> Any:  # type: ignore[override]
        """Return item ``index`` of the current epoch.

        Raises:
            IndexError: the index lies beyond the end of the epoch; this ends a plain loop over the dataset.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"item {index} of an epoch of {self.length}")
        state = int(np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1)[0])
        self.random_transform.set_random_state(seed=state)
        place = (self.epoch * self.length + index) % len(self.data)
        item = self.data[int(self.order[place]) if self.shuffle else place]
        return apply_transform(self.random_transform, {**item, "epoch": self.epoch})
