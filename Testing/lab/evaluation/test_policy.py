"""Table 2's policy rows: the figures by hand, the splits by patient, the known figure of the real table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.layout import write_table
from MeWMLib.core.errors import CohortError, InputError, PolicyError, UnreadableFileError
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import FREE, TEMPLATES, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.templates import template_of
from MeWMLib.lab.evaluation.__main__ import main
from MeWMLib.lab.evaluation.baselines.policies import RandomPolicy, fit_prior, save_prior
from MeWMLib.lab.evaluation.policy import evaluate_policies, folds, makers, scores
from MeWMLib.lab.evaluation.policy_cases import PUBLIC_AGENTS, PolicyCase, PolicyCohort, read_cohort, read_table
from MeWMLib.policy.baselines import ConstantPolicy, FrequencyPrior, GuidelinePolicy
from MeWMLib.policy.proposal import PolicyInput, first_choice
from MeWMLib.policy.rules import allowed

SETTINGS = PlanSettings(space="free")
LESION = Lesion(1, 30.0, 60.0, (0.0, 0.0, 0.0), 100.0, 15.0, 0.0, 0.1, 25.0)
SEEN = PolicyInput(Findings(1500.0, 100.0, (LESION,)))
HEADER = "TCIA_ID,chemotherapy,CPS,BCLC,AFP,age,Tr_Size,tumor_nodul,Metastasis"


def cohort_of(*plans: str) -> PolicyCohort:
    cases = tuple(
        PolicyCase(f"P{n}", SEEN, frozenset(Protocol.parse(text).agents)) for n, text in enumerate(plans)
    )  # fmt: skip
    return PolicyCohort("test", cases, PUBLIC_AGENTS, Protocol.parse("Cisplatin + Lipiodol"))


def table_of(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("planned", "given", "expected"),
    [
        ("abc", "abc", (1.0, 1.0, 1.0, 1.0)),
        ("abcd", "abx", (4 / 7, 2 / 5, 2 / 4, 2 / 3)),
        ("a", "bc", (0.0, 0.0, 0.0, 0.0)),
        ("", "bc", (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_the_four_figures_by_hand(planned: str, given: str, expected: tuple[float, ...]) -> None:
    found = scores(frozenset(planned), frozenset(given))
    assert tuple(found.values()) == pytest.approx(expected)
    # F1 is the harmonic mean of precision and recall, and Jaccard follows from it
    if found["f1"]:
        assert found["f1"] == pytest.approx(2 / (1 / found["precision"] + 1 / found["recall"]))
        assert found["jaccard"] == pytest.approx(found["f1"] / (2 - found["f1"]))


@pytest.mark.real_data
def test_the_figure_known_of_the_real_table(shared_data: Path) -> None:
    """84.7: counted by hand from 43 triple regimens, one double, and 24 of beads with doxorubicin, Lipiodol in all."""
    cohort = read_table(shared_data / "tables" / "hcc_tace_seg_clinical_80.csv")
    assert len(cohort.cases) == 68 and cohort.without_regimen == 12
    by_hand = (43 * 1 + 1 * 6 / 7 + 24 * 4 / 7) / 68
    result = evaluate_policies(cohort, makers(cohort, ["constant", "frequency_prior", "guideline"]), SETTINGS, 3)
    f1 = result.rows["constant"]["f1"]
    assert f1["mean"] == pytest.approx(by_hand) and round(100 * f1["mean"], 1) == 84.7 and f1["n"] == 68
    assert f1["low"] < f1["mean"] < f1["high"]
    # the most frequent regimen is the constant plan in every split
    assert result.rows["frequency_prior"] == result.rows["constant"]
    assert result.refused == {"constant": 0.0, "frequency_prior": 0.0, "guideline": pytest.approx(2 / 68)}
    assert 0.7 < result.rows["guideline"]["f1"]["mean"] < 0.8


def test_a_row_of_the_table_becomes_a_patient(tmp_path: Path) -> None:
    path = table_of(
        tmp_path,
        'H1,"Cisplastin, doxorubicin, Mitomycin-C",B,Stage-C,1431.8,70,7.5,multinodular,1',
        "H2,doxorubicin LC beads,A,Stage-B,,66,,uninodular,0",
        "H3,,A,Stage-A,5,50,2,uninodular,0",
    )
    cohort = read_table(path)
    first, second = cohort.cases
    assert first.gold == {"Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol"} and cohort.without_regimen == 1
    assert second.gold == {"Doxorubicin", "LC beads", "Lipiodol"}
    assert first.seen.clinical == Clinical(
        age_years=70, afp_ng_per_ml=1431.8, child_pugh_class="B", bclc_stage="C", extrahepatic_spread=True
    )
    assert len(first.seen.findings.lesions) == 2 and first.seen.findings.lesions[0].longest_axial_diameter_mm == 75
    assert second.seen.findings.lesions == () and second.seen.clinical.extrahepatic_spread is False
    assert "2 of 3 patients" in cohort.name


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["H1,Cisplatin,A,Stage-A,low,70,7,uninodular,0"], "AFP is not a number"),
        (["H3,,A,Stage-A,5,50,2,uninodular,0"], "no regimen"),
        ([], "no rows"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_table(table_of(tmp_path, *rows))


def test_a_missing_table_and_missing_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_table(tmp_path / "nonesuch.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="without TCIA_ID"):
        read_table(tmp_path / "other.csv")


def test_every_patient_is_tested_once_in_each_split_and_never_trained_on() -> None:
    for repeat in range(3):
        parts = folds(23, 5, 7, repeat)
        assert sorted(n for part in parts for n in part) == list(range(23))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert folds(23, 5, 7, 0) == folds(23, 5, 7, 0) != folds(23, 5, 7, 1)

    cohort = cohort_of(*["Cisplatin + Lipiodol"] * 7)
    seen: list[tuple[set[str], str]] = []

    class Spy(GuidelinePolicy):
        def propose(self, case, settings):  # type: ignore[no-untyped-def]
            seen.append((self.training, next(c.id for c in cohort.cases if c.seen is case)))  # type: ignore[attr-defined]
            return super().propose(case, settings)

    def make(train, seed):  # type: ignore[no-untyped-def]
        spy = Spy()
        object.__setattr__(spy, "training", {c.id for c in train})
        return spy

    own = replace(cohort, cases=tuple(replace(c, seen=PolicyInput(SEEN.findings)) for c in cohort.cases))
    cohort = own
    evaluate_policies(own, {"spy": make}, SETTINGS, repeats=2, fold_count=3)
    assert len(seen) == 14 and all(patient not in training and len(training) >= 4 for training, patient in seen)


def test_the_prior_is_fitted_on_the_other_folds_only() -> None:
    """One odd patient: fitted on the others, the prior cannot know the odd regimen, so that patient scores 1/2."""
    cohort = cohort_of(*["Cisplatin + Lipiodol"] * 5, "Mitomycin + Lipiodol")
    rows = evaluate_policies(cohort, makers(cohort, ["frequency_prior"]), SETTINGS, 4, 3).rows["frequency_prior"]
    assert rows["f1"]["mean"] == pytest.approx((5 * 1 + 0.5) / 6) and rows["f1"]["n"] == 6


def test_the_same_seed_gives_the_same_table_and_chance_differs() -> None:
    cohort = cohort_of(*["Cisplatin + Lipiodol", "Doxorubicin + LC beads"] * 6)
    names = ["random", "guideline"]
    one = evaluate_policies(cohort, makers(cohort, names), SETTINGS, 2, 4, seed=1).rows
    assert one == evaluate_policies(cohort, makers(cohort, names), SETTINGS, 2, 4, seed=1).rows
    assert one["random"] != evaluate_policies(cohort, makers(cohort, names), SETTINGS, 2, 4, seed=2).rows["random"]


def test_a_refusal_counts_as_an_empty_plan_and_is_told() -> None:
    forbidden = replace(SEEN, clinical=Clinical(child_pugh_class="C"))
    cohort = cohort_of("Cisplatin + Lipiodol", "Cisplatin + Lipiodol")
    cases = (cohort.cases[0], replace(cohort.cases[1], seen=forbidden))
    result = evaluate_policies(
        replace(cohort, cases=cases), makers(cohort, ["guideline", "constant"]), SETTINGS, 1, 2
    )  # fmt: skip
    assert result.refused == {"guideline": 0.5, "constant": 0.0}
    assert result.plans["guideline"]["P1"] == ""


@pytest.mark.parametrize(("repeats", "count"), [(0, 2), (1, 1), (1, 4)])
def test_what_cannot_be_split_is_refused(repeats: int, count: int) -> None:
    cohort = cohort_of("Cisplatin + Lipiodol", "Cisplatin + Lipiodol", "Cisplatin + Lipiodol")
    with pytest.raises(InputError, match="cannot be split"):
        evaluate_policies(cohort, makers(cohort, ["constant"]), SETTINGS, repeats, count)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InputError, match="Unknown policy"):
        makers(cohort_of("Cisplatin + Lipiodol"), ["oracle of Delphi"])


def test_the_first_choice_follows_ranking_rules_and_horizons() -> None:
    space = GuidelinePolicy().propose(SEEN, SETTINGS).space
    assert first_choice(space, Clinical(), SETTINGS).agents == (
        "Cisplatin",
        "Doxorubicin",
        "Lipiodol",
        "Gelatin Sponge",
    )
    assert first_choice(space, Clinical(), PlanSettings(drug_horizon=1, embolic_horizon=1)).agents == (
        "Doxorubicin", "Lipiodol",
    )  # fmt: skip
    # Epirubicin is passed over beside Doxorubicin
    many = first_choice(space, Clinical(), PlanSettings(drug_horizon=11, embolic_horizon=7))
    assert "Epirubicin" not in many.agents and allowed(many, complete=True)
    assert first_choice(space, Clinical(child_pugh_class="C"), SETTINGS) == Protocol(())


def test_the_first_choice_among_templates_is_one_that_is_usually_given() -> None:
    settings = PlanSettings(space=TEMPLATES, drugs=11, embolics=7)
    space = GuidelinePolicy(PUBLIC_AGENTS).propose(SEEN, settings).space
    chosen = first_choice(space, Clinical(), settings)
    assert template_of(chosen) == "ctace" and "LC beads" not in chosen.agents
    # the free space adds what no template holds
    assert template_of(first_choice(space, Clinical(), replace(settings, space=FREE))) is None


def test_the_prior_counts_ranks_and_obeys(tmp_path: Path) -> None:
    given = [Protocol.parse(t) for t in ("Cisplatin 60 mg + Lipiodol", "Cisplatin + Lipiodol", "Mitomycin + PVA")]
    prior = fit_prior(given)
    assert prior.regimens == (("Cisplatin + Lipiodol", 2), ("Mitomycin + PVA", 1))
    proposal = prior.propose(SEEN, SETTINGS)
    assert proposal.protocol.text == "Cisplatin + Lipiodol" and proposal.space.drugs == ("Cisplatin", "Mitomycin")
    assert "67 % of 3 patients" in proposal.space.reasons["Lipiodol"]
    kidney = replace(SEEN, clinical=Clinical(creatinine_mg_per_dl=1.6))
    assert prior.propose(kidney, SETTINGS).protocol.text == "Mitomycin + PVA"
    with pytest.raises(PolicyError, match="rules forbid"):
        prior.propose(replace(SEEN, clinical=Clinical(child_pugh_class="C")), SETTINGS)
    save_prior(prior, tmp_path / "prior.json")
    assert FrequencyPrior.load(tmp_path / "prior.json") == prior
    with pytest.raises(PolicyError, match="no protocol to fit"):
        fit_prior([])


PRIOR = '{"format": "mewm-frequency-prior/1", "regimens": '


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "x"}', PRIOR + "[]}", PRIOR + '[["Aspirin", 1]]}'])
def test_a_broken_prior_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "prior.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableFileError, match="prior cannot be read"):
        FrequencyPrior.load(tmp_path / "prior.json")


def test_the_constant_plan_obeys_the_rules_unless_it_is_a_baseline() -> None:
    plan, sick = Protocol.parse("Cisplatin + Lipiodol"), replace(SEEN, clinical=Clinical(child_pugh_class="C"))
    with pytest.raises(PolicyError, match="rules forbid"):
        ConstantPolicy(plan).propose(sick, SETTINGS)
    assert ConstantPolicy(plan, obey_rules=False).propose(sick, SETTINGS).protocol == plan


def test_chance_obeys_the_rules_and_reaches_every_agent() -> None:
    seen = set[str]()
    for seed in range(150):
        protocol = RandomPolicy(seed).propose(SEEN, SETTINGS).protocol
        assert allowed(protocol, complete=True) and len(protocol.drugs) <= 2 and len(protocol.embolics) <= 2
        seen |= set(protocol.agents)
    assert len(seen) == 18
    with pytest.raises(Exception, match="child-pugh-c"):
        RandomPolicy(1).propose(replace(SEEN, clinical=Clinical(child_pugh_class="C")), SETTINGS)


def test_the_command_writes_the_table_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"H{n},Cisplatin,A,Stage-B,5,60,4,uninodular,0" for n in range(6)]
    out = tmp_path / "out"
    code = main(["policy", "--table", str(table_of(tmp_path, *rows)), "--out", str(out), "--repeats", "2",
                 "--policy", "guideline", "frequency_prior", "constant"])  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0 and "| frequency_prior | 1 (1 to 1) |" in printed
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["rows"]) == {"guideline", "frequency_prior", "constant"} and metrics["seed"] == 0
    assert set(metrics["rows"]["guideline"]) == {"f1", "jaccard", "precision", "recall"}
    assert "6 of 6 patients" in metrics["cohort"] and (out / "table.md").read_text(encoding="utf-8") in printed
    about = json.loads((out / "policy.json").read_text(encoding="utf-8"))
    assert about["plans"]["frequency_prior"] == {"Cisplatin + Lipiodol": 6}
    assert FrequencyPrior.load(out / "frequency_prior.json").regimens == (("Cisplatin + Lipiodol", 6),)
    assert main(["policy", "--table", str(tmp_path / "none.csv"), "--out", str(out)]) == 2


def test_a_synthetic_cohort_is_measured_on_its_labels(tmp_path: Path) -> None:
    from MeWMLib.lab.synthetic.write import CohortSettings, synthesize

    cohort = synthesize(tmp_path / "cohort", CohortSettings("test", 0, 2, spacing=(6.0, 3.0, 3.0)), None)
    found = read_cohort(tmp_path / "cohort", images=2)
    assert len(found.cases) == 2 and found.agents is None and "synthetic" in found.name
    for case, row in zip(found.cases, cohort.rows, strict=True):
        assert case.gold == set(Protocol.parse(row.protocol).agents)
        lesion = case.seen.findings.lesions[0]
        assert row.diameter_before_mm is not None
        assert lesion.longest_axial_diameter_mm == pytest.approx(row.diameter_before_mm, rel=0.02)
        assert len(case.seen.images) == 2
    rows = evaluate_policies(found, makers(found, ["guideline"]), SETTINGS, 1, 2).rows
    assert np.isfinite(rows["guideline"]["f1"]["mean"])
    write_table(tmp_path / "cohort", [replace(row, protocol="") for row in cohort.rows])
    with pytest.raises(CohortError, match="No patient"):
        read_cohort(tmp_path / "cohort")
