"""The dynamics model: it answers to the action, repeats itself, and changes nothing where it may not."""

import json

import numpy as np
import pytest
import torch

from MeWMLib.core.errors import BundleError
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.appearance import features
from MeWMLib.dynamics.attenuation import attenuate
from MeWMLib.dynamics.autoencoder import compand, fit, to_blocks
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig, margins
from MeWMLib.dynamics.maps import MASKS, TRAIT_MASKS
from MeWMLib.dynamics.model import DynamicsModel, EncodedPatch, denoiser_from_part, treated_window
from MeWMLib.dynamics.response import FEATURES
from MeWMLib.lab.training.dynamics import TrainedDenoiser
from MeWMLib.lab.training.grow import grown

A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Doxorubicin + PVA")


OCCLUSION = {"Lipiodol": 0.3, "PVA": 0.9}


def tiny_denoiser(text: int = 5, attenuation: bool = True, response: bool = True, fate: bool = True) -> Denoiser:
    torch.manual_seed(0)
    config = DenoiserConfig(
        latent=6,
        widths=(8, 16, 16),
        condition=16,
        change_scale=(0.5,) * 6,
        text=text,
        attenuation=attenuation,
        occlusion=OCCLUSION,
        response=response,
        fate=(0.9, 0.4, -0.9, 0.3) if response and fate else (),
        response_spread=(0.4, -0.1, 0.3, 0.0, 0.1, 0.5) if response else (),
    )
    denoiser = Denoiser(config, torch.randn(len(config.agents), text) if text else None)
    for parameter in denoiser.parameters():  # layers that begin at zero would hide the action
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


@pytest.fixture(scope="module")
def model() -> DynamicsModel:
    blocks = torch.randn((4000, 64), generator=torch.Generator().manual_seed(0))
    return DynamicsModel(fit(blocks, 6), tiny_denoiser(), torch.device("cpu"))


@pytest.fixture(scope="module")
def patch(model: DynamicsModel) -> EncodedPatch:
    rng = np.random.default_rng(0)
    labels = np.ones((96, 96, 96), np.uint8)
    labels[40:60, 30:50, 44:64] = 2
    return model.encode(rng.normal(100, 20, labels.shape), labels, 1.2)


def test_one_seed_and_one_action_give_the_same_bits(model: DynamicsModel, patch: EncodedPatch) -> None:
    assert model.simulate(patch, [A], [7]).tobytes() == model.simulate(patch, [A], [7]).tobytes()


def test_one_seed_and_two_actions_give_two_tumours(model: DynamicsModel, patch: EncodedPatch) -> None:
    first, second = model.simulate(patch, [A, B], [7, 7])
    assert np.abs(first - second).max() > 1


def test_two_seeds_give_two_replicas(model: DynamicsModel, patch: EncodedPatch) -> None:
    first, second = model.simulate(patch, [A, A], [7, 8])
    assert np.abs(first - second).max() > 1


def test_a_replica_does_not_depend_on_what_is_simulated_beside_it(model: DynamicsModel, patch: EncodedPatch) -> None:
    alone = model.simulate(patch, [A], [7])[0]
    beside = model.simulate(patch, [B, A, A], [3, 7, 8])[1]
    assert np.allclose(alone, beside, atol=0.05)


def test_guidance_one_is_the_conditional_and_zero_the_unconditional(model: DynamicsModel, patch: EncodedPatch) -> None:
    blind = model.simulate(patch, [A, B], [7, 7], guidance=0.0)
    assert np.allclose(blind[0], blind[1], atol=1e-3)
    strong = model.simulate(patch, [A, B], [7, 7], guidance=3.0)
    plain = model.simulate(patch, [A, B], [7, 7], guidance=1.0)
    assert np.abs(strong[0] - strong[1]).mean() > np.abs(plain[0] - plain[1]).mean()


