"""The attenuated image: local, graded by the level, and what is expected of embolics."""

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.attenuation import LEVELS, NECROSIS_HU, attenuate, expected_level

SIDE, LIVER, TUMOUR = 48, 100.0, 150.0


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    z, y, x = np.ogrid[:SIDE, :SIDE, :SIDE]
    out = np.ones((SIDE, SIDE, SIDE), np.uint8)
    out[(z - 22) ** 2 + (y - 24) ** 2 + (x - 26) ** 2 < 10**2] = 2
    return out


@pytest.fixture(scope="module")
def hu(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 3, labels.shape)
    return (np.where(labels == 2, TUMOUR, LIVER) + noise).astype(np.float32)


def test_level_zero_changes_nothing_and_gives_a_copy(hu: np.ndarray, labels: np.ndarray) -> None:
    out = attenuate(hu, labels, 0, 1.0)
    assert np.array_equal(out, hu) and not np.shares_memory(out, hu)


def test_without_a_tumour_every_level_gives_a_copy(hu: np.ndarray) -> None:
    out = attenuate(hu, np.ones(hu.shape, np.uint8), 4, 1.0)
    assert np.array_equal(out, hu) and not np.shares_memory(out, hu)


@pytest.mark.parametrize("spacing", [1.0, 1.6])
@pytest.mark.parametrize("level", LEVELS)
def test_only_what_lies_within_three_sigma_changes(
    hu: np.ndarray, labels: np.ndarray, level: int, spacing: float
) -> None:
    given = hu.copy()
    changed = attenuate(hu, labels, level, spacing) != hu
    reach = round(3 * LEVELS[level].sigma_mm / spacing)
    near = ndimage.maximum_filter(labels == 2, size=2 * reach + 1)
    assert changed[labels == 2].any() and not (changed & ~near).any()
    assert np.array_equal(hu, given)  # the argument is left alone


def test_a_higher_level_brings_the_tumour_nearer_to_necrosis(hu: np.ndarray, labels: np.ndarray) -> None:
    means = [float(attenuate(hu, labels, level, 1.0)[labels == 2].mean()) for level in range(5)]
    assert all(a - 2 > b for a, b in zip(means, means[1:], strict=False))
    assert means[-1] > NECROSIS_HU


@pytest.mark.parametrize("level", LEVELS)
def test_the_middle_fades_by_the_share_of_the_level(labels: np.ndarray, level: int) -> None:
    flat = np.where(labels == 2, TUMOUR, LIVER)
    out = attenuate(flat, labels, level, 1.0)
    fade = LEVELS[level].fade
    assert out.dtype == np.float32
    assert out[22, 24, 26] == pytest.approx(TUMOUR + fade * (NECROSIS_HU - TUMOUR), abs=0.5)


def test_what_is_eroded_away_fades_to_the_liver() -> None:
    labels = np.ones((40, 40, 40), np.uint8)
    labels[8:32, 8:32, 8:32] = 2
    flat = np.where(labels == 2, 30.0, 200.0)  # darker than necrosis, so that the two targets pull apart
    out = attenuate(flat, labels, 4, 1.0)
    edge, middle = out[8, 20, 20], out[20, 20, 20]
    assert edge > 60 and middle == pytest.approx(NECROSIS_HU, abs=2.5)


def test_something_is_left_of_a_lesion_that_is_smaller_than_the_erosion() -> None:
    labels = np.ones((24, 24, 24), np.uint8)
    labels[9:15, 9:15, 9:15] = 2  # 6 mm; level 4 erodes 4 mm from each side
    flat = np.where(labels == 2, TUMOUR, TUMOUR)  # the liver is as bright, so only the kept core can darken
    out = attenuate(flat, labels, 4, 1.0)
    assert out[12, 12, 12] < TUMOUR - 10


def test_a_tumour_in_the_corner_and_without_liver_gives_finite_values() -> None:
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[:5, :5, 11:] = 2
    out = attenuate(np.where(labels == 2, TUMOUR, -1000.0), labels, 4, 1.0)
    assert np.isfinite(out).all() and out[0, 0, 15] < TUMOUR


@pytest.mark.parametrize("level", [5, -1])
def test_an_unknown_level_is_refused(hu: np.ndarray, labels: np.ndarray, level: int) -> None:
    with pytest.raises(InputError, match=rf"Given: {level}\. Use 0 \(not assessed\) to 4"):
        attenuate(hu, labels, level, 1.0)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("Doxorubicin", 0),
        ("Lipiodol", 2),  # 0.3 stopped: 1 + floor(1.2)
        ("Lipiodol + PVA", 3),  # 1 - 0.7 x 0.5 = 0.65: 1 + floor(2.6)
        ("Lipiodol + PVA + NBCA", 4),  # 1 - 0.7 x 0.5 x 0.01 = 0.9965
        ("KMG", 2),  # unknown, 0.4: 1 + floor(1.6)
        ("Doxorubicin + Gelatin Sponge", 1),  # 0.1: 1 + floor(0.4)
    ],
)
def test_the_expected_level_follows_from_the_flow_that_is_stopped(text: str, level: int) -> None:
    occlusion = {"Lipiodol": 0.3, "PVA": 0.5, "NBCA": 0.99, "Gelatin Sponge": 0.1}
    assert expected_level(Protocol.parse(text), occlusion) == level


def test_a_wholly_stopped_flow_is_level_four_and_the_empty_protocol_is_zero() -> None:
    assert expected_level(Protocol.parse("PVA"), {"PVA": 1.0}) == 4
    assert expected_level(Protocol(()), {"PVA": 1.0}) == 0
