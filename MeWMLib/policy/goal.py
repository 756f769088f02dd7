"""A treatment goal in plain words to what it wants, excludes, limits and states. No model, no network.

The rule above all others: a goal is never turned into its opposite. An agent is wanted only where a wish word governs
it; a mere mention is asked about. An agent is excluded where a negation, an exception, a comparison or an adverse fact
(allergy, toxicity, resistance) governs it, and exclusion wins over a wish. A clinical word that was not used is asked
about, and whatever was not used is listed. English, German, French, Spanish, Italian, Portuguese and Chinese words are
known; see `goal_words` for the words, `goal_grammar` for the sentences and `goal_contrasts` for "no A, only B".

A goal causes no error unless it is too long: what must be answered is in `Goal.questions`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED
from MeWMLib.core.errors import ClinicalDataError, GoalQuestionError
from MeWMLib.core.goal import Goal
from MeWMLib.core.texts import MOST_GOAL, require_length
from MeWMLib.policy import goal_phrases as phrases
from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_bland import take_bland, without_drugs_wished
from MeWMLib.policy.goal_contrasts import part_contrasts
from MeWMLib.policy.goal_facts import facts_in
from MeWMLib.policy.goal_findings import settle, take_fragments
from MeWMLib.policy.goal_found import Reading
from MeWMLib.policy.goal_grammar import judge
from MeWMLib.policy.goal_limits import take_limits
from MeWMLib.policy.goal_only import is_all_that_is_left, join_no_other, settle_only, take_only
from MeWMLib.policy.goal_openings import is_denied_reason, is_left_open, opened
from MeWMLib.policy.goal_polarity import ADVERSE, BARE, DOUBT, EXCLUDE, FEARED, HISTORY, PERMIT, WISH
from MeWMLib.policy.goal_reading import ask_of_whom, attach_orphans, leave_part, take_group
from MeWMLib.policy.goal_reductions import ask_of_reductions
from MeWMLib.policy.goal_refusals import ask_of_refusal, ask_of_refusals
from MeWMLib.policy.goal_sentences import Sentence, sentences
from MeWMLib.policy.goal_unless import except_under_conditions, is_conditional
from MeWMLib.policy.goal_where import ask_of_where
from MeWMLib.policy.goal_wishes import say_without_verb, speaks_of_the_past
from MeWMLib.policy.goal_words import PlainText, Token

#: Texts that say that there is no goal.
_NO_GOAL = set(
    "none|n/a|na|n.a|nil|no|no goal|no preference|no preferences|no wish|no wishes|keine|keiner|kein ziel|"
    "keine praferenz|keine wunsche|aucun|aucune|aucune preference|ninguno|ninguna|sin preferencia|"
    "nessuno|nessuna|nessuna preferenza|nenhum|nenhuma|sem preferencia|\u65e0|-".split("|")
)


@lru_cache(maxsize=256)
def read_goal(goal: str) -> Goal:
    """Read a treatment goal; see the module.

    Raises:
        InputError: it has more than `MOST_GOAL` characters.
    """
    require_length(goal, MOST_GOAL, "The goal")
    plain = PlainText.of(goal)
    found = Reading(goal)
    told = [_of_accents(token, goal) for token in words.tokens(plain, facts_in(plain.text))]
    spoken = join_no_other(phrases.settle(told))
    tokens, limits, limited = take_limits(spoken, found.ask)
    bland = take_bland(spoken, plain.text, found)
    limits = tuple(dict.fromkeys((*limits, *bland)))
    tokens = part_contrasts(tokens)
    parts = sentences(tokens)
    _judge_all(parts, opened(tokens))
    except_under_conditions(parts)
    former = None
    for part in parts:
        attach_orphans(part, former, found)
        former = part.groups[-1] if part.groups else former
    take_fragments(parts, found)
    for part in parts:
        _take(part, found, limited)
    for part in parts:
        take_only(part, found)
    settle_only(found)
    settle(found)
    ask_of_whom(plain.text, found)
    ask_of_refusals(spoken, plain.text, plain.places, found)
    ask_of_where(plain.text, found)
    ask_of_reductions(plain.text, found)
    excluded = tuple(found.excluded)
    for name in found.wanted:
        if name in excluded:
            found.ask(f"{name} is both wanted and ruled out; it is left out: is that right?")
    wanted = tuple(n for n in found.wanted if n not in excluded and n not in found.unclear)
    if "LC beads" in wanted and "Doxorubicin" in excluded:
        found.ask("LC beads are wanted, and they are loaded with doxorubicin, which is ruled out: is that right?")
        if "Doxorubicin" in found.adverse:
            wanted = tuple(name for name in wanted if name != "LC beads")
    if bland:
        wanted = without_drugs_wished(wanted, found)
    for name in found.denied:
        if name in found.facts.get("allergies", ()):
            found.ask(f"An allergy to {name} is both stated and denied")
    read = Goal(
        text=goal,
        wanted=wanted,
        excluded=excluded,
        limits=limits,
        facts=found.facts,
        changes_nothing=_merged(goal, found.idle),
        not_understood=_merged(goal, found.ignored),
        questions=tuple(found.questions),
    )
    return _not_at_all(read) if plain.text.strip(" .") not in _NO_GOAL else replace(read, not_understood=())


def _not_at_all(goal: Goal) -> Goal:
    """Ask of a goal of which nothing was understood."""
    understood = goal.wanted or goal.excluded or goal.limits or goal.facts or goal.changes_nothing
    if understood or goal.questions or not goal.not_understood:
        return goal
    question = (
        f"Nothing of “{goal.text.strip()}” was understood, and it changes nothing: write what is wanted, ruled out or "
        "limited, such as “use epirubicin, no cisplatin, at most 10 ml Lipiodol”, or leave the goal empty"
    )
    return replace(goal, questions=(question,))


def _of_accents(token: Token, goal: str) -> Token:
    """Portuguese "s\u00f3" is "only", which without its accent would be English "so"."""
    if token.text == "so" and "\u00f3" in unicodedata.normalize("NFC", goal[token.start : token.end]).casefold():
        return replace(token, kind="benign", text="somente")
    return token


def _judge_all(parts: Sequence[Sentence], open_from: int) -> None:
    """Set the polarity of every group.

    Args:
        parts: the sentences of a goal.
        open_from: from this place on no wish counts, see `opened`.
    """
    open_end, calm = False, not any(map(speaks_of_the_past, parts))
    for part in parts:
        spoken, previous, conditional = False, None, is_conditional(part)
        # behind a segment that was left open no wish can be trusted, in later sentences neither
        left = min((number for number, segment in part.orphans if is_left_open(segment)), default=len(part.groups))
        for number, group in enumerate(part.groups):
            spoken |= any(t.kind == "wish" for t in group.pre)
            judge(group, spoken, previous)
            previous = group
            if any(n == number and is_denied_reason(segment, group) for n, segment in part.orphans):
                group.polarities = [DOUBT if p == EXCLUDE else p for p in group.polarities]
            if number == 0 and is_all_that_is_left(group, part):
                group.polarities = [DOUBT if p == EXCLUDE else p for p in group.polarities]
            if open_end or number >= left or conditional or part.question or group.members[0].start > open_from:
                unsure = (WISH, PERMIT, HISTORY) if part.question else (WISH, PERMIT)
                group.polarities = [DOUBT if p in unsure else p for p in group.polarities]
                if part.question and group.members[0].kind == words.FACT:
                    group.polarities = [DOUBT if p == BARE else p for p in group.polarities]
                if part.question:
                    group.polarities = [FEARED if p == ADVERSE else p for p in group.polarities]
                calm = False
        if calm and not open_end:
            say_without_verb(part)
        open_end |= any(is_left_open(segment) for _, segment in part.orphans)


def _take(sentence: Sentence, found: Reading, limited: set[int]) -> None:
    """Take what a sentence says, and list what it leaves."""
    for group in sentence.groups:
        take_group(group, sentence.tokens, found, limited)
    for _, part in sentence.orphans:
        leave_part(part, found)
        ask_of_refusal(part, found)
    for group in sentence.groups:
        leave_part(group.pre, found)
        leave_part(group.post, found)


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


def echo(goal: Goal, asked: bool = True) -> Iterator[str]:
    """The reading of a goal in lines, with its questions unless something else shows them (`asked`)."""
    if not goal.text.strip():
        return
    yield f"Goal: {goal.text.strip()}"
    yield from (f"  {line}" for line in goal.lines)
    yield from (f"  question: {question}" for question in goal.questions if asked)
