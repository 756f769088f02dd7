"""The command line: exit codes, sentences, and the way from a plan to its pictures."""

from __future__ import annotations

import argparse
import importlib
import io as text_io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib import cli
from MeWMLib.cli import arguments, doctor, housekeeping, pictures
from MeWMLib.cli.output import Output
from MeWMLib.cohorts.synthetic import hcc_sample
from MeWMLib.core import io
from MeWMLib.core.errors import BundleError
from MeWMLib.core.volume import LabelMap, Volume, centred_grid
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.processes import child_environment
from MeWMLib.jobs.table import kind_of

PROGRAMS = ("cohort", "train", "evaluate")
JOBS = ("plan", "segment", "propose", "simulate", "assess")
COMMANDS = (*JOBS, "sample", "render", "doctor", "bundle", "rules", "report", "endpoint", *PROGRAMS)
PLAN = ("plan", "sample:synthetic", "--no-report", "--no-scene")


@pytest.fixture
def mewm(fake_script, small_bundle, capsys):
    """Run a command over the small world: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli.main([str(a) for a in arguments], worker=[sys.executable, str(fake_script)])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def case(tmp_path, fake):
    """The small patient as files of a user."""
    io.write_volume(fake.small_ct(), tmp_path / "ct.nrrd")
    io.write_labels(fake.small_labels(), tmp_path / "labels.seg.nrrd")
    return tmp_path / "ct.nrrd"


@pytest.mark.parametrize("name", ["cohort", "train", "evaluate"])
def test_every_part_of_a_program_can_be_reached(name):
    """The command line names the parts itself, so that it need not import the programs."""
    parts: set[str] = set()
    for module in {m for key, m in housekeeping._MODULES.items() if key.split()[0] == name}:
        program = importlib.import_module(f"{module}.__main__")
        if isinstance(getattr(program, "PARTS", None), dict):
            parts |= set(program.PARTS)
            continue
        actions = program._parser()._actions
        parts |= {p for a in actions if isinstance(a, argparse._SubParsersAction) for p in a.choices}
    assert set(arguments._PARTS[name]) == parts


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_shows_an_example(mewm, command):
    code, out, _ = mewm(command, "--help")
    assert code == 0 and f"example: mewm {command}" in out


def test_the_examples_are_understood():
    """Each command's example is parsed by its own parser."""
    from MeWMLib.cli.arguments import parse

    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "MeWMLib.cli", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**child_environment(), "COLUMNS": "400"},
        )
        example = done.stdout.split("example: mewm ")[1].strip()
        arguments = shlex.split(example)
        parsed = parse(arguments)
        assert parsed.command
        if command in PROGRAMS:
            assert parsed.part == arguments[1] and parsed.rest == arguments[2:]


def test_version(mewm):
    code, out, _ = mewm("--version")
    assert code == 0 and out.startswith("mewm ")


@pytest.mark.parametrize("arguments", [(), ("paint",), ("plan",), ("plan", "ct.nrrd"), ("train", "liver")])
def test_wrong_usage_is_exit_2(mewm, arguments):
    code, _, err = mewm(*arguments)
    assert code == 2 and "usage: mewm" in err


def test_plan_prints_the_ranked_protocols(mewm, tmp_path):
    code, out, err = mewm(*PLAN, "--out", tmp_path / "out", "--replicas", "2")
    assert code == 0
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert plan["settings"]["replicas"] == 2
    for text in (
        *plan["candidates"][0]["described"].split()[:3],
        "(-75 %)",
        " months",
        "Searched: protocols that fill a template",
        "plan.json",
        "Total time",
        "Research use",
    ):
        assert text in out
    assert "Dice liver 1.000, tumour 0.857" in out and "own labels" in out, "of one who was drawn"
    assert "Be kind." in err and "Search: 100%" in err
    assert "report.html" not in out, "it was not made"


def test_quiet_shows_no_progress_but_the_terms(mewm, tmp_path):
    code, out, err = mewm(*PLAN, "--out", tmp_path / "out", "--quiet")
    assert code == 0 and err.strip() == "Be kind." and "plan.json" in out


