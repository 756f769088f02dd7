"""The report's viewer in Chromium without a window: from disk, offline, clicked through, held against SimpleITK.

Needs Playwright (a development package) and Debian's Chromium; axe-core of npm is looked for in MEWM_VIEWER_PACKAGES,
or where `make browser` puts it. MEWM_VIEWER_PICTURES names a folder that keeps pictures of the page for a look.
"""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MeWMLib.core.plan_folder import PlanFolder
from Testing.browsers import axe

pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')

CASES = ("usual", "oblique", "left-handed", "anisotropic")
BEFORE, CHOSEN, CORONAL, SAGITTAL = range(4)
#: Rows of the band that says SIMULATED, and the colours of mark, cross-hair and outlines.
BAND = 24
YELLOW, CROSS, LESION_BEFORE, LESION_AFTER = (255, 221, 87), (102, 217, 136), (64, 209, 255), (255, 168, 13)
BAD = "<img src=x onerror=alert(1)> & {{ 7 * 7 }}"


@pytest.fixture(scope="module")
def reports(folders, tmp_path_factory):
    """Plan folders on four kinds of grid, each with its report."""
    from MeWMLib.scene.make import _own
    from MeWMLib.scene.pictures import Picture
    from MeWMLib.scene.report import write_report
    from MeWMLib.scene.viewer_pack import pack

    left = folders.AXIAL.copy()
    left[:3, :3] = np.diag([1.5, -1.5, 2.5])
    left[0, 3] = -54.0
    flat = folders.AXIAL.copy()
    flat[:3, :3] = np.diag([-0.7, -1.1, 5.0])
    affines = dict(zip(CASES, (folders.AXIAL, folders.oblique(), left, flat), strict=True))
    root, made = tmp_path_factory.mktemp("viewer"), {}
    for name, affine in affines.items():
        ct, labels, geometry = folders.small_patient(affine)
        folder = folders.write_plan_folder(root / name, ct, labels, geometry, goal=BAD)
        plan = PlanFolder(folder)
        document = plan.read()
        before, label_map = plan.read_before(document)
        kept = [*plan.read_kept(document, before), *_own(plan, document, before)]
        pictures = [Picture("axial", "axial_before", "Axial CT", np.full((40, 40, 3), 99, np.uint8))]
        drawn = {"risk": pictures[0].png}
        packed = pack(before, label_map, kept, document.target_centre)
        write_report(folder / "report.html", document, pictures, [], packed=packed, drawn=drawn)
        write_report(folder / "without.html", document, pictures, [], drawn=drawn)
        made[name] = folder
    return made


class Look:
    """A report in the browser, and what one sees in it."""

    def __init__(self, page):
        self.page, self.said = page, []
        page.on("pageerror", lambda error: self.said.append(f"{error} {error.stack}"))
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)

    def open(self, path, state="open"):
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(f"#viewer[data-state={state}]")
        self.settle()
        return self

    def settle(self):
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def click(self, name, value):
        self.page.check(f"[data-mv={name}][value={value}]", force=True)
        self.settle()

    def text(self, name):
        return self.page.text_content(f"[data-mv={name}]")

    def go(self, ras):
        """Fill in the form for the cross-hair and send it, in one step."""
        self.page.evaluate(
            """(ras) => {
              const one = (name) => document.querySelector(`[data-mv=${name}]`);
              one("help").open = true;
              ["r", "a", "s"].forEach((axis, n) => (one(axis).value = ras[n]));
              one("place").requestSubmit();
            }""",
            [float(value) for value in ras],
        )
        self.settle()

    def hu(self, name):
        text = self.text(f"hu-{name}").replace("\N{MINUS SIGN}", "-")
        return None if text == "\N{EM DASH}" else float(text.removesuffix(" HU"))

    def pixels(self, pane):
        return self.labelled(pane)[0]

    def labelled(self, pane):
        """The pixels of a pane and what it says to those who cannot see them, at one moment."""
        from PIL import Image

        canvas = f"document.querySelectorAll('#viewer canvas')[{pane}]"
        url, label = self.page.evaluate(f"[{canvas}.toDataURL(), {canvas}.getAttribute('aria-label')]")
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(int)
        return pixels, label

    def key(self, *keys, pane=CHOSEN):
        self.page.focus(f"#viewer canvas >> nth={pane}")
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def keep(self, name):
        if kept := os.environ.get("MEWM_VIEWER_PICTURES"):
            self.page.screenshot(path=str(Path(kept) / f"{name}.png"))


