"""Amounts of an operation report that were planned, told apart from those that were given.

"Planned: cisplatin 100 mg. Given: 60 mg", "75 mg were intended, 40 mg administered": only what was given counts. A plan
of which nobody says what came of it stays as an uncertain dose.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from MeWMLib.core.protocol import agent
from MeWMLib.core.texts import shortened
from MeWMLib.policy.report_amounts import find_amounts
from MeWMLib.policy.report_binding import bind
from MeWMLib.policy.report_given import GIVEN_PART, PLANNED_PART, Clause
from MeWMLib.policy.report_numbers import Dose, find_doses, number, without_sizes
from MeWMLib.policy.report_words import AGENT, any_of, find_mentions

_PLAN_WORD = (
    r"planned|intended|prescribed|calculated|scheduled|ordered|foreseen|envisaged|aimed for|"
    r"plan(?=\s*(?::|was\b|were\b|had\b))|"
    r"(?:target|nominal)(?:ed)? (?:dose|volume|amount)"
)
_PLAN = re.compile(rf"(?<!\bas )\b(?:{_PLAN_WORD})\b", re.I)
_PERFORMED = any_of(r"performed|carried out|completed|done")
_GIVEN = any_of(
    r"given|administered|injected|infused|delivered|received|applied|instil+ed|actual(?:ly)?|used|achieved|reached"
)
_PLAN_HEADING = re.compile(rf"\s*(?:initially |originally )?(?:{_PLAN_WORD})\b[^:\n]{{0,30}}(?::|$)", re.I)
_GIVEN_HEADING = re.compile(rf"\s*(?:(?:total |dose |finally |amount )*)?{_GIVEN.pattern}[^:\n]{{0,30}}(?::|$)", re.I)
#: Between the plan and what came of it.
_BOUNDARY = re.compile(
    rf",\s*|(?<=\))\s*|\s+(?=but\b|however\b|whereas\b|while\b)|\s*(?=\()|\s*(?:->|=>|\u2192)\s*|\s+(?:versus|vs\.?)\s+|"
    rf"\s+(?=(?:instead of|rather than|out of|of) (?:the |an? )?(?:{_PLAN_WORD})\b)",
    re.I,
)
#: Ahead of an amount or right behind it, with few words in between.
_AHEAD = re.compile(rf"\b(?:{_PLAN_WORD})\b(?:\W+[a-z-]+){{0,5}}\W*$", re.I)
_BEHIND = re.compile(rf"\W*(?:[a-z-]+\W+){{0,6}}?(?:{_PLAN_WORD})\b", re.I)
_BARE = r"(?P<n>\d{1,4}(?:[.,]\d+)?)(?=\s*(?:$|[;,)(]))"
_BARE_AT_NAME = re.compile(rf"\s*(?:dose)?\s*[:=]?\s*{_BARE}", re.I)
_BARE_GIVEN = re.compile(rf"{_GIVEN.pattern}(?:\s+(?:dose|was|only|were))*\s*[:=]?\s*{_BARE}", re.I)
#: Characters: a clause that is read for plans, around an amount, and of a clause that is shown.
_LONGEST, _NEAR, _SHOWN = 400, 80, 300


def with_plans(clauses: Sequence[Clause]) -> list[Clause]:
    """The clauses, those that tell plans and what came of them cut in two and marked (`Clause.part`)."""
    heading_follows = [False] * (len(clauses) + 1)  # "Given:" begins one of the later clauses
    for n in range(len(clauses) - 1, -1, -1):
        heading_follows[n] = heading_follows[n + 1] or _GIVEN_HEADING.match(clauses[n].text) is not None
    found, under_plan = [], False
    for n, clause in enumerate(clauses):
        if _GIVEN_HEADING.match(clause.text):
            under_plan = False
        elif _PLAN_HEADING.match(clause.text) and heading_follows[n + 1]:
            under_plan = True
        found += [replace(clause, part=PLANNED_PART)] if under_plan else list(_cut(clause))
    return found


def _cut(clause: Clause) -> Iterator[Clause]:
    text = clause.text
    if len(text) > _LONGEST or not _PLAN.search(text):
        yield clause
        return
    cuts = [0, *(m.start() for m in _BOUNDARY.finditer(text) if m.start()), len(text)]
    plans: list[tuple[str, bool]] = []
    planned = outside = False
    for begin, end in itertools.pairwise(cuts):
        part = text[begin:end]
        if part.lstrip().startswith("("):
            outside = planned
        elif text[begin - 1 : begin] == ")":
            planned = outside  # "30 mg (planned 75 mg), Lipiodol 6 ml"
        if _PLAN.search(part):
            planned = _is_plan(part) or (planned and not _GIVEN.search(part))
        elif _GIVEN.search(part) or re.match(r"\W*(?:but|however|whereas)\b", part, re.I):
            planned = False
        if plans and plans[-1][1] == planned:
            plans[-1] = (plans[-1][0] + part, planned)
        else:
            plans.append((part, planned))
    if len(plans) > 1 and plans[1][1] and not find_doses(plans[0][0]) and not _GIVEN.search(plans[0][0]):
        plans[:2] = [(plans[0][0] + plans[1][0], True)]  # "cisplatin (planned 100 mg ..."
    done = len(plans) == 1 and (_GIVEN.search(text) or _PERFORMED.search(text))
    if done or not any(is_plan for _, is_plan in plans):
        yield clause  # "the planned dose of 100 mg was given" is no plan alone
        return
    # the plan first: it names what "60 mg of the planned 100 mg" is an amount of
    for part, is_plan in sorted(plans, key=lambda entry: not entry[1]):
        if cleaned := part.strip(" ,;:()"):
            yield replace(clause, text=cleaned, part=PLANNED_PART if is_plan else GIVEN_PART)


def _is_plan(part: str) -> bool:
    """True if an amount stands beside the word that calls it a plan."""
    names = [name for name in find_mentions(part) if name.kind == AGENT]
    plain = without_sizes(part)
    for dose in find_doses(plain):
        window = plain[max(0, dose.start - _NEAR) : dose.start]
        if _AHEAD.search(window) or _BEHIND.match(plain[dose.end : dose.end + _NEAR]):
            return True
    return any(_BARE_AT_NAME.match(part, name.end) for name in names)


@dataclass
class Plans:
    """The amounts that were planned.

    Attributes:
        open: of each agent, the planned amount and the clause that says so.
    """

    open: dict[str, tuple[Dose, str]] = field(default_factory=dict)

    def take(self, text: str, known: Callable[[Dose], list[str]]) -> list[str]:
        """Read a clause about a plan; the amounts that belong to no agent, to be listed as not read.

        Args:
            text: the clause.
            known: the agents that an amount without a name may be of.
        """
        names, plain = find_mentions(text), without_sizes(text)
        bound = bind(plain, names, find_amounts(plain, names, 0, None))
        for n, name in enumerate(names):
            if name.kind != AGENT:
                continue
            dose = bound.doses.get(n) or bound.totals.get(n)
            if dose is None and (written := _BARE_AT_NAME.match(text, name.end)):
                dose = _without_unit(written, name.agent)
            if dose is not None:
                self.open[name.agent] = (dose, text)
        unread = []
        bare = [name.agent for name in names if name.kind == AGENT and not self._has_amount(name.agent)]
        for dose in bound.left:
            here = [one for one in dict.fromkeys(bare) if agent(one).dose_unit == dose.unit]
            fitting = here or known(dose)
            if len(fitting) == 1:
                self.open[fitting[0]] = (dose, text)
            else:
                unread.append(f"{dose.text!r} in {shortened(text, _SHOWN)!r}")
        return unread

    def _has_amount(self, name: str) -> bool:
        return name in self.open and self.open[name][0].value is not None

    def of(self, dose: Dose, given: Iterable[str]) -> str:
        """The agent that an amount without a name was given of: the only planned one of its unit, or "".

        Args:
            dose: that was given.
            given: agents of which an amount was read already.
        """
        done = set(given)
        fitting = [name for name in self.open if name not in done and agent(name).dose_unit == dose.unit]
        return fitting[0] if len(fitting) == 1 else ""

    def bare(self, text: str, given: Iterable[str]) -> tuple[str, Dose] | None:
        """ "Actually administered 40": the amount without a unit, of the only planned agent; None if it is none."""
        done = set(given)
        names = [name for name in self.open if name not in done]
        found = _BARE_GIVEN.search(text) if len(names) == 1 else None
        return (names[0], _without_unit(found, names[0])) if found else None


def _without_unit(found: re.Match[str], name: str) -> Dose:
    said = f"{found['n']} without a unit"
    return Dose(number(found["n"]), agent(name).dose_unit, found.start("n"), found.end("n"), found["n"], said)
