"""The job `assess` over the small world: what it registers, writes, refuses, and leaves to the user."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.cohorts.samples import TreatedSample
from MeWMLib.core import io
from MeWMLib.core.errors import CancelledError, InputError, LabelQuestionError, RegistrationError, SampleError
from MeWMLib.core.sealed import read_sealed
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.jobs import assess_job, worker
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.table import kind_of


@pytest.fixture
def files(tmp_path, fake) -> dict[str, str]:
    """The small patient before treatment; after it, its tumour a voxel smaller all around."""
    before, labels = fake.small_ct(), fake.small_labels()
    after, left = before.array.copy(), labels.array.copy()
    after[labels.tumour], left[labels.tumour] = 60, 1
    after[5:7, 6:8, 7:10], left[5:7, 6:8, 7:10] = 90, 2
    pairs = {"case": before, "post": Volume(after, before.geometry)}
    for name, volume in pairs.items():
        io.write_volume(volume, tmp_path / f"{name}.nrrd")
    io.write_labels(labels, tmp_path / "labels.nrrd")
    io.write_labels(LabelMap(left, labels.geometry), tmp_path / "post_labels.nrrd")
    return {name: str(tmp_path / f"{name}.nrrd") for name in ("case", "post", "labels", "post_labels")}


@pytest.fixture
def do(fake, small_bundle):
    """Run an assess job; the events are kept."""

    def run(inputs: dict, out: Path | None = None, cancelled=lambda: False) -> dict:
        run.events = []
        return worker.run(Job("assess", inputs, str(out) if out else None), run.events.append, cancelled, fake.engine())

    return run


def test_the_result_says_what_was_done_and_found(do, files, tmp_path) -> None:
    out = tmp_path / "out" / "response.json"
    result = do({**files, "register": False, "accept_registration": True}, out)
    written = read_sealed(out, "the result", "")
    assert list(written.pop("files_sha256")) == ["response.png"] and len(written.pop("sha256")) == 64
    assert written == json.loads(json.dumps(result))
    assert result["registered_by"] == "user" and result["labels_after"]["source"] == "user"
    assert [m["kind"] for m in result["matches"]] == ["same"] and result["risk"] == 0.5
    assert result["volumes_ml"]["before"]["volume"] > result["volumes_ml"]["after"]["volume"] > 0
    assert "not a prognosis" in result["research_use_only"] and result["trained_on"] == ""
    assert result["caution"][0].startswith("Do not trust what follows for a real patient: the bundle does not say")
    # all that is uncertain, as of a plan: that of one replica and of what nothing shows
    low, high = result["risk_total_interval"]
    assert high - low == pytest.approx(2 * 1.959964 * result["risk_uncertainty"]) and result["risk_uncertainty"] > 0.4
    for key in ("recist", "mrecist"):
        assert result[key]["category"] is None and result[key]["reasons"]
    assert result["risk_members"] is None and result["risk_uncertainty"] > 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["response.json", "response.png"]


def test_the_registered_scan_and_the_deformation_are_written_where_asked(do, files, tmp_path, fake) -> None:
    out = tmp_path / "out" / "response.json"
    do({**files, "registered": True, "accept_registration": True}, out)
    names = ["response.json", "response.png", "response_deformation.h5", "response_registered.nrrd"]
    assert sorted(p.name for p in out.parent.iterdir()) == names
    moved = io.read_volume(out.parent / "response_registered.nrrd")
    assert moved.geometry.same_as(fake.GEOMETRY) and moved.simulated is None
    assert sitk.ReadTransform(str(out.parent / "response_deformation.h5")).GetDimension() == 3
    with pytest.raises(InputError, match="--out"):
        do({**files, "registered": True})


def test_without_labels_the_scan_after_is_segmented_on_its_own_grid(do, files) -> None:
    given = {name: files[name] for name in ("case", "labels", "post")}
    result = do({**given, "accept_registration": True})
    assert result["labels_after"]["source"] == "assistant" and "--post-labels" in result["labels_after"]["note"]
    stages = list(dict.fromkeys(event.stage for event in do.events if event.kind == "progress"))
    assert stages == ["read", "load", "segment_after", "register", "assess"]
    assert all(kind_of("assess").stage_title(stage) != stage for stage in stages)
    assert any(e.message.startswith("Registration, ") for e in do.events if e.kind == "log")


def test_another_scan_is_stopped_before_any_risk(do, files, tmp_path, fake) -> None:
    rng = np.random.default_rng(0)
    noise = Volume(rng.integers(-900, 300, fake.SHAPE).astype(np.int16), fake.GEOMETRY)
    io.write_volume(noise, tmp_path / "other.nrrd")
    given = {**files, "post": str(tmp_path / "other.nrrd")}
    out = tmp_path / "response.json"
    with pytest.raises(RegistrationError, match=r"correlation.*at least.*--no-register.*--accept-registration"):
        do(given, out)
    assert not out.exists()
    assert do({**given, "accept_registration": True})["registration"]["word"] == "failed"


@pytest.mark.parametrize("name", ["phase", "post_phase"])
def test_a_phase_that_does_not_exist_is_refused_at_once(do, files, name) -> None:
    with pytest.raises(InputError, match=r"phase.*Given: late.*arterial"):
        do({**files, name: "late"})
    assert not any(event.stage == "load" for event in do.events)
    stated = do({**files, name: "arterial", "accept_registration": True})
    assert stated["phases"]["before" if name == "phase" else "after"] == {
        "phase": "arterial",
        "reason": "as you stated",
    }


def test_the_labels_after_treatment_are_questioned_too(do, files, tmp_path, fake) -> None:
    swapped = np.array([0, 2, 1], np.uint8)[io.read_labels(Path(files["post_labels"]), fake.GEOMETRY).array]
    io.write_labels(LabelMap(swapped, fake.GEOMETRY), tmp_path / "swapped.nrrd")
    given = {**files, "post_labels": str(tmp_path / "swapped.nrrd"), "accept_registration": True}
    with pytest.raises(LabelQuestionError, match=r"After treatment: .*swapped.*--accept-labels"):
        do(given)
    result = do({**given, "accept_labels": True})
    assert [q["topic"] for q in result["questions"]] == ["after-swapped"]


def test_it_stops_between_the_stages(do, files) -> None:
    seen = lambda: any(e.stage == "register" for e in do.events)  # noqa: E731
    with pytest.raises(CancelledError):
        do({**files, "accept_registration": True}, cancelled=seen)
    assert not any(event.stage == "assess" for event in do.events)


def test_a_sample_may_be_the_scan_after(do, files, fake, monkeypatch) -> None:
    after, labels = io.read_volume(files["post"]), fake.small_labels()
    monkeypatch.setattr(assess_job, "load_treated", lambda name: TreatedSample(after, labels, name, 4.0))
    result = do({"case": files["case"], "labels": files["labels"], "post": "sample:synthetic-hcc", "register": False,
                 "accept_registration": True})  # fmt: skip
    entry = result["labels_after"]
    assert (entry["source"], entry["note"]) == ("expert", "The sample's own labels are used")
    monkeypatch.undo()
    with pytest.raises(SampleError, match="no CT after treatment"):
        do({"case": files["case"], "labels": files["labels"], "post": "sample:lits-117", "register": False})