@pytest.fixture
def look(browser):
    """Opens pages in a browser without network that records what is asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
    context.set_default_timeout(20_000)
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    seen = Look(context.new_page())
    yield seen
    context.close()
    assert seen.said == []
    assert all(url.startswith(("file://", "data:")) and url.endswith((".html", "")) for url in asked)


def _near(pixels, colour, within=40):
    return np.abs(pixels - colour).max(axis=-1) <= within


def _ras(image, ijk):
    x, y, z = image.TransformIndexToPhysicalPoint([int(n) for n in ijk])
    return np.array([-x, -y, z])


def _ten_places(folder, image, whole=False):
    """Five voxels that the treatment changes and five others, (i, j, k), of which the page has all."""
    before = sitk.GetArrayFromImage(image)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "pre.seg.nrrd")))
    after = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "simulated_01.nrrd")))
    rng = np.random.default_rng(4)
    changed, other = np.argwhere(before != after), np.argwhere((before == after) & ((labels > 0) | whole))
    assert len(changed) > 50
    chosen = np.vstack([rng.choice(changed, 5, replace=False), rng.choice(other, 5, replace=False)])
    return chosen[:, ::-1]


def _check_ten_places(look, folder, whole=False):
    images = {name: sitk.ReadImage(str(folder / f"{name}.nrrd")) for name in ("pre", "simulated_01", "simulated_01_sd")}
    for ijk in _ten_places(folder, images["pre"], whole):
        look.go(_ras(images["pre"], ijk))
        pre, simulated, sd = (float(one[[int(n) for n in ijk]]) for one in images.values())
        assert look.text("voxel") == ", ".join(map(str, ijk))
        assert look.hu("before") == pre and look.hu("simulated") == simulated
        assert look.hu("difference") == simulated - pre and abs((look.hu("sd") or 0) - sd) <= 0.25


@pytest.mark.parametrize("case", CASES)
def test_hu_under_the_cross_hair_are_those_of_the_files(look, reports, case):
    look.open(reports[case] / "report.html")
    _check_ten_places(look, reports[case])
    # beside a voxel's middle, what is nearest is told
    image = sitk.ReadImage(str(reports[case] / "pre.nrrd"))
    place = _ras(image, (30, 30, 24)) + [0.3, -0.2, 0.4]
    look.go(place)
    assert look.hu("before") == image[image.TransformPhysicalPointToIndex((place * [-1, -1, 1]).tolist())]


def _cross(look, pane):
    """Where the cross-hair is drawn: x, y."""
    green = _near(look.pixels(pane), CROSS, 50)
    return np.array([int(np.argmax(green.sum(axis=0))), int(np.argmax(green.sum(axis=1)))])


def _resampled(look, image, pane, ras, interpolator):
    """The slice that a pane should show: its pixels are placed by where it draws its own cross-hair."""
    across, along, normal = {CHOSEN: (0, 1, 2), CORONAL: (0, 2, 1), SAGITTAL: (1, 2, 0)}[pane]
    one, other = np.array(ras), np.array(ras)
    one[[across, along]] -= 14
    other[[across, along]] += 14
    places = []
    for place in (one, other, ras):
        look.go(place)
        places.append(_cross(look, pane))
    step = (other - one)[[across, along]] / (places[1] - places[0])  # mm a pixel, with the sign of the way
    # the patient's right and front are on the left, superior is on top
    assert (step < 0).all() and np.allclose(step[0], step[1], rtol=0.05)
    shape = look.pixels(pane).shape[:2]
    corner = np.array(ras, dtype=float)
    corner[[across, along]] -= step * places[2]
    to_lps = np.array([-1.0, -1.0, 1.0])
    axes = np.zeros((3, 3))
    axes[across, 0], axes[along, 1] = np.sign(step)
    axes[:, :2] *= to_lps[:, None]
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    grid = sitk.Image([shape[1], shape[0], 1], sitk.sitkFloat32)
    grid.SetOrigin((corner * to_lps).tolist())
    grid.SetSpacing([*np.abs(step).tolist(), 1.0])
    grid.SetDirection(axes.ravel().tolist())
    found = sitk.Resample(sitk.Cast(image, sitk.sitkFloat32), grid, sitk.Transform(), interpolator, -2000.0)
    return sitk.GetArrayFromImage(found)[0]


@pytest.mark.parametrize("case", CASES)
def test_outlines_and_greys_lie_where_masks_and_scan_do(look, reports, case):
    folder = reports[case]
    look.open(folder / "report.html")
    labels = sitk.ReadImage(str(folder / "pre.seg.nrrd"))
    after = sitk.ReadImage(str(folder / "simulated_01.seg.nrrd"))
    inside = np.argwhere(sitk.GetArrayFromImage(after) == 2)
    ras = _ras(labels, np.median(inside, axis=0).astype(int)[::-1])
    look.key("o")  # no outlines, while the cross-hair is looked for
    for pane in (CHOSEN, CORONAL, SAGITTAL):
        expected = _resampled(look, sitk.ReadImage(str(folder / "simulated_01.nrrd")), pane, ras, sitk.sitkLinear)
        shown = look.pixels(pane)
        grey = (np.ptp(shown, axis=-1) == 0) & (expected > -1990)
        grey[:60], grey[-40:], grey[:, :40], grey[:, -60:] = False, False, False, False  # what is written there
        values = np.clip((expected + 100) / 450, 0, 1)[grey]
        assert grey.sum() > 4000 and np.corrcoef(values, shown[..., 0][grey])[0, 1] > 0.97
    look.page.fill("[data-mv=level]", "4000")
    look.page.press("[data-mv=level]", "Enter")
    for pane in (CHOSEN, CORONAL, SAGITTAL):
        for image, colour, mode in ((labels, LESION_BEFORE, "1"), (after, LESION_AFTER, "2")):
            look.key(mode)  # the simulated lesion's line lies over that of the lesion before
            expected = _resampled(look, image == 2, pane, ras, sitk.sitkLinear) > 0.5
            look.key("o")
            drawn = _near(look.pixels(pane), colour, 70)
            look.key("o")
            wide = ndimage.binary_dilation(drawn, np.ones((3, 3)), 2)  # where the cross-hair goes through it
            filled = ndimage.binary_erosion(ndimage.binary_fill_holes(wide), np.ones((3, 3)), 2)
            parts, _ = ndimage.label(filled)
            big = [part for part in range(1, parts.max() + 1) if (parts == part).sum() > 150]
            filled = np.isin(parts, big) & ndimage.binary_dilation(expected, iterations=12)
            overlap = 2 * (filled & expected).sum() / (filled.sum() + expected.sum())
            assert overlap > 0.9, (case, pane, colour)  # lesions are some thirty pixels wide here


@pytest.mark.parametrize("case", CASES)
def test_right_is_marked_and_stays_on_the_left(look, reports, case):
    look.open(reports[case] / "report.html")
    look.key("1", "o")
    for pane, sides in ((BEFORE, "left"), (CHOSEN, "left"), (CORONAL, "left"), (SAGITTAL, None)):
        yellow = _near(look.pixels(pane), YELLOW, 12)
        assert yellow[:, :30].sum() > 150 if sides else not yellow.any()
        assert not yellow[:, 40:].any()
    image = sitk.ReadImage(str(reports[case] / "pre.nrrd"))
    middle = _ras(image, (30, 30, 24))
    look.go(middle)
    first = {pane: _cross(look, pane) for pane in (BEFORE, CORONAL, SAGITTAL)}
    look.go(middle + [8, 0, 0])
    assert _cross(look, BEFORE)[0] < first[BEFORE][0] and _cross(look, CORONAL)[0] < first[CORONAL][0]
    look.go(middle + [0, 8, 0])
    assert _cross(look, BEFORE)[1] < first[BEFORE][1] and _cross(look, SAGITTAL)[0] < first[SAGITTAL][0]
    look.go(middle + [0, 0, 8])
    assert _cross(look, CORONAL)[1] < first[CORONAL][1] and _cross(look, SAGITTAL)[1] < first[SAGITTAL][1]


def _marked(look, pane):
    """True if the band of a pane has the mark's letters, and the frame around the picture its colour; and its label."""
    pixels, label = look.labelled(pane)
    yellow = _near(pixels, YELLOW, 30)
    framed = yellow[:, 1].mean() > 0.9 and yellow[1].mean() > 0.9 and yellow[-2].mean() > 0.9
    assert framed == (yellow[3 : BAND - 2, 40:-40].sum() > 200)
    assert framed == ("SIMULATED" in label)
    return bool(framed)


