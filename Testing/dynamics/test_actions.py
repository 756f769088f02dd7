"""tau(a): order-free, sensitive to agents and doses."""

import pytest
import torch

from MeWMLib.core.protocol import Action, Protocol
from MeWMLib.dynamics.actions import ActionEncoder, encode_protocols, known_agents


@pytest.fixture(scope="module")
def encoder() -> ActionEncoder:
    torch.manual_seed(0)
    return ActionEncoder(len(known_agents()), 32).eval()


def condition(encoder: ActionEncoder, *protocols: Protocol) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(encode_protocols(protocols, known_agents()))


def test_the_order_of_actions_does_not_matter(encoder: ActionEncoder) -> None:
    a, b, c = Action("Cisplatin", 40), Action("Lipiodol", 10), Action("Gelatin Sponge")
    first, second = condition(encoder, Protocol((a, b, c)), Protocol((c, a, b)))
    assert torch.equal(first, second)


def test_permuting_the_agents_of_the_network_permutes_nothing_else() -> None:
    torch.manual_seed(1)
    names = known_agents()
    one = ActionEncoder(len(names), 16).eval()
    other = ActionEncoder(len(names), 16).eval()
    other.load_state_dict(one.state_dict())
    order = torch.randperm(len(names))
    other.concepts.weight.data = one.concepts.weight.data[order]
    protocols = [Protocol.parse("Doxorubicin 50 mg + Lipiodol 10 ml + PVA")]
    with torch.inference_mode():
        a = one(encode_protocols(protocols, names))
        b = other(encode_protocols(protocols, [names[n] for n in order]))
    assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    "other", ["Cisplatin + Lipiodol", "Doxorubicin 50 mg + Lipiodol", "Doxorubicin", "Doxorubicin + PVA"]
)
def test_another_agent_or_dose_is_another_condition(encoder: ActionEncoder, other: str) -> None:
    first, second = condition(encoder, Protocol.parse("Doxorubicin + Lipiodol"), Protocol.parse(other))
    assert (first - second).abs().max() > 1e-3


def test_dose_is_relative_to_the_middle_of_the_usual_range() -> None:
    features = encode_protocols([Protocol.parse("Doxorubicin 47.5 mg")], known_agents())[0]
    row = features[known_agents().index("Doxorubicin")]
    assert row.tolist() == [1.0, 1.0, 0.0]
    assert features.sum() == 2.0


def test_a_dropped_action_is_the_same_whatever_it_was(encoder: ActionEncoder) -> None:
    actions = encode_protocols(
        [Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Mitomycin + PVA")], known_agents()
    )
    out = encoder(actions, torch.tensor([True, True]))
    assert torch.equal(out[0], out[1])
    out.sum().backward()
    assert encoder.unknown.grad is not None and encoder.unknown.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def phi() -> torch.Tensor:
    return torch.randn((len(known_agents()), 12), generator=torch.Generator().manual_seed(2))


def test_with_text_the_order_of_actions_does_not_matter_either(phi: torch.Tensor) -> None:
    torch.manual_seed(3)
    told = ActionEncoder(len(known_agents()), 16, phi).eval()
    a, b, c = Action("Cisplatin", 40), Action("Lipiodol", 10), Action("Gelatin Sponge")
    first, second = condition(told, Protocol((a, b, c)), Protocol((c, a, b)))
    assert torch.equal(first, second)


def test_the_text_is_kept_frozen_and_counts_for_the_agents_that_are_given(phi: torch.Tensor) -> None:
    torch.manual_seed(3)
    names = known_agents()
    told = ActionEncoder(len(names), 16, phi.clone()).eval()
    assert "phi" in told.state_dict() and "phi" not in dict(told.named_parameters())
    given, other = Protocol.of(["Cisplatin", "Lipiodol"]), Protocol.of(["Doxorubicin", "PVA"])
    before = condition(told, given, other)
    told.phi[names.index("Cisplatin")] += 3.0
    after = condition(told, given, other)
    assert not torch.allclose(before[0], after[0], atol=1e-4) and torch.equal(before[1], after[1])


def test_tau_is_the_stated_formula(phi: torch.Tensor) -> None:
    """Eq. 1 with a sum in place of the concatenation, one agent after the other."""
    torch.manual_seed(3)
    names = known_agents()
    told = ActionEncoder(len(names), 16, phi).eval()
    protocol = Protocol((Action("Cisplatin", 40), Action("Lipiodol")))
    features = encode_protocols([protocol], names)[0]
    with torch.inference_mode():
        concept, text = torch.zeros(16), torch.zeros(16)
        for name in protocol.agents:
            n = names.index(name)
            concept += told.concept(torch.cat([told.concepts.weight[n], features[n, 1:]]))
            text += told.sigma1(phi[n])
        expected = told.sigma2(torch.cat([concept, text]))
    assert torch.allclose(condition(told, protocol)[0], expected, atol=1e-5)


def test_without_text_the_encoder_holds_none() -> None:
    plain = ActionEncoder(len(known_agents()), 16)
    assert not any(name.startswith(("phi", "sigma1")) for name in plain.state_dict())