BAD = [
    (("nonesuch.nrrd",), "no such file"),
    (("sample:synthetic", "--labels", "nonesuch.nrrd"), "no such file"),
    (("sample:synthetic", "--clinical", "nonesuch.json"), "clinical data cannot be read"),
    (("sample:synthetic", "--beams", "0"), "beams must be"),
    (("sample:synthetic", "--bundle", "nonesuch"), "No model bundle is called nonesuch"),
    (("sample:synthetic", "--seed", "-1"), "seed must be"),
]


@pytest.mark.parametrize(("arguments", "text"), BAD)
def test_bad_input_is_exit_2_with_a_sentence(mewm, tmp_path, arguments, text):
    code, out, err = mewm("plan", *arguments, "--out", tmp_path / "out", "--quiet")
    assert code == 2 and text in err and err.startswith(("mewm: ", "Be kind.")) and "Traceback" not in err
    assert out == "" and not (tmp_path / "out").exists()


def test_an_unknown_drug_is_refused_with_a_suggestion(mewm, tmp_path):
    code, _, err = mewm(
        "simulate", "sample:synthetic", "--protocol", "Cisplatine + Lipiodol", "--out", tmp_path / "out"
    )
    assert code == 2 and "Did you mean Cisplatin?" in err and not (tmp_path / "out").exists()


def test_a_damaged_bundle_is_refused(mewm, small_bundle, tmp_path):
    (small_bundle / "dynamics.safetensors").write_bytes(b"x")
    code, _, err = mewm(*PLAN, "--out", tmp_path / "out")
    assert code == 2 and "sha256" in err


def test_a_crash_of_the_worker_is_exit_1(mewm, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "crash")
    code, _, err = mewm(*PLAN, "--out", tmp_path / "out")
    assert code == 1 and "ZeroDivisionError" in err


def test_simulate_says_which_rules_the_protocol_touches(mewm, tmp_path):
    arguments = ("--protocol", "Cisplatin + Oxaliplatin + Lipiodol", "--out", tmp_path / "out")
    code, out, err = mewm("simulate", "sample:synthetic", *arguments, "--no-report", "--no-scene")
    assert code == 2 and "one-platinum" in err and "--allow-forbidden" in err and "Be kind" not in err
    assert out == "" and not (tmp_path / "out").exists()
    insisted = ("--no-report", "--no-scene", "--allow-forbidden")
    code, out, err = mewm("simulate", "sample:synthetic", *arguments, *insisted)
    assert code == 0 and "forbidden: Combining platinum" in err
    assert "FORBIDDEN by the clinical rules" in out and "Oxaliplatin + Cisplatin + Lipiodol" in out


@pytest.mark.parametrize(("given", "text"), [("sample:nobody", "Unknown sample"), ("nonesuch.nrrd", "no such file")])
def test_what_is_missing_is_said_before_notes_on_the_protocol(mewm, tmp_path, given, text):
    code, out, err = mewm("simulate", given, "--protocol", "Cisplatin + PVA", "--out", tmp_path / "out")
    assert code == 2 and text in err and "fits no template" not in err and "note:" not in err and out == ""


def test_what_lies_outside_of_the_training_is_said_once(mewm, small_bundle, case, tmp_path):
    manifest = json.loads((small_bundle / "manifest.json").read_text())
    training = {"real_pairs": 0, "synthetic_patients": 10}
    (small_bundle / "manifest.json").write_text(json.dumps({**manifest, "training": training}))
    labels = ("--labels", tmp_path / "labels.seg.nrrd")
    code, out, err = mewm("plan", case, *labels, *PLAN[2:], "--out", tmp_path / "out", "--accept-labels")
    assert code == 0, err
    assert (out + err).count("OUTSIDE of what the model was trained on") == 1
    assert "trained on 10 drawn (synthetic) patients and no real pairs" in out.splitlines()[0]


