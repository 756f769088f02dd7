"""Combo contrastive learning: closed forms, signs and invariances."""

import math

import pytest
import torch

from MeWMLib.lab.training.contrastive import combo_contrastive, tumour_features


def combos(*rows: str) -> torch.Tensor:
    """(N, 5) keywords from letters a to e."""
    return torch.tensor([[letter in row for letter in "abcde"] for row in rows])


def unit(*degrees: float) -> torch.Tensor:
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], 1)


def test_three_rows_give_the_closed_form() -> None:
    # Row 0 has a negative (row 1: its pair, another combo) and a positive (row 2: another pair, combos {a,b} and
    # {b,c}). Row 1 has no keyword in common with another pair, row 2 no other combo of its pair: neither counts.
    features = unit(0, 90, 60) * torch.tensor([[2.0], [0.3], [5.0]])  # lengths do not count
    loss = combo_contrastive(features, combos("ab", "de", "bc"), torch.tensor([0, 0, 1]), temperature=0.5)
    positive, negative = math.cos(math.pi / 3) / 0.5, 0.0
    expected = -math.log(math.exp(positive) / (math.exp(positive) + math.exp(negative)))
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_positives_are_weighted_by_what_the_combos_share() -> None:
    # Row 0's positives: row 2 (Jaccard 1/3) and row 3 (the same combo, 1); its negative: row 1.
    features = unit(0, 90, 60, 20)
    pair = torch.tensor([0, 0, 1, 2])
    loss = combo_contrastive(features, combos("ab", "de", "bc", "ab"), pair, temperature=1.0)

    def one(degrees: float) -> float:
        return math.log(1 + math.exp(0.0 - math.cos(math.radians(degrees))))

    assert float(loss) == pytest.approx((one(60) / 3 + one(20)) / (1 / 3 + 1), rel=1e-6)


def test_the_loss_falls_as_the_positive_comes_near_and_the_negative_goes_away() -> None:
    def loss(negative: float, positive: float) -> float:
        keywords, pair = combos("ab", "de", "ab"), torch.tensor([0, 0, 1])
        return float(combo_contrastive(unit(0, negative, positive), keywords, pair))

    assert loss(90, 10) < loss(90, 40) < loss(90, 80)
    assert loss(120, 40) < loss(90, 40) < loss(60, 40)


def test_a_step_down_the_gradient_pulls_and_pushes() -> None:
    features = unit(0, 50, 60).requires_grad_()
    keywords, pair = combos("ab", "de", "ab"), torch.tensor([0, 0, 1])
    combo_contrastive(features, keywords, pair, temperature=0.5).backward()
    assert features.grad is not None and features.grad.isfinite().all()
    moved = torch.nn.functional.normalize((features - 0.05 * features.grad).detach(), dim=1)
    was = features.detach()
    assert moved[0] @ moved[2] > was[0] @ was[2] and moved[0] @ moved[1] < was[0] @ was[1]


def test_the_gradient_is_that_of_finite_differences() -> None:
    features = torch.randn((4, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    keywords, pair = combos("ab", "cd", "bc", "ad"), torch.tensor([0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda x: combo_contrastive(x, keywords, pair, 0.5), (features,), atol=1e-4)


def test_the_order_of_rows_and_the_names_of_pairs_and_agents_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn((6, 4), generator=generator)
    keywords, pair = combos("ab", "cd", "bc", "ad", "e", "abc"), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = combo_contrastive(features, keywords, pair)
    order, agents = torch.randperm(6, generator=generator), torch.randperm(5, generator=generator)
    again = combo_contrastive(features[order], keywords[order][:, agents], 7 - pair[order])
    assert float(loss) > 0 and float(again) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize(
    ("keywords", "pair"),
    [
        (combos("a", "b", "c"), [0, 0, 1]),  # nothing in common: no positives
        (combos("a", "a", "a"), [0, 0, 1]),  # one combo: no negatives
        (combos("ab", "bc", "cd"), [0, 0, 0]),  # one pair: no positives
        (combos("", "", ""), [0, 0, 1]),  # no treatment at all
    ],
)
def test_without_positives_or_negatives_the_loss_is_zero_with_a_graph(keywords: torch.Tensor, pair: list[int]) -> None:
    features = torch.randn(3, 4, requires_grad=True)
    loss = combo_contrastive(features, keywords, torch.tensor(pair))
    assert float(loss.detach()) == 0
    loss.backward()
    assert features.grad is not None and not features.grad.any()


def test_features_are_mean_and_deviation_inside_the_tumour() -> None:
    clean = torch.zeros(1, 2, 4, 4, 4)
    clean[0, 0, 1, 1, :2] = torch.tensor([1.0, 3.0])
    clean[0, 1] = 5.0
    clean[0, :, 3] = 100.0  # outside
    masks = torch.zeros(1, 2, 4, 4, 4)
    masks[0, 0, 1, 1, :2] = 1
    masks[0, 1] = 1
    assert tumour_features(clean, masks)[0].tolist() == pytest.approx([2, 5, 1, 0], abs=2e-3)


def test_features_of_no_tumour_are_finite_and_so_is_their_gradient() -> None:
    clean = torch.randn(1, 2, 4, 4, 4, requires_grad=True)
    out = tumour_features(clean, torch.zeros(1, 2, 4, 4, 4))
    out.sum().backward()
    assert out.isfinite().all() and clean.grad is not None and clean.grad.isfinite().all()
