"""TACE operation reports to protocols: agents, doses, routes, where they were given, and the level of attenuation.

Figure 3 (a) of arXiv 2506.02327 asks language models for this; here a grammar of English sentences does it, without a
model and a network, and says what it was not sure of. What is understood: amounts before and behind a name, units,
number words, "respectively", emulsions, agents that are given several times ("2 x 25 mg", "5 ml each", "a further
5 ml"), totals, negation ("PVA was not used"), other days ("previous TACE with ..."), misspelt names, brands, bare lists
of names, arteries and segments. Amounts and products that belong to nothing are listed; a report that is not too long
causes no error.

The time is in proportion to the length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from MeWMLib.core.protocol import Action, Protocol
from MeWMLib.core.records import record_to_plain
from MeWMLib.core.territory import Territory
from MeWMLib.core.texts import MOST_REPORT, require_length, single_blanks
from MeWMLib.policy import report_words as words
from MeWMLib.policy.report_given import Administration, Clause
from MeWMLib.policy.report_language import other_language
from MeWMLib.policy.report_loads import loads
from MeWMLib.policy.report_outcome import attenuation
from MeWMLib.policy.report_planned import with_plans
from MeWMLib.policy.report_sessions import last_session
from MeWMLib.policy.report_steps import Reader

#: A point behind "i.v." or "min." ends a sentence only before a capital.
_CLAUSE_END = re.compile(
    r"[;\n]|(?<!\bDr)(?<!\bca)(?<!\bapprox)(?<!\bseg)(?<!\bSeg)"
    r"(?:(?<!\bi\.v)(?<!\bi\.a)(?<!\bmax)(?<!\bmin)|(?=\.\s+[A-Z\n]))\.(?=\s|$)|[!?](?=\s|$)"
)
_SPLIT = re.compile(
    r",?\s+and then\s+|,?\s+then\s+|,?\s+followed by\s+|,?\s+after which\s+|,\s+(?:and|but|while)\s+|"
    r"\s+(?:and|but|while)\s+|,\s*", re.I
)  # fmt: skip
_PARENTHESIS = re.compile(r"\([^()\n]{0,200}\)")
#: Characters that mean the same as others.
_CHARACTERS = str.maketrans({"\u2019": "'", "\u00a0": " ", "\ufb01": "fi", "\r": "\n", "\u00d7": "x", "\u2212": "-"})


@dataclass(frozen=True)
class OperationReport:
    """What a report says.

    Attributes:
        administrations: in the order of the report.
        excluded: agents that it names as not given.
        attenuation_level: 1 (little changed) to 4 (no tumour staining left), or None if it does not say.
        outcome: the words that the level was read from.
        notes: what was not certain.
        territory: the arteries, lobes and segments that were treated, all together; None if it does not say.
        territory_text: the words that the territory was read from.
        territory_uncertain: the words that make the territory uncertain; "" if none do.
        unread: products that are no agent of MeWM, and amounts that belong to nothing.
        unread_drugs: those of the products that are drugs.
        loaded: the drugs that it says the beads were loaded with.
    """

    administrations: tuple[Administration, ...]
    excluded: tuple[str, ...] = ()
    attenuation_level: int | None = None
    outcome: str = ""
    notes: tuple[str, ...] = ()
    territory: Territory | None = None
    territory_text: str = ""
    territory_uncertain: str = ""
    unread: tuple[str, ...] = ()
    unread_drugs: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """The whole treatment: the doses of each agent added up, its route if there was only one, and the territory."""
        actions = []
        for name in dict.fromkeys(a.agent for a in self.administrations):
            given = [a for a in self.administrations if a.agent == name]
            doses = [a.dose for a in given if a.dose is not None]
            routes = {a.route for a in given}
            route = routes.pop() if len(routes) == 1 else None
            actions.append(Action(name, round(sum(doses), 6) if doses else None, route))
        return Protocol(tuple(actions), self.territory)

    @property
    def uncertain(self) -> dict[str, tuple[str, ...]]:
        """The agents whose dose is uncertain, each with the words that make it so."""
        found: dict[str, dict[str, None]] = {}
        for given in self.administrations:
            if given.uncertain:
                found.setdefault(given.agent, {})[given.uncertain] = None
        return {name: tuple(said) for name, said in found.items()}

    def to_json(self) -> dict[str, Any]:
        """The fields, and the protocol as text and as actions."""
        protocol = self.protocol
        actions = [record_to_plain(action) for action in protocol.actions]
        uncertain = {name: list(said) for name, said in self.uncertain.items()}
        return {"protocol": protocol.text, "actions": actions, "uncertain": uncertain, **record_to_plain(self)}


def parse_report(text: str) -> OperationReport:
    """Read one operation report; see the module for what is understood.

    Raises:
        InputError: it has more than `MOST_REPORT` characters.
    """
    told = last_session(list(_clauses(text)))
    clauses = with_plans(told.clauses)
    texts = [clause.text for clause in clauses]
    today = max((c.sentence for c in clauses if words.TODAY.search(c.text)), default=-1)
    reader = Reader(as_list=not any(words.ANY_VERB.search(c) for c in texts), today=today)
    for clause in clauses:
        reader.read(clause)
    reader.finish()
    language = other_language(text)
    level, outcome, note = attenuation(texts)
    doubt = language or told.doubt
    notes = [*filter(None, (language, told.doubt)), *told.notes, *reader.notes, *([note] if note else [])]
    given = tuple(a if a.uncertain or not doubt else replace(a, uncertain=doubt) for a in reader.given)
    named = {a.agent for a in given}
    excluded = tuple(n for n in dict.fromkeys(reader.excluded) if n not in named)
    where = reader.territory
    return OperationReport(
        given, excluded, level, outcome, tuple(dict.fromkeys(notes)), where.territory, where.text,
        where.uncertain or (doubt if where.territory else ""), tuple(dict.fromkeys(reader.unread)),
        tuple(dict.fromkeys(reader.unread_drugs)), tuple(dict.fromkeys(loads(texts, named))),
    )  # fmt: skip


def relevant_text(text: str) -> str:
    """The clauses that name an agent or an outcome, one per line: all that a model needs to see of a report."""
    clauses = (clause.text for clause in _clauses(text))
    return "\n".join(c for c in clauses if words.find_names(c) or attenuation([c])[0] is not None)


def _clauses(text: str) -> Iterator[Clause]:
    """Sentences and parts of sentences that each describe one step of the treatment."""
    require_length(text, MOST_REPORT, "The report")
    plain = single_blanks(text).translate(_CHARACTERS)
    # a line break inside a sentence ends nothing
    plain = re.sub(r"(?<=[a-z,])\n(?=[a-z0-9])", " ", plain)
    plain = re.sub(r"(?<=\d)[xX*](?=\d)", " x ", plain)
    plain = _PARENTHESIS.sub(lambda match: match[0].replace(";", ","), plain)
    sentence, begin = 0, 0
    for end in (*_CLAUSE_END.finditer(plain), None):
        part = plain[begin : end.start() if end else len(plain)].strip()
        yield from (Clause(clause, sentence) for clause in _split(part))
        if end:
            begin = end.end()
            sentence += end[0] != ";"


def _split(clause: str) -> Iterator[str]:
    """Split where both sides name an agent and say what was done with it."""
    names = words.find_names(clause)
    done = [match.span() for match in words.DONE.finditer(clause)]
    begin, name, verb = 0, 0, 0  # of the part that is not yet given out: its place, its first name, its first verb
    for match in _SPLIT.finditer(clause) if names and done else ():
        while name < len(names) and names[name].start < begin:
            name += 1
        while verb < len(done) and done[verb][0] < begin:
            verb += 1
        left = name < len(names) and names[name].end <= match.start() and _ends_by(done, verb, match.start())
        if left and names[-1].start >= match.end() and done[-1][0] >= match.end():
            yield clause[begin : match.start()].strip()
            begin = match.end()
    if rest := clause[begin:].strip():
        yield rest


def _ends_by(spans: list[tuple[int, int]], first: int, end: int) -> bool:
    return first < len(spans) and spans[first][1] <= end
