"""`mewm reproduce` from files to page: on phantoms as real patients, stopped and resumed, refused and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from MeWMLib.cohorts.layout import PRE, Cohort, write_table
from MeWMLib.core.bundles import Bundle, find_bundle, write_part
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.plan import IMAGE, MODEL, PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.baselines import FULL
from MeWMLib.lab.evaluation.planning import overlap
from MeWMLib.lab.reproduce import run as running
from MeWMLib.lab.reproduce.__main__ import main
from MeWMLib.lab.reproduce.patient import MeasurePatient
from MeWMLib.lab.reproduce.searched import Judge
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.endpoints import find_endpoint
from MeWMLib.world.model import WorldModel

FEW = ("--fitted-on", "1", "--replicas", "1", "--drugs", "2", "--embolics", "1", "--steps", "1", "--repeats", "1")


def run(cohort: Path, out: Path, bundle: Bundle, *more: str) -> dict[str, Any]:
    command = ["--cohort", str(cohort), "--out", str(out), "--bundle", str(bundle.path), *FEW, *more]
    assert main(command) == 0
    found: dict[str, Any] = json.loads((out / "reproduce.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def bundle(tiny_map_bundle: Bundle, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small bundle whose survival part is the released one, a Cox model of volumes that looks at no image."""
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    shutil.copytree(tiny_map_bundle.path, folder)
    released = find_bundle(repository / "Resources" / "Bundles" / "mewm-small")
    write_part(folder, "survival", *released.part("survival"))
    return find_bundle(folder)


@pytest.fixture(scope="module")
def rehearsal(
    phantoms: ModuleType, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, dict[str, Any]]:
    """A cohort of 4 phantoms, one of them without scan after, protocol and survival; and what the run found."""
    folder = tmp_path_factory.mktemp("reproduce")
    phantoms.write_cohort(folder / "cohort", 4, bare=(1,))
    # nothing is stored in an empty folder
    result = run(folder / "cohort", folder / "out", bundle, "--assistant-patients", "1", "--results", str(folder))
    return folder / "cohort", folder / "out", result