def test_simulate_ranks_nothing(mewm, tmp_path):
    arguments = ("--protocol", "Cisplatin + PVA", "--out", tmp_path / "out", "--no-report", "--no-scene")
    code, out, err = mewm("simulate", "sample:synthetic", *arguments)
    assert code == 0 and "fits no template" in err and "Cisplatin + PVA (fits no template)" in out
    assert "Predicted outcome of your protocol" in out and "Predicted numbers are means" in out
    assert out.startswith("Do not trust the predicted outcome of a protocol for a real patient: the bundle does not")
    assert not [word for word in ("lower is better", "Ranked by", "#") if word in out]


def test_my_protocol_is_shown_beside_the_first(mewm, tmp_path):
    mine = "Epirubicin 30 mg + Lipiodol 10 ml + Gelatin Sponge"
    code, out, _ = mewm(*PLAN, "--out", tmp_path / "out", "--mine", mine, "--replicas", "1")
    assert code == 0
    pair = json.loads((tmp_path / "out" / "plan.json").read_text())["beside"]
    flat = " ".join(out.split())
    told = pair["difference"]
    assert f"Yours minus MeWM's: {told['change']:+.2f} log-risk (95 % interval {_ends(told)}; lower is better)." in flat
    chance, end = max(told["better"], 1 - told["better"]), "are told" if told["told_apart"] else "CANNOT BE TOLD"
    assert f"with a probability of {100 * chance:.0f} %: the two {end}" in flat.replace("TOLD APART", "TOLD")
    # no change stands without its interval, and without a word on whether it can be told apart
    assert pair["swaps"]
    for one in (*pair["swaps"], *pair["mine"]["contributions"], *pair["first"]["contributions"]):
        known = (f"{one['risk_change']:+.2f} ", _ends(one["difference"]), one["action"].split()[0])
        lines = [line for line in out.splitlines() if all(text in line for text in known)]
        assert lines and all(("cannot be told apart" in x) != one["difference"]["told_apart"] for x in lines), known


def _ends(difference):
    return " to ".join(f"{round(end, 2) + 0.0:+.2f}" for end in difference["interval"])


def test_a_remark_is_not_said_twice_on_one_terminal(monkeypatch):
    from rich.console import Console

    from MeWMLib.cli import tables

    asked = [{"severity": "warning", "text": "The scan looks arterial."}, {"severity": "note", "text": "Another."}]
    for terminal, say, quiet in (
        (True, "say", False),
        (True, "notice", True),
        (False, "say", False),
        (True, "say", True),
    ):
        out, err = text_io.StringIO(), text_io.StringIO()
        output = Output(quiet=quiet)
        output._out = Console(file=out, force_terminal=terminal, width=100)
        output._err = Console(file=err, force_terminal=True, width=100)
        getattr(output, say)("warning: The scan looks arterial.")
        tables.questions(asked, output)
        twice = terminal and (say == "notice" or not quiet)
        assert ("looks arterial" in out.getvalue()) == (not twice), (terminal, say, quiet)
        assert ("1 remark on the case, said above" in out.getvalue()) == twice and "Note: Another." in out.getvalue()


def test_render_makes_the_report_of_a_folder_again(mewm, tmp_path, capsys):
    assert mewm(*PLAN, "--out", tmp_path / "out")[0] == 0
    body = """
assert sys.argv[1:] == [sys.argv[1], "--no-scene", "--no-volumes"]
open(sys.argv[1] + "/report.html", "w").write("a report")
say(kind="result", data={"files": ["report.html"]})
"""
    folder = tmp_path / "out"
    (folder / "scene.mrb").write_bytes(b"of an earlier run")
    assert (
        cli.main(["render", str(folder), "--no-scene", "--no-volumes", "--quiet"], worker=_scene(tmp_path, body)) == 0
    )
    out = capsys.readouterr().out
    assert str(folder / "report.html") in out and "scene.mrb" not in out, "that is of an earlier run"
    code, _, err = mewm("render", tmp_path / "nothing")
    assert code == 2 and "plan.json" in err and "Traceback" not in err
    code, _, err = mewm("render", folder, "--no-scene", "--no-report")
    assert code == 2 and "Nothing is left to make" in err


