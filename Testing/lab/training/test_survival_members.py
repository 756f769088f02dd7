"""Bootstrap members of the survival network's last layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MeWMLib.core.plan import Risk
from MeWMLib.lab.training.survival_cohort import survival_cases
from MeWMLib.lab.training.survival_members import bootstrap_members
from MeWMLib.survival.config import SurvivalConfig
from MeWMLib.survival.network import Assessor, SurvivalNetwork


def _patients(n: int, seed: int = 0, effect: float = 1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    months = rng.exponential(20 * np.exp(-effect * x[:, 0]), (3, n))
    lives = [[(float(m), True) for m in months[:, i]] for i in range(n)]
    return torch.as_tensor(x), lives


def test_members_scatter_about_the_truth_and_less_with_more_patients():
    spreads = []
    for n in (100, 800):
        x, lives = _patients(n)
        trained = x[:, 0].clone()  # the trained network knows the truth
        change = bootstrap_members(x, trained, lives, 12, 0.01, 0)
        assert change.shape == (12, 5)
        risks = trained + x @ change.T.mean(1)
        assert np.corrcoef(risks, trained)[0, 1] > 0.95
        spreads.append(float((x @ change.T).std(dim=1).mean()))
    assert 0.01 < spreads[1] < 0.6 * spreads[0]


def test_members_are_repeatable_and_the_ridge_holds_them():
    x, lives = _patients(100)
    once, again, held = (bootstrap_members(x, x[:, 0], lives, 3, r, 0) for r in (0.01, 0.01, 10.0))
    assert torch.equal(once, again) and held.abs().max() < 0.2 * once.abs().max()
    assert not torch.equal(once[0], once[1])


def test_a_bundle_with_members_gives_their_risks():
    network = SurvivalNetwork(SurvivalConfig(width=8, members=4)).eval()
    torch.manual_seed(0)
    network.member_weights.normal_(0, 0.1)
    network.risk_scale.fill_(0.5)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    assessor = Assessor(network.config.to_json(), weights)
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 1, (2, 2, 2, 16, 16, 16)).astype(np.float32)
    late = np.array([0.1, 3.0, 2.0, 1.0], np.float32)
    risk, _, _, members = assessor.judge(*image, late)
    assert members.shape == (4,) and members.std() > 0
    with torch.inference_mode():
        output = network(*(torch.as_tensor(x)[None] for x in (*image, late)))
        want = output.log_risk + 0.5 * (output.features @ network.member_weights.T)[0]
    np.testing.assert_allclose(members, want.numpy(), rtol=1e-5)
    assert risk == pytest.approx(float(output.log_risk), abs=1e-6)
    old = Assessor(SurvivalConfig(width=8).to_json(), {k: v for k, v in weights.items() if "member" not in k})
    assert old.judge(*image, late).members.shape == (0,)


def test_uncertainty_adds_replicas_and_members():
    assert Risk((0.0, 2.0)).uncertainty == pytest.approx(np.sqrt(2))
    assert Risk((0.0, 2.0), members=(1.0, 1.0, 4.0)).uncertainty == pytest.approx(np.sqrt(2 + 3))
    assert Risk((1.0,)).uncertainty == 0


def test_lives_of_one_patient_share_their_image(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.savez(
            tmp_path / f"{name}.npz",
            images=rng.uniform(0, 1, (4, 2, 24, 24, 24)).astype(np.float16),
            covariates=rng.normal(size=(3, 4)).astype(np.float32),
            true_log_risk=np.array([0.1, 0.2, 5.0], np.float32),
            months=np.float32(7.0),
            event=np.bool_(True),
        )
    cases = survival_cases(tmp_path, lives=4, outcomes=3)
    assert len(cases) == 2 * 3 * 4 and {c.patient for c in cases} == {"a", "b"}
    assert (cases[0].months, cases[0].event) == (7.0, True) and cases[1].months != 7.0
    assert cases[0].post is cases[3].post and cases[0].post is not cases[4].post
    assert np.asarray(cases[0].pre).shape == (5, 2, 16, 16, 16)
    # the third outcome is deadly
    assert np.mean([c.months for c in cases[8:12]]) < np.mean([c.months for c in cases[:8]])
