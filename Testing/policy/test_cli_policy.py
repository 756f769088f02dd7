"""The commands of the policy, as a user types them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from MeWMLib import cli
from MeWMLib.policy.rules import RULES_PATH, load_rules

Run = Any


@pytest.fixture
def mewm(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command: (exit code, standard output, standard error)."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_rules_check_says_what_forbids_and_where_that_stands(mewm: Run) -> None:
    code, out, _ = mewm("rules", "check", "Cisplatin + Oxaliplatin + Lipiodol")
    assert code == 2 and "not allowed" in out
    assert "[one-platinum]" in out and "https://arxiv.org/abs/2506.02327" in out
    assert "cannot be judged, since child_pugh_class is not known: child-pugh-c, child-pugh-b" in out
    assert "none" not in out, "it is only said where all were asked"


def test_rules_check_takes_clinical_data(mewm: Run, tmp_path: Path) -> None:
    (tmp_path / "patient.json").write_text('{"creatinine_mg_per_dl": 1.6}', encoding="utf-8")
    code, out, _ = mewm("rules", "check", "Cisplatin + Lipiodol", "--json")
    assert code == 0 and json.loads(out)["allowed"] is True
    code, out, _ = mewm(
        "rules", "check", "Cisplatin + Lipiodol", "--clinical", tmp_path / "patient.json", "--json"
    )  # fmt: skip
    data = json.loads(out)
    assert code == 2 and data["allowed"] is False
    assert data["rules"][0]["rule"] == "creatinine-cisplatin" and data["rules"][0]["state"] == "touched"
    assert len(data["rules"]) == len(load_rules())


def test_a_part_of_a_protocol_can_be_checked(mewm: Run) -> None:
    assert mewm("rules", "check", "Cisplatin")[0] == 2
    assert mewm("rules", "check", "Cisplatin", "--partial")[0] == 0


def test_rules_list_and_rules_of_ones_own(mewm: Run, tmp_path: Path) -> None:
    code, out, _ = mewm("rules", "list", "--json")
    assert code == 0 and {r["rule"] for r in json.loads(out)} == {r.id for r in load_rules()}
    own = tmp_path / "own.json"
    own.write_text('{"version": 1, "rules": []}', encoding="utf-8")
    assert mewm("rules", "check", "Cisplatin + Oxaliplatin", "--rules", own)[0] == 0
    assert "one-platinum" in mewm("rules", "list", "--rules", RULES_PATH)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check",), "No protocol was given"),
        (("check", "Cisplatine + Lipiodol"), "Did you mean Cisplatin?"),
        (("check", "Cisplatin + Lipiodol", "--rules", "nonesuch.json"), "rules cannot be read"),
        (("check", "Cisplatin + Lipiodol", "--clinical", "nonesuch.json"), "clinical data cannot be read"),
    ],
)
def test_bad_input_to_rules_is_a_sentence(mewm: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = mewm("rules", *arguments)
    assert code == 2 and said in err and "Traceback" not in err and out == ""


REPORT = "Cisplatin 120 mg was infused; 10 ml Lipidol was injected; PVA was not used; tumour staining disappeared."


def test_report_parse_prints_what_it_read_and_what_it_was_not_sure_of(mewm: Run, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(REPORT, encoding="utf-8")
    code, out, _ = mewm("report", "parse", tmp_path / "report.txt")
    assert code == 0 and "Protocol: Cisplatin 120 mg (infused) + Lipiodol 10 ml (embolised)" in out
    assert "Named as not given: PVA" in out and "level: 4 of 4" in out and "'Lipidol' was read as Lipiodol" in out
    assert "usual up to 100 mg" in out, "the rules look at it too"
    code, out, _ = mewm("report", "parse", tmp_path / "report.txt", "--json")
    data = json.loads(out)
    assert data["actions"][0] == {"agent": "Cisplatin", "dose": 120.0, "route": "infused"}
    assert data["attenuation_level"] == 4 and data["rules"][0]["rule"] == "dose-above-usual"


def test_report_parse_shows_territory_doubt_and_what_is_not_read(mewm: Run, tmp_path: Path) -> None:
    text = (
        "Two vials of DC Bead, each loaded with 75 mg doxorubicin, were injected into S5 and S8. Cisplatin 20 mg per "
        "artery was infused. Embosphere 2 ml was used. 40 mg of a study drug was given. Heparin 3000 IU."
    )
    (tmp_path / "report.txt").write_text(text, encoding="utf-8")
    code, out, _ = mewm("report", "parse", tmp_path / "report.txt")
    assert code == 0 and "Doxorubicin 150 mg + LC beads (embolised) @ segments 5, 8" in out
    assert "Territory: segments 5, 8: Two vials" in out and "20 mg, UNCERTAIN because of 'per artery'" in out
    assert "not read: product Embosphere, 2 ml (tris-acryl" in out and "not read: '40 mg' in" in out
    assert "eparin" not in out
    data = json.loads(mewm("report", "parse", tmp_path / "report.txt", "--json")[1])
    assert data["territory"] == "segments 5, 8" and data["uncertain"] == {"Cisplatin": ["per artery"]}
    assert len(data["unread"]) == 2
    (tmp_path / "report.txt").write_text("Tumour in segment 7 treated with PVA 2 ml.", encoding="utf-8")
    out = mewm("report", "parse", tmp_path / "report.txt")[1]
    assert "Territory: segment 7, UNCERTAIN because of \"'segment 7' is where a lesion lies\"" in out


def test_report_parse_reads_standard_input(mewm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("nothing to see"))
    code, out, _ = mewm("report", "parse", "-")
    assert code == 0 and "no agent was found" in out and "level: not stated" in out


def test_an_unreadable_report_is_a_sentence(mewm: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"tumour \xe9")
    (tmp_path / "long.txt").write_bytes(b"a" * 100_001)
    for name, said in (("none.txt", "cannot be read"), ("latin.txt", "cannot be read"), ("long.txt", "too long")):
        code, out, err = mewm("report", "parse", tmp_path / name)
        assert code == 2 and said in err and out == "" and "Traceback" not in err


def test_a_form_for_clinical_data_is_printed_and_checked(mewm: Run, tmp_path: Path) -> None:
    code, form, _ = mewm("clinical", "template")
    permitted = json.loads(form).pop("_permitted")
    assert code == 0 and set(permitted) == set(json.loads(form)) - {"_permitted"}
    assert {value for name, value in json.loads(form).items() if name != "_permitted"} == {None}
    assert "main" in permitted["portal_vein_thrombosis"] and "from 0 to 4" in permitted["ecog"]
    assert json.loads(mewm("clinical", "schema")[1])["additionalProperties"] is False
    file = tmp_path / "patient.json"
    file.write_text(json.dumps({**json.loads(form), "child_pugh": "B8", "sex": "F"}), encoding="utf-8")
    code, out, _ = mewm("clinical", "check", file)
    assert code == 0 and "Child-Pugh points: 8" in out and "sex: female" in out and "Not known: age_years" in out
    assert json.loads(mewm("clinical", "check", file, "--json")[1])["clinical"]["child_pugh_score"] == 8
    file.write_text('{"sex": "x"}', encoding="utf-8")
    code, _, err = mewm("clinical", "check", file)
    assert code == 2 and "Use female or male" in err
    assert mewm("clinical", "check")[0] == 2
    assert mewm("clinical", "template", tmp_path / "new.json")[0] == 0
    assert json.loads((tmp_path / "new.json").read_text(encoding="utf-8")) == json.loads(form)
    assert "there already" in mewm("clinical", "template", tmp_path / "new.json")[2]


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("doxorubicin", "Doxorubicin: is wanted or ruled out?"),
        ("use cisplatin, no cisplatin", "both wanted and ruled out"),
        ("TIPS stent", "speaks of stent"),
    ],
)
def test_a_question_about_the_goal_stops_before_any_work(mewm: Run, goal: str, said: str) -> None:
    code, out, err = mewm("propose", "nonesuch.nrrd", "--goal", goal)
    assert code == 2 and out == "" and said in err and "--accept-goal" in err and "nonesuch" not in err
    assert err.count(said) == 1 and "?." not in err
    code, _, err = mewm("propose", "nonesuch.nrrd", "--goal", goal, "--accept-goal")
    assert code == 2 and "nonesuch" in err, "it went on, to a CT that is not there"


def test_the_goal_is_echoed_before_the_work(mewm: Run) -> None:
    goal = "anaphylaxis with cisplatin; doxorubicin-refractory"
    _, out, err = mewm("propose", "nonesuch.nrrd", "--quiet", "--goal", goal)
    assert "excluded: Cisplatin, Doxorubicin" in err and "wanted: nothing" in err and out == ""
