"""A language model reads a report beside the deterministic extractor, and where they differ is shown.

Only the sentences that name an agent or an outcome are sent, with everything that looks like a person, an id or a date
masked. What the extractor says stands; the model adds nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from MeWMLib.core.protocol import DRUG, EMBOLIC, agents_of, vocabulary
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import read_administrations, report_schema
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.prompts import REPORT, load_prompt
from MeWMLib.policy.reports import OperationReport, parse_report, relevant_text


@dataclass(frozen=True)
class SecondReading:
    """What the model read.

    Attributes:
        report: the model's reading.
        differences: one sentence for each point in which both differ; empty if they agree.
    """

    report: OperationReport
    differences: tuple[str, ...]


def request(client: ChatClient, text: str) -> bytes:
    """The exact bytes that `second_reading` sends."""
    return client.body(_messages(text), report_schema(list(vocabulary())))


def second_reading(client: ChatClient, text: str) -> SecondReading:
    """Let a model read the report too.

    Raises:
        EndpointError: it gave no usable answer, or the user must do something first.
    """
    answer = client.ask(_messages(text), report_schema(list(vocabulary())), REPORT)
    given, level = read_administrations(answer)
    other = OperationReport(given, (), level)
    return SecondReading(other, differences(parse_report(text), other))


def differences(first: OperationReport, second: OperationReport) -> tuple[str, ...]:
    """In what two readings of one report differ: agents, summed doses, routes, level."""
    found = []
    ours, theirs = ({a.agent: a for a in r.protocol.actions} for r in (first, second))
    for name in vocabulary():
        if name in ours and name not in theirs:
            found.append(f"{name}: the model does not name it")
        elif name in theirs and name not in ours:
            found.append(f"{name}: only the model names it")
        elif name in ours:
            for what in ("dose", "route"):
                a, b = getattr(ours[name], what), getattr(theirs[name], what)
                if a != b:
                    found.append(f"{name}: {what} {a or 'not stated'}, the model says {b or 'not stated'}")
    if first.attenuation_level != second.attenuation_level:
        a, b = first.attenuation_level, second.attenuation_level
        found.append(f"attenuation level {a or 'not stated'}, the model says {b or 'not stated'}")
    return tuple(found)


def _messages(text: str) -> list[Message]:
    sentences = privacy.require_clean(privacy.masked(relevant_text(text)), "the report")
    form = 'Form: {"administrations": [{"agent": ..., "dose": ..., "route": ...}, ...], "attenuation_level": ...}'
    system, user = load_prompt(REPORT).fill(
        drugs=", ".join(agents_of(DRUG)), embolics=", ".join(agents_of(EMBOLIC)), sentences=sentences, form=form
    )
    return [Message("system", system), Message("user", user)]