def test_no_word_of_a_picture_lies_under_the_letter_of_a_side(look, reports):
    look.open(reports["usual"] / "report.html")
    look.page.evaluate(
        """() => {
          window.said = [];
          const plain = CanvasRenderingContext2D.prototype.fillText;
          CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            const long = this.measureText(text).width;
            window.said.push([this.canvas.getAttribute("aria-label"), text, x, y, long, this.textAlign]);
            return plain.apply(this, arguments);
          };
        }"""
    )
    for width in (1280, 1000, 760):
        look.page.set_viewport_size({"width": width, "height": 900})
        for layout in ("four", "three", "axial"):
            look.click("layout", layout)
            for share in ("60", "100"):
                look.page.evaluate("window.said = []")
                look.page.fill("[data-mv=fade]", share)
                look.settle()
                said = look.page.evaluate("window.said")
                letters = [one for one in said if one[1] in "RLAPSI" and len(one[1]) == 1]
                assert letters and any("over" in one[1] for one in said) == (share == "60")
                for pane, text, x, y, long, align in said:
                    left = x - long if align == "right" else x - long / 2 if align == "center" else x
                    near = [one for one in letters if one[0] == pane and one[1] != text and "SIMULATED" not in text]
                    hidden = [
                        one[1]
                        for one in near
                        if abs(y - 4 - one[3]) < 15 and left < one[2] + 12 and left + long > one[2] - 12
                    ]
                    assert not hidden, (width, layout, share, pane, text, hidden)
    look.page.set_viewport_size({"width": 1280, "height": 900})
    look.click("layout", "four")
    look.page.fill("[data-mv=fade]", "60")
    look.settle()
    look.keep("fade")


