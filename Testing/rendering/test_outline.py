"""The outline after treatment has the volume of the map, and nothing else moves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from scipy import ndimage

from MeWMLib.core.errors import GeometryError
from MeWMLib.core.volume import LIVER, TUMOUR
from MeWMLib.perception.cubes import cube_means
from MeWMLib.rendering.outline import labels_after

from .conftest import Case, case, cases, grid

QUICK = settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate)
)


def after(one: Case, maps=None):
    share = cube_means(one.treated, one.labels.geometry, one.maps.geometry)
    return labels_after(one.labels, one.box, one.weight, one.maps if maps is None else maps, share)


@QUICK
@given(cases())
def test_only_what_is_treated_moves(one: Case) -> None:
    found = after(one)
    free = np.zeros(one.treated.shape, bool)
    free[one.box] = one.weight > 0
    assert found.array.dtype == np.uint8 and found.geometry is one.labels.geometry
    assert np.array_equal(found.array[~free], one.labels.array[~free])
    assert (found.array[one.untreated] == TUMOUR).all()
    assert set(np.unique(found.array[free])) <= {LIVER, TUMOUR}


@pytest.mark.parametrize("diameter", [5.0, 7.0, 12.0, 40.0])
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (8.0, 0.0, 21.0)])
def test_what_stays_as_it_was_keeps_its_volume_and_place(diameter: float, turn: tuple[float, float, float]) -> None:
    """A lesion of little more than a cube too, however it lies to the cubes."""
    geometry = grid((diameter + 30,) * 3, (1.25, 0.9, 0.9), turn)
    one = case(geometry, [((0.4, -1.1, 0.9), diameter)])
    found = after(one)
    volume, before = (float(x.sum()) for x in (found.tumour, one.treated))
    assert volume == pytest.approx(before, rel=0.05)
    dice = 2 * float((found.tumour & one.treated).sum()) / (volume + before)
    assert dice > 0.97


def test_shrinking_growing_and_vanishing_follow_the_map() -> None:
    geometry = grid((80,) * 3, (2.0, 1.2, 1.2))
    one = case(geometry, [((0.0, 0.0, 0.0), 30.0)])
    depth = ndimage.distance_transform_edt(one.treated, sampling=geometry.spacing) - ndimage.distance_transform_edt(
        ~one.treated, sampling=geometry.spacing
    )
    for by in (6.0, -3.0):
        wanted = depth > by
        found = after(one, replace(one.maps, tumour=cube_means(wanted, geometry, one.maps.geometry)))
        assert found.tumour.sum() == pytest.approx(wanted.sum(), rel=0.1)
        assert 2 * (found.tumour & wanted).sum() / (found.tumour.sum() + wanted.sum()) > 0.9
    gone = after(one, replace(one.maps, tumour=0.05 * one.maps.tumour))
    assert not gone.tumour.any() and (gone.array[one.treated] == LIVER).all()


def test_it_stays_in_the_liver() -> None:
    geometry = grid((70,) * 3, (2.0, 1.5, 1.5))
    one = case(geometry, [((0.0, 0.0, 0.0), 30.0)])
    array = one.labels.array.copy()
    outside = (np.arange(geometry.shape[2]) > geometry.shape[2] // 2 + 9)[None, None] & ~one.treated
    array[outside] = 0
    one = replace(one, labels=one.labels.with_array(array))
    found = after(one, replace(one.maps, tumour=np.ones_like(one.maps.tumour)))
    assert (found.array[outside] == 0).all() and found.tumour.sum() > one.treated.sum()
    with pytest.raises(GeometryError, match="does not fit its part"):
        labels_after(one.labels, one.box, one.weight[:, 1:], one.maps, one.maps.tumour)


def test_small_lesions_stay_where_their_map_does_and_shrink_with_it() -> None:
    """Many lesions smaller than a cube beside a large one: none vanishes, and none melts into its neighbours."""
    geometry = grid((130,) * 3, (1.25, 0.9, 0.9))
    small = [((45.0 * np.cos(a), 45.0 * np.sin(a), 6.0 * (n - 4)), 4.0 + 0.4 * n) for n, a in enumerate(range(9))]
    one = case(geometry, [((0.0, 0.0, 0.0), 40.0), *small])
    parts, count = ndimage.label(one.treated, np.ones((3, 3, 3)))
    for left, least in ((1.0, 0.95), (0.7, 0.5)):
        found = after(one, replace(one.maps, tumour=np.float32(left) * one.maps.tumour))
        held = np.bincount(parts[found.tumour], minlength=count + 1)[1:] / np.bincount(parts.ravel())[1:]
        assert held.min() > least, held
        assert found.tumour.sum() == pytest.approx(left * one.treated.sum(), rel=0.1)
        assert (found.tumour & ~one.treated).sum() < 0.01 * one.treated.sum()
