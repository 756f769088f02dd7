"""The app in Chromium without a window, clicked through with the real worker.

Needs Playwright and Debian's Chromium, as the tests of the report's viewer; axe-core where `make browser` puts it.
MEWM_VIEWER_PICTURES names a folder that keeps pictures of the page for a look.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import SimpleITK as sitk

from Testing.browsers import AXE, axe

pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')

SIZES = ((1280, 800), (1024, 768))
#: From a cold start to the first simulated overlay.
MOST_CLICKS = 6
CHOSEN = 1


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """`mewm app` with the real worker, as a user starts it."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "XDG_DATA_HOME": str(home), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "MeWMLib.cli", "app", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    yield process.stdout.readline().split()[-1]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    assert not list((home / "mewm" / "app").glob("*/*"))


class Page:
    """A tab with the app, and what a user does in it."""

    def __init__(self, page):
        self.page, self.said, self.clicks = page, [], 0
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.said.append(f"{error} {error.stack}"))
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)

    def open(self, address):
        self.page.goto(address)
        self.page.wait_for_selector("body[data-ready]")
        return self

    def click(self, selector):
        self.clicks += 1
        self.page.click(selector)

    def sample(self, name):
        if self.page.is_visible("#another"):
            self.click("#another")
        self.click(f"[data-sample={name}]")
        self.page.wait_for_selector("#viewer[data-state=open]")
        self.page.wait_for_selector("#simulate:not([disabled])", state="attached")
        return self

    def unfold(self, step):
        head = f"#step-{step} .fold"
        if self.page.get_attribute(head, "aria-expanded") != "true":
            self.click(head)

    def ended(self, seconds=240):
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector("#job", state="hidden", timeout=1000 * seconds)
        self.settle()
        assert self.text("#errors") == ""

    def simulated(self, seconds=240):
        show = "[data-mv=show][value=simulated]:not([disabled])"
        self.page.wait_for_selector(show, state="attached", timeout=1000 * seconds)
        self.settle()

    def faults(self):
        """What axe calls serious in the page as it is; nothing where axe is not installed."""
        if not AXE.is_file():
            return []
        self.page.evaluate(f"() => {{ {axe()} }}")
        found = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        return [(one["id"], one["nodes"][0]["html"][:120]) for one in serious]

    def outline(self):
        """The newest case, and its labels as the server has them."""
        session, own = requests.Session(), urlsplit(self.page.url)
        session.trust_env = False
        session.headers["Authorization"] = "Bearer " + own.fragment.removeprefix("token=")
        root = f"http://{own.netloc}/app/cases"
        with session:
            case = session.get(root, timeout=60).json()["cases"][-1]
            labels = session.get(f"{root}/{case['id']}/outline", timeout=60).content
        return case, np.frombuffer(labels, np.uint8).reshape(case["grid"]["shape"])

    def until(self, condition, argument=None, seconds=60):
        """Ask the page again and again: Playwright's own waiting evaluates a text in it, which its policy forbids."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(60)

    def settle(self):
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def text(self, selector):
        return self.page.inner_text(selector).strip()

    def hu(self, name):
        text = self.page.text_content(f"[data-mv=hu-{name}]").replace("\N{MINUS SIGN}", "-")
        return None if text == "\N{EM DASH}" else float(text.removesuffix(" HU"))

    def go(self, ras):
        self.page.evaluate(
            """(ras) => {
              const one = (name) => document.querySelector(`[data-mv=${name}]`);
              ["r", "a", "s"].forEach((axis, n) => (one(axis).value = ras[n]));
              one("place").requestSubmit();
            }""",
            [float(value) for value in ras],
        )
        self.settle()

    def label(self, pane=CHOSEN):
        return self.page.locator("#viewer canvas").nth(pane).get_attribute("aria-label")

    def keep(self, name):
        if kept := os.environ.get("MEWM_VIEWER_PICTURES"):
            self.page.screenshot(path=str(Path(kept) / f"{name}.png"))


@pytest.fixture
def tab(browser, address):
    """Opens tabs; nothing may be asked of any other computer, and nothing may go wrong in a page without a word."""
    contexts, pages, asked = [], [], []

    def new(size=SIZES[0], **more):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **more)
        context.on("request", lambda request: asked.append(request.url))
        contexts.append(context)
        pages.append(Page(context.new_page()))
        return pages[-1].open(address)

    yield new
    for context in contexts:
        context.close()
    ours = urlsplit(address).netloc
    seen = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    assert seen == ({ours} if pages else set())
    # the token is in the fragment, and in no address that is asked for
    assert all("token" not in url for url in asked if "#" not in url)
    assert [said for one in pages for said in one.said] == []


def test_from_a_cold_start_to_the_first_overlay_on_a_real_ct(tab):
    """lits-117 is fetched once by pip, and is drawn nowhere: where it is not at hand the synthetic one is taken."""
    from MeWMLib.cohorts.samples import _folder, _read_kept

    name = "lits-117" if _read_kept(_folder("lits-117", None)) is not None else "synthetic"
    page = tab()
    page.sample(name)
    page.click("#simulate")
    page.simulated()
    assert "SIMULATED" in page.label() and page.clicks == 2 < MOST_CLICKS
    assert page.text("#step-outcome [data-done]") == "your protocol"
    page.keep("app-outcome")


def test_the_whole_path_by_clicks(tab, tmp_path):
    """Sample, outline, brush, patient, goal, treatment, a reload while it is at work, another tab, and files."""
    page = tab().sample("synthetic")
    page.unfold("outline")
    before = page.text("#outline-facts")
    case, former = page.outline()
    page.page.check("input[name=brush][value=add]", force=True)
    box = page.page.locator("#viewer canvas").first.bounding_box()
    x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 30, y + 20, steps=4)
    page.page.mouse.up()
    page.until("document.querySelector('#outline-from').textContent.startsWith('Corrected')")
    assert page.text("#outline-facts") != before
    # what was painted lies on the slice that is seen, along the stroke, and is tumour
    painted = page.outline()[1]
    changed = np.argwhere(painted != former)
    slices, wide = set(changed[:, 0]), np.ptp(changed[:, 1:], axis=0) * np.array(case["spacing_mm"])[1:]
    assert len(slices) == 1 and (painted[tuple(changed.T)] == 2).all() and (wide > 5).all() and (wide < 200).all()
    assert str(slices.pop()) == page.text("[data-mv=voxel]").split(", ")[2]
    page.click("#undo")
    page.until("(text) => document.querySelector('#outline-facts').innerText.trim() === text", before)
    page.page.check("input[name=brush][value='']", force=True)

    page.unfold("patient")
    page.page.fill("#goal", "prefer LC beads, no cisplatin, LC beads never")
    page.page.wait_for_selector("#goal-read .question")
    page.page.fill("#goal", "no cisplatin")
    page.page.select_option("#field-child_pugh_class", "A")
    page.until("document.querySelector('#goal-read').innerText.includes('excluded: Cisplatin')")
    page.unfold("treat")
    page.page.fill("#protocol", "Cisplatin 50 mg + Lipiodol 10 ml")
    page.page.wait_for_selector("#protocol-read .rule.forbidden")
    page.page.check("input[name=template][value=ctace]", force=True)
    page.until("document.querySelector('#protocol').value.startsWith('Doxorubicin')")
    page.click("#simulate")
    page.page.wait_for_selector("#job:not([hidden])")
    # a page that is loaded anew takes up the job, and so does another tab; the form is there as it was
    page.page.reload()
    other = tab()
    for one in (page, other):
        one.page.wait_for_selector("#job:not([hidden])")
        assert one.page.input_value("#goal") == "no cisplatin"
    for one in (page, other):
        one.simulated()
        # one protocol has no rank: it is called as in the report
        assert "SIMULATED" in one.label() and one.text("#step-outcome [data-done]") == "your protocol"
    changed = page.page.evaluate("document.querySelector('[data-mv=hu-before]').textContent")
    assert changed.endswith("HU")
    page.page.check("[data-mv=show][value=difference]", force=True)
    page.settle()
    assert page.label() == "Axial: Difference, SIMULATED"
    assert page.faults() == []
    page.unfold("save")
    with page.page.expect_download(timeout=60_000) as saving:
        page.click("[data-export=result]")
    saving.value.save_as(tmp_path / "result.zip")
    assert (tmp_path / "result.zip").stat().st_size > 100_000
    # what is changed after a result is said beside it, while it is typed
    assert not page.page.is_visible("#outcome-changed")
    page.unfold("patient")
    page.page.fill("#goal", "no cisplatin, no PVA")
    for place in ("#pictures-changed", "#outcome-changed"):
        page.page.wait_for_selector(place, state="visible")
        assert page.text(place).startswith("Changed since this was computed: the goal.")
    page.keep("app-changed")
    page.page.fill("#goal", "no cisplatin")
    page.page.wait_for_selector("#outcome-changed", state="hidden")
    # a job that is stopped leaves the page as it was
    page.unfold("treat")
    page.click("#explore")
    page.page.wait_for_selector("#job:not([hidden])")
    page.click("#job-cancel")
    page.ended()
    # the goal that was typed last may still be on its way to be read
    page.page.wait_for_selector("#simulate:enabled")
    assert "SIMULATED" in page.label()


@pytest.mark.parametrize("case", ["oblique", "left-handed"])
def test_hu_under_the_cross_hair_are_those_of_the_file(tab, tmp_path, case):
    rng = np.random.default_rng(7)
    image = sitk.GetImageFromArray(rng.integers(-900, 900, (30, 40, 50)).astype(np.int16))
    direction = np.diag([1.0, 1.0, -1.0])
    if case == "oblique":
        turn = sitk.Euler3DTransform()
        turn.SetRotation(0.15, -0.1, 0.2)
        direction = np.reshape(turn.GetMatrix(), (3, 3))
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing((0.8, 0.9, 2.5))
    image.SetOrigin((-120.0, 45.0, -300.0))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    page = tab()
    if page.page.is_visible("#another"):
        page.click("#another")
    page.page.set_input_files("#input-file", str(tmp_path / "scan.nii.gz"))
    page.until("document.querySelector('#case-name').textContent === 'scan.nii.gz'")
    page.page.wait_for_selector("#viewer[data-state=open]")
    read = sitk.ReadImage(str(tmp_path / "scan.nii.gz"))
    for ijk in rng.integers(0, (50, 40, 30), (10, 3)).tolist():
        x, y, z = read.TransformIndexToPhysicalPoint(ijk)
        page.go((-x, -y, z))
        assert page.text("[data-mv=voxel]") == ", ".join(map(str, ijk)) and page.hu("before") == read[ijk]
    assert page.text("#step-outline .body").count("Find liver and tumour") == 1


def test_a_folder_with_two_series_asks_which_one(tab, phantom, tmp_path):
    for series, name, slices in (("3", "thick", 12), ("5", "thin", 16)):
        phantom.classic(tmp_path / "study" / name, phantom.plain(slices), series=series)
    page = tab()
    if page.page.is_visible("#another"):
        page.click("#another")
    page.page.set_input_files("#input-folder", str(tmp_path / "study"))
    page.page.wait_for_selector("#series .card.best")
    assert page.page.locator("#series .card").count() == 2 and "Recommended" in page.text("#series .card.best")
    assert page.page.locator("#series .card").nth(1).evaluate("(one) => one.textContent").count("16 slices") == 1
    page.click("#series .card.best")
    page.until("document.querySelector('#case-name').textContent === 'study'")
    assert page.page.is_visible("#viewer") and page.hu("before") is not None


def test_what_goes_wrong_is_shown_as_it_is(tab, tmp_path):
    page = tab()
    if page.page.is_visible("#another"):
        page.click("#another")
    (tmp_path / "<img src=x onerror=alert(1)>.nii").write_bytes(b"no image")
    page.page.set_input_files("#input-file", str(tmp_path / "<img src=x onerror=alert(1)>.nii"))
    page.page.wait_for_selector("#errors .error")
    told = page.text("#errors")
    assert "<img src=x" in told and page.page.locator("#errors img").count() == 0
    assert page.page.is_hidden("#job")
    # the browser itself writes a line for a request that was refused
    page.said[:] = [said for said in page.said if "400" not in said]


@pytest.mark.parametrize("size", SIZES)
def test_it_can_be_used_by_everybody(tab, size):
    """No serious fault of axe, nothing beside the window, and every step by the keyboard alone."""
    axe()
    page = tab(size, has_touch=size == SIZES[1])
    if not page.page.is_visible("#viewer"):
        page.sample("synthetic")
    for step in ("open", "outline", "patient", "treat", "outcome", "after", "save"):
        head = page.page.locator(f"#step-{step} .fold")
        head.focus()
        if head.get_attribute("aria-expanded") != "true":
            page.page.keyboard.press("Enter")
        assert head.get_attribute("aria-expanded") == "true"
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.page.locator("#viewer .panes").bounding_box()
    assert wide["width"] > 0.6 * (size[0] - 360) and wide["height"] > 300
    page.keep(f"app-{size[0]}")
    assert page.faults() == []


def test_the_file_that_a_browser_is_given_leads_to_the_page(browser, address, tmp_path, monkeypatch):
    """From a file a browser comes as from another site; the page lets itself be come to, and nothing else."""
    from MeWMLib.cli import app

    asked, done = [], threading.Event()
    monkeypatch.setattr(app.webbrowser, "open", lambda url: (asked.append(url), done.set()))
    app._open(address, tmp_path)
    assert done.wait(10)
    context = browser.new_context()
    page = context.new_page()
    page.goto(asked[0])
    page.wait_for_selector("body[data-ready]")
    assert page.url == address
    context.close()


def test_a_line_that_is_cut_is_taken_up(tab):
    page = tab()
    if not page.page.is_visible("#viewer"):
        page.sample("synthetic")
    page.page.context.set_offline(True)
    page.unfold("patient")
    page.page.fill("#goal", "no epirubicin")
    page.until("document.querySelector('#research').classList.contains('away')")
    page.page.context.set_offline(False)
    page.until("document.querySelector('#goal-read').innerText.includes('excluded: Epirubicin')")
    assert page.text("#research") == "Research use only" and page.text("#errors") == ""
    page.said[:] = [said for said in page.said if "ERR_INTERNET_DISCONNECTED" not in said]