def test_the_list_of_keys_is_seen_when_it_is_asked_for(look, reports):
    look.page.set_viewport_size({"width": 1280, "height": 900})
    look.open(reports["usual"] / "report.html")
    help_of = look.page.locator("[data-mv=help] .keys")
    assert not help_of.is_visible()
    look.key("?")
    box = help_of.bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 900
    look.keep("keys")
    look.key("?")
    assert not help_of.is_visible() and look.page.evaluate("window.scrollY") == 0


def test_every_picture_of_a_simulated_scan_says_so(look, reports):
    look.open(reports["usual"] / "report.html")
    shown = {"four": 4, "three": 3, "axial": 2, "coronal": 2, "sagittal": 2}
    for layout, count in shown.items():
        look.click("layout", layout)
        panes = look.page.locator("#viewer canvas:visible")
        assert panes.count() == count
        for mode in ("before", "simulated", "difference", "uncertainty"):
            look.click("show", mode)
            for pane in range(count):
                fixed = layout != "three" and pane == 0
                assert _marked(look, pane) == (mode != "before" and not fixed), (layout, mode, pane)
    look.click("layout", "four")
    look.click("show", "simulated")
    for share in (10, 0):
        look.page.fill("[data-mv=fade]", str(share))
        look.settle()
        assert _marked(look, CHOSEN) == (share > 0)
    look.page.fill("[data-mv=fade]", "100")
    look.key("f")
    seen = set()
    for _ in range(30):
        seen.add(_marked(look, CHOSEN))
        look.page.wait_for_timeout(60)
    assert seen == {True, False}
    look.key("f")


