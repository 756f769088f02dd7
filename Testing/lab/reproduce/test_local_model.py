"""Every preset of Table 2 against a real language model on this computer, whose answers are nonsense as medicine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import agent
from MeWMLib.lab.reproduce.language import JSON, DirectPlan, presets
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.proposal import PolicyInput
from Testing.local_model import serving

pytestmark = pytest.mark.slow
AMONG = ("Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol", "LC beads")
LESION = Lesion(1, 30.0, 60.0, (0.0, 0.0, 0.0), 100.0, 15.0, 0.0, 0.1, 25.0)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running model."""
    with serving(tmp_path_factory.mktemp("llama")) as found:
        yield found


@pytest.mark.parametrize("name", ["gpt-4o", "claude", "qwen2.5-vl", "huatuogpt-vision", "medgpt", "ct2rep", "direct"])
def test_a_preset_asks_a_real_model_and_counts_what_it_cost(name: str, address: str) -> None:
    assert name in presets()
    endpoint = Endpoint(
        name, f"{address}/v1", "local", timeout_s=900, max_tokens=60, reasons=False, requests_per_minute=6000,
        price_in=2.0, price_out=10.0,
    )  # fmt: skip
    privacy.grant(endpoint)
    policy = DirectPlan(ChatClient(endpoint), presets()[name], AMONG)
    case = PolicyInput(Findings(1500.0, 100.0, (LESION,)), Clinical(child_pugh_class="A"), "longest survival")
    proposal = policy.propose(case, PlanSettings(space="free", drug_horizon=2, embolic_horizon=1))
    chosen = proposal.protocol.agents
    # an answer is a plan of what was offered, or is counted as none
    assert set(chosen) <= set(AMONG) and (bool(chosen) or len(policy.unusable) == 1)
    if presets()[name].parsing == JSON:
        # the server holds the model to the schema
        assert not policy.unusable and {agent(one).kind for one in chosen} == {"drug", "embolic"}
    used = proposal.usage[name]
    assert 1 <= used["requests"] <= 2 and used["cached"] == 0
    assert used["prompt_tokens"] > 100 and 0 < used["completion_tokens"] <= 120
    assert used["cost"] == pytest.approx((2 * used["prompt_tokens"] + 10 * used["completion_tokens"]) / 1e6)
