"""The paper's two stages for operation reports (section 3.2): keywords by several readers, then one description.

Stage one: the grammar and any number of language models read a report; an agent counts that most of them name, with the
dose of the first reader who states one (the grammar comes first). Stage two: a model words the description from these
keywords, or the grammar's own wording stands in; a description that names another agent is not taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from MeWMLib.core.errors import EndpointAnswerError, EndpointError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, Protocol, agents_of, vocabulary
from MeWMLib.lab.reproduce.language import FOR_THE_USER, recommended
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.answers import clean, read_administrations, report_schema
from MeWMLib.policy.llm.client import ChatClient, Message
from MeWMLib.policy.llm.prompts import fill
from MeWMLib.policy.reports import OperationReport, parse_report, relevant_text

KEYWORDS, DESCRIBE = "keywords-1", "describe-1"
#: The attenuation level in words.
OUTCOMES = {
    4: "no tumour staining left, feeding arteries occluded",
    3: "tumour staining mostly gone",
    2: "tumour staining reduced",
    1: "tumour staining little changed",
}


@dataclass(frozen=True)
class Described:
    """A report in the two stages.

    Attributes:
        protocol: stage one: agents, doses and routes.
        level: the attenuation level by most readers, or None.
        text: stage two.
        readers: how many read it, the grammar among them.
        notes: what a model's answer was not taken for.
    """

    protocol: Protocol
    level: int | None
    text: str
    readers: int
    notes: tuple[str, ...] = ()


def describe_report(text: str, readers: Sequence[ChatClient] = (), writer: ChatClient | None = None) -> Described:
    """Read a report and word its description.

    Args:
        text: of the report.
        readers: language models of stage one.
        writer: language model of stage two.

    Raises:
        EndpointConsentError, EndpointKeyError, PrivacyError: the user must do something first.
    """
    found, notes = [parse_report(text)], []
    for client in readers:
        try:
            found.append(_keywords(client, text))
        except FOR_THE_USER:
            raise
        except EndpointError as error:
            notes.append(f"{client.endpoint.name} was not counted: {error}")
    protocol = _agreed(found)
    levels = [r.attenuation_level for r in found if r.attenuation_level is not None]
    level = max(levels, key=lambda one: (levels.count(one), -levels.index(one))) if levels else None
    plain = _plain(protocol, level)
    worded = plain
    if writer is not None and protocol.actions:
        try:
            worded = _worded(writer, protocol, level)
        except FOR_THE_USER:
            raise
        except EndpointError as error:
            notes.append(f"{writer.endpoint.name} gave no description: {error}")
    return Described(protocol, level, worded, len(found), tuple(notes))


def _keywords(client: ChatClient, text: str) -> OperationReport:
    sentences = privacy.require_clean(privacy.masked(relevant_text(text)), "the report")
    system, user = fill(
        KEYWORDS, drugs=", ".join(agents_of(DRUG)), embolics=", ".join(agents_of(EMBOLIC)), sentences=sentences
    )
    answer = client.ask([Message("system", system), Message("user", user)], report_schema(list(vocabulary())), KEYWORDS)
    given, level = read_administrations(answer)
    return OperationReport(given, (), level)


def _agreed(found: Sequence[OperationReport]) -> Protocol:
    """Agents that more than half of the readers name; of two readers, what the first (the grammar) names counts."""
    each = [{a.agent: a for a in one.protocol.actions} for one in found]
    out = []
    for name in dict.fromkeys(n for one in each for n in one):
        named = [one[name] for one in each if name in one]
        if 2 * len(named) > len(each) or (2 * len(named) == len(each) and name in each[0]):
            dose = next((a.dose for a in named if a.dose is not None), None)
            route = next((a.route for a in named if a.route is not None), None)
            out.append(Action(name, dose, route))
    return Protocol(tuple(out))


def _plain(protocol: Protocol, level: int | None) -> str:
    """The description without a model."""
    parts = [Protocol((action,)).text for action in protocol.actions]
    return "; ".join([*parts, *([OUTCOMES[level]] if level else [])])


def _worded(client: ChatClient, protocol: Protocol, level: int | None) -> str:
    """The description by a model.

    Raises:
        EndpointAnswerError: it names other agents than the keywords.
    """
    system, user = fill(DESCRIBE, administrations=protocol.text, outcome=OUTCOMES.get(level or 0, "not stated"))
    text = clean(client.ask([Message("system", system), Message("user", user)], None, DESCRIBE), 1200)
    named, known = set(recommended(text)), set(protocol.agents)
    if named != known:
        raise EndpointAnswerError(
            what="The description names other agents than the keywords",
            given=", ".join(sorted(named ^ known)) or "none",
        )
    return text
