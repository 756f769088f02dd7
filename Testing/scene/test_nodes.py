"""Volumes and labels go to MRML nodes and back without a change."""

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryError, LabelError, NotCTError
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

AXIAL = np.array([[-0.7, 0, 0, 101.5], [0, -0.7, 0, -33.25], [0, 0, 2.5, 7.0], [0, 0, 0, 1]])


def _turned(affine: np.ndarray) -> np.ndarray:
    a = np.deg2rad(23)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return turn @ affine


GRIDS = {
    "axial": AXIAL,
    "oblique": _turned(AXIAL),
    "anisotropic": AXIAL @ np.diag([1, 2, 3, 1]),
    "left-handed": AXIAL @ np.diag([1, 1, -1, 1]),
    "sagittal": AXIAL[:, [2, 0, 1, 3]],
}
PROVENANCE = Provenance(
    'Epirubicin 30 mg + "x"; <b>:', 41, "mewm-small", "ab" * 32, {"torch": "2:9;"}, "a-rule, b-rule"
)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "int32", ">i2"])
def test_volume_round_trip_is_exact(core, grid, dtype):
    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    array = np.random.default_rng(0).integers(0, 900, (5, 7, 9)).astype(dtype)
    volume = Volume(array, Geometry(array.shape, GRIDS[grid]), "portal")
    back = node_to_volume(volume_to_node(core.scene, volume, "CT"))
    assert (back.array == array).all()
    assert back.array.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_allclose(back.geometry.affine, volume.geometry.affine, rtol=0, atol=1e-12)
    assert back.phase == "portal" and back.simulated is None


def test_node_does_not_share_memory_with_the_volume(core):
    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    volume = Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), AXIAL))
    node = volume_to_node(core.scene, volume, "CT")
    node_to_volume(node).array[:] = 7
    assert not node_to_volume(node).array.any() and not volume.array.any()


def test_simulated_volume_carries_its_mark_and_provenance(core):
    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    volume = Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), AXIAL), simulated=PROVENANCE)
    node = volume_to_node(core.scene, volume, "CT")
    assert "SIMULATED" in node.GetName()
    assert node.GetAttribute("MeWM.Simulated") == "1"
    assert node_to_volume(node).simulated == PROVENANCE


def test_volume_under_a_transform_is_refused(core):
    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    node = volume_to_node(core.scene, Volume(np.zeros((3, 4, 5), np.int16), Geometry((3, 4, 5), AXIAL)), "CT")
    transform = core.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(GeometryError, match="transform.*CT under moved.*Harden"):
        node_to_volume(node)


def test_empty_and_colour_volumes_are_refused(core):
    from MeWMLib.scene.core_app import vtk
    from MeWMLib.scene.nodes import node_to_volume

    node = core.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(GeometryError, match="no voxels"):
        node_to_volume(node)
    image = vtk.vtkImageData()
    image.SetDimensions(3, 3, 3)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    with pytest.raises(NotCTError, match="one value a voxel"):
        node_to_volume(node)


@pytest.mark.parametrize("grid", GRIDS)
def test_labels_round_trip_is_exact(core, grid):
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.segmentations import hold_segments, labels_to_segmentation

    array = np.zeros((8, 9, 10), np.uint8)
    array[2:6, 2:7, 1:8] = 1
    array[3:5, 3:5, 3:6] = 2
    geometry = Geometry(array.shape, GRIDS[grid])
    ct = volume_to_node(core.scene, Volume(array.astype(np.int16), geometry), "CT")
    node = labels_to_segmentation(core.scene, LabelMap(array, geometry), "labels", ct)
    assert (hold_segments(node).read(geometry).array == array).all()
    assert node.GetNodeReference("referenceImageGeometryRef").GetName() == "CT"
    assert "SCT^10200004^Liver" in node.GetSegmentation().GetSegment("liver").GetTerminology()
    assert "SCT^4147007^Mass" in node.GetSegmentation().GetSegment("tumour").GetTerminology()


def test_missing_segment_is_named(core):
    from MeWMLib.scene.segmentations import hold_segments, labels_to_segmentation

    geometry = Geometry((4, 4, 4), AXIAL)
    node = labels_to_segmentation(core.scene, LabelMap(np.ones((4, 4, 4), np.uint8), geometry), "labels")
    assert not hold_segments(node).read(geometry).tumour.any()
    with pytest.raises(LabelError, match="no segment 'hcc'.*liver, tumour"):
        hold_segments(node, tumour="hcc")


@pytest.mark.parametrize("grid", GRIDS)
def test_surfaces_lie_where_the_labels_lie(core, grid):
    from MeWMLib.scene.surfaces import surfaces_of

    array = np.zeros((20, 60, 60), np.uint8)
    array[4:16, 10:50, 12:48] = 1
    array[7:13, 22:34, 20:32] = 2
    geometry = Geometry(array.shape, GRIDS[grid])
    found = {structure.name: surface for structure, surface in surfaces_of(LabelMap(array, geometry)).items()}
    for segment, mask in (("liver", array > 0), ("tumour", array == 2)):
        bounds = np.array(found[segment].GetBounds())
        points = geometry.to_ras(np.argwhere(mask))
        expected = np.stack([points.min(axis=0), points.max(axis=0)], axis=-1).ravel()
        assert np.abs(bounds - expected).max() < max(geometry.spacing) + 0.5, segment


def test_surfaces_without_any_label(core):
    from MeWMLib.scene.surfaces import surfaces_of

    labels = LabelMap(np.zeros((4, 5, 6), np.uint8), Geometry((4, 5, 6), AXIAL))
    assert [surface.GetNumberOfPolys() for surface in surfaces_of(labels).values()] == [0, 0]


def test_the_scene_of_a_forbidden_protocol_says_so(core, own_plan):
    import json

    from MeWMLib.core.plan_folder import PlanFolder
    from MeWMLib.scene.comparison import build_comparison

    data = json.loads((own_plan / "plan.json").read_text())
    rule = {"rule": "one-platinum", "severity": "forbidden", "reason": "Two platinums", "source": "Some"}
    data["candidates"] = [{**data["candidates"][0], "warnings": [rule]}]
    data.update(kind="named", search_tree=[])
    (own_plan / "plan.json").write_text(json.dumps(data))
    folder = PlanFolder(own_plan)
    document = folder.read()
    before, labels = folder.read_before(document)
    nodes = build_comparison(core.scene, document, before, labels, folder.read_kept(document, before))
    simulated = [
        n for n in nodes if n.GetName().startswith("SIMULATED") and document.plan.best.protocol.text in n.GetName()
    ]
    assert len(simulated) == 2, "the CT and its labels"
    for node in simulated:
        assert "FORBIDDEN: one-platinum" in node.GetName() and "rank" not in node.GetName()
        assert node.GetAttribute("MeWM.Forbidden") == "one-platinum"
    (read_me,) = [n for n in nodes if n.GetName().startswith("MeWM read me")]
    assert "FORBIDDEN by the clinical rules" in read_me.GetText()
