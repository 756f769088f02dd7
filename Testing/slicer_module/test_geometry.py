"""Node -> Volume -> simulated Volume -> node: exact on every grid; the overlay sits on the lesion in the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap, Volume

_TURN = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])


def _affine(axes: np.ndarray, origin: tuple[float, float, float] = (12.5, -30.25, 140.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, origin
    return affine


#: The columns are the steps of i, j and k in RAS mm.
GRIDS = {
    "axial": _affine(np.diag([-1.0, -1.0, 1.0])),
    "anisotropic": _affine(np.diag([-0.703125, -0.703125, 5.0])),
    "oblique": _affine(_TURN @ np.diag([0.7, 0.9, 2.5])),
    "left-handed": _affine(np.diag([-1.0, -1.0, -2.0])),
    "oblique and left-handed": _affine(_TURN @ np.diag([0.7, 0.9, -2.5])),
    "sagittal order": _affine(np.array([[0.0, 0.0, 2.0], [-0.8, 0.0, 0.0], [0.0, -0.8, 0.0]])),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_round_trip_is_exact(user, sample, fake, name, tmp_path):
    import slicer

    from MeWMLib.scene.mrb import write_mrb
    from MeWMLib.scene.nodes import node_to_volume
    from MeWMLib.scene.segmentations import hold_segments

    geometry = Geometry(fake.SHAPE, GRIDS[name])
    sample.ct = Volume(sample.ct.array, geometry, "portal")
    sample.labels = LabelMap(sample.labels.array, geometry)
    tumour = sample.labels.tumour
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol")

    def check(node: Any, labels_node: Any) -> None:
        after = node_to_volume(node)
        assert after.geometry.shape == geometry.shape and after.array.dtype == sample.ct.array.dtype
        assert np.abs(after.geometry.affine - geometry.affine).max() < 1e-4
        assert np.array_equal(after.array[~tumour], sample.ct.array[~tumour])
        assert (after.array[tumour] != sample.ct.array[tumour]).all()
        assert np.array_equal(hold_segments(labels_node).read(geometry).array, sample.labels.array)

    comparison = user.front.comparison
    assert np.array_equal(node_to_volume(comparison.ct).array, sample.ct.array)
    assert np.abs(node_to_volume(comparison.ct).geometry.affine - geometry.affine).max() == 0.0
    check(comparison.node("simulated"), comparison.node("labels", 1))

    # files of Slicer store left-handed grids in their own way: compared in space, voxel by voxel
    write_mrb(slicer.mrmlScene, tmp_path / "grid.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "grid.mrb"), True)
    user.look()
    back = node_to_volume(user.front.comparison.node("simulated"))
    for index in np.argwhere(tumour)[::7]:
        there = np.rint(back.geometry.to_kji(geometry.to_ras(index))).astype(int)
        assert np.abs(back.geometry.to_ras(there) - geometry.to_ras(index)).max() < 1e-3
    mask = hold_segments(user.front.comparison.node("labels", 1)).read(back.geometry).tumour
    before = node_to_volume(user.front.comparison.ct)
    assert np.array_equal(mask, back.array != before.array), "voxels and segment still lie on one another"


@pytest.mark.parametrize("turned", [False, True])
def test_the_overlay_sits_on_the_lesion(user, sample, folders_of_scene, turned):
    """The centroid of the pixels that the simulated CT changes is that of the lesion in the slice."""
    import slicer

    from MeWMLib.scene.target import find_target
    from MeWMLib.scene.views import AXIAL, SliceView

    affine = folders_of_scene.oblique() if turned else folders_of_scene.AXIAL
    ct, labels, geometry = folders_of_scene.small_patient(affine)
    sample.ct, sample.labels = Volume(ct, geometry, "portal"), LabelMap(labels, geometry)
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol")
    comparison, size = user.front.comparison, 400
    target = find_target(sample.labels)
    framing = target.liver_framing(AXIAL)
    with SliceView(slicer.app.core, size, "MeWM test") as view:
        before = view.render(framing, comparison.ct).astype(int)
        after = view.render(framing, comparison.ct, comparison.node("simulated"), 1.0).astype(int)
    changed = np.argwhere(np.abs(after - before).max(axis=-1) > 8)
    assert len(changed) > 200, "the simulated CT is seen"
    # the lesion in the plane of the slice, from its voxels and the affine alone
    ras = geometry.to_ras(np.argwhere(sample.labels.tumour))
    in_plane = ras[np.abs(ras[:, 2] - target.centre[2]) < 0.5 * max(geometry.spacing)]
    centroid = np.array([folders_of_scene.pixel_of(framing, point, size) for point in in_plane]).mean(axis=0)
    pixels_per_mm = size / framing.width_mm
    off_mm = np.abs(changed.mean(axis=0) - centroid) / pixels_per_mm
    assert off_mm.max() < 0.5 * max(geometry.spacing[1:]), f"the overlay is off by {off_mm} mm"
    across = 2.0 * np.sqrt(len(changed) / np.pi) / pixels_per_mm
    assert abs(across - target.lesion_mm) < 0.25 * target.lesion_mm, "and it is as large as the lesion"
