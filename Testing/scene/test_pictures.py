"""Facts on pixels, with and without OpenGL. No golden images: back ends differ in their text and their edges."""

import subprocess
import sys

import numpy as np
import pytest

from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.volume import LabelMap, Volume


@pytest.fixture(params=["opengl", "no opengl"])
def gl(request):
    """Both ways of making slices."""
    if request.param == "opengl":
        request.getfixturevalue("opengl")
    return request.param == "opengl"


@pytest.fixture
def shown(core, any_plan):
    """CT, labels and simulated volumes of a plan."""
    folder = PlanFolder(any_plan)
    document = folder.read()
    before, labels = folder.read_before(document)
    return before, labels, folder.read_kept(document, before)


def _pictures(core, shown, gl, count=3):
    from MeWMLib.scene.pictures import make_pictures

    before, labels, simulated = shown
    made = make_pictures(core, before, labels, simulated[:count], gl, lambda share, message: None)
    return {p.name: p.pixels for p in made}


def _view(core):
    from MeWMLib.scene.views import SliceView

    return SliceView(core, 300)


def _block(pixels, at, radius=4):
    row, column = (round(v) for v in at)
    return pixels[row - radius : row + radius, column - radius : column + radius].astype(float)


def test_all_pictures_are_made(core, shown, gl):
    pictures = _pictures(core, shown, gl)
    names = {"axial_before", "axial_simulated", "axial_difference", "axial_deviation"}
    names |= {f"{plane}_{what}" for plane in ("coronal", "sagittal") for what in ("before", "simulated", "difference")}
    names |= {"protocol_00_before", "protocol_01", "protocol_02", "protocol_03"}
    assert set(pictures) == (names | {"surfaces_before", "surfaces_simulated"} if gl else names)
    for name, pixels in pictures.items():
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (560, 3), name
        assert pixels.std() > 10, f"{name} is blank"


def test_without_simulation_only_the_scan_is_shown(core, shown, gl):
    pictures = _pictures(core, shown, gl, count=0)
    assert {n for n in pictures if not n.startswith("surfaces")} == {
        "axial_before",
        "coronal_before",
        "sagittal_before",
    }