def test_a_protocol_is_chosen_from_the_ranking(look, reports):
    folder = reports["usual"]
    look.open(folder / "report.html")
    candidates = PlanFolder(folder).read().plan.candidates
    image = sitk.ReadImage(str(folder / "simulated_03.nrrd"))
    changed = np.argwhere(
        sitk.GetArrayFromImage(image) != sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "simulated_01.nrrd")))
    )[0][::-1]
    look.go(_ras(image, changed))
    first = look.hu("simulated")
    look.page.check("input[name=mv-rank][value='3']")
    look.settle()
    look.page.wait_for_function(f"document.querySelector('[data-mv=hu-simulated]').textContent != '{first:g} HU'")
    assert look.hu("simulated") == image[[int(n) for n in changed]]
    facts = look.page.locator("[data-mv-facts]:visible")
    assert facts.count() == 1 and f"{candidates[2].risk.hazard_ratio:.2f}" in facts.text_content()
    look.page.click("[data-mv-go='2']")
    assert look.page.is_checked("input[name=mv-rank][value='2']")
    look.key("[")
    assert look.page.is_checked("input[name=mv-rank][value='1']")
    without = next(one.rank for one in candidates if not one.files)
    look.page.check(f"input[name=mv-rank][value='{without}']")
    look.settle()
    assert look.hu("simulated") is None and not _marked(look, CHOSEN)
    assert look.page.is_disabled("[data-mv=show][value=difference]")
    # it is said where one looks, and can be read there
    said = look.page.locator("#viewer p.alert:visible")
    assert f"No simulated CT of rank {without} was kept" in said.text_content()
    colours = said.evaluate("(one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]")
    ink, paper = (np.mean([float(x) for x in re.findall(r"\d+", text)[:3]]) for text in colours)
    assert abs(ink - paper) > 100