def test_json_is_all_there_is_on_standard_output(mewm, case, tmp_path):
    labels = ("--labels", tmp_path / "labels.seg.nrrd")
    code, out, _ = mewm("assess", case, *labels, "--post", case, "--json")
    assert code == 0 and json.loads(out)["risk"] == 0.5
    code, out, _ = mewm("propose", case, *labels, "--drugs", "2", "--json")
    assert code == 0 and json.loads(out)["drugs"] == ["Epirubicin", "Cisplatin"]
    code, out, _ = mewm("segment", case, *labels, "--out", tmp_path / "found.seg.nrrd", "--json")
    assert code == 0 and json.loads(out)["labels"]["dice_liver"] == 1.0


def test_the_same_in_words(mewm, case, tmp_path):
    code, out, _ = mewm("assess", case, "--post", case)
    assert code == 0 and "log-risk +0.50 (95 % interval " in out and "not reached (90 % interval " in out
    code, out, _ = mewm("propose", case)
    assert code == 0 and "Epirubicin" in out and "because" in out and "Left out" not in out
    code, out, _ = mewm("propose", case, "--goal", "no cisplatin; hyperthyroidism")
    assert code == 0 and "Left out, Cisplatin: The goal" in out and "Left out, Lipiodol: " in out
    code, out, _ = mewm("segment", case, "--out", tmp_path / "found.seg.nrrd")
    assert code == 0 and "found.seg.nrrd" in out and (tmp_path / "found.seg.nrrd").is_file()


def test_bundle_commands(mewm, small_bundle, tmp_path):
    code, out, _ = mewm("bundle", "list")
    assert code == 0 and "mewm-small (default)" in out
    code, out, _ = mewm("bundle", "verify", "--json")
    assert code == 0 and len(json.loads(out)["parts"]) == 4
    manifest = small_bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"mewm-small"', '"mine"'))
    code, out, _ = mewm("bundle", "import", small_bundle)
    assert code == 0 and "every checksum is right" in out
    code, out, _ = mewm("bundle", "delete", "mine")
    assert code == 0 and "Deleted" in out
    assert mewm("bundle", "delete", "mine")[0] == 2
    assert mewm("bundle", "import")[0] == 2


