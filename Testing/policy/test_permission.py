"""What the rules forbid is refused by name, and allowed only to those who insist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.protocol import Protocol
from MeWMLib.policy.permission import ForbiddenProtocolError, require_allowed

REPOSITORY = Path(__file__).resolve().parents[2]
TWO = Protocol.parse("Cisplatin + Oxaliplatin + Lipiodol")


def test_a_forbidden_protocol_is_refused_with_its_rule_and_what_to_do() -> None:
    with pytest.raises(
        ForbiddenProtocolError, match=r"Oxaliplatin and Cisplatin\) \[one-platinum\].*--allow-forbidden"
    ):
        require_allowed(TWO, Clinical())
    assert [f.rule for f in require_allowed(TWO, Clinical(), allow_forbidden=True)] == ["one-platinum"]
    assert require_allowed(Protocol.parse("Cisplatin + Lipiodol"), Clinical()) == ()


def test_the_patient_counts() -> None:
    plain = Protocol.parse("Doxorubicin + Lipiodol")
    with pytest.raises(ForbiddenProtocolError, match="child-pugh-c"):
        require_allowed(plain, Clinical(child_pugh_class="C"))
    assert [f.severity for f in require_allowed(plain, Clinical(child_pugh_class="B"))] == ["warning"]


def test_a_drug_alone_is_told_by_name_what_it_lacks() -> None:
    with pytest.raises(ForbiddenProtocolError, match="no embolic, such as Lipiodol"):
        require_allowed(Protocol.parse("Epirubicin"), Clinical())
    # an embolic alone is TAE, which is noted
    assert [(f.rule, f.severity) for f in require_allowed(Protocol.parse("PVA"), Clinical())] == [
        ("bland-embolisation", "note")
    ]


def test_the_goal_and_what_was_measured_count() -> None:
    protocol = Protocol.parse("Cisplatin + PVA")
    with pytest.raises(ForbiddenProtocolError, match="goal-excludes"):
        require_allowed(protocol, Clinical(), goal=Goal(excluded=("Cisplatin",)))
    lesion = Lesion(1, 800.0, 120.0, (0.0, 0.0, 0.0), 60.0, 10.0, 0.0, 0.0, 800.0)
    assert require_allowed(protocol, Clinical()) == ()
    found = require_allowed(protocol, Clinical(), findings=Findings(1400.0, 100.0, (lesion,)))
    assert [f.rule for f in found] == ["tumour-burden"]


@pytest.mark.parametrize("name", ["ForbiddenProtocolError", "ContraindicatedError"])
def test_a_refusal_keeps_its_type_where_no_rule_is_loaded(name: str) -> None:
    """A server passes on what a worker says, and has no need of the rules."""
    code = (
        "import sys; from MeWMLib.core.errors import error_from_json\n"
        f"found = error_from_json({{'type': {name!r}, 'what': 'x'}})\n"
        f"raise SystemExit(type(found).__name__ != {name!r} or 'MeWMLib.policy.rules' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
