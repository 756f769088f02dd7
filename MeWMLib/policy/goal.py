"""A treatment goal in plain words to what it wants, excludes, limits and states. No model, no network.

The rule above all others: a goal is never turned into its opposite. An agent is wanted only where a wish word governs
it; a mere mention is asked about. An agent is excluded where a negation, an exception, a comparison or an adverse fact
(allergy, toxicity, resistance) governs it, and exclusion wins over a wish. A clinical word that was not used is asked
about, and whatever was not used is listed. English, German, French, Spanish, Italian and Chinese words are known; see
`goal_words` for the words and `goal_grammar` for the sentences.

A goal causes no error unless it is too long: what must be answered is in `Goal.questions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from MeWMLib.core.clinical import ALLERGENS, Clinical
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED
from MeWMLib.core.errors import ClinicalDataError, GoalQuestionError
from MeWMLib.core.goal import Goal
from MeWMLib.core.texts import MOST_GOAL, require_length
from MeWMLib.policy import goal_words as words
from MeWMLib.policy.agent_names import classes
from MeWMLib.policy.goal_facts import Stated, facts_in
from MeWMLib.policy.goal_grammar import (
    ADVERSE,
    BARE,
    DENIED,
    DOUBT,
    EXCLUDE,
    FREED,
    HISTORY,
    PERMIT,
    WISH,
    judge,
)
from MeWMLib.policy.goal_limits import take_limits
from MeWMLib.policy.goal_openings import is_left_open, opened
from MeWMLib.policy.goal_sentences import Group, Sentence, sentences
from MeWMLib.policy.goal_words import AGENT, FACT, SUBSTANCE, UNKNOWN, PlainText, Token

#: Parts of words that speak of an allergy; other adverse words (toxicity, resistance) are none.
_ALLERGIC = ("aller", "alerg", "anaph", "anaf", "hypersens", "ipersens", "uberempf", "hives", "urtic", "rash", "过敏")


@dataclass
class _Reading:
    """What was found so far."""

    text: str
    wanted: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    adverse: list[str] = field(default_factory=list)
    ignored: list[tuple[int, int]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def ask(self, question: str) -> None:
        if question not in self.questions:
            self.questions.append(question)

    def shown(self, tokens: Sequence[Token]) -> str:
        return self.text[tokens[0].start : tokens[-1].end].strip()

    def leave(self, tokens: Sequence[Token]) -> None:
        """These words were not used."""
        if tokens:
            self.ignored.append((tokens[0].start, tokens[-1].end))


@dataclass(frozen=True)
class GoalAgents:
    """Agents that a goal names, by canonical name in the order in which the goal names them.

    Attributes:
        wanted: a wish word governs them.
        excluded: ruled out; never also in `wanted`.
    """

    wanted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """See `Goal.ruled_out`."""
        return Goal(wanted=self.wanted, excluded=self.excluded).ruled_out


def parse_goal(goal: str) -> GoalAgents:
    """The agents that a goal wants and excludes: what `read_goal` says of them alone.

    Raises:
        InputError: it has more than `MOST_GOAL` characters.
    """
    read = read_goal(goal)
    return GoalAgents(read.wanted, read.excluded)


@lru_cache(maxsize=256)
def read_goal(goal: str) -> Goal:
    """Read a treatment goal; see the module.

    Raises:
        InputError: it has more than `MOST_GOAL` characters.
    """
    require_length(goal, MOST_GOAL, "The goal")
    plain = PlainText.of(goal)
    found = _Reading(goal)
    tokens, limits, limited = take_limits(list(words.tokens(plain, facts_in(plain.text))), found.ask)
    open_end, open_from = False, opened(tokens)
    for sentence in sentences(tokens):
        open_end = _read_sentence(sentence, found, limited, open_end, open_from)
    excluded = tuple(dict.fromkeys(found.excluded))
    for name in dict.fromkeys(found.wanted):
        if name in excluded:
            found.ask(f"{name} is both wanted and ruled out; it is left out: is that right?")
    wanted = tuple(n for n in dict.fromkeys(found.wanted) if n not in excluded and n not in found.unclear)
    if "LC beads" in wanted and "Doxorubicin" in excluded:
        found.ask("LC beads are wanted, and they are loaded with doxorubicin, which is ruled out: is that right?")
        if "Doxorubicin" in found.adverse:
            wanted = tuple(name for name in wanted if name != "LC beads")
    for name in found.denied:
        if name in found.facts.get("allergies", ()):
            found.ask(f"An allergy to {name} is both stated and denied")
    return Goal(
        goal, wanted, excluded, limits, found.facts, _merged(goal, found.ignored), tuple(dict.fromkeys(found.questions))
    )


def _read_sentence(sentence: Sentence, found: _Reading, limited: set[int], open_end: bool, open_from: int) -> bool:
    """Read one sentence; returns whether something was left open, so that no later wish can be trusted."""
    spoken, previous = False, None
    left = [(n, part) for n, part in sentence.orphans if is_left_open(part)]
    for number, group in enumerate(sentence.groups):
        open_end |= any(n <= number for n, _ in left)
        spoken |= any(t.kind == "wish" for t in group.pre)
        judge(group, spoken, previous)
        previous = group
        if open_end or sentence.question or group.members[0].start > open_from:
            unsure = (WISH, PERMIT, HISTORY) if sentence.question else (WISH, PERMIT)
            group.polarities = [DOUBT if p in unsure else p for p in group.polarities]
    _attach_orphans(sentence, found)
    for group in sentence.groups:
        _take_group(group, found, limited)
    for _, part in sentence.orphans:
        _leave_part(part, found)
    for group in sentence.groups:
        _leave_part(group.pre, found)
        _leave_part(group.post, found)
    return open_end or bool(left)


def _attach_orphans(sentence: Sentence, found: _Reading) -> None:
    """An adverse word without an object speaks of the agent before it, "use A (anaphylaxis)", or a bare one behind."""
    for number, part in sentence.orphans:
        kinds = [t.kind for t in part]
        if "adverse" not in kinds and "failed" not in kinds:
            continue
        place = next(n for n, kind in enumerate(kinds) if kind in ("adverse", "failed"))
        if any(k == "neg" for k in kinds[:place]):
            found.used.add(id(part[place]))
            continue
        rest = [k for k in kinds[place + 1 :] if k not in ("aux", "benign", words.MARK)]
        if rest[:1] == ["after_prep"] and UNKNOWN in rest:
            continue  # it has an object that is no agent
        before = sentence.groups[number - 1] if number else None
        behind = sentence.groups[number] if number < len(sentence.groups) else None
        if before is not None and before.members[-1].kind != FACT:
            was = before.polarities[-1]
            if was in (WISH, PERMIT, DOUBT, HISTORY):
                found.ask(f"{_named(before.members[-1])}: “{found.shown(part)}” seems to speak of it")
            before.polarities[-1] = ADVERSE
            before.post = [*before.post, part[place]]
            found.used.add(id(part[place]))
        elif behind is not None and set(behind.polarities) == {BARE} and behind.members[0].kind != FACT:
            behind.polarities = [ADVERSE] * len(behind.members)
            behind.pre = [part[place], *behind.pre]
            found.used.add(id(part[place]))


def _take_group(group: Group, found: _Reading, limited: set[int]) -> None:
    cues = [t for t in (*group.pre, *group.post) if t.kind in ("adverse", "failed")]
    allergic = any(part in t.text for t in cues for part in _ALLERGIC)
    if any(p in (ADVERSE, DENIED) for p in group.polarities):
        found.used.update(id(t) for t in cues if t.kind == "adverse")
    for member, polarity in zip(group.members, group.polarities, strict=True):
        if member.kind == FACT:
            _take_fact(member, polarity, found)
        elif member.kind == SUBSTANCE:
            _take_substance(member, polarity, found)
        else:
            _take_agent(member, polarity, allergic, id(member) in limited, found)
    open_ones = [
        member
        for member, polarity in zip(group.members, group.polarities, strict=True)
        if member.kind != FACT and polarity in (HISTORY, PERMIT, DOUBT, BARE) and id(member) not in limited
    ]
    if open_ones:
        found.leave([*group.pre, *group.members, *group.post])


def _take_agent(member: Token, polarity: str, allergic: bool, limited: bool, found: _Reading) -> None:
    names: tuple[str, ...] = member.value
    if polarity == WISH:
        found.wanted += names
    elif polarity == EXCLUDE:
        found.excluded += names
        if limited:
            found.ask(f"{', '.join(names)}: ruled out, or only limited?")
    elif polarity == ADVERSE:
        found.excluded += names
        found.adverse += names
        if allergic:
            known = found.facts.get("allergies", ())
            found.facts["allergies"] = tuple(dict.fromkeys((*known, *_allergens(names))))
    elif polarity == DENIED:
        found.denied += _allergens(names)
    elif polarity == FREED:
        found.excluded = [name for name in found.excluded if name not in names]
    elif polarity in (DOUBT, BARE) and not (limited and polarity == BARE):
        found.unclear += names
        verb = "are" if len(names) > 1 else "is"
        found.ask(
            f"{', '.join(names)}: {verb} wanted or ruled out? “{found.shown([member])}” is mentioned, and no word says "
            f"so clearly: write “use {found.shown([member])}” or “no {found.shown([member])}”"
        )


def _allergens(names: tuple[str, ...]) -> tuple[str, ...]:
    """The name of the class where a whole class of allergens is meant, else the agents."""
    whole = next((group for group, members in classes().items() if members == names and group in ALLERGENS), "")
    return (whole,) if whole else names


def _take_substance(member: Token, polarity: str, found: _Reading) -> None:
    name = str(member.value)
    if polarity == ADVERSE:
        known = found.facts.get("allergies", ())
        found.facts["allergies"] = tuple(dict.fromkeys((*known, name)))
    elif polarity == DENIED:
        found.denied.append(name)
    else:
        found.ask(f"“{found.shown([member])}” was not used: is there an allergy to it?")
        found.leave([member])


def _take_fact(member: Token, polarity: str, found: _Reading) -> None:
    stated: Stated = member.value
    value = stated.value
    if polarity in (EXCLUDE, DENIED):
        value = stated.denied
    if polarity == DOUBT and value is not None:
        # the careful reading counts until somebody says otherwise
        found.ask(f"“{found.shown([member])}” is not clear: is it there? It is taken for there ({stated.field})")
    if value is None:
        found.ask(f"“{found.shown([member])}” is not clear: write it into the clinical data ({stated.field})")
        found.leave([member])
        return
    if found.facts.get(stated.field) == UNSPECIFIED or value == UNSPECIFIED:
        # the statement with a grade counts
        known = found.facts.get(stated.field, value)
        found.facts[stated.field] = value if known == UNSPECIFIED else known
        value = found.facts[stated.field]
    if found.facts.get(stated.field, value) != value:
        found.ask(f"{stated.field} is stated twice, as {found.facts[stated.field]} and as {value}")
    found.facts.setdefault(stated.field, value)


def _leave_part(part: Sequence[Token], found: _Reading) -> None:
    """List what was not used of a few words, and ask where it is a clinical word."""
    kinds = [t.kind for t in part]
    for n, token in enumerate(part):
        denied = "neg" in kinds[:n] and kinds[:n].count("neg") == 1
        if token.kind in ("clinical", "adverse", "failed") and id(token) not in found.used and not denied:
            found.ask(
                f"“{found.shown(part)}” speaks of {found.shown([token])} and was not used: write it into the clinical "
                "data or name the agent that it rules out"
            )
    unused = [t for t in part if t.kind in (UNKNOWN, "clinical") or (t.kind == "adverse" and id(t) not in found.used)]
    if unused:
        found.leave([t for t in part if t.start >= unused[0].start and t.end <= unused[-1].end])


def _named(member: Token) -> str:
    return ", ".join(member.value) if member.kind == AGENT else str(member.value)


def _merged(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The parts of a text, overlapping ones as one, in order."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return tuple(part for start, end in merged if (part := text[start:end].strip()))


def with_facts(goal: Goal, clinical: Clinical) -> tuple[Clinical, Goal]:
    """Put what a goal states about the patient into the clinical data.

    A contradiction is asked about. Until it is answered the more careful of the two counts where one of them denies a
    finding; else the clinical data count.

    Returns:
        The clinical data, and the goal with what is asked now.
    """
    data, questions = clinical.to_json(), list(goal.questions)
    for name, value in goal.facts.items():
        known = data.get(name)
        if name == "allergies":
            data[name] = list(dict.fromkeys([*(known or []), *value]))
            if known is not None and not set(value) <= set(known):
                questions.append(f"The goal states an allergy to {', '.join(value)}, the clinical data do not")
        elif known is None or known == UNSPECIFIED:
            data[name] = value
        elif value != known and value != UNSPECIFIED:
            if known in (NONE, False):
                data[name] = value
            questions.append(f"{name}: the goal says {value}, the clinical data say {known}")
        elif value == UNSPECIFIED and known == NONE:
            data[name] = value
            questions.append(f"{name}: the goal says there is, the clinical data say there is none")
    try:
        merged = Clinical.from_json(data)
    except ClinicalDataError as error:
        questions.append(f"The goal contradicts the clinical data: {error.what} ({error.given})")
        merged = clinical
    return merged, replace(goal, questions=tuple(dict.fromkeys(questions)))


def require_answered(goal: Goal) -> Goal:
    """Return a goal that leaves no question open.

    Raises:
        GoalQuestionError: it does; `given` holds the questions.
    """
    if goal.questions:
        raise GoalQuestionError(
            what="The goal leaves a question open; nothing was started",
            given="; ".join(goal.questions),
            remedy="Write the goal or the clinical data anew, or go on with this reading: --accept-goal",
        )
    return goal


def echo(goal: Goal) -> Iterator[str]:
    """The reading of a goal in lines, with its questions."""
    if not goal.text.strip():
        return
    yield f"Goal: {goal.text.strip()}"
    yield from (f"  {line}" for line in goal.lines)
    yield from (f"  question: {question}" for question in goal.questions)