def test_sample_lists_and_writes(mewm, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_CACHE", str(tmp_path / "cache"))
    code, out, _ = mewm("sample")
    assert code == 0 and "lits-117" in out and "synthetic" in out
    assert mewm("sample", "synthetic")[0] == 2
    assert mewm("sample", "nonesuch", "--out", tmp_path / "out")[0] == 2
    code, out, err = mewm("sample", "synthetic", "--out", tmp_path / "out")
    assert code == 0 and "drawn by MeWM" in err
    ct = io.read_volume(tmp_path / "out" / "ct.nrrd")
    assert io.read_labels(tmp_path / "out" / "labels.seg.nrrd", ct.geometry).tumour.any()
    assert "drawn by MeWM" not in mewm("sample", "synthetic", "--out", tmp_path / "out")[2], "terms are shown once"


def test_a_treated_sample_is_written_with_its_scan_after_and_the_next_command(mewm, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_CACHE", str(tmp_path / "cache"))
    grid = centred_grid(np.zeros(3), (4, 5, 6), 1.0)
    made = Volume(np.zeros(grid.shape, np.int16), grid), LabelMap(np.full(grid.shape, 2, np.uint8), grid)
    monkeypatch.setattr(hcc_sample, "hcc_before", lambda: made)
    monkeypatch.setattr(hcc_sample, "hcc_after", lambda: made)
    code, out, _ = mewm("sample", "synthetic-hcc", "--out", tmp_path / "out")
    assert code == 0 and sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "after.nrrd", "after.seg.nrrd", "ct.nrrd", "labels.seg.nrrd"
    ]  # fmt: skip
    assert "4 weeks after Epirubicin 50 mg + Lipiodol 10 ml" in out and "mewm assess sample:synthetic-hcc" in out


def test_doctor(mewm, small_bundle, monkeypatch):
    monkeypatch.setattr(doctor, "_device", lambda: doctor.Finding("device", True, True, "cpu"))
    code, out, _ = mewm("doctor", "--json")
    found = json.loads(out)
    assert (code == 0) == found["able_to_plan"] and {"Python", "torch", "bundle"} <= {
        f["name"] for f in found["findings"]
    }
    (small_bundle / "dynamics.safetensors").write_bytes(b"x")
    code, out, _ = mewm("doctor")
    assert code == 3 and "MISSING" in out and "sha256" in out and "Not ready to plan" in out


def test_doctor_names_a_missing_package(monkeypatch):
    finding = doctor._package("nonesuch-package", required=True)
    assert not finding.ok and finding.remedy == "pip install nonesuch-package"


def test_doctor_says_whether_the_app_can_open(mewm, small_bundle, monkeypatch):
    monkeypatch.setattr(doctor, "_device", lambda: doctor.Finding("device", True, True, "cpu"))
    monkeypatch.setattr(doctor, "SERVER", ("numpy",))
    _, out, _ = mewm("doctor", "--json")
    (there,) = [f for f in json.loads(out)["findings"] if f["name"] == "app"]
    assert there["ok"] and there["value"] == "mewm app can open"
    monkeypatch.setattr(doctor, "SERVER", ("nonesuch-package", "numpy"))
    _, out, _ = mewm("doctor", "--json")
    (missing,) = [f for f in json.loads(out)["findings"] if f["name"] == "app"]
    assert (missing["ok"], missing["required"]) == (False, False)
    assert missing["value"] == "nonesuch-package not installed" and '".[server]"' in missing["remedy"]


@pytest.mark.parametrize("number", ["nan", "inf", "five"])
def test_a_setting_that_is_no_number_is_refused(mewm, number, tmp_path):
    code, _, err = mewm("plan", "sample:small", "--weeks", number, "--out", tmp_path / "plan")
    assert code == 2 and "--weeks" in err and not (tmp_path / "plan").exists()


def test_train_starts_the_training_program(mewm, monkeypatch):
    started = []

    class Process:
        def __init__(self, command, env):
            started.append(command)

        def wait(self):
            return 7

    monkeypatch.setattr("MeWMLib.cli.housekeeping.subprocess.Popen", Process)
    code, *_ = mewm("train", "dynamics", "--steps", "10", "--help")
    assert code == 7 and started == [
        [sys.executable, "-m", "MeWMLib.lab.training", "dynamics", "--steps", "10", "--help"]
    ]


# Pictures: a process of their own, whose failure loses nothing.


def _scene(tmp_path: Path, body: str) -> list[str]:
    file = tmp_path / "scene.py"
    file.write_text("import json, os, sys\ndef say(**m): print(json.dumps({'version': 1, **m}), flush=True)\n" + body)
    return [sys.executable, str(file)]


def test_pictures_are_made(tmp_path, capsys):
    body = """
assert sys.argv[2:] == ["--no-scene"]
print("a library prints")
say(kind="progress", stage="pictures", fraction=0.5, message="slices")
say(kind="log", stage="pictures", message="No OpenGL: drawn with matplotlib")
say(kind="result", data={"files": ["report.html"]})
"""
    assert pictures.make(tmp_path, Output(), scene=False, command=_scene(tmp_path, body))
    err = capsys.readouterr().err
    assert "slices" in err and "drawn with matplotlib" in err


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('say(kind="error", data={"what": "No slicer-core", "remedy": "Install it"}); sys.exit(3)', "No slicer-core"),
        ("sys.exit('it broke')", "it broke"),
        ("os.abort()", "ended without a result"),
    ],
)
def test_missing_pictures_are_said_and_lose_nothing(tmp_path, capsys, body, text):
    assert not pictures.make(tmp_path, Output(), volumes=False, command=_scene(tmp_path, body))
    err = capsys.readouterr().err
    assert text in err and "The plan is complete" in err and "mewm render" in err and "--no-volumes" in err


def test_a_plan_whose_pictures_fail_is_exit_0(mewm, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "make", lambda *a, **k: False)
    code, out, _ = mewm("plan", "sample:synthetic", "--out", tmp_path / "out")
    assert code == 0 and "plan.json" in out


