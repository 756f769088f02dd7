"""scene.mrb is written and read back; what counts is what is in it, since some calls say True having done nothing."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import OutputError
from MeWMLib.core.plan import SearchStep
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.protocol import Protocol


@pytest.fixture
def written(core, any_plan, tmp_path):
    """The plan, its volumes, and the scene file made of them."""
    from MeWMLib.scene.comparison import build_comparison
    from MeWMLib.scene.mrb import write_mrb

    folder = PlanFolder(any_plan)
    document = folder.read()
    before, labels = folder.read_before(document)
    simulated = folder.read_kept(document, before)
    build_comparison(core.scene, document, before, labels, simulated)
    path = tmp_path / "scene.mrb"
    write_mrb(core.scene, path)
    return document, before, labels, simulated, path


@pytest.fixture
def reread(written):
    """The same, read into a fresh scene."""
    from MeWMLib.scene.core_app import SlicerCore, vtk_errors

    with SlicerCore() as fresh:
        with vtk_errors() as errors:
            assert fresh.scene.ReadFromMRB(str(written[-1]), True)
        assert errors == []
        yield (*written[:-1], fresh.scene)


def _node(scene, name):
    node = scene.GetFirstNodeByName(name)
    assert node is not None, name
    return node


def _one(scene, class_name, beginning):
    found = [scene.GetNthNodeByClass(n, class_name) for n in range(scene.GetNumberOfNodesByClass(class_name))]
    found = [n for n in found if n.GetName().startswith(beginning)]
    assert len(found) == 1, (class_name, beginning, [n.GetName() for n in found])
    return found[0]


def test_voxels_geometry_and_labels_survive(reread):
    from MeWMLib.scene.nodes import node_to_volume
    from MeWMLib.scene.segmentations import hold_segments

    _, before, labels, simulated, scene = reread
    for name, expected in (("CT before treatment", before), ("SIMULATED CT [rank=1]", simulated[0].ct)):
        volume = node_to_volume(_node(scene, name))
        assert (volume.array == expected.array).all() and volume.array.dtype == expected.array.dtype
        assert volume.geometry.same_as(expected.geometry)
    deviation = node_to_volume(_node(scene, "SIMULATED standard deviation over replicas, rank 1"))
    assert (deviation.array == simulated[0].sd.array).all()
    difference = node_to_volume(_node(scene, "SIMULATED difference to before, rank 1"))
    assert (difference.array == simulated[0].ct.array.astype(int) - before.array).all()
    node = _node(scene, "Labels before treatment")
    assert (hold_segments(node).read(before.geometry).array == labels.array).all()
    for one in simulated:
        node = _one(scene, "vtkMRMLSegmentationNode", f"SIMULATED labels, rank {one.candidate.rank}:")
        assert (hold_segments(node).read(before.geometry).array == one.labels.array).all()
        assert node.GetDisplayNode().GetVisibility() == int(one is simulated[0])


def test_simulated_nodes_say_so(reread):
    from MeWMLib.scene.nodes import get_provenance

    document, _, _, simulated, scene = reread
    for class_name in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"):
        for n in range(scene.GetNumberOfNodesByClass(class_name)):
            node = scene.GetNthNodeByClass(n, class_name)
            assert ("SIMULATED" in node.GetName()) == (node.GetAttribute("MeWM.Simulated") == "1"), node.GetName()
            assert node.GetAttribute("MeWM.BundleSha256") == document.bundle.sha256
    assert get_provenance(_node(scene, "SIMULATED CT [rank=1]")) == simulated[0].ct.simulated


def test_views_show_the_scan_below_and_the_best_simulation_above(reread):
    scene = reread[-1]
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        composite = scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName() == "CT before treatment"
        assert scene.GetNodeByID(composite.GetForegroundVolumeID()).GetName() == "SIMULATED CT [rank=1]"
        assert composite.GetForegroundOpacity() == 0.5
        assert scene.GetSingletonNode(name, "vtkMRMLSliceNode").GetOrientation() == orientation


def test_table_and_plot(reread):
    document, *_, scene = reread
    plan = document.plan
    table = _node(scene, "MeWM ranked protocols")
    assert table.GetNumberOfRows() == len(plan.candidates) == 8
    names = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    for row, candidate in enumerate(plan.candidates):
        cells = {name: table.GetTable().GetValue(row, n) for n, name in enumerate(names)}
        assert cells["rank"].ToInt() == candidate.rank
        assert cells["protocol"].ToString() == candidate.protocol.text
        assert cells["log risk"].ToDouble() == pytest.approx(candidate.risk.log_risk, rel=1e-4)
        assert cells["hazard ratio"].ToDouble() == pytest.approx(np.exp(candidate.risk.log_risk), rel=1e-4)
        assert cells["log risk, lowest replica"].ToDouble() == pytest.approx(candidate.risk.interval[0], rel=1e-4)
        assert cells["log risk, highest replica"].ToDouble() == pytest.approx(candidate.risk.interval[1], rel=1e-4)
        assert cells["viable volume change (%)"].ToDouble() == pytest.approx(
            candidate.tumour_change.viable_change_percent, rel=1e-4
        )
        assert (cells["warnings"].ToString() != "") == bool(candidate.warnings)
    # of this older plan nothing is known but the replicas
    assert not [name for name in names if "95 %" in name]
    chart = _node(scene, "MeWM risk by rank")
    assert chart.GetNumberOfPlotSeriesNodes() == 3
    for n in range(3):
        series = chart.GetNthPlotSeriesNode(n)
        assert series.GetTableNode() is table and series.GetXColumnName() == "rank"
        assert series.GetYColumnName() in names


def test_the_search_tree_is_a_table(reread):
    document, *_, scene = reread
    plan = document.plan
    table = _node(scene, "MeWM search tree")
    assert table.GetNumberOfRows() == len(plan.tree) > 0
    for row, step in enumerate(plan.tree):
        cells = [table.GetTable().GetValue(row, n) for n in range(5)]
        texts = cells[1].ToString(), cells[2].ToString()
        assert cells[0].ToInt() == step.step and texts == (step.parent.text, step.child.text)
        assert cells[3].ToDouble() == pytest.approx(step.risk, rel=1e-4) and bool(cells[4].ToInt()) == step.kept


def test_the_search_is_a_plot(reread):
    document, *_, scene = reread
    plan = document.plan
    chart = _node(scene, "MeWM search tree, plot")
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [s.GetName() for s in series] == ["simulated", "the search went on from here"]
    rows = [s.GetTableNode().GetTable().GetNumberOfRows() for s in series]
    # lines of two points each, told apart by empty rows
    assert rows == [3 * sum(step.kept == kept for step in plan.tree) - 1 for kept in (False, True)]


def test_the_way_to_the_best_is_drawn_by_itself(core):
    from MeWMLib.scene.search import search_chart

    tree = [
        SearchStep(step, 0, Protocol.from_json(parent), Protocol.from_json(child), risk, kept)
        for step, parent, child, risk, kept in (
            (1, "", "Cisplatin", 0.1, True),
            (1, "", "Mitomycin", 0.2, False),
            (2, "Cisplatin", "Cisplatin + PVA", 0.0, True),
            (2, "Cisplatin", "Cisplatin + NBCA", 0.3, False),
        )
    ]
    *nodes, chart = search_chart(core.scene, tree, Protocol.parse("Cisplatin + PVA"))
    assert chart.GetNumberOfPlotSeriesNodes() == 3 and len(nodes) == 6
    table = nodes[-2].GetTable()
    points = [[table.GetColumn(n).GetValue(row) for n in range(2)] for row in range(table.GetNumberOfRows())]
    assert points[:2] == [[1.0, 0.1], [1.0, 0.1]] and points[3:] == [[1.0, 0.1], [2.0, 0.0]]
    assert np.isnan(points[2]).all()


def test_browsing_the_sequence_shows_every_rank(reread):
    from MeWMLib.scene.nodes import get_provenance, node_to_volume

    _, _, _, simulated, scene = reread
    browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    sequence = browser.GetMasterSequenceNode()
    assert sequence.GetNumberOfDataNodes() == len(simulated) == 3
    shown = browser.GetProxyNode(sequence)
    for n, one in enumerate(simulated):
        assert sequence.GetNthIndexValue(n) == str(one.candidate.rank)
        data = sequence.GetNthDataNode(n)
        assert (node_to_volume(data).array == one.ct.array).all()
        assert get_provenance(data) == one.ct.simulated
        assert node_to_volume(data).geometry.same_as(one.ct.geometry)
    assert shown.GetName() == "SIMULATED CT [rank=1]"


def test_everything_lies_in_one_folder(reread):
    from MeWMLib.scene.core_app import slicer, vtk

    scene = reread[-1]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.GetItemByName("MeWM plan")
    assert folder
    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(folder, children, False)
    inside = {hierarchy.GetItemName(children.GetId(n)) for n in range(children.GetNumberOfIds())}
    assert {
        "CT before treatment",
        "SIMULATED CT [rank=1]",
        "MeWM ranked protocols",
        "Labels before treatment",
    } <= inside
    assert len(inside) >= 14


def test_file_holds_no_path_of_this_machine(written, tmp_path):
    *_, path = written
    with zipfile.ZipFile(path) as file:
        texts = {n: file.read(n).decode() for n in file.namelist() if n.endswith((".mrml", ".txt", ".tsv", ".csv"))}
    assert any(n.endswith(".mrml") for n in texts)
    for name, text in texts.items():
        for secret in (str(tmp_path), str(path.parent), ".mewm-", "/tmp/", "/home/"):
            assert secret not in text, (name, secret)
        assert not re.search(r'="/|file:/|[A-Z]:\\\\', text), name
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]


def test_plan_without_simulated_volumes(core, axial_plan, tmp_path):
    from MeWMLib.scene.comparison import build_comparison
    from MeWMLib.scene.mrb import write_mrb

    folder = PlanFolder(axial_plan)
    document = folder.read()
    build_comparison(core.scene, document, *folder.read_before(document), [])
    assert core.scene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode").GetForegroundVolumeID() is None
    write_mrb(core.scene, tmp_path / "scene.mrb")
    assert zipfile.is_zipfile(tmp_path / "scene.mrb")


def test_one_simulated_volume_needs_no_sequence(core, axial_plan):
    from MeWMLib.scene.comparison import build_comparison

    folder = PlanFolder(axial_plan)
    document = folder.read()
    before, labels = folder.read_before(document)
    build_comparison(core.scene, document, before, labels, folder.read_kept(document, before)[:1])
    assert core.scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert np.any(
        [core.scene.GetNthNode(n).GetAttribute("MeWM.Simulated") for n in range(core.scene.GetNumberOfNodes())]
    )


def test_place_that_cannot_be_written(core, tmp_path):
    from MeWMLib.scene.mrb import write_mrb

    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_mrb(core.scene, tmp_path / "file" / "scene.mrb")


def test_writing_leaves_the_process_where_it_was(core, tmp_path):
    """Slicer's archive code enters the folder that it packs; after an error it stays there."""
    from MeWMLib.scene.mrb import write_mrb

    folder = Path.cwd()
    write_mrb(core.scene, tmp_path / "scene.mrb")
    assert Path.cwd() == folder and (tmp_path / "scene.mrb").stat().st_size > 0
