"""A protocol that the user names: refused before anything is read, marked where the user insists, put beside a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import GoalQuestionError
from MeWMLib.core.plan_folder import NAMED, PlanFolder
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs import worker
from MeWMLib.jobs.job import Job
from MeWMLib.policy import rules
from MeWMLib.policy.permission import ContraindicatedError, ForbiddenProtocolError
from MeWMLib.policy.rules import load_rules

pytestmark = pytest.mark.usefixtures("small_bundle")
TWO_PLATINUMS = "Cisplatin + Oxaliplatin + Lipiodol"
MINE = "Epirubicin 30 mg + Lipiodol 10 ml + Gelatin Sponge"


def _never() -> bool:
    return False


@pytest.fixture
def do(fake):
    def run(kind: str, out: Path, cancelled=_never, engine=None, settings=None, **inputs):
        job = Job(kind, {"case": "sample:tiny", **inputs}, str(out), seed=3, settings=settings or {})
        run.engine = engine or fake.engine()
        return worker.run(job, lambda event: None, cancelled, run.engine)

    return run


def _untouched(*_):
    raise AssertionError("a forbidden protocol was not refused first")


@pytest.mark.parametrize(("kind", "name"), [("simulate", "protocol"), ("plan", "mine")])
@pytest.mark.parametrize(
    ("text", "clinical", "rule"),
    [
        (TWO_PLATINUMS, {}, "one-platinum"),
        ("Epirubicin", {}, "no embolic"),
        (MINE, {"child_pugh_class": "C"}, "child-pugh"),
        (MINE, {"bclc_stage": "D"}, "bclc-d"),
    ],
)
def test_what_is_forbidden_is_refused_before_anything_is_read(do, fake, tmp_path, kind, name, text, clinical, rule):
    engine = fake.engine(load_sample=_untouched, load_world=_untouched)
    with pytest.raises(ForbiddenProtocolError, match=rule):
        do(kind, tmp_path / "out", engine=engine, clinical=clinical, **{name: text})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["plan", "propose"])
@pytest.mark.parametrize(
    ("clinical", "goal", "rule"),
    [
        ({"child_pugh_class": "C"}, "", "child-pugh-c"),
        ({"bclc_stage": "D"}, "", "bclc-d"),
        ({}, "Child-Pugh B9, prefer epirubicin", "child-pugh-b8"),
    ],
)
def test_tace_is_not_planned_where_it_is_contraindicated(do, fake, tmp_path, kind, clinical, goal, rule):
    engine = fake.engine(load_sample=_untouched, load_world=_untouched)
    with pytest.raises(ContraindicatedError, match=rule):
        do(kind, tmp_path / "out", engine=engine, clinical=clinical, goal=goal)
    assert not (tmp_path / "out").exists()


def test_whoever_insists_gets_a_plan(do, tmp_path):
    do("plan", tmp_path / "out", clinical={"bclc_stage": "D"}, allow_forbidden=True, settings={"replicas": 1})
    document = PlanFolder(tmp_path / "out").read()
    assert document.plan.candidates and document.goal_reading.insists


@pytest.mark.parametrize(("kind", "name"), [("simulate", "protocol"), ("plan", "mine")])
@pytest.mark.parametrize(("goal", "rule"), [("no epirubicin", "goal-excludes"), ("allergic to iodine", "iodine")])
def test_what_the_goal_rules_out_is_refused_before_anything_is_read(do, fake, tmp_path, kind, name, goal, rule):
    engine = fake.engine(load_sample=_untouched, load_world=_untouched)
    with pytest.raises(ForbiddenProtocolError, match=rule):
        do(kind, tmp_path / "out", engine=engine, goal=goal, **{name: MINE})
    with pytest.raises(GoalQuestionError, match="is wanted or ruled out"):
        do(kind, tmp_path / "out", engine=engine, goal="epirubicin", **{name: MINE})


def test_what_is_measured_is_asked_once_it_is_known(do, tmp_path, monkeypatch):
    """A rule on the labels cannot be asked before they are read; then it is, before anything is simulated."""
    entry = {"id": "big", "kind": "clinical_threshold", "severity": "forbidden", "field": "tumour_burden_percent"}
    entry |= {"above": 0.001, "reason": "Too much tumour", "source": "a test"}
    (tmp_path / "rules.json").write_text(json.dumps({"version": 1, "rules": [entry]}))
    found = load_rules(tmp_path / "rules.json")
    monkeypatch.setattr(rules, "load_rules", lambda: found)
    with pytest.raises(ForbiddenProtocolError, match="Too much tumour"):
        do("simulate", tmp_path / "out", protocol=MINE)
    assert not any(tmp_path.glob("out/*.nrrd")) and not do.engine.load_world.made[-1].simulated
    do("simulate", tmp_path / "out", protocol=MINE, allow_forbidden=True)
    assert do.engine.load_world.made[-1].simulated


def test_a_forbidden_simulation_says_so_in_every_output(do, tmp_path):
    do("simulate", tmp_path / "out", protocol=TWO_PLATINUMS, allow_forbidden=True)
    folder = PlanFolder(tmp_path / "out")
    document = folder.read()
    assert document.kind == NAMED
    assert document.forbidden == ["Oxaliplatin + Cisplatin + Lipiodol: one-platinum"]
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["forbidden"] == document.forbidden
    ct = io.read_volume(tmp_path / "out" / "simulated_01.nrrd")
    assert ct.simulated is not None and ct.simulated.forbidden == "one-platinum"
    assert b"one-platinum" in (tmp_path / "out" / "simulated_01.nrrd").read_bytes()[:4000]
    before, _ = folder.read_before(document)
    (kept,) = folder.read_kept(document, before)
    assert kept.ct.simulated is not None and kept.ct.simulated.forbidden == "one-platinum"


def test_an_allowed_simulation_has_no_such_mark(do, tmp_path):
    do("simulate", tmp_path / "out", protocol="Cisplatin + Lipiodol", allow_forbidden=True)
    assert PlanFolder(tmp_path / "out").read().forbidden == []
    ct = io.read_volume(tmp_path / "out" / "simulated_01.nrrd")
    assert ct.simulated is not None and ct.simulated.forbidden == ""


def test_my_protocol_is_simulated_beside_the_first_one(do, tmp_path):
    do("plan", tmp_path / "out", mine=MINE, settings={"replicas": 2, "keep": 1})
    document = PlanFolder(tmp_path / "out").read()
    pair, best = document.beside, document.plan.best
    assert pair is not None and best is not None and pair.first == best
    assert pair.mine.protocol == Protocol.parse(MINE) and pair.mine.rank == 0
    assert pair.risk_difference == pytest.approx(pair.mine.risk.log_risk - best.risk.log_risk)
    # the world of the tests: -mean grey value / 100, of the text's length and the seeds 3 and 4
    assert pair.mine.risk.replicas == tuple(-(30 * len(pair.mine.protocol.text) % 400 + seed) / 100 for seed in (3, 4))
    simulated = set(do.engine.load_world.made[-1].simulated)
    for swap in pair.swaps:
        expected = -(30 * len(swap.protocol.text) % 400 + 3.5) / 100
        assert swap.log_risk == pytest.approx(expected) and (swap.protocol.text, 3) in simulated
    for candidate in (pair.mine, pair.first):
        assert all(m.risk_change is not None for m in candidate.contributions)
    assert document.plan.candidates[0].contributions == pair.first.contributions
    assert pair.difference == document.plan.comparison.difference(pair.mine.risk, best.risk)
    moved = (*pair.mine.contributions, *pair.first.contributions, *pair.swaps)
    assert moved and all(one.difference.change == one.risk_change for one in moved)
    ct = io.read_volume(tmp_path / "out" / pair.mine.files["ct"])
    assert ct.simulated is not None and ct.simulated.protocol == pair.mine.protocol.text
    written = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert document.to_json() == {key: value for key, value in written.items() if key != "sha256"}


def test_a_forbidden_protocol_of_mine_marks_the_plan_and_forbidden_swaps_are_not_simulated(do, tmp_path):
    do("plan", tmp_path / "out", mine=TWO_PLATINUMS, allow_forbidden=True, settings={"replicas": 1})
    document = PlanFolder(tmp_path / "out").read()
    assert document.beside is not None and document.forbidden == ["Oxaliplatin + Cisplatin + Lipiodol: one-platinum"]
    marked = io.read_volume(tmp_path / "out" / document.beside.mine.files["ct"])
    assert marked.simulated is not None and marked.simulated.forbidden == "one-platinum"
    made = {text for text, _ in do.engine.load_world.made[-1].simulated}
    refused = [s for s in document.beside.swaps if s.forbidden]
    assert refused and all(s.log_risk is None and s.protocol.text not in made for s in refused)


def test_a_cancel_before_the_comparison_keeps_the_plan(do, tmp_path):
    """Stopped once the search has ended: the ranking is there, the comparison is not."""
    asked = iter(range(1000))
    do("plan", tmp_path / "a", settings={"replicas": 1})
    whole = PlanFolder(tmp_path / "a").read()
    do("plan", tmp_path / "b", cancelled=lambda: next(asked) > 14, mine=MINE, settings={"replicas": 1})
    document = PlanFolder(tmp_path / "b").read()
    assert document.plan.candidates and document.plan.stopped_by == "cancelled"
    assert document.beside is None and len(document.plan.candidates) <= len(whole.plan.candidates)


def test_a_plan_of_an_older_version_that_was_named_is_known_as_such(do, tmp_path):
    do("simulate", tmp_path / "out", protocol="Cisplatin + Lipiodol")
    data = json.loads((tmp_path / "out" / "plan.json").read_text())
    for key in ("kind", "forbidden", "beside", "goal_reading", "files_sha256", "sha256"):
        del data[key]
    for key in ("space", "toxicity_weight", "complexity_weight"):
        del data["settings"][key]
    (tmp_path / "out" / "plan.json").write_text(json.dumps(data))
    document = PlanFolder(tmp_path / "out").read()
    assert document.kind == NAMED and document.settings.space == "free" and document.settings.weights_text == "none"