def test_only_the_window_of_the_tumour_changes(model: DynamicsModel, patch: EncodedPatch) -> None:
    change = model.simulate(patch, [A], [7])[0]
    inside = np.zeros(change.shape, bool)
    inside[tuple(slice(4 * s.start, 4 * s.stop) for s in patch.window)] = True
    assert (change[~inside] == 0).all() and (change[inside] != 0).any()


@pytest.mark.parametrize(("size", "expected"), [(3, 16), (14, 16), (15, 20), (18, 20), (19, 24), (22, 24), (24, 24)])
def test_the_window_is_the_smallest_that_holds_the_tumour_with_a_margin(size: int, expected: int) -> None:
    share = np.zeros((24, 24, 24))
    share[:size, 24 - size :, :size] = 0.25
    window = treated_window(share)
    assert [s.stop - s.start for s in window] == [expected] * 3
    assert share[window].sum() == share.sum()
    assert all(0 <= s.start and s.stop <= 24 for s in window)


def test_no_tumour_gives_the_whole_grid() -> None:
    assert treated_window(np.zeros((24, 24, 24))) == (slice(0, 24),) * 3


def inputs(denoiser: Denoiser, n: int = 2) -> dict[str, torch.Tensor]:
    """Random arguments of `forward`, `actions` and `dropped` apart."""
    generator = torch.Generator().manual_seed(4)
    latents = {k: torch.randn((n, 6, 8, 8, 8), generator=generator) for k in ("noisy", "before", "attenuated")}
    masks = torch.rand((n, MASKS, 8, 8, 8), generator=generator)
    reached = torch.rand((n, FEATURES), generator=generator)
    scalars = {"spacing_mm": torch.linspace(1, 2, n), "time": torch.linspace(0.2, 0.7, n)}
    return {**latents, "masks": masks, "response": reached, **scalars}


def some_actions(denoiser: Denoiser, *rows: int) -> torch.Tensor:
    actions = torch.zeros(len(rows), len(denoiser.config.agents), 3)
    for n, agent in enumerate(rows):
        actions[n, agent, 0] = 1
    return actions


def outlook(denoiser: Denoiser, given: dict[str, torch.Tensor], actions: torch.Tensor, dropped=None) -> torch.Tensor:
    traits = denoiser.tumour_traits(given["before"], given["masks"], given["spacing_mm"])
    return denoiser.outlook(traits, actions, dropped)


