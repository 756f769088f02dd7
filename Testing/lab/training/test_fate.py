"""Weights of the maps of order and place: found again where they were planted."""

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.lab.training.fate import fit_fate


def planted(
    folder: Path, count: int, order: tuple[float, float], place: tuple[float, float], dies: bool = True
) -> list[Path]:
    """Patients whose blocks die and take up oil by known weights of depth and enhancement."""
    paths = []
    for n in range(count):
        rng = np.random.default_rng(n)
        z, y, x = np.mgrid[:16, :16, :16] - 7.5
        shares = np.zeros((2, 16, 16, 16), np.float32)
        shares[0], shares[1] = (z**2 + y**2 + x**2) < 40, 1
        before = np.zeros((2, 16, 16, 16), np.float32)
        before[0] = rng.normal(size=(16, 16, 16))
        maps = tumour_maps(before[0], shares, 1.0)
        inside = maps[0] > 0.6
        changes, responses = np.zeros((2, 2, 16, 16, 16), np.float32), np.zeros((2, 4), np.float32)
        for k, (necrosis, uptake) in enumerate(((0.4, 0.5), (0.7, 0.3))):
            first = order[0] * maps[2] + order[1] * maps[6]
            dead = inside & (first > np.quantile(first[inside], 1 - necrosis))
            stays = place[0] * maps[2] + place[1] * maps[6]
            oil = dead & (stays > np.quantile(stays[dead], 1 - uptake))
            changes[k, 0][dead], changes[k, 0][oil] = -6.0 * dies, 20.0 * dies
            responses[k] = necrosis, 0.0, necrosis * uptake, 0.0
        path = folder / f"{n}.npz"
        np.savez(path, before=before, changes=changes, masks=shares, responses=responses)
        paths.append(path)
    return paths


@pytest.mark.parametrize(("order", "place"), [((0.9, 0.436), (-0.95, 0.31)), ((-0.6, 0.8), (0.3, 0.95))])
def test_planted_weights_are_found(tmp_path: Path, order: tuple[float, float], place: tuple[float, float]) -> None:
    found = fit_fate(planted(tmp_path, 8, order, place), 1.0)
    assert found == pytest.approx((*order, *place), abs=0.12)


def test_patients_without_death_have_no_fate(tmp_path: Path) -> None:
    assert fit_fate(planted(tmp_path, 4, (1.0, 0.0), (0.0, 1.0), dies=False), 1.0) == ()
    assert fit_fate([], 1.0) == ()
