"""Batches of a map training, made ahead by processes of their own: one core feeds a CPU, a GPU needs a dozen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import DataLoader, Dataset

from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_batches import Batch, MapCohort
from MeWMLib.lab.training.map_settings import MapTraining

#: Batches of a process after which it looks for new patients, and how many it is ahead.
LOOK, AHEAD = 100, 3


class Steps(Dataset[Batch]):
    """The batch of each step, whichever process makes it: its draws depend on the seed and on the step alone.

    Args:
        data: the patients; those that come later are read by every process for itself.
        settings: rows, sessions and seed.
        rank: of several processes that train together, each draws batches of its own.
    """

    def __init__(self, data: MapCohort, settings: MapTraining, rank: int = 0) -> None:
        self.data, self.settings, self.rank = data, settings, rank
        self._made = 0

    def __getitem__(self, step: int) -> Batch:
        self._made += 1
        if self._made % LOOK == 0:
            self.data.refresh()
        rng = np.random.default_rng([self.settings.seed, step, *([self.rank] if self.rank else [])])
        return self.data.batch(self.settings.rows, rng, self.settings.sessions)


def batches(data: MapCohort, settings: MapTraining, step: int, ranks: Ranks) -> Iterator[Batch]:
    """Batches from a step on, made by `settings.workers` processes, or where they are asked for without any.

    The processes end with the iterator.
    """
    workers = settings.workers
    return iter(
        DataLoader(
            Steps(data, settings, ranks.rank),
            batch_size=None,
            sampler=range(step, settings.steps),
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            pin_memory=ranks.device.type == "cuda",
        )
    )
