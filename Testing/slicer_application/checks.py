"""The checks of docs/SLICER.md as functions; each does what a user does and returns what was seen, in one line."""

import os
import sys
import time

import numpy as np
import slicer
from walk import NotPossible, Watch

_PAIR = "Epirubicin 50 mg + Lipiodol 10 ml"
#: Voxels of the large CT; the test in the host takes fewer.
LARGE = tuple(int(n) for n in os.environ.get("MEWM_WALK_LARGE", "300,512,512").split(","))


def _names(walker, part):
    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [
        node.GetName() for node in nodes if part in (node.GetName() or "") or part in (node.GetSingletonTag() or "")
    ]


def _python_children():
    import psutil

    found = psutil.Process().children(recursive=True)
    return {p.pid for p in found if p.status() != psutil.STATUS_ZOMBIE and "mewm" in " ".join(p.cmdline()).lower()}


def _choose(walker, panel, box, text):
    combo = walker.ui(panel, box)
    combo.setCurrentIndex(combo.findText(text))
    walker.turn()


def _add_protocols(walker, *texts):
    from MeWMLib.core.protocol import Protocol

    for number, text in enumerate(texts):
        walker.front.actions.add("ABCDEF"[number], Protocol.parse(text))
    walker.turn()


def _compared(walker, *texts):
    """The sample with a comparison of protocols."""
    walker.sample()
    _add_protocols(walker, *texts)
    walker.click("simulation", "simulateButton")
    walker.wait(lambda: walker.front.comparison is not None)
    walker.idle()
    return walker.front.comparison