def test_everything_has_a_key_and_fingers_do_it_too(look, reports, browser):
    look.open(reports["usual"] / "report.html")

    def place():
        values = {"R": 1, "L": -1, "A": 1, "P": -1, "S": 1, "I": -1}
        return [values[part[0]] * float(part.split()[1]) for part in look.text("at").split(", ")]

    look.go(_ras(sitk.ReadImage(str(reports["usual"] / "pre.nrrd")), (30, 30, 24)))
    start = place()
    look.key("ArrowUp", "ArrowUp")
    assert np.allclose(np.subtract(place(), start), [0, 0, 5])
    look.key("PageDown")
    assert np.allclose(np.subtract(place(), start), [0, 0, -20])
    look.key("Shift+ArrowRight", "Shift+ArrowDown", pane=CORONAL)
    assert np.allclose(np.subtract(place(), start), [-1.5, 0, -22.5])
    look.key("m", "Shift+ArrowUp", "Shift+ArrowUp", "m")
    assert look.text("length") == "3.0 mm" and _near(look.pixels(CHOSEN), YELLOW, 20)[60:-40, 40:-40].any()
    look.key("Escape")
    assert look.text("length") == "\N{EM DASH}"
    for key, name in (("l", "liver"), ("t", "soft"), ("i", "lipiodol"), ("b", "bone")):
        look.key(key)
        assert look.page.is_checked(f"[data-mv=window][value={name}]")
    for key, name in (("1", "before"), ("3", "difference"), ("4", "uncertainty"), ("2", "simulated")):
        look.key(key)
        assert look.page.is_checked(f"[data-mv=show][value={name}]")
    look.key("ArrowLeft", "ArrowLeft", "ArrowRight")
    assert look.page.input_value("[data-mv=fade]") == "90"
    before = look.pixels(CHOSEN)
    look.key("+", "+")
    assert (look.pixels(CHOSEN) != before).mean() > 0.1
    look.key("r")
    look.page.mouse.move(*_centre(look, CHOSEN))
    start = place()
    look.page.mouse.wheel(0, 120)
    look.settle()
    assert np.allclose(np.subtract(place(), start), [0, 0, -2.5])
    look.page.check("[data-mv=measure]")
    x, y = _centre(look, CHOSEN)
    look.page.mouse.move(x, y)
    look.page.mouse.down()
    look.page.mouse.move(x + 40, y, steps=3)
    look.page.mouse.up()
    look.settle()
    assert float(look.text("length").split()[0]) > 5
    # all controls are reached by Tab, and none of them holds the keyboard
    reached = set()
    look.page.focus("input[name=mv-rank] >> nth=0")
    for _ in range(30):
        look.page.keyboard.press("Tab")
        reached.add(look.page.evaluate("(document.activeElement.dataset.mv || document.activeElement.tagName)"))
    assert {
        "show",
        "fade",
        "flicker",
        "outlines",
        "measure",
        "window",
        "width",
        "layout",
        "CANVAS",
        "SUMMARY",
    } <= reached


def _centre(look, pane):
    box = look.page.locator("#viewer canvas").nth(pane).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_fingers_scroll_tap_and_pinch(browser, reports):
    context = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, offline=True)
    look = Look(context.new_page()).open(reports["usual"] / "report.html")
    look.page.locator("#viewer canvas").nth(CHOSEN).scroll_into_view_if_needed()
    x, y = _centre(look, CHOSEN)
    devtools = context.new_cdp_session(look.page)

    def touch(kind, *points):
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]})
        look.settle()

    first = look.text("at")
    touch("touchStart", (x, y))
    touch("touchMove", (x, y + 25))
    touch("touchEnd")
    scrolled = look.text("at")
    assert scrolled.split(", ")[:2] == first.split(", ")[:2] and scrolled != first
    look.page.touchscreen.tap(x + 30, y + 20)
    look.settle()
    assert look.text("at").split(", ")[:2] != first.split(", ")[:2]
    before = look.pixels(CHOSEN)
    touch("touchStart", (x - 20, y), (x + 20, y))
    touch("touchMove", (x - 60, y), (x + 60, y))
    touch("touchEnd")
    assert (look.pixels(CHOSEN) != before).mean() > 0.1 and look.said == []
    look.keep("tablet")
    context.close()


