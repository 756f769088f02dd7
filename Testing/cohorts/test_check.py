"""What a cohort lacks and what follows, in words and by patient; the page that describes it; other forms of files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.__main__ import main
from MeWMLib.cohorts.check import DYNAMICS, SURVIVAL, check_cohort
from MeWMLib.cohorts.cohort_page import kinds, numbers
from MeWMLib.cohorts.layout import POST, PRE, PRE_LABELS, Cohort
from MeWMLib.core.errors import CohortError, UnreadableFileError
from MeWMLib.core.io import write_labels
from MeWMLib.core.volume import LabelMap
from Testing.lab.training.own.eight import write_cohort


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "cohort")


def change(folder: Path, patient: str, **cells: object) -> None:
    """Write cells of a patient's row anew."""
    with (folder / "patients.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["id"] == patient:
            row.update({name: str(value) for name, value in cells.items()})
    names = list(dict.fromkeys([name for row in rows for name in row]))
    with (folder / "patients.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_each_lack_is_told_with_what_follows_and_how_it_is_made(
    eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(eight, "p1", months="", registered=0)
    change(eight, "p2", weeks="", phase="unknown")
    (eight / "p3" / "pre_labels.nii.gz").unlink()
    geometry = Cohort.read(eight).case("p4").before.geometry
    write_labels(LabelMap(np.ones(geometry.shape, np.uint8), geometry), eight / "p4" / "pre_labels.nii.gz")
    (eight / "p5" / "post.nii.gz").write_bytes(b"no image")
    assert main(["check", str(eight), "--out", str(tmp_path / "check.json")]) == 0
    out, err = capsys.readouterr()
    told = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    each = {one["id"]: one for one in told["each"]}
    assert told["patients"] == 8 and json.loads(out)["lack"] == told["lack"]
    assert told["lack"]["survival"] == ["p1"] and told["lack"]["registered"] == ["p1"]
    assert told["lack"]["weeks"] == ["p2"] and told["lack"]["phase"] == ["p2"]
    assert told["lack"]["scan_after"] == ["p5", "p6"] and told["lack"]["protocol"] == ["p7"]
    assert told["lack"]["liver"] == ["p3", "p5"] and told["lack"]["tumour"] == ["p4"]
    assert each["p3"]["serves"] == [] and each["p4"]["serves"] == ["segmenter"] and each["p5"]["serves"] == []
    assert each["p6"]["serves"] == ["autoencoder", "segmenter", "survival", "policies"]
    assert each["p7"]["serves"] == ["autoencoder", "segmenter", "survival"]
    assert each["p8"]["lacks"] == ["labels_after"] and "dynamics" in each["p8"]["serves"]
    assert "p5" in err and "post.nii.gz" in each["p5"]["problem"]
    assert "1 of 8 have no protocol: it serves the autoencoder, the segmenter and survival, not the dynamics" in err
    for command in ("mewm segment", "mewm report parse", "mewm assess", "treatment_date"):
        assert any(command in offer for offer in told["can_be_made"]), command
    # the command that is offered names files of this cohort
    offer = next(o for o in told["can_be_made"] if "mewm segment" in o and "p3" in o)
    assert str(eight / "p3" / "pre.nii.gz") in offer and str(eight / "p3" / "pre_labels.seg.nrrd") in offer


def test_without_images_files_that_are_there_count(eight: Path) -> None:
    (eight / "p5" / "post.nii.gz").write_bytes(b"no image")
    found = check_cohort(Cohort.read(eight), images=False)
    assert found.serving(DYNAMICS) == ["p1", "p2", "p3", "p4", "p5", "p8"] and len(found.serving(SURVIVAL)) == 8


def test_patients_for_judging_serve_nothing(eight: Path) -> None:
    change(eight, "p1", judging=1)
    change(eight, "p2", person="hcc 009")
    found = check_cohort(Cohort.read(eight), images=False)
    assert [one.id for one in found.patients if not one.serves] == ["p1", "p2"]
    assert any("p1, p2: for judging only" in sentence for sentence in found.sentences())


def test_files_in_other_forms_are_found_and_doubt_is_refused(eight: Path) -> None:
    cohort = Cohort.read(eight)
    assert cohort.file("p1", PRE) == eight / "p1" / "pre.nii.gz"
    assert cohort.file("p6", POST) is None and cohort.case("p6").after is None
    (eight / "p1" / "pre_labels.nrrd").write_bytes(b"")
    with pytest.raises(CohortError, match="there twice"):
        cohort.file("p1", PRE_LABELS)
    (eight / "p2" / "post.nii.gz").unlink()
    with pytest.raises(CohortError, match="(?s)table says.*post"):
        cohort.case("p2")
    change(eight, "p2", has_after="")
    assert Cohort.read(eight).case("p2").after is None


def test_a_side_that_is_none_is_refused(eight: Path) -> None:
    change(eight, "p1", side="left")
    with pytest.raises(UnreadableFileError, match="side: 'left'"):
        Cohort.read(eight)


def test_the_page_says_who_what_and_how_many(eight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((eight / "cohort.json").read_text())
    manifest["left_out"] = [
        {"patient": "gone", "what": "the patient", "reason": "no usable CT before treatment <b>"},
        {"patient": "p1", "what": "a file", "reason": "truncated"},
    ]
    (eight / "cohort.json").write_text(json.dumps(manifest))
    (eight / "p1" / "patient.json").write_text(
        json.dumps({"row": {}, "clinical": {"age_years": 61, "child_pugh_class": "B"}})
    )
    (eight / "p2" / "patient.json").write_text(json.dumps({"row": {}, "clinical": {"age_years": 70}}))
    assert main(["split", str(eight), "--quiet"]) == 0
    page = tmp_path / "page.html"
    assert main(["page", str(eight), "--out", str(page), "--quick"]) == 0
    told = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert told["flow"]["found"] == 9 and told["flow"]["in_cohort"] == 8
    assert sum(told["flow"]["sides"].values()) == 8 and told["flow"]["not_served"]["dynamics"] == {
        "no scan after treatment": 1, "no protocol": 1,
    }  # fmt: skip
    age = next(one for one in told["numbers"] if one["name"] == "age years")
    assert (age["known"], age["missing"], age["median"], age["low"], age["high"]) == (2, 6, 65.5, 63.25, 67.75)
    months = next(one for one in told["numbers"] if one["name"].startswith("follow-up"))
    assert months["median"] == np.median([40 - 4 * n for n in range(1, 9)])
    assert told["protocols"]["combinations"]["Epirubicin + Gelatin Sponge + Lipiodol"] == 3
    assert told["protocols"]["agents"]["Lipiodol"] == 7 and told["protocols"]["missing"] == 1
    # one file, that loads nothing, with what came from outside made harmless
    assert not re.search(r"(src|href)=\"(?!data:)", text) and "<script" not in text
    assert "treatment <b>" not in text and "&lt;b&gt;" in text
    assert text.count("<rect") == 3 + 2 * 5 and "9 patients found" in text and "1 left out" in text


def test_medians_and_shares_by_hand() -> None:
    some = numbers("x", [4.0, None, 1.0, 2.0, 3.0])
    assert (some.known, some.missing, some.low, some.median, some.high) == (4, 1, 1.75, 2.5, 3.25)
    assert numbers("x", [None]).median is None
    assert kinds("y", [True, None, False, True]).counts == {"yes": 2, "no": 1}