def test_bars_on_a_terminal_and_lines_elsewhere(capsys):
    from rich.console import Console

    stream, output = text_io.StringIO(), Output()
    output._err = Console(file=stream, force_terminal=True, width=100)
    with output.progress(kind_of("plan").stage_title) as show:
        show(Event("progress", "plan", 0.5, 12.0, 100.0, "best so far [1]"))
    assert "Search" in stream.getvalue() and "12 s left" in stream.getvalue() and "[1]" in stream.getvalue()
    with Output().progress(kind_of("plan").stage_title) as show:
        for fraction in (0.0, 0.1, 0.2, 0.3, 1.0):
            show(Event("progress", "plan", fraction, message="m"))
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_an_ordinary_terminal(fake, small_bundle, tmp_path, width):
    """Nothing but the wrapped protocol gives way: risk, tumour and survival stay whole."""
    from rich.console import Console

    from MeWMLib.cli import tables
    from MeWMLib.core.plan import RuleFinding
    from MeWMLib.core.plan_folder import PlanFolder
    from MeWMLib.core.protocol import Protocol
    from MeWMLib.jobs import worker
    from MeWMLib.jobs.job import Job

    worker.run(
        Job("plan", {"case": "sample:synthetic"}, str(tmp_path)), lambda event: None, lambda: False, fake.engine()
    )
    document = PlanFolder(tmp_path).read()
    best, *others = document.plan.candidates
    long = Protocol.parse("Hydroxycamptothecin + Epirubicin + Gelatin Sponge + Lipiodol")
    best = replace(best, protocol=long, warnings=(RuleFinding("a-rule", "warning", "[because]", "a source"),))
    curve = {"months": (0.0, 20.0, 100.0), "survival": (1.0, 0.5, 0.01)}  # with an interval like that of a real one
    shown = tuple(replace(one, risk=replace(one.risk, **curve)) for one in (best, *others))
    document = replace(document, plan=replace(document.plan, candidates=shown))
    output, stream = Output(), text_io.StringIO()
    output._out = Console(file=stream, width=width)
    tables.plan(document, output)
    text = stream.getvalue()
    drawn = [line for line in text.splitlines() if line[:1] in set("┏┃┡│├└")]
    assert max(map(len, drawn)) <= width
    for whole in ("(-75 %)", "20.0 months", "Hydroxycamptothecin", "a-rule", "[because]", "0.5 ml"):
        assert whole in text
    assert f"HR {best.risk.hazard_ratio:.2f}" in text and "is its exponential" in text