def _draw(walker):
    """Add a box to the tumour, as an effect of the Segment Editor does."""
    from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk, node_geometry

    parameters = walker.front.parameters
    grid = node_geometry(parameters.ct)
    drawn = np.zeros(grid.shape, bool)
    drawn[tuple(slice(n // 4, n // 4 + 3) for n in grid.shape)] = True
    image = image_of_array(drawn, slicer.vtkOrientedImageData)
    image.SetImageToWorldMatrix(matrix_to_vtk(grid.affine))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetBinaryLabelmapToSegment(image, parameters.segmentation, parameters.tumour_segment, logic.MODE_MERGE_MAX)
    walker.turn()


def opens(walker):
    """The module opens quickly and shows its panels."""
    slicer.util.selectModule("Data")
    walker.turn()
    begun = time.monotonic()
    slicer.util.selectModule("MeWM")
    walker.turn()
    seconds = time.monotonic() - begun
    assert seconds < 1.0, f"{seconds:.2f} s"
    folds = walker.front.folds
    return f"opened in {seconds:.2f} s with {len(folds)} panels"


def self_test(walker):
    """The module's own test."""
    tests = getattr(slicer, "selfTests", None)
    if not tests or "MeWM" not in tests:
        raise NotPossible("this application keeps no self tests")
    tests["MeWM"]()
    return "slicer.selfTests['MeWM']() ended without an error"


def sample_data(walker):
    """The module Sample Data lists the samples."""
    sources = getattr(slicer.modules, "sampleDataSources", {}).get("MeWM", [])
    assert len(sources) == 2, f"{len(sources)} entries"
    nodes = next(s for s in sources if "synthetic" in s.sampleName).customDownloader(None)
    assert len(nodes) == 2
    return "two entries; the synthetic one loads"


def one_click(walker):
    """From a CT in the scene to its overlay by one click; a second one is faster."""
    walker.sample()
    node, scene = walker.front.parameters.ct, slicer.mrmlScene
    scene.RemoveNode(walker.front.parameters.segmentation)
    walker.front.parameters.ct = None
    walker.turn()
    seconds = []
    with Watch() as watch:
        for _ in range(2):
            begun = time.monotonic()
            comparison = walker.plan()
            seconds.append(time.monotonic() - begun)
    red = walker.composite("Red")
    assert red.GetBackgroundVolumeID() == node.GetID()
    assert red.GetForegroundVolumeID() == comparison.node("simulated").GetID()
    return f"{seconds[0]:.1f} s, again {seconds[1]:.1f} s; longest gap of the window {watch.longest_ms:.0f} ms"


def data_module(walker):
    """The context menu of the module Data offers to simulate."""
    plugin = getattr(slicer, "MeWMSubjectHierarchyPlugin", None)
    assert plugin is not None, "the plugin was not registered"
    ct = walker.sample()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(ct) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), ct)
    plugin.action.visible = False
    plugin.showContextMenuActionsForItem(item)
    assert plugin.action.visible
    return f"offered for a CT: {plugin.action.text}"


def settings_survive(walker):
    """Settings survive saving, closing and reading the scene, and nothing says Outdated."""
    comparison = _compared(walker, _PAIR, "Cisplatin + PVA")
    walker.front.parameters.exploration.beams = 7
    walker.front.show_rank(2)
    walker.turn()
    file = walker.folder / "saved.mrb"
    _write(file)
    identifier = comparison.id
    walker.empty()
    assert _names(walker, "SIMULATED") == []
    _read(file)
    walker.turn(20)
    front = walker.front
    assert front.parameters.exploration.beams == 7 and front.comparison.id == identifier
    walker.wait(lambda: not front.comparison_outdated, 60)
    return f"rank {front.shown_rank} is shown again"


def _write(file):
    if hasattr(slicer.app, "coreIOManager"):
        assert slicer.util.saveScene(str(file))
        return
    from MeWMLib.scene.mrb import write_mrb

    write_mrb(slicer.mrmlScene, file)


def _read(file):
    if hasattr(slicer.app, "coreIOManager"):
        assert slicer.util.loadScene(str(file))
    else:
        assert slicer.mrmlScene.ReadFromMRB(str(file))


def rules(walker):
    """Two platinum drugs are refused at once."""
    walker.sample()
    _add_protocols(walker, "Cisplatin + Oxaliplatin + Lipiodol")
    assert "Not allowed" in walker.ui("actions", "ruleLabel").text
    button = walker.ui("simulation", "simulateButton")
    assert not button.enabled and button.toolTip
    return button.toolTip


def explore(walker):
    """A search fills the table and keeps what it has when it is cancelled; the window stays alive."""
    walker.sample()
    with Watch() as watch:
        walker.click("exploration", "exploreButton")
        walker.wait(lambda: walker.front.exploration.candidates)
        walker.click("exploration", "exploreButton")
        begun = time.monotonic()
        walker.idle()
        seconds = time.monotonic() - begun
        walker.wait(lambda: walker.front.comparison is not None)
    count = len(walker.front.comparison.candidates)
    assert count
    return f"{count} protocols kept, stopped in {seconds:.1f} s; longest gap {watch.longest_ms:.0f} ms"


def side_by_side(walker):
    """Three linked views, the mark SIMULATED in two of them, the legend."""
    comparison = _compared(walker, _PAIR)
    _choose(walker, "outcome", "layoutBox", "side by side")
    walker.turn(10)
    names = set(slicer.app.layoutManager().sliceViewNames())
    wanted = {"MeWM-Before", "MeWM-Simulated", "MeWM-Difference"}
    assert names == wanted, names
    marked = set()
    for name in names:
        window = slicer.app.layoutManager().sliceWidget(name).sliceView().renderWindow()
        props = window.GetRenderers().GetFirstRenderer().GetViewProps()
        for n in range(props.GetNumberOfItems()):
            prop = props.GetItemAsObject(n)
            if prop.IsA("vtkTextActor") and prop.GetVisibility() and "SIMULATED" in prop.GetInput():
                marked.add(name)
    assert marked == wanted - {"MeWM-Before"}, marked
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(comparison.node("difference"))
    assert legend.GetVisibility()
    walker.picture("side-by-side")
    _choose(walker, "outcome", "layoutBox", "overlay")
    assert "Red" in slicer.app.layoutManager().sliceViewNames()
    return "the picture side-by-side.png shows the three views"


def keys(walker):
    """Ranks, fade and lesion by keys."""
    _compared(walker, _PAIR, "Cisplatin + PVA")
    front = walker.front
    for shortcut in front.keys._shortcuts:
        assert shortcut.enabled
    fade = front.parameters.view.fade
    front.keys._shortcuts[1].activated.emit()
    front.keys._shortcuts[4].activated.emit()
    walker.turn()
    assert front.parameters.view.fade > fade and front.shown_rank == 2
    return front.keys.help.replace("\n", "; ")


def editor(walker):
    """The Segment Editor is handed segmentation and CT; an edit changes the numbers and makes results outdated."""
    walker.sample()
    walker.click("segmentation", "measureButton")
    walker.wait(lambda: walker.front.parameters.findings)
    walker.idle()
    before = walker.front.parameters.findings
    walker.click("segmentation", "editButton")
    walker.turn(10)
    node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    assert node.GetSegmentationNode() is walker.front.parameters.segmentation
    walker.picture("segment-editor")
    _draw(walker)
    slicer.util.selectModule("MeWM")
    walker.wait(lambda: walker.front.findings_outdated, 60)
    assert "Outdated" in walker.ui("segmentation", "findingsLabel").text
    walker.click("segmentation", "measureButton")
    walker.wait(lambda: walker.front.parameters.findings != before)
    walker.idle()
    return walker.ui("segmentation", "findingsLabel").text.splitlines()[0]


def simulated_is_no_input(walker):
    """A SIMULATED segmentation chosen in the Segment Editor is taken out of it with a message."""
    comparison = _compared(walker, _PAIR)
    simulated = comparison.node("labels", 1)
    walker.click("segmentation", "editButton")
    node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    node.SetAndObserveSegmentationNode(simulated)
    walker.wait(lambda: node.GetSegmentationNode() is None or walker.front.messages.box is not None, 30)
    text = str(walker.front.messages.last)
    walker.front.messages.close()
    assert node.GetSegmentationNode() is None and "simulated" in text
    return text


def another_ct(walker):
    """Another CT puts away what belongs to the former one."""
    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    comparison = _compared(walker, _PAIR)
    volume = node_to_volume(comparison.ct)
    other = volume_to_node(slicer.mrmlScene, volume.with_array(volume.array + np.int16(1)), "Another CT")
    walker.front.parameters.ct = other
    walker.turn(10)
    red = walker.composite("Red")
    assert red.GetBackgroundVolumeID() == other.GetID() and not red.GetForegroundVolumeID()
    assert walker.front.comparison is None
    return "its views show the other CT alone"


def report(walker):
    """The report is written."""
    comparison, made = _compared(walker, _PAIR), []
    from MeWMPanels.reports import folder_in

    walker.front.guard(
        lambda: walker.front.tasks.report(comparison, folder_in(walker.folder, comparison.id), made.append)
    )
    walker.wait(lambda: made)
    walker.idle()
    return f"{made[0].parent.name}/{made[0].name}, {made[0].stat().st_size // 1024} KiB"


def surfaces(walker):
    """Surfaces appear, and again after an edit."""
    from MeWMLib.scene import surfaces as drawn

    comparison = _compared(walker, _PAIR)
    begun = time.monotonic()
    walker.ui("outcome", "surfacesBox").setChecked(True)
    walker.wait(lambda: drawn.drawn(comparison.labels) and drawn.drawn(comparison.node("labels", 1)), 120)
    seconds = time.monotonic() - begun
    walker.picture("surfaces")
    return f"drawn in {seconds:.1f} s; see surfaces.png"


def closing_ends_the_worker(walker):
    """Closing the scene during a search leaves no process and no node of MeWM."""
    before = _python_children()
    walker.sample()
    walker.click("exploration", "exploreButton")
    walker.wait(lambda: walker.front.desk.pid is not None, 60)
    slicer.util.selectModule("Data")
    slicer.mrmlScene.Clear(0)
    until = time.monotonic() + 15.0
    while _python_children() - before and time.monotonic() < until:
        walker.turn()
        time.sleep(0.05)
    left = _python_children() - before
    assert not left, f"processes are left: {left}"
    assert _names(walker, "MeWM") == [], _names(walker, "MeWM")
    return "no process of MeWM, no node of MeWM"


def other_module_is_left_alone(walker):
    """A scene of MeWM that is read while another module is open changes no view."""
    if not (walker.folder / "saved.mrb").is_file():
        raise NotPossible("no scene was saved before")
    slicer.util.selectModule("Data")
    layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement()
    _read(walker.folder / "saved.mrb")
    walker.turn(10)
    assert slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement() == layout
    slicer.util.selectModule("MeWM")
    walker.turn(10)
    assert walker.front.comparison is not None
    return "its comparison is shown when the module is opened"


def large(walker):
    """A CT as large as hospitals make them: how long the window stands still when results arrive."""
    from MeWMLib.core.volume import Geometry, LabelMap, Volume
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels

    k, j, i = (
        np.linspace(-1, 1, n)[tuple(slice(None) if a == b else None for b in range(3))] for a, n in enumerate(LARGE)
    )
    liver = (k / 0.6) ** 2 + (j / 0.5) ** 2 + (i / 0.5) ** 2 <= 1
    tumour = (k / 0.12) ** 2 + (j / 0.1) ** 2 + ((i + 0.1) / 0.1) ** 2 <= 1
    array = np.random.default_rng(0).integers(-530, -470, LARGE, dtype=np.int16)
    array[liver] += 560
    array[tumour] += 40
    affine = np.diag([-0.8, -0.8, 1.0, 1.0])
    grid = Geometry(LARGE, affine)
    ct = volume_to_node(slicer.mrmlScene, Volume(array, grid, "portal"), "Large CT")
    labels = LabelMap(liver.astype(np.uint8) + (liver & tumour), grid)
    walker.front.parameters.ct = ct
    walker.front.parameters.segmentation = labels_to_segmentation(
        slicer.mrmlScene, prepare_labels(labels), "Large labels", ct
    )
    walker.turn(10)
    with Watch() as watch:
        walker.plan()
    return f"{' x '.join(map(str, LARGE[::-1]))}: longest gap of the window {watch.longest_ms:.0f} ms"


def command_line_scene(walker):
    """`scene.mrb` of `make demo` opens with the full comparison."""
    file = os.environ.get("MEWM_WALK_SCENE", "")
    if not file:
        raise NotPossible("name the scene.mrb of `make demo` in MEWM_WALK_SCENE")
    assert slicer.util.loadScene(file)
    walker.turn(20)
    assert walker.front.comparison is not None and walker.front.parameters.ct is not None
    return walker.front.comparison.title


def this_computer(walker):
    """Check this computer, and copy it."""
    walker.click("setup", "checkButton")
    walker.wait(lambda: "PyTorch" in walker.ui("setup", "systemLabel").text, 120)
    walker.click("setup", "copyButton")
    text = slicer.app.clipboard().text()
    assert "MeWM:" in text
    return text.replace("\n", "; ") + f"; {sys.version.split()[0]}"


#: In this order; a person tries what no script can: installing packages, quitting while a job runs, looking.
CHECKS = (
    ("The module opens in under a second", opens),
    ("The module's own test", self_test),
    ("Sample Data", sample_data),
    ("One click from the CT to the overlay", one_click),
    ("The context menu of the module Data", data_module),
    ("Two platinum drugs are not allowed", rules),
    ("Explore and cancel", explore),
    ("Side by side, with mark and legend", side_by_side),
    ("Keys", keys),
    ("Segment Editor and back", editor),
    ("A simulated segmentation is no input", simulated_is_no_input),
    ("Another CT", another_ct),
    ("Report", report),
    ("3D surfaces", surfaces),
    ("Save and reopen", settings_survive),
    ("A scene that is read beside another module", other_module_is_left_alone),
    ("Closing the scene ends the worker", closing_ends_the_worker),
    ("A large CT", large),
    ("A scene of the command line", command_line_scene),
    ("Check this computer", this_computer),
)
