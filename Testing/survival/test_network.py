"""The survival network: invariances, gradients and curves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import BundleError, InputError, SurvivalDataError
from MeWMLib.survival.config import SIZE_COVARIATES, SurvivalConfig, chosen_covariates, size_covariates
from MeWMLib.survival.network import Assessor, SurvivalNetwork, survival_curve

SIDE = 16


@pytest.fixture(scope="module")
def network() -> SurvivalNetwork:
    torch.manual_seed(0)
    return SurvivalNetwork(SurvivalConfig(width=8)).eval()


def patients(n: int = 2, p: int = 3, side: int = SIDE, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, n, p, 2, side, side, side, generator=generator)
    images[:, :, :, 0] = images[:, :, :, 0] * 2 - 1
    return images[0], images[1], torch.randn(n, 4, generator=generator)


def test_the_default_network_is_small():
    count = sum(p.numel() for p in SurvivalNetwork(SurvivalConfig()).parameters())
    assert count < 900_000


def test_early_stages_are_volumetric_and_later_ones_planar():
    network = SurvivalNetwork(SurvivalConfig())
    kernels = [block.conv1.kernel_size for block in network.stages]
    assert kernels == [(3, 3, 3), (1, 3, 3), (1, 3, 3), (1, 3, 3)]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("p", [1, 2, 5])
def test_attention_sums_to_one_over_the_patches(network, n, p):
    with torch.inference_mode():
        output = network(*patients(n, p))
    assert output.patch_attention.shape == (n, p)
    torch.testing.assert_close(output.patch_attention.sum(dim=1), torch.ones(n))
    assert output.log_risk.shape == (n,) and output.hazards.shape == (n, 11)


@pytest.mark.parametrize("side", [17, 24, 48])
def test_other_sizes_are_accepted(network, side):
    pre, post, covariates = patients(1, 1)
    with torch.inference_mode():
        cubes = torch.nn.functional.interpolate(pre[0], size=(side, side, 16))[None]
        assert torch.isfinite(network(cubes, cubes, covariates).log_risk).all()
        assert torch.isfinite(network(pre, post, covariates).log_risk).all()


@pytest.mark.parametrize("p", range(1, 6))
def test_order_of_patches_does_not_matter(network, p):
    pre, post, covariates = patients(2, p)
    order = torch.randperm(p, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        want, got = network(pre, post, covariates), network(pre[:, order], post[:, order], covariates)
    torch.testing.assert_close(got.log_risk, want.log_risk, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.patch_attention, want.patch_attention[:, order], atol=1e-5, rtol=1e-5)


def test_a_patch_given_twice_does_not_change_the_score(network):
    pre, post, covariates = patients(1, 1)
    with torch.inference_mode():
        once = network(pre, post, covariates).log_risk
        twice = network(pre.expand(-1, 3, -1, -1, -1, -1), post.expand(-1, 3, -1, -1, -1, -1), covariates).log_risk
    torch.testing.assert_close(once, twice, atol=1e-5, rtol=1e-5)


def test_every_input_matters(network):
    pre, post, covariates = patients()
    changed = {
        "swapped": (post, pre, covariates),
        "covariates": (pre, post, covariates + 1),
        "mask after": (pre, torch.stack([post[:, :, 0], 0 * post[:, :, 1]], 2), covariates),
        "CT before": (torch.stack([-pre[:, :, 0], pre[:, :, 1]], 2), post, covariates),
    }
    with torch.inference_mode():
        want = network(pre, post, covariates).log_risk
        for name, inputs in changed.items():
            assert (network(*inputs).log_risk - want).abs().min() > 1e-4, name


def test_batch_composition_does_not_change_a_patient(network):
    pre, post, covariates = patients(4, 2)
    with torch.inference_mode():
        together = network(pre, post, covariates).log_risk
        alone = torch.cat([network(pre[i : i + 1], post[i : i + 1], covariates[i : i + 1]).log_risk for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 5])
def test_kept_tokens_give_the_same_score(network, p):
    pre, post, covariates = patients(3, p)
    pre = pre[:1].expand(3, -1, -1, -1, -1, -1)
    with torch.inference_mode():
        want = network(pre, post, covariates).log_risk
        tokens = network.encode(pre[:1])
        got = network.risk_from_tokens(tokens, network.encode(post), covariates).log_risk
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_parameter():
    torch.manual_seed(0)
    network = SurvivalNetwork(SurvivalConfig(width=8, dropout=0.0))
    # Of 32^3 voxels there are 8 tokens; of 16^3 there is one, and nothing to weigh.
    output = network(*patients(3, 2, side=32))
    (output.log_risk.square().sum() + output.log_increments.sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        assert torch.isfinite(parameter.grad).all(), name


def test_log_risk_is_unbounded(network):
    pre, post, covariates = patients(1, 1)
    with torch.inference_mode():
        risks = torch.cat([network(pre, post, covariates * k).log_risk for k in (-1e6, 1e6)])
    assert risks.abs().min() > 1e3 and torch.isfinite(risks).all()


def test_an_unknown_covariate_is_the_mean():
    network = SurvivalNetwork(SurvivalConfig(width=8)).eval()
    network.covariate_mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    pre, post, covariates = patients(1, 1)
    with torch.inference_mode():
        got = network(pre, post, torch.full_like(covariates, torch.nan)).log_risk
        assert torch.equal(got, network(pre, post, network.covariate_mean[None]).log_risk)


def test_without_covariates():
    network = SurvivalNetwork(SurvivalConfig(width=8, covariates=())).eval()
    pre, post, _ = patients(1, 1)
    with torch.inference_mode():
        assert torch.isfinite(network(pre, post, torch.zeros(1, 0)).log_risk).all()


def test_curve_is_a_proportional_hazard_and_follows_the_risk(network):
    with torch.inference_mode():
        output = network(*patients(6, 1))
    months, curves = survival_curve(output.hazards, network.config.edges_months)
    assert months.tolist() == list(network.config.edges_months) and curves.shape == (6, 12)
    assert (curves[:, 0] == 1).all() and (curves >= 0).all() and (np.diff(curves, axis=1) <= 0).all()
    assert (np.diff(curves[output.log_risk.argsort().numpy()], axis=0)[:, 1:] < 0).all()
    baseline = np.cumsum(network.baseline.detach().exp().numpy())
    want = np.exp(-np.exp(output.log_risk.numpy()[:, None]) * baseline)
    np.testing.assert_allclose(curves[:, 1:], want, rtol=1e-4)


def test_curve_by_hand_and_refusals():
    _, curve = survival_curve([0.1, 0.5, 1.0], [0, 1, 2, 3])
    np.testing.assert_allclose(curve, [1, 0.9, 0.45, 0])
    for hazards, edges in (([0.1], [0, 1, 2]), ([1.1], [0, 1]), ([np.nan], [0, 1]), ([0.1, 0.1], [0, 2, 1])):
        with pytest.raises(SurvivalDataError):
            survival_curve(hazards, edges)


@pytest.mark.parametrize("shape", [(1, 1, 1, 16, 16, 16), (1, 0, 2, 16, 16, 16), (1, 1, 2, 16, 16, 8), (2, 16, 16, 16)])
def test_impossible_images_are_refused(network, shape):
    with pytest.raises(InputError, match="survival network needs"):
        network.encode(torch.zeros(shape))


def test_covariates_of_another_number_are_refused(network):
    pre, post, covariates = patients()
    with pytest.raises(InputError, match="log_spacing_mm"):
        network(pre, post, covariates[:, :2])
    with pytest.raises(InputError, match="differ in shape"):
        network(pre, post[:, :1], covariates)


def test_configs_are_checked_and_survive_json():
    config = SurvivalConfig(width=8, edges_months=(0, 6, 12), covariates=("a",))
    assert SurvivalConfig.from_json(config.to_json()) == config
    with pytest.raises(InputError):
        SurvivalConfig(width=9)
    with pytest.raises(InputError):
        SurvivalConfig(blocks=(1, 1))
    with pytest.raises(SurvivalDataError):
        SurvivalConfig(edges_months=(3, 6))
    with pytest.raises(BundleError):
        SurvivalConfig.from_json({"widht": 8})


def weights(network):
    return {name: value.numpy() for name, value in network.state_dict().items()}


def test_assessor_scores_like_the_network_and_is_deterministic(network):
    assessor = Assessor(network.config.to_json(), weights(network))
    pre, post, covariates = (x[0].numpy() for x in patients(1, 2))
    risk, months, probability, _ = assessor.judge(pre, post, covariates)
    with torch.inference_mode():
        want = network(*(torch.as_tensor(x)[None] for x in (pre, post, covariates))).log_risk
    assert risk == pytest.approx(float(want), abs=1e-5)
    assert months.shape == probability.shape == (12,)
    again = assessor.judge(pre, post, dict(zip(SIZE_COVARIATES, covariates, strict=True)))
    kept = assessor.judge(assessor.encode(pre), post, covariates)
    assert risk == again[0] == kept[0] and (probability == kept[2]).all()
    assert np.isfinite(assessor.judge(pre, post, {}).log_risk)


def test_assessor_refuses_what_does_not_fit(network):
    assessor = Assessor({"network": network.config.to_json()}, weights(network))
    pre, post, covariates = (x[0].numpy() for x in patients(1, 1))
    for image in (pre * 400, np.full_like(pre, np.nan), pre[0], pre - 1):
        with pytest.raises(InputError):
            assessor.encode(image)
    for late in (covariates[:2], np.full(4, np.inf), {"albumin": 3.0}):
        with pytest.raises(InputError):
            assessor.judge(pre, post, late)
    with pytest.raises(BundleError):
        Assessor(SurvivalConfig(width=16).to_json(), weights(network))


def test_size_covariates():
    assert size_covariates(1.0, 0.0, np.e - 1, 0.0).tolist() == [0, 0, 1, 0]
    assert len(size_covariates(1.0, 1, 1, 1)) == len(SIZE_COVARIATES)


def test_a_model_without_images_sees_its_covariates_alone():
    torch.manual_seed(0)
    plain = SurvivalNetwork(SurvivalConfig(images=False, covariates=("log1p_viable_ml_after",), members=3)).eval()
    assert sum(p.numel() for p in plain.parameters()) < 20
    late = torch.tensor([[0.5], [float("nan")]])
    first, second = (plain(*patients(2, 3, seed=n)[:2], late) for n in (0, 1))
    assert torch.equal(first.log_risk, second.log_risk) and first.log_risk[1] == 0
    assert first.features.tolist() == [[0.5], [0.0]] and first.members.shape == (2, 3)
    assert first.patch_attention.sum(1).tolist() == pytest.approx([1, 1])
    with pytest.raises(InputError, match="knows nothing"):
        SurvivalConfig(images=False, covariates=())
    assert SurvivalConfig.from_json({"width": 8}).images


def test_covariates_are_taken_by_their_names():
    sizes = size_covariates(1.5, 10, 8, 2)
    names = ("log1p_viable_ml_after", "log_weeks", "arterial", "log_spacing_mm", "of another version")
    found = chosen_covariates(names, sizes, 5.0, True)
    assert found[:4].tolist() == pytest.approx([np.log1p(2), np.log(5), 1, np.log(1.5)])
    assert np.isnan(found[4])
    assert np.isnan(chosen_covariates(("log_weeks", "arterial"), sizes)).all()
    assert np.array_equal(chosen_covariates(SIZE_COVARIATES, sizes), sizes)
