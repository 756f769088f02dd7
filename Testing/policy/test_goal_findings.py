"""What a goal states about the patient is never turned into its opposite."""

from __future__ import annotations

import itertools

import pytest

from MeWMLib.policy.goal import read_goal

#: A finding, its field, the value when it is there and when it is denied.
FINDINGS = {
    "ascites": ("ascites", "unspecified", "none"),
    "heart failure": ("heart_failure", "unspecified", "none"),
    "portal vein thrombosis": ("portal_vein_thrombosis", "unspecified", "none"),
    "hepatic encephalopathy": ("encephalopathy", "unspecified", "none"),
    "arterioportal shunt": ("arterioportal_shunt", True, False),
    "renal failure": ("renal_failure", True, False),
    "lung metastases": ("extrahepatic_spread", True, False),
    "hyperthyroidism": ("hyperthyroidism", True, False),
    "dilated bile ducts": ("dilated_bile_ducts", True, False),
    "bile duct dilatation": ("dilated_bile_ducts", True, False),
}
#: Words that deny what stands behind them.
BEHIND = (
    "without fever", "w/o fever", "and no fever", ", no fever", "ohne Fieber", "sans fievre", "sin fiebre",
    "senza febbre", "without varices", "without any sign of bleeding",
)  # fmt: skip
DENIED = (
    "no {x}", "without {x}", "{x}: none", "{x} absent", "{x} denied", "{x} not present", "{x} was not seen",
    "no evidence of {x}", "{x} negative", "denies {x}",
)  # fmt: skip


@pytest.mark.parametrize(("finding", "behind"), list(itertools.product(FINDINGS, BEHIND)))
def test_what_is_denied_behind_a_finding_leaves_it_there(finding: str, behind: str) -> None:
    field, there, _ = FINDINGS[finding]
    assert read_goal(f"{finding} {behind}").facts.get(field) == there


@pytest.mark.parametrize(("finding", "denial"), list(itertools.product(FINDINGS, DENIED)))
def test_a_denied_finding_is_not_there(finding: str, denial: str) -> None:
    field, _, denied = FINDINGS[finding]
    goal = read_goal(denial.format(x=finding))
    assert goal.facts.get(field) == denied or goal.questions


@pytest.mark.parametrize(
    "sentence",
    [
        "mother is allergic to cisplatin", "her father had heart failure", "Bruder mit Cisplatinallergie",
        "family history of anaphylaxis with doxorubicin",
    ],
)  # fmt: skip
def test_what_is_said_of_a_relative_is_asked(sentence: str) -> None:
    assert any("the patient's own" in question for question in read_goal(sentence).questions)


def test_a_family_without_findings_is_no_question() -> None:
    assert read_goal("family prefers one session; use Lipiodol").questions == ()