@pytest.mark.parametrize("width", [80, 109, 110, 120, 139, 140, 141, 200])
@pytest.mark.parametrize("kind", ["searched", "named"])
@pytest.mark.parametrize("unseen", [None, 0.4])
def test_no_border_and_no_column_of_the_table_is_cut(kind, width, unseen):
    """With all that makes it wide: a score, a range, large volumes, a territory and long names of rules."""
    from rich.console import Console

    from MeWMLib.cli import tables
    from MeWMLib.core.outcome import Risk, TumourChange
    from MeWMLib.core.plan import Candidate, Plan, RuleFinding
    from MeWMLib.core.protocol import Protocol
    from Testing.core.plan_data import document

    rules = ("creatinine-over-the-limit-of-it", "bilirubin-anthracycline")
    found = [
        Candidate(
            Protocol.parse(f"Hydroxycamptothecin {n} mg + Epirubicin 50 mg + Lipiodol 10 ml + PVA @ segments 5, 8"),
            Risk((-0.2, 0.1), (6.0, 12.0), (0.6, 0.4), unseen=unseen),
            TumourChange(1300.0, 1200.0, 1234.5, 1100.3, 1.0, 80.0, 70.0),
            tuple(RuleFinding(name, "warning", "why", "whence") for name in rules), utility=0.3,
            unjudged={"ascites": ("a", "b")},
        )
        for n in range(10, 13 if kind == "searched" else 11)
    ]  # fmt: skip
    output, stream = Output(), text_io.StringIO()
    output._out = Console(file=stream, width=width)
    tables.plan(document(plan=Plan(tuple(found), (), "finished", 3), kind=kind), output)
    drawn = [line for line in stream.getvalue().splitlines() if line[:1] in set("┏┃┡│├└")]
    assert drawn and {len(line) for line in drawn} == {len(drawn[0])} and len(drawn[0]) <= width
    assert {line[-1] for line in drawn} <= set("┓┃┩│┤┘")
    rows = [line.split("│")[1:-1] for line in drawn if line[0] == "│"]
    columns = ["".join("".join(cells).split()) for cells in zip(*rows, strict=True)]  # folded words are whole again
    # by hand: the mean -0.05, and 1.96 times the deviation of two replicas and of what they do not show
    reach = 1.959964 * (0.045 + 0.16) ** 0.5
    ends = (-0.2, 0.1) if unseen is None else (-0.05 - reach, -0.05 + reach)
    span, ratios = f"({ends[0]:+.2f} to {ends[1]:+.2f})", f"({math.exp(ends[0]):.2f} to {math.exp(ends[1]):.2f})"
    for whole in (*rules, "warning:", "2 rules not judged", "1234.5 to 1100.3 ml", span, ratios, "9.0 months"):
        assert any(whole.replace(" ", "") in column for column in columns)
    head = " ".join(line for line in drawn if line[0] == "┃")
    assert ("(95 %)" in head) == (unseen is not None) and ("(replicas)" in head) == (unseen is None)
    assert "none (" not in stream.getvalue()


# Ctrl-C.

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def _front(fake_script: Path, out: Path, mishap: str) -> subprocess.Popen[str]:
    code = (
        "import sys; from MeWMLib.cli import main\n"
        f"sys.exit(main({[*PLAN, '--out', str(out)]!r}, worker=[sys.executable, {str(fake_script)!r}]))"
    )
    environment = {**child_environment(), "MEWM_FAKE": mishap}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )


def _interrupt_when(process: subprocess.Popen[str], ready, times: int) -> tuple[int, str, str]:
    def press() -> None:
        until = time.monotonic() + 30
        while not ready() and time.monotonic() < until:
            time.sleep(0.02)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)

    presser = threading.Thread(target=press)
    presser.start()
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        presser.join()
    return process.returncode, out, err


@posix
def test_ctrl_c_keeps_the_best_so_far(fake_script, small_bundle, tmp_path):
    out = tmp_path / "out"
    process = _front(fake_script, out, "slow")
    code, text, err = _interrupt_when(process, (out / "plan.json").exists, 1)
    assert code == 130 and "Stopping; the best so far" in err and "Traceback" not in err
    plan = json.loads((out / "plan.json").read_text())
    assert plan["stopped_by"] == "cancelled" and plan["candidates"][0]["files"]
    assert plan["candidates"][0]["described"].split()[0] in text and "mewm render" in text
    last = text.splitlines()[-1]
    assert last.startswith(f"Stopped. The best so far is in {out / 'plan.json'}.")
    again = shlex.split(last.rpartition(": ")[2])
    assert again == ["mewm", *PLAN, "--out", str(out)]


@posix
def test_a_second_ctrl_c_ends_at_once(fake_script, small_bundle, tmp_path):
    out = tmp_path / "out"
    process = _front(fake_script, out, "stubborn")
    code, _, err = _interrupt_when(process, (out / "plan.json").exists, 2)
    assert code == 130 and "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"mewm: Stopped. The best so far is in {out / 'plan.json'}.") and f"mewm {PLAN[0]} " in last
    assert json.loads((out / "plan.json").read_text())["candidates"]


def test_an_error_of_ours_anywhere_is_a_sentence(mewm, monkeypatch):
    def broken():
        raise BundleError(what="Broken", given="here", remedy="Mend it")

    monkeypatch.setattr("MeWMLib.core.bundles.list_bundles", broken)
    code, out, err = mewm("bundle", "list")
    assert (code, out, err) == (2, "", "mewm: Broken. Given: here. Mend it.\n")
