"""The browser page of a reader study in Chromium: a scripted reader completes it, pauses, comes back, saves.

Needs what the tests of the report's viewer need (`make browser`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.reader_study import NOTICE, REAL, read_answers, read_case
from MeWMLib.lab.reader_study.score import score_study
from MeWMLib.lab.reader_study.score_files import write_scores
from MeWMLib.scene.volume_code import decoded
from Testing.browsers import axe

BLUE = (159, 216, 255)


class Reader:
    """A reader at the page."""

    def __init__(self, browser, made, **how):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "offline": True, **how})
        self.context.set_default_timeout(20_000)
        self.asked, self.said, self.made = [], [], made
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("console", lambda one: self.said.append(one.text) if one.type == "error" else None)
        self.open()

    def open(self):
        self.page.goto((self.made.folder / "session_1.html").as_uri())
        self.page.wait_for_selector("#study[data-state=start]")

    def begin(self, code):
        self.page.select_option("[data-st=reader]", code)
        self.page.click("[data-st=begin]")
        self.reading()

    def reading(self):
        self.page.wait_for_selector("#study[data-state=reading], #study[data-state=done]")
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @property
    def state(self):
        return self.page.get_attribute("#study", "data-state")

    @property
    def progress(self):
        return self.page.text_content("[data-st=progress]")

    def answer(self, real, confidence, keys=False):
        if keys:
            self.page.keyboard.press("r" if real else "s")
            self.page.keyboard.press(str(confidence))
            self.page.keyboard.press("Enter")
        else:
            self.page.check(f"[data-st=answer][value={'real' if real else 'simulated'}]", force=True)
            self.page.check(f"[data-st=confidence][value='{confidence}']", force=True)
            self.page.click("[data-st=next]")
        self.reading()

    def save(self, kind, folder):
        with self.page.expect_download() as waiting:
            self.page.click(f"[data-st=save-{kind}]:visible")
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def keep(self, name):
        if kept := os.environ.get("MEWM_VIEWER_PICTURES"):
            self.page.screenshot(path=str(Path(kept) / f"{name}.png"))

    def pixels(self, pane=0):
        from PIL import Image

        url = self.page.evaluate(f"document.querySelectorAll('#viewer canvas')[{pane}].toDataURL()")
        return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(int)

    def close(self):
        self.context.close()
        assert self.said == []
        assert all(url.startswith(("file://", "data:", "blob:")) for url in self.asked)


@pytest.fixture
def reader(browser, made):
    one = Reader(browser, made)
    yield one
    one.close()


def test_a_scripted_reader_completes_the_study_with_pauses_and_is_scored(reader, made, tmp_path):
    study, key = made.made.study, made.made.key
    reader.keep("study_start")
    reader.begin("R1")
    assert reader.progress == "Case 1 of 12" and reader.page.is_disabled("[data-st=next]")
    order = study.order("R1", 1)
    assert reader.page.evaluate("document.activeElement.tagName") == "CANVAS"
    for n, case in enumerate(order[:7]):
        # the case that the reader's own order names is shown: its middle voxel
        middle = [(size - 1) // 2 for size in study.shape]
        hu = reader.page.text_content("[data-mv=hu]").replace("\N{MINUS SIGN}", "-")
        assert hu == f"{read_case(made.folder, study, case).array[tuple(middle)]} HU"
        reader.answer(key.is_real(case), 1 + n % 5, keys=n % 2 == 1)
    reader.page.click("[data-st=pause]")
    assert reader.state == "paused" and not reader.page.is_visible("#viewer canvas >> nth=0")
    reader.keep("study_paused")
    partial = reader.save("json", tmp_path)
    assert len(read_answers(partial, study)[0].answers) == 7
    reader.page.click("[data-st=resume]")
    # the page is closed in the middle: what is stored in the browser goes on
    reader.open()
    assert reader.page.input_value("[data-st=reader]") == "R1"
    reader.begin("R1")
    assert reader.progress == "Case 8 of 12"
    for case in order[7:]:
        reader.answer(not key.is_real(case), 2)
    assert reader.state == "done"
    reader.keep("study_done")
    path = reader.save("json", tmp_path)
    table = reader.save("csv", tmp_path)
    answers = read_answers(path, study)[0]
    assert [one.case for one in answers.answers] == list(order)
    assert all((one.answer == REAL) == key.is_real(one.case) for one in answers.answers[:7])
    assert read_answers(table, study)[0].answers == answers.answers
    told = [event.what for event in answers.events]
    assert told.count("shown") == 13 and told.count("answered") == 12 and "paused" in told and "left" in told
    assert told.count("key") >= 9 and told.count("click") > 20
    assert [event.at for event in answers.events] == sorted(event.at for event in answers.events)
    scores = score_study(made.folder, made.key, [path])
    assert scores.figures["mewm"]["R1"].accuracy.right == 7 and scores.clicks["R1"] == len(answers.events)
    write_scores(scores, tmp_path / "scores")


def test_the_clock_stands_still_in_a_pause(reader, made, tmp_path):
    reader.begin("R2")
    reader.page.wait_for_timeout(300)
    reader.page.click("[data-st=pause]")
    reader.page.wait_for_timeout(1000)
    reader.page.click("[data-st=resume]")
    for hidden in ("true", "false"):  # another tab, and back
        reader.page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        reader.page.wait_for_timeout(500)
    reader.answer(True, 5)
    reader.page.click("[data-st=pause]")
    answers = read_answers(reader.save("json", tmp_path), made.made.study)[0]
    times = {event.what: event.at for event in answers.events}
    apart = np.datetime64(times["answered"].rstrip("Z")) - np.datetime64(
        next(event.at for event in answers.events if event.what == "shown").rstrip("Z")
    )
    whole = apart / np.timedelta64(1, "s")
    assert answers.answers[0].seconds <= whole - 1.3


def test_a_saved_file_goes_on_in_another_browser_and_other_files_are_refused(browser, made, tmp_path):
    first, second = Reader(browser, made), Reader(browser, made)
    first.begin("R2")
    for _ in range(2):
        first.answer(False, 3)
    first.page.click("[data-st=pause]")
    path = first.save("json", tmp_path)
    wrong = json.loads(path.read_text())
    bad = {
        "no file of answers": "[]",
        "another study": json.dumps(wrong | {"study": "x"}),
        "not in this session": json.dumps(wrong | {"answers": [{"case": "999"}]}),
    }
    for said, text in bad.items():
        (tmp_path / "bad.json").write_text(text)
        second.page.set_input_files("[data-st=take]", tmp_path / "bad.json")
        second.page.wait_for_selector("[data-st=alert]:visible")
        assert said in second.page.text_content("[data-st=alert]") and second.state == "start"
    second.page.set_input_files("[data-st=take]", path)
    second.reading()
    assert second.progress == "Case 3 of 12" and not second.page.is_visible("[data-st=alert]")
    second.answer(True, 1)
    second.page.reload()
    second.page.set_input_files("[data-st=take]", path)
    second.page.wait_for_selector("[data-st=alert]:visible")
    assert "holds more answers" in second.page.text_content("[data-st=alert]")
    for one in (first, second):
        one.close()


def test_every_frame_says_that_it_may_be_simulated_and_none_says_which(reader, made):
    reader.begin("R1")
    frames = []
    for layout, panes in (("three", 3), ("one", 1)):
        reader.page.check(f"[data-mv=layout][value={layout}]", force=True)
        reader.reading()
        for pane in range(panes):
            pixels = reader.pixels(pane)
            blue = np.abs(pixels - BLUE).max(-1) < 30
            assert blue[:, 1].mean() > 0.9 and blue[3:22, 40:-40].sum() > 150
            label = reader.page.get_attribute(f"#viewer canvas >> nth={pane}", "aria-label")
            assert NOTICE in label and "SIMULATED," not in label
    reader.page.check("[data-mv=layout][value=three]", force=True)
    for case in made.made.study.order("R1", 1)[:4]:
        reader.reading()
        # what is written over the pictures is the same for every case
        frames.append(reader.pixels(0)[:22].tobytes())
        reader.keep(f"study_case_{case}")
        reader.answer(made.made.key.is_real(case), 4)
    assert len(set(frames)) == 1


def test_the_page_holds_no_solution_and_its_blobs_tell_none(made):
    text = (made.folder / "session_1.html").read_text(encoding="utf-8")
    key = json.loads(made.key.read_text())
    for one in key["cases"].values():
        assert one["patient"] + "." not in text and Path(one["ct"]).name not in text
    assert "mewm-study-key" not in text and str(made.folder) not in text and "Lipiodol 10 ml" not in text
    blobs = dict(re.findall(r'<script type="text/plain" id="voxels-(\d+)">([^<]+)</script>', text))
    assert sorted(blobs) == sorted(made.made.study.cases) and len({len(one) for one in blobs.values()}) == 1
    for name, blob in blobs.items():
        array = decoded("i2", base64.b64decode(blob), made.made.study.shape)
        assert (array == read_case(made.folder, made.made.study, name).array).all()
    script = re.search(r'<script id="viewer-script">(.*?)</script>', text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text or f"script-src 'sha256-{digest}'" in text


def test_fingers_answer_on_a_tablet(browser, made):
    reader = Reader(browser, made, viewport={"width": 820, "height": 1180}, has_touch=True)
    reader.page.select_option("[data-st=reader]", "R2")
    reader.page.tap("[data-st=begin]")
    reader.reading()
    reader.keep("study_tablet")
    box = reader.page.locator("#viewer canvas >> nth=0").bounding_box()
    assert box["width"] > 300 and box["height"] > 300
    for selector in ("[data-st=answer][value=real]", "[data-st=confidence][value='4']", "[data-st=next]"):
        size = reader.page.locator(selector).bounding_box()
        assert size["height"] >= 44 and size["width"] >= 44
        reader.page.tap(selector, force=True)
    reader.reading()
    assert reader.progress == "Case 2 of 12"
    assert reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    reader.close()


def test_a_browser_that_keeps_nothing_says_so_and_the_file_does(browser, made, tmp_path):
    reader = Reader(browser, made)
    reader.page.evaluate(
        "void (Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); })"
    )
    reader.begin("R1")
    reader.answer(True, 2)
    assert "QuotaExceededError" in reader.page.text_content("[data-st=alert]")
    reader.page.click("[data-st=pause]")
    assert len(read_answers(reader.save("json", tmp_path), made.made.study)[0].answers) == 1
    reader.close()


def test_a_session_in_two_tabs_goes_on_in_the_second(reader, made):
    reader.begin("R1")
    reader.answer(True, 2)
    second = reader.context.new_page()
    second.goto(reader.page.url)
    second.click("[data-st=begin]")
    reader.page.wait_for_selector("#study[data-state=failed]")
    assert "another tab" in reader.page.text_content("[data-st=alert]")
    reader.page.click("h1")
    second.wait_for_selector("#study[data-state=reading]")
    assert second.text_content("[data-st=progress]") == "Case 2 of 12"


def test_axe_finds_no_serious_fault(reader):
    source = axe()
    reader.page.evaluate(source)
    states = {
        "start": lambda: None,
        "reading": lambda: reader.begin("R1"),
        "paused": lambda: reader.page.click("[data-st=pause]"),
    }
    for state, go in states.items():
        go()
        assert reader.state == state
        found = reader.page.evaluate("axe.run()")
        bad = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert bad == [] and len(found["passes"]) > 10
