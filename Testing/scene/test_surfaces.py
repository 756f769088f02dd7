"""Surfaces and grids of segments against Slicer's own conversion and resampling."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap

TURN = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])
AXES = {
    "axial": np.diag([-0.8, -0.8, 2.5]),
    "fine": np.diag([-0.5, -0.5, 0.5]),
    "oblique": TURN @ np.diag([0.7, 0.9, 2.5]),
    "left-handed": np.diag([-1.0, -1.0, -2.0]),
}


def _ball(axes: np.ndarray, radius_mm: float = 12.0) -> LabelMap:
    """A ball of liver around RAS (10, -20, 30) with a small ball of tumour in it."""
    spacing = np.linalg.norm(axes, axis=0)[::-1]
    shape = tuple(int(n) for n in np.ceil(2.6 * radius_mm / spacing))
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.array([10.0, -20.0, 30.0]) - axes @ ((np.array(shape[::-1]) - 1) / 2)
    geometry = Geometry(shape, affine)
    away = np.linalg.norm(geometry.to_ras(np.stack(np.indices(shape), -1).reshape(-1, 3)) - (10.0, -20.0, 30.0), axis=1)
    labels = (away <= radius_mm).astype(np.uint8) + (away <= radius_mm / 2).astype(np.uint8)
    return LabelMap(labels.reshape(shape), geometry)


@pytest.mark.parametrize("name", AXES)
def test_a_ball_has_the_surface_of_a_ball(core, name):
    from MeWMLib.scene import surfaces
    from MeWMLib.scene.core_app import numpy_support, vtk
    from MeWMLib.scene.segmentations import labels_to_segmentation

    labels = _ball(AXES[name])
    node = labels_to_segmentation(core.scene, labels, "ball")
    assert not surfaces.drawn(node)
    surfaces.add(node, surfaces.compute(surfaces.hold(node)))
    assert surfaces.drawn(node)
    coarsest = max(max(labels.geometry.spacing), surfaces.VOXEL_MM)
    for segment_id, radius in (("liver", 12.0), ("tumour", 6.0)):
        surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(surfaces.SURFACE)
        points = numpy_support.vtk_to_numpy(surface.GetPoints().GetData())
        away = np.linalg.norm(points - (10.0, -20.0, 30.0), axis=1)
        assert abs(away.mean() - radius) < 0.5 * coarsest and away.std() < 0.5 * coarsest
        mass = vtk.vtkMassProperties()
        mass.SetInputData(surface)
        mask = labels.liver if segment_id == "liver" else labels.tumour
        assert mass.GetVolume() == pytest.approx(1000 * float(mask.sum()) * labels.geometry.voxel_ml, rel=0.2)
        normals = numpy_support.vtk_to_numpy(surface.GetPointData().GetNormals())
        outwards = np.einsum("ij,ij->i", normals, (points - (10.0, -20.0, 30.0)) / away[:, None])
        assert np.abs(outwards).mean() > 0.9, "normals are those of a ball"


def test_a_lesion_of_one_voxel_and_an_empty_segment(core):
    from MeWMLib.scene import surfaces
    from MeWMLib.scene.segmentations import labels_to_segmentation

    array = np.zeros((20, 20, 20), np.uint8)
    geometry = Geometry(array.shape, np.diag([-1.0, -1.0, 1.0, 1.0]))
    empty = labels_to_segmentation(core.scene, LabelMap(array, geometry), "empty")
    array = array.copy()
    array[10, 11, 12] = 2
    single = labels_to_segmentation(core.scene, LabelMap(array, geometry), "single")
    for node, polygons in ((empty, 0), (single, 1)):
        surfaces.add(node, surfaces.compute(surfaces.hold(node)))
        surface = node.GetSegmentation().GetSegment("tumour").GetRepresentation(surfaces.SURFACE)
        assert (surface.GetNumberOfPolys() > 0) == bool(polygons)
    bounds = np.array(surface.GetBounds()).reshape(3, 2)
    # half a voxel of the coarse grid
    assert np.abs(bounds.mean(axis=1) - geometry.to_ras((10, 11, 12))).max() < 1.0


def _by_slicer(node: object, geometry: Geometry, segment_id: str) -> np.ndarray:
    """The oracle: Slicer's own resampling of a segment onto a grid."""
    from MeWMLib.scene.core_app import slicer, vtk
    from MeWMLib.scene.nodes import matrix_to_vtk, scalars_of_image

    grid = slicer.vtkOrientedImageData()
    grid.SetDimensions(geometry.shape[::-1])
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    grid.SetImageToWorldMatrix(matrix_to_vtk(geometry.affine))
    image, moved = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, grid, moved, False)
    return scalars_of_image(moved) > 0


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("target", ["the same", "cropped", "larger", "other"])
def test_segments_come_onto_a_grid_as_slicer_brings_them(core, name, target):
    from MeWMLib.scene.segmentations import hold_segments, labels_to_segmentation

    labels = _ball(AXES[name])
    node = labels_to_segmentation(core.scene, labels, "ball")
    k, j, i = labels.array.shape
    geometry = {
        "the same": labels.geometry,
        "cropped": labels.geometry.crop((k // 2, 1, i // 3), (k - k // 2 - 1, j // 2, i - i // 3)),
        "larger": labels.geometry.crop((-3, -2, -4), (k + 6, j + 5, i + 9)),
        "other": Geometry(
            (30, 40, 41), np.array([[-1.1, 0, 0, 33], [0, -1.1, 0, 2], [0, 0, 1.3, 10.2], [0, 0, 0, 1.0]])
        ),
    }[target]
    found = hold_segments(node).read(geometry)
    for mask, segment_id in ((found.liver, "liver"), (found.tumour, "tumour")):
        wanted = _by_slicer(node, geometry, segment_id)
        if target == "other":
            # at ties of nearest neighbours two programs may choose differently
            assert wanted.any() and (mask != wanted).mean() < 0.01
        else:
            assert np.array_equal(mask, wanted)


def test_segments_that_share_one_image_are_told_apart(core):
    """Slicer may keep several segments in one image, each with a value of its own."""
    from MeWMLib.scene.segmentations import hold_segments, labels_to_segmentation

    labels = _ball(AXES["axial"])
    apart = labels.array.copy()
    apart[labels.tumour] = 0
    apart[: apart.shape[0] // 4] = 0
    node = labels_to_segmentation(core.scene, labels, "shared")
    node.GetSegmentation().CollapseBinaryLabelmaps(True)
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    found = hold_segments(node).read(labels.geometry)
    assert np.array_equal(found.tumour, labels.tumour)
