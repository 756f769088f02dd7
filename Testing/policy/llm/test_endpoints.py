"""Endpoints: ready configurations, the user's own, keys; prompts; and the commands around them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from MeWMLib import cli
from MeWMLib.core.errors import EndpointError, EndpointKeyError, PolicyError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.records import to_plain
from MeWMLib.lab.evaluation.baselines.policies import save_prior
from MeWMLib.policy.baselines import ConstantPolicy, FrequencyPrior, GuidelinePolicy
from MeWMLib.policy.choose import ChosenPolicy, policy_of
from MeWMLib.policy.llm import cache, privacy
from MeWMLib.policy.llm.endpoints import ENDPOINTS_FILE, KEYRING_SERVICE, Endpoint, find_endpoint, known_endpoints
from MeWMLib.policy.llm.language_model import LanguageModelPolicy
from MeWMLib.policy.llm.prompts import PROPOSE, REFINE, REPORT, fill

PLAIN = Endpoint("mine", "https://models.example.org/v1", "m")


def write_own(*entries: object) -> None:
    (data_folder() / ENDPOINTS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (data_folder() / ENDPOINTS_FILE).write_text(json.dumps({"endpoints": entries}), encoding="utf-8")


def test_the_ready_configurations():
    known = known_endpoints()
    assert {"gpt-4o", "qwen2.5-vl", "huatuogpt-vision", "claude-gateway", "deepseek-r1", "llama-cpp"} == set(known)
    for endpoint in known.values():
        # whoever is not on this computer needs a key, and is not agreed to by being listed
        assert bool(endpoint.key_variable) != endpoint.is_loopback
        assert endpoint.identity not in privacy.consents()
    assert known["gpt-4o"].images and not known["deepseek-r1"].images


def test_the_users_own_win():
    write_own({"name": "gpt-4o", "url": "https://proxy.example.org/v1", "model": "x"}, to_plain(PLAIN))
    assert find_endpoint("gpt-4o").url == "https://proxy.example.org/v1" and find_endpoint("mine") == PLAIN
    with pytest.raises(EndpointError, match="no such endpoint"):
        find_endpoint("nonesuch")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "http://models.example.org/v1"}, "not encrypted"),
        ({"url": "ftp://models.example.org"}, "cannot be used"),
        ({"url": "https://user:sk-secret@models.example.org/v1"}, "cannot be used"),
        ({"url": "https://models.example.org/v1?key=1"}, "cannot be used"),
        ({"url": "https://"}, "cannot be used"),
        ({"name": "My Endpoint"}, "not a name"),
        ({"structured": "xml"}, "structured"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": "long"}, "timeout_s"),
        ({"retries": True}, "retries"),
        ({"temperature": 3.0}, "temperature"),
    ],
)
def test_a_badly_described_endpoint_is_refused(change, said):
    with pytest.raises(EndpointError, match=said) as found:
        replace(PLAIN, **change)
    assert "sk-secret" not in str(found.value)


def test_plain_http_is_for_this_computer_only():
    for host in ("127.0.0.1:8000", "localhost", "[::1]:80"):
        assert replace(PLAIN, url=f"http://{host}/v1").is_loopback
    with pytest.raises(EndpointError, match="not encrypted"):
        replace(PLAIN, url="http://127.0.0.1.example.org/v1")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"endpoints": [{"name": "a"}]}', '{"endpoints": [{"name": "a", "key": "sk"}]}']
)
def test_a_broken_file_of_endpoints_is_refused(content):
    (data_folder() / ENDPOINTS_FILE).parent.mkdir(parents=True, exist_ok=True)
    (data_folder() / ENDPOINTS_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(EndpointError, match=r"cannot be read|lacks a field|Unknown field"):
        known_endpoints()


def test_keys_come_from_the_environment_or_the_keyring_only(monkeypatch):
    endpoint = replace(PLAIN, key_variable="SOME_KEY")
    monkeypatch.delenv("SOME_KEY", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(EndpointKeyError, match="SOME_KEY is not set"):
        endpoint.key()
    ring = ModuleType("keyring")
    ring.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec("keyring", None)
    ring.get_password = lambda service, user: "from-ring" if (service, user) == (KEYRING_SERVICE, "mine") else None
    monkeypatch.setitem(sys.modules, "keyring", ring)
    assert endpoint.key() == "from-ring"
    monkeypatch.setenv("SOME_KEY", " from-environment\n")
    assert endpoint.key() == "from-environment"
    assert "from-environment" not in json.dumps(to_plain(endpoint)) and "from-environment" not in repr(endpoint)


def test_the_prompts_hold_what_is_put_in_and_nothing_is_left_open():
    names = ["pictures", "proposed", "findings", "clinical", "goal", "drugs", "embolics", "rules", "most_drugs"]
    values = {name: f"<{name}>" for name in (*names, "most_embolics", "form", "sentences")}
    for version in (PROPOSE, REFINE, REPORT):
        system, user = fill(version, **values)
        assert "JSON" in system and ("research" in system or version == REPORT)
        assert "<drugs>" in user and "$" not in user
        with pytest.raises(EndpointError, match="cannot be filled"):
            fill(version)
    with pytest.raises(EndpointError, match="no such prompt"):
        fill("propose-0")


def test_a_policy_by_its_name(tmp_path):
    save_prior(FrequencyPrior((("Cisplatin + Lipiodol", 3),)), tmp_path / "prior.json")
    assert isinstance(policy_of("guideline"), GuidelinePolicy)
    constant = policy_of("constant:CDDP + Lipiodol")
    assert isinstance(constant, ConstantPolicy) and constant.protocol.text == "Cisplatin + Lipiodol"
    assert isinstance(policy_of(f"prior:{tmp_path / 'prior.json'}"), FrequencyPrior)
    two = policy_of("llm:gpt-4o+deepseek-r1")
    assert isinstance(two, LanguageModelPolicy) and two.name == "llm:gpt-4o+deepseek-r1"
    for bad in ("oracle", "llm:", "constant:", "", "llm:a+b+c", "Guideline"):
        with pytest.raises(PolicyError):
            policy_of(bad)
    with pytest.raises(PolicyError, match="sends nothing"):
        ChosenPolicy("guideline").preview(None, "", None)


@pytest.fixture
def mewm(capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_endpoints_are_listed_allowed_audited_and_revoked(mewm, client):
    code, out, _ = mewm("endpoint", "list", "--json")
    assert code == 0 and not any(row["allowed"] for row in json.loads(out))
    code, _, err = mewm("endpoint", "allow", "gpt-4o")
    assert (
        code == 2 and "You did not agree" in err and "slices of the CT as pictures" in err and "api.openai.com" in err
    )
    code, out, _ = mewm("endpoint", "allow", "gpt-4o", "--yes")
    assert code == 0 and "Agreed" in out
    assert [r["name"] for r in json.loads(mewm("endpoint", "list", "--json")[1]) if r["allowed"]] == ["gpt-4o"]
    assert "yes" in mewm("endpoint", "list")[1]
    privacy.audit(find_endpoint("gpt-4o"), b"12345", "200", 1.5)
    assert "5 bytes  200" in mewm("endpoint", "audit")[1]
    cache.store("0" * 64, "answer", {})
    assert "Removed 1 " in mewm("endpoint", "forget")[1] and cache.stored("0" * 64) is None
    assert "Withdrawn" in mewm("endpoint", "revoke", "gpt-4o")[1]
    assert "no consent" in mewm("endpoint", "revoke", "gpt-4o")[1]
    assert mewm("endpoint", "allow")[0] == 2 and mewm("endpoint", "allow", "nonesuch")[0] == 2


def test_a_second_reading_on_the_command_line(mewm, server, client, tmp_path):
    from .conftest import chat, reply

    made = client(name="reader").endpoint
    write_own(to_plain(made))
    answer = {"administrations": [{"agent": "Cisplatin", "dose": 60, "route": "infused"}], "attenuation_level": 4}
    server.script = [reply(200, chat(answer))]
    report = tmp_path / "report.txt"
    report.write_text("Cisplatin 60 mg was infused; tumour staining was reduced.", encoding="utf-8")
    code, out, _ = mewm("report", "parse", report, "--endpoint", "reader", "--preview", tmp_path / "sent.json")
    assert code == 0 and "Nothing was sent" in out and server.requests == []
    code, out, _ = mewm("report", "parse", report, "--endpoint", "reader")
    assert code == 0 and "reader differs:" in out and "attenuation level 2, the model says 4" in out
    assert "Attenuation level: 2 of 4" in out, "what the extractor says stands"
    assert server.requests[0].endswith((tmp_path / "sent.json").read_bytes())
    privacy.revoke(made)
    assert mewm("report", "parse", report, "--endpoint", "reader")[0] == 2


@pytest.mark.parametrize("text", ["{", '{"format": "x"}', '{"format": "mewm-answer/1", "content": 3, "usage": {}}'])
def test_a_broken_stored_answer_is_no_answer(text):
    path = data_folder() / cache.ANSWERS / "k.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert cache.stored("k") is None


def test_a_language_model_is_a_row_of_the_table_and_asked_once_a_patient(server, client, tmp_path):
    from MeWMLib.lab.evaluation.__main__ import main

    from .conftest import chat, reply

    made = client(name="reader").endpoint
    write_own(to_plain(made))
    server.script = [
        reply(200, chat({"drugs": ["Cisplatin"], "embolics": ["Lipiodol"]})),
        reply(200, chat("nonsense")),
    ]
    header = "TCIA_ID,chemotherapy,CPS,BCLC,AFP,age,Tr_Size,tumor_nodul,Metastasis"
    rows = [f"H{n},Cisplatin,A,Stage-B,{n},60,4,uninodular,0" for n in range(3)]
    (tmp_path / "table.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    where = ["--table", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out")]
    how = ["--folds", "3", "--repeats", "2", "--constant", "Cisplatin + Lipiodol"]
    code = main(["policy", *where, *how, "--policy", "llm:reader", "constant"])
    assert code == 0 and len(server.requests) == 1 + 2 * 2, "one patient answered, two asked once more each"
    about = json.loads((tmp_path / "out" / "policy.json").read_text(encoding="utf-8"))
    # only what the table's patients could be given was offered, and each stand-in is told
    assert "Aspirin" not in str(about["plans"]) and about["plans"]["llm:reader"]["Cisplatin + Lipiodol"] == 1
    assert (
        any("in place of" in note for note in about["notes"])
        and about["usage"]["llm:reader"]["reader"]["requests"] == 5
    )
    assert "Raltitrexed" not in server.bodies[0]["messages"][1]["content"]