def test_simulated_pictures_are_marked_and_scans_are_not(core, shown, gl):
    yellow = {
        name: int(((p[..., 0] > 230) & (p[..., 1] > 200) & (p[..., 2] < 120))[p.shape[0] // 2 :].sum())
        for name, p in _pictures(core, shown, gl).items()
    }
    for name, count in yellow.items():
        if name.endswith("before"):
            assert count == 0, name
        else:
            assert count > 300, name


def test_brightened_lesion_is_brighter_in_its_place_and_nowhere_else(core, folders, shown):
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.pictures import find_target
    from MeWMLib.scene.views import AXIAL, CORONAL, SAGITTAL, Framing

    before, labels, _ = shown
    centre = find_target(labels).centre
    lit = np.where(labels.tumour, 400, before.array).astype(np.int16)
    scan = volume_to_node(core.scene, before, "scan")
    bright = volume_to_node(core.scene, before.with_array(lit), "bright")
    with _view(core) as view:
        for orientation in (AXIAL, CORONAL, SAGITTAL):
            aside = {AXIAL: (9, 5, 0), CORONAL: (9, 0, 5), SAGITTAL: (0, 9, 5)}[orientation]
            off = tuple(np.add(centre, aside))
            framing = Framing(orientation, off, 120.0)
            one, other = view.render(framing, scan), view.render(framing, bright)
            inside = folders.pixel_of(framing, centre, 300)
            assert (_block(other, inside) - _block(one, inside)).min() > 80, orientation
            far = np.abs(other.astype(int) - one.astype(int)).max(axis=-1)
            rows, columns = np.indices(far.shape)
            beyond = np.hypot(rows - inside[0], columns - inside[1]) > (13 + 4) * 300 / 120
            assert far[beyond].max() == 0, orientation


def test_left_and_right_are_not_swapped(core, folders):
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.views import AXIAL, Framing

    _, _, geometry = folders.small_patient()
    array = np.full(geometry.shape, -500, np.int16)
    right = geometry.to_ras(np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1))[..., 0]
    middle = float(np.median(right))
    array[right > middle] = 350  # the patient's right
    node = volume_to_node(core.scene, Volume(array, geometry), "halves")
    centre = tuple(geometry.to_ras([(n - 1) / 2 for n in geometry.shape]))
    with _view(core) as view:
        pixels = view.render(Framing(AXIAL, centre, 80.0), node)
    assert pixels[:, 20:120].min() > 200 and pixels[:, 180:280].max() < 50


def test_outline_lies_on_the_edge_of_the_lesion(core, shown):
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.pictures import find_target
    from MeWMLib.scene.segmentations import draw_as_outline, labels_to_segmentation
    from MeWMLib.scene.views import AXIAL, Framing

    before, labels, _ = shown
    scan = volume_to_node(core.scene, before, "scan")
    lesion = labels_to_segmentation(core.scene, labels, "lesion", scan)
    draw_as_outline(lesion, liver=False)
    framing = Framing(AXIAL, find_target(labels).centre, 90.0)
    with _view(core) as view:
        plain, drawn = view.render(framing, scan), view.render(framing, scan, outlines=[lesion])
    changed = np.argwhere(np.abs(drawn.astype(int) - plain.astype(int)).max(axis=-1) > 20)
    distance = np.hypot(*(changed - 150).T) * 90 / 300
    assert len(changed) > 150
    assert 9.5 < distance.min() and distance.max() < 16.5  # a ball of 13 mm in voxels of 1.5 x 1.5 x 2.5 mm


def test_difference_is_neutral_outside_and_coloured_inside(core, folders, shown, gl):
    from MeWMLib.scene.framing import framing_of
    from MeWMLib.scene.pictures import find_target
    from MeWMLib.scene.views import AXIAL

    before, labels, _ = shown
    pixels = _pictures(core, shown, gl)["axial_difference"].astype(int)
    target = find_target(labels)
    framing = framing_of(target, before, AXIAL)
    inside = folders.pixel_of(framing, target.centre, 560)
    assert np.ptp(_block(pixels, inside, 10), axis=-1).mean() > 25
    # A strip through the liver, away from the lesion, the legend and the marks, holds greys only.
    rows, columns = np.indices(pixels.shape[:2])
    away = np.hypot(rows - inside[0], columns - inside[1]) > 20 * 560 / framing.width_mm
    strip = away & (rows > pixels.shape[0] * 0.62) & (rows < pixels.shape[0] * 0.72)
    assert strip.sum() > 1000
    assert np.ptp(pixels[strip], axis=-1).max() <= 2


def test_scene_is_left_as_it_was(core, shown, gl):
    def names():
        return [core.scene.GetNthNode(n).GetName() for n in range(core.scene.GetNumberOfNodes())]

    _pictures(core, shown, gl)
    kinds = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode", "vtkMRMLSliceNode")
    assert [core.scene.GetNumberOfNodesByClass(k) for k in kinds] == [0, 0, 0, 0], names()


def test_surfaces_show_liver_and_lesion(core, shown, opengl):
    pictures = _pictures(core, shown, True)
    red, green, blue = (pictures["surfaces_before"][..., c].astype(int) for c in range(3))
    assert ((blue > red + 60) & (green > red + 40)).sum() > 500  # the lesion before is cyan
    assert ((red > blue + 25) & (red > green)).sum() > 5000  # the liver is brownish


def test_target_of_a_crescent_lies_inside_it(folders):
    from MeWMLib.scene.pictures import find_target

    labels = np.ones((10, 40, 40), np.uint8)
    j, i = np.ogrid[:40, :40]
    ring = (np.hypot(j - 20, i - 20) < 15) & (np.hypot(j - 20, i - 26) > 12)
    labels[3:6, ring] = 2
    _, _, geometry = folders.small_patient()
    target = find_target(LabelMap(labels, geometry.crop((0, 0, 0), labels.shape)))
    k, j, i = np.round(geometry.to_kji(target.centre)).astype(int)
    assert labels[k, j, i] == 2


def test_target_without_a_lesion_is_the_liver(folders):
    from MeWMLib.scene.pictures import find_target

    _, labels, geometry = folders.small_patient()
    liver = find_target(LabelMap((labels > 0).astype(np.uint8), geometry))
    np.testing.assert_allclose(liver.centre, liver.liver_centre)


def test_gl_probe_says_no_when_told_so():
    code = "from MeWMLib.scene.gl import gl_available; raise SystemExit(int(gl_available()))"
    assert subprocess.run([sys.executable, "-c", code], env={"MEWM_NO_GL": "1"}, cwd=_root()).returncode == 0


def _root():
    from pathlib import Path

    import MeWMLib

    return Path(MeWMLib.__file__).parents[1]


def test_legend_limits_are_round():
    from MeWMLib.scene.colours import difference_map, round_limit

    assert round_limit(np.array([])) == 20 and round_limit(np.array([-3.0])) == 20
    assert round_limit(np.full(100, -312.0)) == 350
    colours = difference_map(300).of(np.array([-1e4, -300, 0, 300, 1e4]))
    assert (colours[0] == colours[1]).all() and (colours[3] == colours[4]).all()
    assert np.ptp(colours[2].astype(int)) <= 4
