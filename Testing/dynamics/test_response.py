"""The response as numbers: scales, loss and deviation."""

import numpy as np
import pytest
import torch

from MeWMLib.dynamics import response
from MeWMLib.lab.training import response_head

STORED = torch.tensor(
    [[0.75, np.log(0.8), 0.45, np.log(0.8 * 0.25 + 0.02)], [0.3, 0.1, 0.0, np.log(np.exp(0.1) * 0.7 + 0.02)]]
).float()


def test_scales_are_undone() -> None:
    standardised = response_head.standardise(STORED)
    necrosis, log_volume, uptake = response.natural(standardised)
    assert torch.allclose(necrosis, STORED[:, 0], atol=1e-6)
    assert torch.allclose(log_volume, STORED[:, 1], atol=1e-6)
    assert float(uptake[0]) == pytest.approx(0.6, abs=1e-6)  # 0.45 of the lesion is 0.6 of its dead part
    assert torch.allclose(response_head.log_viable(standardised), STORED[:, 3], atol=1e-5)


def test_complete_death_and_none_are_finite() -> None:
    edges = torch.tensor([[1.0, 0.0, 1.0, np.log(0.02)], [0.0, 0.0, 0.0, np.log(1.02)]])
    standardised = response_head.standardise(edges)
    assert standardised.isfinite().all()
    assert response.natural(standardised)[0].tolist() == pytest.approx([0.99, 0.01])


def test_features_hide_the_response_and_the_uptake_without_oil() -> None:
    standardised = response_head.standardise(STORED)
    given = response.features(standardised, torch.tensor([True, False]))
    assert given[0].tolist() == pytest.approx([0.5, np.log(0.8) / 0.28, 1.2, 1.0, 1.0], abs=1e-5)
    assert given[1, 2] == 0 and given[1, 3] == 0 and given[1, 4] == 1
    hidden = response.features(standardised, torch.tensor([True, True]), torch.tensor([True, False]))
    assert not hidden[0].any() and hidden[1].any()


def test_the_loss_is_zero_at_the_truth_and_ignores_uptake_without_oil() -> None:
    truth = response_head.standardise(STORED)
    oil = torch.tensor([True, False])
    assert float(response_head.loss(truth, STORED, oil)) == pytest.approx(0, abs=1e-8)
    for row, counts in ((0, True), (1, False)):
        other = truth.clone()
        other[row, 2] += 1
        assert (float(response_head.loss(other, STORED, oil)) > 0.5) is counts


def test_deviation_has_the_covariance_of_the_residuals() -> None:
    generator = torch.Generator().manual_seed(0)
    covariance = np.array([[0.5, -0.2, 0.1], [-0.2, 0.4, 0.0], [0.1, 0.0, 0.3]])
    factor = torch.from_numpy(np.linalg.cholesky(covariance)).float()
    truth = torch.stack([torch.full((4000,), 0.5), torch.zeros(4000), torch.full((4000,), 0.25), torch.zeros(4000)], 1)
    predicted = response_head.standardise(truth) - torch.randn((4000, 3), generator=generator) @ factor.T
    found = response_head.spread(predicted, truth, torch.ones(4000, dtype=torch.bool))
    drawn = response.deviation(found, [torch.Generator().manual_seed(n) for n in range(4000)])
    assert np.allclose(np.cov(drawn.T.numpy()), covariance, atol=0.05)
    assert np.allclose(drawn.mean(0), 0, atol=0.05)


def test_a_replicas_deviation_follows_from_its_generator() -> None:
    one, two, other = (
        response.deviation((1.0, 0.0, 1.0, 0.0, 0.0, 1.0), [torch.Generator().manual_seed(n)]) for n in (5, 5, 6)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert not response.deviation((), [torch.Generator().manual_seed(5)]).any()