def test_every_table_of_the_paper_has_its_rows(rehearsal: tuple[Path, Path, dict[str, Any]]) -> None:
    _, out, result = rehearsal
    assert {"mewm", "mewm_expected", "copy_pre", "syntumor", "pixel2cancer"} <= set(result["table1"]["rows"])
    one = result["table1"]["rows"]["mewm"]
    assert one["fid"]["n"] == 3 and one["lpips"]["low"] <= one["lpips"]["mean"] <= one["lpips"]["high"]
    assert result["table1"]["rows"]["copy_pre"]["mae_ratio"]["mean"] == pytest.approx(1.0)
    two = result["table2"]["rows"]
    assert {"guideline", "constant", "frequency_prior", "random", "mewm", "mewm_exhaustive", "no_assistant"} <= set(two)
    assert two["mewm"]["f1"]["n"] == 3 and two["mewm_assistant"]["f1"]["n"] == 1
    assert "no_assistant - mewm_assistant" in result["table3"]["differences"]
    apart = result["table2"]["differences"]
    assert apart["mewm_assistant - mewm"]["f1"]["n"] == 1 and apart["frequency_prior - mewm"]["f1"]["n"] == 3
    expected = two["frequency_prior"]["f1"]["mean"] - two["mewm"]["f1"]["mean"]
    assert apart["frequency_prior - mewm"]["f1"]["mean"] == pytest.approx(expected)
    both = result["table3"]["pairs"]["no_assistant"]
    assert both["no_assistant"]["f1"]["n"] == both["mewm_assistant"]["f1"]["n"] == 1
    assert result["table3"]["assisted"] == 1 and result["table3"]["lesion_found"] in (0, 1)
    page = (out / "reproduce.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3 and "What could not be run" in page
    for text in ("64.08", "71.43", "60.03", "3.33", "79.17"):
        assert text in page, "the paper's numbers stand beside"


def test_survival_figures_and_virtual_against_real(phantoms: ModuleType, bundle: Bundle, tmp_path: Path) -> None:
    """On a cohort written as files: every patient simulated, no search."""
    phantoms.write_cohort(tmp_path / "cohort", 17)
    result = run(tmp_path / "cohort", tmp_path / "out", bundle, "--no-planning", "--no-baselines", "--folds", "3")
    rows = result["figures"]["rows"]
    assert {"mewm", "radiomics_cox", "clinical_cox", "mewm_scan_after"} <= set(rows)
    assert all(0 <= r["c_index"]["low"] <= r["c_index"]["mean"] <= r["c_index"]["high"] <= 1 for r in rows.values())
    found = result["virtual"]
    assert {"before", "clinical", "virtual", "scan_after"} <= set(found["rows"])
    # the difference is that of the two rows, on the same draws of patients
    apart = found["rows"]["scan_after"]["c_index"]["mean"] - found["rows"]["virtual"]["c_index"]["mean"]
    assert found["differences"]["scan_after - virtual"]["c_index"]["mean"] == pytest.approx(apart)
    assert not any(name.startswith("virtual") for name in found["covariates"]["scan_after"])
    assert not any(name.startswith(("virtual", "scan_after")) for name in found["covariates"]["clinical"])
    # dead tumour lengthens life in these phantoms, and only the scan after shows how much died
    assert found["rows"]["scan_after"]["c_index"]["mean"] > 0.6
    page = (tmp_path / "out" / "reproduce.html").read_text(encoding="utf-8")
    assert "0.752" in page and 'alt="figure6.png"' in page


def test_the_constant_plan_scores_what_the_regimens_say(rehearsal: tuple[Path, Path, dict[str, Any]]) -> None:
    cohort, _, result = rehearsal
    constant = Protocol.parse(result["agents"]["constant"])
    assert set(constant.agents) == {"Cisplatin", "Mitomycin", "Doxorubicin", "Lipiodol"}
    expected = [overlap(constant, Protocol.parse(r.protocol))["f1"] for r in Cohort.read(cohort).rows if r.protocol]
    assert result["table2"]["rows"]["constant"]["f1"]["mean"] == pytest.approx(np.mean(expected))
    assert result["table2"]["rows"]["constant"]["f1_beyond_constant"]["mean"] == pytest.approx(0.0)


def test_what_is_missing_is_named_with_what_follows(rehearsal: tuple[Path, Path, dict[str, Any]]) -> None:
    _, _, result = rehearsal
    gaps = {gap["what"]: gap for gap in result["gaps"]}
    for what in ("No scan after treatment", "What was given is not recorded", "Survival is not known"):
        assert gaps[what]["patients"] == ["P01"] and gaps[what]["follows"]
    assert any("no_ccl" in what for what in gaps) and "No language model was named" in gaps
    unassisted = gaps["Not searched with the segmenter's outline of every simulation"]
    assert unassisted["patients"] == ["P01", "P02", "P03"] and "--assistant-patients" in unassisted["remedy"]
    assert all(gap["follows"].endswith(".") for gap in result["gaps"])
    assert "No readers took part" in gaps and "No physicians' choices were given" in gaps


def test_a_second_run_measures_nobody_again_and_a_changed_patient_alone(
    rehearsal: tuple[Path, Path, dict[str, Any]],
    bundle: Bundle,
    phantoms: ModuleType,
    tmp_path: Path,
) -> None:
    cohort, out, first = rehearsal
    again = tmp_path / "out"
    shutil.copytree(out, again)
    shutil.copytree(cohort, tmp_path / "cohort")
    options = ("--assistant-patients", "1")
    second = run(tmp_path / "cohort", again, bundle, *options)
    assert second["about"]["measured_now"] == 0 and second["table1"] == first["table1"]
    shutil.copy(tmp_path / "cohort" / "P02" / PRE, tmp_path / "cohort" / "P03" / PRE)
    third = run(tmp_path / "cohort", again, bundle, *options)
    assert third["about"]["measured_now"] == 1 and third["table1"] != first["table1"]
    # a damaged result is computed again
    (again / "patients" / "P02" / "arrays.npz").write_bytes(b"damaged")
    assert run(tmp_path / "cohort", again, bundle, *options)["about"]["measured_now"] == 1


def test_a_run_that_is_stopped_goes_on(
    phantoms: ModuleType, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantoms.write_cohort(tmp_path / "cohort", 3)
    measured: list[str] = []
    usual = MeasurePatient.__call__

    def stopped(self: MeasurePatient, member: Any) -> float:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(member.id)
        return usual(self, member)

    monkeypatch.setattr(MeasurePatient, "__call__", stopped)
    command = ["--cohort", str(tmp_path / "cohort"), "--out", str(tmp_path / "out"), "--bundle",
               str(bundle.path), *FEW, "--assistant-patients", "0"]  # fmt: skip
    assert main(command) == 130
    assert not (tmp_path / "out" / "reproduce.json").exists()
    monkeypatch.setattr(MeasurePatient, "__call__", usual)
    result = run(tmp_path / "cohort", tmp_path / "out", bundle, "--assistant-patients", "0")
    assert result["about"]["measured_now"] == 2 and result["table1"]["patients"] == 3
    # too few for what is fitted: named, not computed
    assert not result["figures"]["rows"] and any("Survival models need" in gap["what"] for gap in result["gaps"])


def test_patients_for_judging_are_opened_only_when_asked_and_are_logged(
    phantoms: ModuleType, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantoms.write_cohort(tmp_path / "one", 1, names=("HCC_009",))
    command = ["--cohort", str(tmp_path / "one"), "--out", str(tmp_path / "out"), "--bundle", str(bundle.path)]
    assert main(command) == CohortError("").exit_code
    assert "--judging" in capsys.readouterr().err
    result = run(tmp_path / "one", tmp_path / "out", bundle, "--judging", "--assistant-patients", "0")
    assert "HCC_009" in (tmp_path / "out" / "judging.log").read_text(encoding="utf-8")
    assert result["about"]["patients"] == 1 and not result["table2"]["rows"].get("frequency_prior")


def test_no_labels_an_unregistered_scan_and_an_assumed_protocol(
    phantoms: ModuleType, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What real cohorts are like: the segmenter outlines, the scan after is registered, the protocol is assumed."""
    phantoms.write_cohort(tmp_path / "cohort", 1, registered=False)
    folder = tmp_path / "cohort" / "P00"
    (folder / "pre_labels.seg.nrrd").unlink()
    known = phantoms.case(0, 0.5).before_labels
    monkeypatch.setattr("MeWMLib.world.model.WorldModel.segment", lambda self, ct, *_: known)
    rows = [r for r in Cohort.read(tmp_path / "cohort").rows]
    write_table(tmp_path / "cohort", [type(rows[0])(rows[0].id, "", None, None, phase="portal", registered=False)])
    result = run(
        tmp_path / "cohort", tmp_path / "out", bundle, "--assume", "Doxorubicin + Lipiodol",
        "--assistant-patients", "0",
    )  # fmt: skip
    kept = json.loads((tmp_path / "out" / "patients" / "P00" / "result.json").read_text(encoding="utf-8"))["result"]
    assert kept["outlined"] == "segmenter" and kept["simulated"] == "Doxorubicin + Lipiodol"
    assert kept["registration"] and (tmp_path / "out" / "patients" / "P00" / "labels.seg.nrrd").exists()
    assert result["table1"]["patients"] == 1 and result["table2"]["patients"] == 0
    assert {"No labels of liver and tumour before treatment", "The scan after is not registered"} <= {
        gap["what"] for gap in result["gaps"]
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--row", "no_ccl"), "Not a row"),
        (("--row", "mewm=somewhere"), "there already"),
        (("--workers", "0"), "too small"),
        (("--replicas", "0"), "replicas is too small"),
        (("--hold-out", "1.5"), "between 0 and 1"),
        (("--backbone", "nothing.pt"), "does not exist"),
        (("--physicians", "nothing.csv"), "nothing.csv"),
        (("--readers", "nowhere"), "study score"),
    ],
)
def test_what_cannot_be_used_is_refused(
    rehearsal: tuple[Path, Path, dict[str, Any]],
    bundle: Bundle,
    more: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    cohort, out, _ = rehearsal
    shutil.copytree(out, tmp_path / "out")
    command = ["--cohort", str(cohort), "--out", str(tmp_path / "out"), "--bundle", str(bundle.path), *FEW,
               "--assistant-patients", "1", *more]  # fmt: skip
    assert main(command) == InputError("").exit_code
    assert said in capsys.readouterr().err


def test_language_models_physicians_stored_rows_and_the_split_stand_on_the_page(
    rehearsal: tuple[Path, Path, dict[str, Any]], bundle: Bundle, recorded: Any, tmp_path: Path
) -> None:
    cohort, out, _ = rehearsal
    shutil.copytree(out, tmp_path / "out")
    server = recorded(json.dumps({"drugs": ["Doxorubicin"], "embolics": ["Lipiodol"]}))
    ours = {"name": "ours", "url": server.url, "model": "m", "images": True, "price_in": 2.0, "price_out": 10.0}
    data_folder().mkdir(parents=True, exist_ok=True)
    (data_folder() / "endpoints.json").write_text(json.dumps({"endpoints": [ours]}), encoding="utf-8")
    privacy.grant(find_endpoint("ours"))
    lines = ["patient,physician,with_mewm,protocol", "P00,A,0,Doxorubicin + Lipiodol",
             "P00,A,1,Cisplatin + Doxorubicin + Mitomycin + Lipiodol"]  # fmt: skip
    (tmp_path / "choices.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {metric: {"value": 0.625, "low": 0.5, "high": 0.75, "n": 12} for metric in ("sensitivity", "specificity")}
    told |= {"accuracy": {"value": 0.875, "low": 0.5, "high": 1.0, "n": 12}}
    scores = {
        "title": "Ours",
        "answers": {"R1": 12},
        "cases": 12,
        "figures": {"mewm": {"R1": told}},
        "comparison": None,
    }
    (tmp_path / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    stored = {
        "cohort": "60 synthetic patients",
        "stamp": {"command": "mewm evaluate planning", "date": "2026-01-01"},
        "rows": {"no_ccl": {"f1": {"mean": 51.0, "n": 60}}},
    }
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "planning.json").write_text(json.dumps(stored), encoding="utf-8")
    result = run(
        cohort, tmp_path / "out", bundle, "--assistant-patients", "1", "--language", "gpt-4o=ours", "medgpt=nobody",
        "--readers", str(tmp_path / "scores.json"),
        "--physicians", str(tmp_path / "choices.csv"), "--results", str(tmp_path / "results"), "--hold-out", "0.34",
    )  # fmt: skip
    assert result["about"]["measured_now"] == 0
    row = "gpt-4o (ours)"
    used = result["language"]["usage"][row]["ours"]
    assert (used["requests"], used["prompt_tokens"], used["completion_tokens"]) == (3, 1500, 120)
    assert used["cost"] == pytest.approx((1500 * 2 + 120 * 10) / 1e6)
    assert all(len(body["messages"][-1]["content"]) > 1 for body in server.asked), "pictures are sent"
    assert any("nobody" in gap["what"] for gap in result["gaps"])
    assert not any("No readers" in gap["what"] for gap in result["gaps"]) and result["readers"]["readers"] == 1
    assert result["physicians"]["paired"]["pairs"] == 1 and list(result["stored"]) == ["no_ccl"]
    held = result["split"]["held_out"]
    assert 0 < len(held) < 4 and result["table2"]["patients"] == len([p for p in held if p != "P01"])
    page = (tmp_path / "out" / "reproduce.html").read_text(encoding="utf-8")
    assert '<td class="n">1500</td><td class="n">120</td><td class="n">0.0042 USD</td>' in page
    assert "1 reader of the study “Ours”, 12 cases" in page and "readers 62.5" in page and "readers 87.5" in page
    for text in ("What the language models cost", "paired", "From stored results", "60 synthetic patients", "held out"):
        assert text in page


def test_progress_says_how_many_and_how_long(phantoms: ModuleType, bundle: Bundle, tmp_path: Path) -> None:
    from MeWMLib.lab.reproduce.settings import ReproduceSettings
    from MeWMLib.lab.reproduce.tables import TableSettings

    phantoms.write_cohort(tmp_path / "cohort", 2)
    settings = ReproduceSettings(
        tmp_path / "cohort", tmp_path / "out", str(bundle.path), replicas=1, steps=1, drugs=2, embolics=1,
        assistant_patients=0, baselines=False,
    )  # fmt: skip
    seen: list[tuple[str, float, float, str, float | None]] = []
    running.reproduce(running.Request(settings, TableSettings(repeats=1)), lambda *step: seen.append(step))
    patients = [step for step in seen if step[0] == "patients"]
    assert [step[1] for step in patients] == [1, 2] and "1 of 2" in patients[0][3] and "left" in patients[0][3]
    assert patients[0][4] is not None and patients[0][4] > 0


def test_rows_with_weights_of_their_own_stand_beside_the_full_one_of_their_budget(
    phantoms: ModuleType, bundle: Bundle, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """Latent rows: paired with the row of the same budget, kept as a stamped result, read from it without weights."""
    phantoms.write_cohort(tmp_path / "cohort", 2)
    others = {name: tmp_path / name for name in (FULL, "no_ccl", "difftumor")}
    for n, folder in enumerate(others.values()):
        shutil.copytree(tiny_bundle.path, folder)
        config, tensors = tiny_bundle.part("dynamics")
        tensors["head.2.bias"] = tensors["head.2.bias"] + 0.5 * n
        write_part(folder, "dynamics", config, tensors, bundle_name=folder.name, description=f"Budget of {folder.name}")
    rows = [word for name, folder in others.items() for word in ("--row", f"{name}={folder}")]
    few = ("--no-baselines", "--assistant-patients", "0", "--results", str(tmp_path / "nothing"))
    result = run(tmp_path / "cohort", tmp_path / "out", bundle, *few, *rows)
    one, three = result["table1"], result["table3"]
    assert set(one["differences"]) == {f"no_ccl - {FULL}", f"difftumor - {FULL}"}
    for metric in ("mae_hu", "lpips"):
        apart = one["rows"]["no_ccl"][metric]["mean"] - one["rows"][FULL][metric]["mean"]
        assert one["differences"][f"no_ccl - {FULL}"][metric]["mean"] == pytest.approx(apart) and apart != 0
    assert set(three["pairs"]["no_ccl"]) == {FULL, "no_ccl"} and f"no_ccl - {FULL}" in three["differences"]
    assert not any("no_ccl - mewm" in name for name in three["differences"])
    # a network that sees no action stands for any protocol
    two = result["table2"]["rows"]
    assert two["difftumor"]["f1"] == two["random_in_space"]["f1"] and two["no_ccl"]["simulations"]["mean"] > 0
    page = (tmp_path / "out" / "reproduce.html").read_text(encoding="utf-8")
    assert "no_ccl: Budget of no_ccl" in page and "latent model, whole, with the budget of the rows below" in page

    kept = json.loads((tmp_path / "out" / "rows.json").read_text(encoding="utf-8"))
    assert kept["stamp"]["command"].startswith("mewm reproduce") and kept["stamp"]["date"]
    assert kept["rows"]["no_ccl"]["fid"] == one["rows"]["no_ccl"]["fid"]
    assert kept["rows"]["no_ccl"]["f1"] == two["no_ccl"]["f1"]
    both = kept["rows"][f"no_ccl-minus-{FULL}"]
    assert both["mae_hu"]["n"] == both["f1"]["n"] == 2
    (tmp_path / "results").mkdir()
    shutil.copy(tmp_path / "out" / "rows.json", tmp_path / "results" / "ablations.json")
    few = ("--no-baselines", "--assistant-patients", "0", "--results", str(tmp_path / "results"))
    stored = run(tmp_path / "cohort", tmp_path / "again", bundle, *few)
    assert list(stored["stored"]) == list(others) and "no_ccl" not in stored["table1"]["rows"]
    page = (tmp_path / "again" / "reproduce.html").read_text(encoding="utf-8")
    assert "From stored results" in page and "Budget of no_ccl" in page and "ablations.json" in page
    gaps = {gap["what"] for gap in stored["gaps"]}
    assert any("textomorph" in what for what in gaps) and not any("no_ccl" in what for what in gaps)

    # without a full row of its budget an ablation is held against nothing
    alone = run(tmp_path / "cohort", tmp_path / "alone", bundle, *few, "--row", f"no_ccl={others['no_ccl']}")
    assert "no_ccl" in alone["table2"]["rows"] and "no_ccl" not in alone["table3"]["pairs"]
    assert any("no full row of the same budget" in gap["what"] for gap in alone["gaps"])


def test_a_latent_model_is_judged_by_its_image_and_by_its_response(phantoms: ModuleType, tiny_bundle: Bundle) -> None:
    world = WorldModel.load(tiny_bundle)
    case = phantoms.case(0, 0.5)
    patient = world.patient(case.before, case.before_labels)
    plan = PlanSettings(replicas=1, steps=1)
    judge = Judge(world, patient, plan, 0)
    trial = (Protocol.parse("Cisplatin + Lipiodol"), 0)
    by_image, by_model = (judge.risks(way)([trial])[0] for way in (IMAGE, MODEL))
    patch, (one,) = world.on_patch(patient, [trial[0]], replica_seeds(0, 1), plan)
    assert by_model == one.score.log_risk and one.score.predicted_viable_ml is not None
    image = patch.simulated(one.change_hu)
    assert by_image == world.judge_image(patient, image, one.labels).log_risk != by_model
