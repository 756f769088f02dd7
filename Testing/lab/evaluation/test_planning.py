"""Tables 2 and 3: the measures by hand, the fast truth against whole drawings, and a small run of everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.evaluation.__main__ import main
from MeWMLib.lab.evaluation.plan_tables import TrueRisk, coarser
from MeWMLib.lab.evaluation.planning import (
    CONSTANT,
    Chosen,
    PatientChoices,
    PlanningSettings,
    evaluate_planning,
    frequency_prior,
    overlap,
)
from MeWMLib.lab.synthetic.cases import SPLITS, target_geometry
from MeWMLib.lab.synthetic.survival import true_log_risk

A, B, C = (Protocol.parse(t) for t in ("Cisplatin + Lipiodol", "Cisplatin + Mitomycin + LC beads", "Mitomycin + PVA"))
OTHERS = ("no_ccl", "action_blind")
SMALL = PlanningSettings(
    SPLITS["test"][:1],
    drugs=("Cisplatin", "Doxorubicin"),
    embolics=("Lipiodol", "NBCA"),
    drug_horizon=1,
    beams=2,
    steps=1,
    fitted_on=4,
)


def test_overlap_by_hand() -> None:
    # shared: Cisplatin; 2 and 3 agents; 4 in all
    assert overlap(A, B) == pytest.approx({"f1": 40.0, "jaccard": 25.0, "precision": 50.0, "recall": 100 / 3})
    assert set(overlap(A, A).values()) == {100.0} and set(overlap(A, C).values()) == {0.0}
    assert overlap(Protocol.parse("Cisplatin 50 mg + Lipiodol 5 ml"), A)["f1"] == 100.0


def test_figures_of_one_patient_by_hand() -> None:
    rows = {"random": Chosen((A, B)), "mewm": Chosen((C,), 12, 0.5, 3.0)}
    patient = PatientChoices(1, A, C, {A: 0.5, B: 0.25, C: -0.5}, rows)
    drawn = patient.figures("random")
    assert drawn["regret"] == pytest.approx(0.875) and drawn["f1"] == pytest.approx(70.0) and drawn["found_best"] == 0.0
    assert drawn["f1_best"] == pytest.approx(100 * (0.0 + 0.4) / 2)
    assert "simulations" not in drawn
    mine = patient.figures("mewm")
    assert (mine["regret"], mine["found_best"], mine["simulations"], mine["seconds"]) == (0.0, 1.0, 12.0, 3.0)


def test_a_coarser_grid_covers_the_same_cube() -> None:
    geometry = Geometry((8, 8, 8), np.array([[-1.5, 0, 0, 7], [0, -1.5, 0, 3], [0, 0, 1.5, -20], [0, 0, 0, 1.0]]))
    half = coarser(geometry, 2)
    assert half.shape == (4, 4, 4) and half.voxel_ml == pytest.approx(8 * geometry.voxel_ml)
    middle = geometry.to_ras(np.array([[0, 0, 0], [1, 1, 1]])).mean(0)
    assert np.allclose(half.to_ras(np.array([0, 0, 0])), middle)


@pytest.mark.parametrize("number", [200_000, 200_004])
def test_the_fast_truth_agrees_with_whole_drawings(number: int) -> None:
    drawn = SyntheticPatient.draw(number)
    patch = target_geometry(drawn)
    truth = TrueRisk(drawn, patch)
    protocols = [A, Protocol.parse("Doxorubicin + LC beads"), Protocol.parse("Raltitrexed + NBCA"), CONSTANT]
    exact = []
    for protocol, rendering in zip(protocols, drawn.render_all(patch, protocols, noise=False), strict=True):
        viable = float(rendering.viable.sum()) * patch.voxel_ml
        exact.append(true_log_risk(viable, drawn.response(protocol)))
        assert truth.viable_ml(drawn.response(protocol)) == pytest.approx(viable, rel=0.03, abs=0.05)
        assert truth.of_measured(protocol, viable) == exact[-1]
    fast = [truth(p) for p in protocols]
    assert fast == pytest.approx(exact, abs=0.02)
    assert truth.best(protocols) == protocols[int(np.argmin(exact))]


def test_the_frequency_prior_follows_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from MeWMLib.lab.evaluation import planning

    given = [B, B, A]
    monkeypatch.setattr(planning, "protocols_for", lambda patient: (given[patient],))
    monkeypatch.setattr(planning.SyntheticPatient, "draw", staticmethod(lambda seed: seed))
    assert frequency_prior([A, B, C], 3) == B
    assert frequency_prior([A, C], 3) == A


@pytest.mark.slow
def test_a_small_run_has_every_row_and_the_oracle_has_no_regret(tiny_bundle: Bundle, tmp_path: Path) -> None:
    seen: list[float] = []
    settings = replace(SMALL, bundle=str(tiny_bundle.path), others=tuple((n, str(tiny_bundle.path)) for n in OTHERS))
    rows, choices = evaluate_planning(settings, lambda stage, share: seen.append(share))
    assert seen == [1.0]
    (patient,) = choices
    assert patient.seed == SPLITS["test"][0]
    expected = "oracle gold random constant frequency_prior guideline mewm exhaustive best_first no_assistant"
    assert list(rows) == [
        *expected.split(),
        "viable_measured",
        "oracle_survival",
        "mewm_action_dropped",
        "oracle_dynamics",
        *OTHERS,
    ]
    protocols = settings.protocols()
    assert len(protocols) == 4 and rows["oracle"]["regret"]["mean"] == 0.0
    regrets = [patient.risk[p] - patient.risk[patient.best] for p in protocols]
    assert rows["random"]["regret"]["mean"] == pytest.approx(np.mean(regrets)) and min(regrets) == 0.0
    for row in ("mewm", "exhaustive", "best_first", "no_assistant", "oracle_survival", "oracle_dynamics"):
        assert any(rows[row]["regret"]["mean"] == pytest.approx(regret) for regret in regrets)
        assert rows[row]["simulations"]["mean"] >= 4 and rows[row]["seconds"]["mean"] > 0
    assert patient.rows["exhaustive"].protocols == patient.rows["best_first"].protocols
    # the same bundle under another name chooses the same, and without its action anything
    assert patient.rows["no_ccl"].protocols == patient.rows["mewm"].protocols
    for row in ("action_blind", "mewm_action_dropped"):
        assert patient.rows[row].protocols == protocols
        assert rows[row]["regret"] == rows["random"]["regret"]
    saved = rows["frequency_prior"]["regret"]["mean"] - rows["mewm"]["regret"]["mean"]
    assert rows["mewm"]["regret_saved"]["mean"] == pytest.approx(saved)


def test_the_command_refuses_a_row_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["planning", "--out", str(tmp_path), "--row", "no_ccl"]) == 2
    assert "NAME=BUNDLE" in capsys.readouterr().err
    assert main(["planning", "--out", str(tmp_path), "--drugs", "Aspirin"]) == 2
    assert "Aspirin" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_small_run_in_version_3_judges_by_the_image(tiny_map_bundle: Bundle, tiny_bundle: Bundle) -> None:
    settings = replace(SMALL, seeds=(SPLITS["test"][4],), bundle=str(tiny_map_bundle.path), world=3)
    rows, (patient,) = evaluate_planning(settings)
    assert "oracle_dynamics" not in rows and rows["oracle"]["regret"]["mean"] == 0.0
    protocols = settings.protocols()
    assert patient.risk[patient.best] == min(patient.risk[p] for p in protocols)
    for row in ("mewm", "best_first", "judged_by_model", "judged_by_volume", "oracle_survival"):
        assert rows[row]["regret"]["mean"] >= 0 and rows[row]["simulations"]["mean"] >= 4
    assert patient.rows["exhaustive"].protocols == patient.rows["best_first"].protocols
    with pytest.raises(BundleError, match="knows no session of version 3"):
        evaluate_planning(replace(settings, bundle=str(tiny_bundle.path)))