@pytest.mark.parametrize("kind", ["nrrd", "nifti"])
def test_whole_volumes_are_read_from_the_files_of_the_plan(look, reports, tmp_path, kind):
    folder = reports["oblique"]
    look.open(folder / "without.html", state="empty")
    assert "--no-volumes" in look.page.text_content("#viewer") and not look.page.is_visible("#viewer canvas >> nth=0")
    files = [
        folder / f"{name}.nrrd" for name in ("pre", "pre.seg", "simulated_01", "simulated_01.seg", "simulated_01_sd")
    ]
    if kind == "nifti":
        names = ("pre", "pre_labels", "simulated_01", "simulated_01_labels", "simulated_01_sd")
        files = [
            _nifti(path, tmp_path / f"{name}.nii", name in ("pre", "simulated_01"))
            for path, name in zip(files, names, strict=True)
        ]
        look.page.set_input_files("[data-mv=files]", files[2:3])
        look.page.wait_for_selector("[data-mv=alert]:visible")
        assert "before treatment is missing" in look.text("alert")
    look.page.set_input_files("[data-mv=files]", files)
    look.page.wait_for_selector("#viewer[data-state=open]")
    look.settle()
    _check_ten_places(look, folder, whole=True)
    assert _marked(look, CHOSEN)
    (tmp_path / "pre.nrrd").write_text("no image")
    look.page.set_input_files("[data-mv=files]", [tmp_path / "pre.nrrd"])
    look.page.wait_for_selector("[data-mv=alert]:visible")
    assert "pre.nrrd is not an NRRD file" in look.text("alert")


def _nifti(source, path, offset):
    """A copy; of a CT one with slope 1 and an offset, as scanners' converters write it."""
    image = sitk.ReadImage(str(source))
    sitk.WriteImage(image + 1024 if offset else image, str(path))
    if offset:
        data = bytearray(path.read_bytes())
        data[112:120] = np.array([1, -1024], "<f4").tobytes()
        path.write_bytes(data)
    return path


def test_it_is_printed_without_the_viewer_and_with_the_pictures(look, reports):
    look.open(reports["usual"] / "report.html")
    picture = look.page.locator("figure img").first
    assert look.page.is_visible("#viewer") and not picture.is_visible()
    look.page.emulate_media(media="print")
    look.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not look.page.is_visible("#viewer") and picture.is_visible()
    look.page.evaluate("dispatchEvent(new Event('afterprint'))")
    look.page.emulate_media(media="screen")
    assert look.page.is_visible("#viewer") and not picture.is_visible()


_OVER = """() => [...document.querySelectorAll('.scroll, .choice, .fact, .alert')].filter((one) => {
  if (!one.offsetWidth) return false;
  const box = one.getBoundingClientRect();
  return one.scrollWidth > one.clientWidth + 1 || box.right > document.documentElement.clientWidth + 1
    || [...one.children].some((child) => child.offsetWidth && child.getBoundingClientRect().right > box.right + 1);
}).map((one) => `${one.className} ${one.textContent.trim().slice(0, 60)}`)"""


def test_nothing_is_wider_than_its_place_on_a_screen_and_on_paper(look, reports):
    """Tables, cards and warnings, from 1024 pixels on and on the width that A4 leaves between its margins."""
    look.open(reports["usual"] / "report.html")
    for width in (1024, 1280, 1920):
        look.page.set_viewport_size({"width": width, "height": 800})
        assert look.page.evaluate(_OVER) == [], width
    look.page.emulate_media(media="print")
    look.page.set_viewport_size({"width": 688, "height": 1000})
    assert look.page.evaluate(_OVER) == []
    alert = look.page.evaluate("getComputedStyle(document.querySelector('.banner')).color")
    assert alert == "rgb(0, 0, 0)", "black on white"


def test_a_browser_that_cannot_unpack_says_so(look, reports):
    look.page.add_init_script("delete window.DecompressionStream")
    look.open(reports["usual"] / "report.html", state="failed")
    assert "DecompressionStream" in look.text("alert") and not look.page.is_visible("#viewer canvas >> nth=0")


@pytest.mark.parametrize("page", ["report.html", "without.html"])
def test_axe_finds_no_serious_fault(look, reports, page):
    source = axe()
    for scheme in ("light", "dark"):
        look.page.emulate_media(color_scheme=scheme)
        look.open(reports["usual"] / page, state="open" if page == "report.html" else "empty")
        look.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        look.page.evaluate(source)
        found = look.page.evaluate("axe.run()")
        bad = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert bad == [] and len(found["passes"]) > 15
    look.keep(page.split(".")[0])
