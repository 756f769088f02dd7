"""Iodine and HU, and the account of Lipiodol."""

import numpy as np
import pytest

from MeWMLib.core.errors import InputError
from MeWMLib.rendering.iodine import hu_per_mg_ml, iodine_mg, lipiodol_ml, retained_share, rise_hu


def test_a_known_amount_comes_back_from_the_image() -> None:
    """0.5 ml of Lipiodol (240 mg) spread over 12 voxels of 0.01 ml is 2,000 mg/ml, at 120 kVp 52,000 HU."""
    image = np.zeros((3, 4, 5))
    image[1, :3, :4] = 52_000.0
    assert iodine_mg(image, 0.01) == pytest.approx(240.0, rel=1e-6)
    assert lipiodol_ml(image, 0.01) == pytest.approx(0.5, rel=1e-6)


def test_the_rise_is_linear_and_falls_with_the_voltage() -> None:
    assert rise_hu([0.0, 1.0, 10.0]).tolist() == [0.0, 26.0, 260.0]
    factors = [hu_per_mg_ml(kvp) for kvp in (80, 90, 100, 110, 120, 130, 140)]
    assert factors == sorted(factors, reverse=True) and factors[4] == 26.0
    assert rise_hu(2.0, 80) > rise_hu(2.0, 140)


@pytest.mark.parametrize("kvp", [20.0, 79.9, 141.0, float("nan")])
def test_unknown_voltages_are_refused(kvp: float) -> None:
    with pytest.raises(InputError, match="tube voltage.*80 to 140"):
        hu_per_mg_ml(kvp)


def test_the_share_that_is_left() -> None:
    assert retained_share(1.74, 10) == pytest.approx(0.174)
    assert retained_share(0.0, 5) == 0
    for left, injected in ((1, 0), (11, 10), (-1, 10), (float("nan"), 10)):
        with pytest.raises(InputError, match="left than was injected"):
            retained_share(left, injected)
