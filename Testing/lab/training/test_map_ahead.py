"""Batches that other processes make are those that one process makes, from any step on."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from MeWMLib.core.errors import InputError
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_ahead import batches
from MeWMLib.lab.training.map_batches import Batch, MapCohort
from MeWMLib.lab.training.map_settings import MapTraining

SETTINGS = MapTraining(steps=5, rows=3, sessions=2, seed=4)


def first(
    cohort: Path, settings: MapTraining, step: int = 0, ranks: Ranks | None = None, count: int = 9
) -> list[Batch]:
    return list(islice(batches(MapCohort(cohort / "train"), settings, step, ranks or Ranks()), count))


def same(one: Batch, other: Batch) -> bool:
    pairs = [(one.clean, other.clean), (one.weight, other.weight)]
    pairs += [(value, getattr(other.given, name)) for name, value in vars(one.given).items()]
    return all(a.shape == b.shape and torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def test_the_batches_of_a_step_do_not_depend_on_who_makes_them(maps_cohort: Path) -> None:
    alone = first(maps_cohort, SETTINGS)
    assert len(alone) == SETTINGS.steps
    together = first(maps_cohort, replace(SETTINGS, workers=2))
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    resumed = first(maps_cohort, SETTINGS, step=3)
    assert all(same(a, b) for a, b in zip(alone[3:], resumed, strict=True))


def test_every_process_of_a_training_draws_its_own(maps_cohort: Path) -> None:
    (mine,) = first(maps_cohort, SETTINGS, count=1)
    (other,) = first(maps_cohort, SETTINGS, ranks=Ranks(rank=1, size=2), count=1)
    (again,) = first(maps_cohort, replace(SETTINGS, seed=5), count=1)
    assert not same(mine, other)
    assert not same(mine, again)


def test_cubes_within_two_of_the_tumour_count_in_full(maps_cohort: Path) -> None:
    (batch,) = first(maps_cohort, SETTINGS, count=1)
    near = batch.weight[:, 0] > 0.5 * batch.weight[:, 0].amax((1, 2, 3), keepdim=True)
    tumour = batch.given.seen[:, 2] > 0.02
    # an oracle of its own: a cube counts if any cube of the box around it holds tumour
    for row in range(len(batch)):
        for k, j, i in tumour[row].nonzero()[::40].tolist():
            box = near[row, max(k - 2, 0) : k + 3, max(j - 2, 0) : j + 3, max(i - 2, 0) : i + 3]
            assert box.all()


@pytest.mark.parametrize("workers", [-1, 1000])
def test_a_number_of_processes_that_cannot_be_is_refused(workers: int) -> None:
    with pytest.raises(InputError, match="workers"):
        MapTraining(workers=workers)
