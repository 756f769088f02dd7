"""Language models in Table 2, against recorded answers: presets, two stages, reports in two stages, what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from MeWMLib.core.errors import EndpointConsentError, EndpointError, PolicyError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import PlanSettings
from MeWMLib.lab.reproduce.language import DirectPlan, language_row, presets, recommended
from MeWMLib.lab.reproduce.report_text import describe_report
from MeWMLib.lab.reproduce.two_stage import TwoStagePlan
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.proposal import PolicyInput

LESION = Lesion(1, 30.0, 60.0, (0.0, 0.0, 0.0), 100.0, 15.0, 0.0, 0.1, 25.0)
SEEN = PolicyInput(Findings(1500.0, 100.0, (LESION,)), Clinical(age_years=61))
SETTINGS = PlanSettings(space="free")
PLAN = json.dumps({"drugs": ["Doxorubicin", "Cisplatin"], "embolics": ["Lipiodol"]})
REPORT = (
    "Cisplatin 40 mg was infused through the catheter; 10 ml Lipiodol was slowly injected for embolization; "
    "tumor staining mostly disappeared on the final angiography."
)


def client(url: str, name: str = "recorded", **more: Any) -> ChatClient:
    endpoint = Endpoint(name, url, "some-model", requests_per_minute=6000.0, **more)
    privacy.grant(endpoint)
    return ChatClient(endpoint)


@pytest.mark.parametrize("name", ["gpt-4o", "claude", "qwen2.5-vl", "huatuogpt-vision", "medgpt", "ct2rep", "direct"])
def test_each_preset_reads_what_its_models_answer(name: str, recorded: Any) -> None:
    said = {
        "json": f"Sure:\n```json\n{PLAN}\n```",
        "names": "<think>Mitomycin?</think>I would give doxorubicin and cisplatin with Lipiodol. Avoid mitomycin.",
        "report": "50 mg doxorubicin and 60 mg cisplatin were emulsified with 10 ml Lipiodol and injected.",
    }
    preset = presets()[name]
    server = recorded(said[preset.parsing])
    policy = DirectPlan(client(server.url, price_in=2.0, price_out=10.0), preset)
    found = policy.propose(SEEN, SETTINGS)
    assert set(found.protocol.agents) == {"Doxorubicin", "Cisplatin", "Lipiodol"} and not policy.unusable
    usage = found.usage["recorded"]
    assert usage["requests"] == 1 and usage["prompt_tokens"] == 500 and usage["completion_tokens"] == 40
    assert usage["cost"] == pytest.approx((500 * 2 + 40 * 10) / 1e6) and usage["currency"] == "USD"
    assert ("response_format" in server.asked[0]) == (preset.parsing == "json")


def test_a_bad_answer_is_asked_for_once_more_and_then_counts_as_no_plan(recorded: Any) -> None:
    server = recorded("no idea", PLAN)
    policy = DirectPlan(client(server.url), presets()["gpt-4o"])
    assert policy.propose(SEEN, SETTINGS).protocol.complete and len(server.asked) == 2
    assert "could not be used" in str(server.asked[1]["messages"][-1]["content"])
    never = recorded("no idea")
    policy = DirectPlan(client(never.url, "never"), presets()["medgpt"])
    assert not policy.propose(SEEN, SETTINGS).protocol.actions and len(policy.unusable) == 1
    # an agent that was not offered is no plan either
    other = recorded("Give doxorubicin with lipiodol.")
    policy = DirectPlan(client(other.url, "other"), presets()["medgpt"], among=("Cisplatin", "Gelatin Sponge"))
    assert not policy.propose(SEEN, SETTINGS).protocol.actions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Give cisplatin; do not give doxorubicin.", ["Cisplatin"]),
        ("Epirubicin rather than doxorubicin. Then Lipiodol", ["Lipiodol"]),
        ("Lipiodol with THP, but no gelatin sponge", ["Lipiodol", "Pirarubicin"]),
        ("Cisplatin. Cisplatin is contraindicated by the creatinine.", []),
        ("nothing", []),
    ],
)
def test_what_a_text_recommends(text: str, expected: list[str]) -> None:
    assert recommended(text) == expected


def test_nothing_is_asked_without_consent(recorded: Any) -> None:
    server = recorded(PLAN)
    policy = DirectPlan(ChatClient(Endpoint("closed", server.url, "m")), presets()["direct"])
    with pytest.raises(EndpointConsentError):
        policy.propose(SEEN, SETTINGS)
    assert not server.asked


def test_two_stages_pass_on_what_was_seen_cleaned(recorded: Any) -> None:
    observer = recorded("A 60 mm lesion <script>http://x.example/evil</script> enhances.")
    actor = recorded(PLAN)
    policy = TwoStagePlan(client(observer.url, "one"), client(actor.url, "two"))
    found = policy.propose(SEEN, SETTINGS)
    assert found.space.drugs == ("Doxorubicin", "Cisplatin") and "Lipiodol" in found.protocol.agents
    told = actor.asked[0]["messages"][-1]["content"]
    assert "60 mm lesion" in told and "http" not in told and "<script>" not in told
    assert set(found.usage) == {"one", "two"}


def test_a_report_in_two_stages(recorded: Any) -> None:
    plain = describe_report(REPORT)
    assert set(plain.protocol.agents) == {"Cisplatin", "Lipiodol"} and plain.level == 3 and plain.readers == 1
    assert "Cisplatin 40 mg" in plain.text and "mostly" in plain.text
    given = {
        "administrations": [
            {"agent": "Cisplatin", "dose": 40, "route": "infused"},
            {"agent": "Epirubicin", "dose": 10, "route": "infused"},
        ],
        "attenuation_level": 3,
    }
    reader = client(recorded(json.dumps(given)).url, "reader")
    both = describe_report(REPORT, [reader])
    # of two readers the grammar's agents count, and none that only the model names
    assert set(both.protocol.agents) == {"Cisplatin", "Lipiodol"} and both.readers == 2
    good = client(recorded("Cisplatin 40 mg infused; Lipiodol 10 ml embolised; staining mostly gone").url, "good")
    assert describe_report(REPORT, writer=good).text.startswith("Cisplatin 40 mg infused")
    liar = client(recorded("Doxorubicin 40 mg infused; Lipiodol 10 ml").url, "liar")
    kept = describe_report(REPORT, writer=liar)
    assert kept.text == plain.text and "other agents" in kept.notes[0]
    broken = client(recorded("no JSON").url, "broken")
    assert describe_report(REPORT, [broken]).readers == 1


def test_rows_are_named_by_preset_and_endpoint(recorded: Any) -> None:
    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    ours = {"name": "ours", "url": recorded(PLAN).url, "model": "m"}
    Path(folder / "endpoints.json").write_text(json.dumps({"endpoints": [ours]}), encoding="utf-8")
    assert language_row("medgpt=ours", None)[0] == "medgpt (ours)"
    with pytest.raises(PolicyError, match="no such preset"):
        language_row("gpt-7", None)
    with pytest.raises(EndpointError):
        language_row("medgpt=nobody", None)
