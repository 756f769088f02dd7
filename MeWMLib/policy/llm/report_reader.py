"""A language model reads a report as well as the deterministic parser, and the differences are shown.

Only the sentences that name an agent or an outcome are sent, with everything that looks like a person, an id or a date
masked. The parser's reading counts; the model's reading is only compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from MeWMLib.core.protocol import DRUG, EMBOLIC, agents_of, vocabulary
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import read_administrations, report_schema
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.prompts import REPORT, fill
from MeWMLib.policy.reports import OperationReport, parse_report, relevant_text


@dataclass(frozen=True)
class SecondReading:
    """What the model read.

    Attributes:
        report: the model's reading.
        differences: one sentence for each point in which the two differ; empty if they agree.
    """

    report: OperationReport
    differences: tuple[str, ...]


def request(client: ChatClient, text: str) -> bytes:
    """The exact bytes that `second_reading` sends."""
    return client.body(_messages(text), report_schema(list(vocabulary())))


def second_reading(client: ChatClient, text: str) -> SecondReading:
    """Let a model read the report as well.

    Raises:
        EndpointError: it gave no usable answer, or the user must do something first.
    """
    answer = client.ask(_messages(text), report_schema(list(vocabulary())), REPORT)
    given, level = read_administrations(answer)
    other = OperationReport(given, (), level)
    return SecondReading(other, differences(parse_report(text), other))


def differences(first: OperationReport, second: OperationReport) -> tuple[str, ...]:
    """How two readings of one report differ: agents, summed doses, routes, level."""
    found = []
    ours, theirs = ({a.agent: a for a in r.protocol.actions} for r in (first, second))
    for name in vocabulary():
        if name in ours and name not in theirs:
            found.append(f"{name}: the model does not name it")
        elif name in theirs and name not in ours:
            found.append(f"{name}: only the model names it")
        elif name in ours:
            for what in ("dose", "route"):
                found += _difference(f"{name}: {what}", getattr(ours[name], what), getattr(theirs[name], what))
    return (*found, *_difference("attenuation level", first.attenuation_level, second.attenuation_level))


def _difference(what: str, ours: Any, theirs: Any) -> list[str]:
    if ours == theirs:
        return []
    return [f"{what} {ours or 'not stated'}, the model says {theirs or 'not stated'}"]


def _messages(text: str) -> list[Message]:
    sentences = privacy.require_clean(privacy.masked(relevant_text(text)), "the report")
    form = 'Form: {"administrations": [{"agent": ..., "dose": ..., "route": ...}, ...], "attenuation_level": ...}'
    system, user = fill(
        REPORT, drugs=", ".join(agents_of(DRUG)), embolics=", ".join(agents_of(EMBOLIC)), sentences=sentences, form=form
    )
    return [Message("system", system), Message("user", user)]