@pytest.mark.parametrize(("text", "attenuation"), [(5, True), (0, False)])
def test_the_loss_reaches_every_weight(text: int, attenuation: bool) -> None:
    denoiser = tiny_denoiser(text, attenuation)
    given = inputs(denoiser)
    seen = outlook(denoiser, given, some_actions(denoiser, 0, 1), torch.tensor([True, False]))
    out = denoiser(**given, outlook=seen)
    assert out.shape == (2, 6, 8, 8, 8)
    expected = denoiser.foresight(torch.randn(1, features(6)), some_actions(denoiser, 0, 1)[None])
    (out.square().mean() + expected.square().mean()).backward()
    silent = [name for name, p in denoiser.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == ["foresight.actions.unknown"]  # the head always knows the action


def test_the_attenuated_latent_counts_only_where_it_is_an_input() -> None:
    for attenuation in (True, False):
        denoiser = tiny_denoiser(attenuation=attenuation).eval()
        given = inputs(denoiser)
        with torch.inference_mode():
            seen = outlook(denoiser, given, some_actions(denoiser, 0, 1))
            one = denoiser(**given, outlook=seen)
            two = denoiser(**{**given, "attenuated": given["attenuated"] + 1}, outlook=seen)
        assert torch.equal(one, two) is not attenuation


def test_the_response_counts_only_where_it_is_an_input() -> None:
    for response in (True, False):
        denoiser = tiny_denoiser(response=response).eval()
        given = inputs(denoiser)
        with torch.inference_mode():
            seen = outlook(denoiser, given, some_actions(denoiser, 0, 1))
            one = denoiser(**given, outlook=seen)
            two = denoiser(**{**given, "response": given["response"] + 1}, outlook=seen)
        assert torch.equal(one, two) is not response


def test_a_denoiser_grown_by_the_response_draws_the_same() -> None:
    older = tiny_denoiser(response=False).eval()
    newer = grown(older, True, (0.9, 0.4, -0.9, 0.3))
    given = inputs(older)
    with torch.inference_mode():
        actions = some_actions(older, 0, 1)
        one = older(**given, outlook=outlook(older, given, actions))
        two = newer(**given, outlook=outlook(newer, given, actions))
    assert newer.config.response and newer.config.fate and not newer.training
    assert torch.allclose(one, two, atol=1e-5)
    assert grown(newer, True, ()) is newer


def test_maps_of_the_fate_can_be_added_later() -> None:
    """The trained response head is kept."""
    older = tiny_denoiser(fate=False).eval()
    newer = grown(older, True, (1.0, 0.0, -1.0, 0.0))
    given = inputs(older)
    with torch.inference_mode():
        seen = outlook(older, given, some_actions(older, 0, 1))
        assert torch.allclose(older(**given, outlook=seen), newer(**given, outlook=seen), atol=1e-5)
    older_head, newer_head = older.foresight.state_dict(), newer.foresight.state_dict()
    assert all(torch.equal(v, newer_head[k]) for k, v in older_head.items())
    assert newer.stem.in_channels == older.stem.in_channels + 6


def test_the_margin_is_zero_at_the_edge_of_what_dies() -> None:
    masks = torch.zeros(1, MASKS, 4, 4, 4)
    masks[:, 0], masks[:, 7], masks[:, 8] = 1, torch.linspace(0, 1, 64).reshape(1, 4, 4, 4), 0.5
    masks[:, 0, 0] = 0
    reached = torch.tensor([[2 * 0.25 - 1, 0.0, 2 * 0.4, 1.0, 1.0]])  # a quarter dies, of which 40 % keep Lipiodol
    maps = reached[:, :, None, None, None].expand(-1, -1, 4, 4, 4)
    die, hold = margins(masks, maps)[0]
    order = masks[0, 7]
    assert torch.equal(die > 0, (order > 0.75) & (masks[0, 0] > 0)) and (die[0] == 0).all()
    assert torch.allclose(hold[1:], torch.full((3, 4, 4), 8 * (0.5 - 0.6)))
    assert not margins(masks, torch.zeros_like(maps)).any()  # what is hidden leaves no trace


def test_a_part_with_another_head_is_only_trained_on() -> None:
    """Up to version 3 of the default bundle the head was a layer of the U-Net; its weights are of no use."""
    denoiser = tiny_denoiser().eval()
    part = TrainedDenoiser(denoiser, denoiser.config.change_scale)
    tensors = {k: v for k, v in part.tensors().items() if not k.startswith("foresight.")}
    tensors |= {"response.weight": np.zeros((3, 16)), "response.bias": np.zeros(3)}
    with pytest.raises(BundleError, match="does not fit this version"):
        denoiser_from_part(part.part_config(), tensors)
    again = denoiser_from_part(part.part_config(), tensors, without_head=True)
    given, actions = inputs(denoiser), some_actions(denoiser, 0, 1)
    with torch.inference_mode():
        one = denoiser(**given, outlook=outlook(denoiser, given, actions))
        two = again(**given, outlook=outlook(again, given, actions))
    assert torch.equal(one, two)
    assert not torch.equal(again.foresight.out.weight, denoiser.foresight.out.weight)


def test_a_denoiser_without_the_response_simulates(model: DynamicsModel, patch: EncodedPatch) -> None:
    without = DynamicsModel(model.autoencoder, tiny_denoiser(response=False).eval(), torch.device("cpu"))
    assert not without.tells_response
    assert np.abs(without.simulate(patch, [A], [7], steps=1)).max() > 1


def test_without_a_deviation_the_expected_response_is_drawn(model: DynamicsModel, patch: EncodedPatch) -> None:
    expected = model.responses(patch, [A, A], [7, 8], spread=0.0)
    assert np.array_equal(expected[0], expected[1])
    replicas = np.stack([model.responses(patch, [A], [seed])[0] for seed in range(7, 47)])
    assert replicas.std(0).min() > 0.01
    # on the head's own scale replicas lie around what is expected
    logits = np.log(replicas[:, 0] / (1 - replicas[:, 0]))
    middle = np.log(expected[0, 0] / (1 - expected[0, 0]))
    assert abs(logits.mean() - middle) < 3 * logits.std() / np.sqrt(len(logits))
    assert np.abs(model.simulate(patch, [A], [7], spread=0.0) - model.simulate(patch, [A], [7])).max() > 0.1


def test_the_response_deviates_by_the_seed_alone(model: DynamicsModel, patch: EncodedPatch, monkeypatch) -> None:
    """Two protocols with one seed share noise and deviation; without a spread the head's prediction is drawn."""
    given = []
    whole = Denoiser.forward

    def noted(self, noisy, before, attenuated, masks, outlook, response, spacing_mm, time):
        given.append(response)
        return whole(self, noisy, before, attenuated, masks, outlook, response, spacing_mm, time)

    monkeypatch.setattr(Denoiser, "forward", noted)
    model.simulate(patch, [A, A, A], [7, 7, 8], steps=1)
    assert torch.equal(given[-1][0], given[-1][1]) and not torch.allclose(given[-1][0], given[-1][2], atol=1e-3)
    model.simulate(patch, [B], [7], steps=1)
    assert given[-1][0, 3] == 0 and given[-1][0, 2] == 0  # no Lipiodol, no uptake
    model.simulate(patch, [A], [7], steps=1, guidance=0.0)
    assert not given[-1].any() and given[-2].any()


def test_traits_are_read_inside_the_tumour_and_know_no_action() -> None:
    denoiser = tiny_denoiser().eval()
    given = inputs(denoiser)
    masks = torch.zeros(2, MASKS, 8, 8, 8)
    masks[:, 0, 3:5, 3:5, 3:5] = 1
    inside, outside = given["before"].clone(), given["before"].clone()
    inside[:, :, 3:5, 3:5, 3:5] += 1
    outside[:, :, 7] += 1  # farther than the 3^3 kernel reaches
    with torch.inference_mode():
        traits = [denoiser.tumour_traits(x, masks, torch.ones(2)) for x in (given["before"], inside, outside)]
    assert traits[0].shape == (2, 16)
    assert torch.allclose(traits[0], traits[2], atol=1e-6) and not torch.allclose(traits[0], traits[1], atol=1e-3)


def test_traits_are_pooled_convolutions() -> None:
    """The blocks are gathered; a plain convolution over the whole window gives the same."""
    encoder = tiny_denoiser().eval().traits
    generator = torch.Generator().manual_seed(1)
    before = torch.randn((2, 6, 8, 8, 8), generator=generator)
    masks = torch.rand((2, MASKS, 8, 8, 8), generator=generator)
    masks[:, 0] = torch.where(masks[:, 0] > 0.7, masks[:, 0], 0.0)
    with torch.inference_mode():
        features = torch.cat([encoder.local(torch.cat([before, masks[:, :TRAIT_MASKS]], 1)), before], 1).flatten(2)
        weight = masks[:, :1].flatten(2)
        mean = (features * weight).sum(2) / weight.sum(2)
        variance = ((features - mean[..., None]).square() * weight).sum(2) / weight.sum(2)
        size = torch.stack([weight.sum((1, 2)).log() / 5, torch.tensor([1.0, 1.5]).log()], 1)
        expected = encoder.out(torch.cat([mean, (variance + 1e-4).sqrt(), size], 1))
        assert torch.allclose(encoder(before, masks, torch.tensor([1.0, 1.5])), expected, atol=1e-4)


def test_traits_of_no_tumour_are_finite() -> None:
    denoiser = tiny_denoiser()
    latent = torch.randn(1, 6, 8, 8, 8)
    assert denoiser.tumour_traits(latent, torch.zeros(1, MASKS, 8, 8, 8), torch.ones(1)).isfinite().all()


def test_a_hidden_action_gives_one_outlook_for_each_tumour() -> None:
    denoiser = tiny_denoiser().eval()
    given = inputs(denoiser)
    hidden = torch.tensor([True, True])
    with torch.inference_mode():
        one = outlook(denoiser, given, some_actions(denoiser, 0, 1), hidden)
        two = outlook(denoiser, given, some_actions(denoiser, 3, 4), hidden)
    assert torch.equal(one, two) and not torch.allclose(one[0], one[1], atol=1e-3)


def test_the_stated_level_overrides_the_expected_one(model: DynamicsModel, patch: EncodedPatch) -> None:
    assert model.level(A) == 2 and model.level(B) == 4  # 1 + floor(4 x 0.3), 1 + min(3, floor(4 x 0.9))
    assert model.level(Protocol.parse("Cisplatin")) == 0
    expected = model.simulate(patch, [A], [7], steps=1)
    assert np.array_equal(model.simulate(patch, [A], [7], steps=1, levels=[2]), expected)
    assert np.abs(model.simulate(patch, [A], [7], steps=1, levels=[4]) - expected).max() > 0.1


def test_an_attenuated_latent_is_encoded_once_and_level_zero_is_the_latent(model: DynamicsModel) -> None:
    labels = np.ones((64, 64, 64), np.uint8)
    labels[20:40, 20:40, 20:40] = 2
    own = model.encode(np.where(labels == 2, 150.0, 100.0), labels, 1.0)
    assert own.labels.shape == (64, 64, 64) and own.attenuated == {}
    model.simulate(own, [A, A], [1, 2], steps=1, levels=[0, 0])
    assert own.attenuated == {}
    model.simulate(own, [A, A], [1, 2], steps=1, levels=[3, 3])
    kept = own.attenuated[3]
    model.simulate(own, [A], [1], steps=1, levels=[3])
    assert list(own.attenuated) == [3] and own.attenuated[3] is kept
    expected = model.encode(attenuate(own.hu[0, 0].numpy(), labels, 3, 1.0), labels, 1.0).latent
    assert torch.equal(kept, expected) and not torch.equal(kept, own.latent)


@pytest.mark.parametrize(("text", "attenuation"), [(5, True), (0, False)])
def test_a_bundle_part_rebuilds_the_denoiser(text: int, attenuation: bool) -> None:
    denoiser = tiny_denoiser(text, attenuation).eval()
    part = TrainedDenoiser(denoiser, denoiser.config.change_scale, denoiser.config.response_spread)
    config = json.loads(json.dumps(part.part_config()))
    again = denoiser_from_part(config, part.tensors())
    assert again.config == denoiser.config
    assert again.state_dict().keys() == denoiser.state_dict().keys()
    for one, two in zip(denoiser.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_encoding_keeps_hounsfield_units(model: DynamicsModel, patch: EncodedPatch) -> None:
    assert patch.latent.shape == (1, 6, 24, 24, 24)
    blocks = to_blocks(compand(patch.hu)) - model.autoencoder.mean
    expected = (blocks @ model.autoencoder.basis.T / model.autoencoder.scale)[0, 3, 4, 5]
    assert torch.allclose(patch.latent[0, :, 3, 4, 5], expected, atol=1e-5)


def test_a_part_of_another_version_is_a_typed_error() -> None:
    denoiser = tiny_denoiser()
    config = TrainedDenoiser(denoiser, denoiser.config.change_scale).part_config()
    tensors = {k: v.numpy() for k, v in denoiser.state_dict().items() if not k.startswith("traits")}
    with pytest.raises(BundleError, match="does not fit this version"):
        denoiser_from_part(config, tensors)
    with pytest.raises(BundleError, match="mewm train dynamics"):
        denoiser_from_part({**config, "beyond": 1}, tensors)
