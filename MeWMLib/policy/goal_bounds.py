"""Bounds in a treatment goal that are not written as "at most 50 mg A": caps behind a dose, and lower limits.

"A 40 mg max", "40 mg A at most" and "A, 40 mg or less" are limits. "A not less than 40 mg" rules nothing out: plans
keep no lower limit, so that it is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from MeWMLib.core.goal import GoalLimit
from MeWMLib.core.protocol import agent
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, NUMBER, QUESTION, STRONG, TAKEN, UNKNOWN, WEAK, Token

#: Between the parts of a limit.
BETWEEN = (MARK, "aux", "benign", "after_prep", "with", "follow", "wish")
#: Behind a dose these make a limit of it; other limits ("up to", "below") need one behind them.
CAPS = set(
    "max|max.|maximum|maximal|maximale|maximally|at most|at the most|at maximum|or less|or below|or lower|or under|"
    "tops|"
    "being the maximum|being the limit|being the upper limit|limit|cap|capped|ceiling|upper limit|as a maximum|"
    "as maximum|as the maximum|as an upper limit|as upper limit|"
    "as the upper limit|as a cap|as the cap|hochstens|obergrenze|als obergrenze|oder weniger|au plus|tout au plus|"
    "au maximum|au max|maximum autorise|ou moins|plafond|como maximo|a lo sumo|maximo|maxima|tope|o menos|al massimo|"
    "massimo|massima|o meno|tetto|\u6700\u591a|\u81f3\u591a|\u6700\u5927|\u4ee5\u5185|\u4ee5\u4e0b|\u4e4b\u5185|"
    "\u5c01\u9876|\u4e0a\u9650".split("|")
)
#: "40 mg, no more"
_NO_MORE = {"nicht mehr", "non piu", "ne plus"}
_MORE = {"more", "mehr", "plus", "mas", "piu", "higher"}
#: A negation of these is a lower limit.
_LOWER = set(
    "less than|less|fewer than|fewer|lower than|lower|below|under|under a dose of|keep below|weniger|weniger als|unter|"
    "geringer|moins de|moins|inferieur|sous|menos de|menos|inferior|bajo|meno di|meno|inferiore|sotto|\u5c11\u4e8e|"
    "\u4f4e\u4e8e|\u5c0f\u4e8e".split("|")
)
_LEAST = {"minimum", "min", "minimal", "minimo", "minima", "mindestdosis", "mindestmenge"}
_BREAKS = (STRONG, QUESTION, "contrast")


def take_caps(
    tokens: Sequence[Token],
    add: Callable[[Token, Token, list[GoalLimit]], bool],
    ask: Callable[[str], None],
) -> tuple[list[Token], list[GoalLimit], set[int]]:
    """Take the limits that stand behind their dose.

    Args:
        tokens: of the goal.
        add: makes limits of an agent and a dose, and says whether it could.
        ask: called with a question where a limit is not clear.

    Returns:
        The tokens that are left, the limits, and the ids of the agents' tokens that a limit is about.
    """
    limits, about, gone = list[GoalLimit](), set[int](), set[int]()
    parted, breaks, stops = _parted(tokens), set[int](), set[int]()
    for place in range(1, len(tokens)):
        end = _cap_end(tokens, place)
        if not end:
            continue
        dose, named = _capped(tokens, place, end)
        if dose is None:
            continue
        gone.update(range(place, end))
        if (
            tokens[place].text == "max."
            and end < len(tokens)
            and tokens[end].kind in ("neg", "wish", "avoid", "adverse")
        ):
            stops.add(place)  # its point ended the sentence
        if named is None or tokens[dose].kind == NUMBER:
            ask(f"A limit of {tokens[dose].text} was not used: what is limited to it? Write “at most 50 mg A”")
            continue
        if _is_told(tokens, place):
            ask(f"A limit of {tokens[dose].text} was not used: it seems to be of the past")
            continue
        about.add(id(tokens[named]))
        if not add(tokens[named], tokens[dose], limits):
            continue
        beside = _beside(tokens, named)
        if beside is not None:
            ask(f"A limit of {tokens[dose].text}: for {tokens[named].text} alone, or for {tokens[beside].text} too?")
        if named in parted:
            breaks.add(named)
            ask(f"{', '.join(tokens[named].value)}: ruled out, or only limited?")
    kept = list[Token]()
    for place, token in enumerate(tokens):
        if place in breaks:
            kept.append(Token(TAKEN, "", token.start, token.start))
        if place in stops:
            kept.append(replace(token, kind=STRONG, text="."))
        elif place not in gone:
            kept.append(token)
    return kept, limits, about


def _cap_end(tokens: Sequence[Token], place: int) -> int:
    """Where a cap that begins here ends, 0 if none does."""
    token, end = tokens[place], place + 1
    if token.kind == "limit" and token.text in CAPS:
        ahead = end
        while ahead < len(tokens) and ahead < place + 4 and tokens[ahead].kind in (MARK, "aux", "benign", "after_prep"):
            ahead += 1
        # "max 10 ml" is about the dose behind it
        return 0 if ahead < len(tokens) and tokens[ahead].kind in (DOSE, NUMBER) else end
    if token.kind == "neg":
        end += token.text not in _NO_MORE
        said = token.text in _NO_MORE or (end <= len(tokens) and tokens[end - 1].text in _MORE)
        closed = end >= len(tokens) or tokens[end].kind in (*_BREAKS, WEAK)
        return end if said and closed else 0
    return 0


def _capped(tokens: Sequence[Token], place: int, end: int) -> tuple[int | None, int | None]:
    """Where the dose and the agent of a cap stand, that goes from `place` to `end`."""
    dose = _back(tokens, place, (MARK, "aux", "benign", "conn", WEAK), 3)
    named = None
    if dose is not None and tokens[dose].kind == AGENT:
        named, dose = dose, _back(tokens, dose, (MARK, "aux", "after_prep"), 3)  # "40 mg of A max"
    if dose is None or tokens[dose].kind not in (DOSE, NUMBER):
        return None, None
    if named is None:
        named = _back(tokens, dose, (*BETWEEN, WEAK, STRONG, NUMBER), 5)
        named = named if named is not None and tokens[named].kind == AGENT else None
        if tokens[dose].kind == NUMBER and named is None:
            return None, None
    ahead = end
    while named is None and ahead < len(tokens) and tokens[ahead].kind in BETWEEN:
        ahead += 1
    if named is None and ahead < len(tokens) and tokens[ahead].kind == AGENT:
        named = ahead
    return dose, named


def _back(tokens: Sequence[Token], place: int, kinds: Sequence[str], most: int) -> int | None:
    """The place before, behind at most so many words of these kinds."""
    for n in range(place - 1, max(-1, place - 2 - most), -1):
        if tokens[n].kind not in kinds:
            return n
    return None


def _is_told(tokens: Sequence[Token], place: int) -> bool:
    """True if the words before a cap, back to a comma or the like, tell what was: "had A 50 mg max"."""
    for n in range(place - 1, max(-1, place - 10), -1):
        if tokens[n].kind in (*_BREAKS, "conn") or (tokens[n].kind == WEAK and n < place - 2):
            return False
        if tokens[n].kind == "history":
            return True
    return False


def _beside(tokens: Sequence[Token], named: int) -> int | None:
    """Another agent of the same unit, listed right before the one that is limited, without a dose."""
    joined = False
    for n in range(named - 1, max(-1, named - 5), -1):
        if tokens[n].kind == AGENT:
            units = [{agent(name).dose_unit for name in tokens[m].value} for m in (n, named)]
            return n if joined and units[0] & units[1] else None
        if tokens[n].kind not in (MARK, "aux", "conn", WEAK):
            return None
        joined |= tokens[n].kind in ("conn", WEAK)
    return None


def _parted(tokens: Sequence[Token]) -> set[int]:
    """The agents behind an exclusion of another agent and a comma: "no A, B 40 mg max"."""
    found, excluding, comma = set[int](), False, None
    for place, token in enumerate(tokens):
        if token.kind in _BREAKS:
            excluding, comma = False, None
        elif token.kind in ("neg", "avoid", "except", "than"):
            excluding, comma = True, None
        elif token.kind == WEAK and comma is not None:
            comma = True
        elif token.kind == AGENT:
            if excluding and comma:
                found.add(place)
            comma = False
        elif comma and token.kind in ("wish", "with", "permit"):
            excluding = False  # "no A, use B 40 mg max"
    return found


def settle_lower(tokens: Sequence[Token], ask: Callable[[str], None]) -> list[Token]:
    """Ask of lower limits, and take the negation from them: "no less than 5 ml A" rules nothing out."""
    found = list(tokens)
    for place, token in enumerate(found):
        least = token.kind == "least" or (token.kind == UNKNOWN and token.text in _LEAST)
        before = found[max(0, place - 8) : place]
        # "no A > 50 mg" is an upper limit
        sign = token.text in (">", "\u2265") and all(t.kind not in ("neg", "avoid") for t in before)
        least |= sign
        if not least and (token.text not in _LOWER or token.kind not in ("limit", UNKNOWN, "after_prep", "except")):
            continue
        ahead = place + 1
        while ahead < len(found) and ahead < place + 4 and found[ahead].kind in (*BETWEEN, "than", AGENT):
            ahead += 1
        dosed = ahead < len(found) and found[ahead].kind in (DOSE, NUMBER)
        if sign and (not dosed or found[ahead].kind != DOSE):
            continue
        if least and not dosed:
            behind = _back(found, place, (MARK, "aux", "conn", WEAK), 2)  # "5 ml or more"
            behind = behind if behind is not None and found[behind].kind == DOSE else None
            ahead, dosed = (behind, True) if behind is not None else (ahead, False)
        if least:
            found[place] = replace(token, kind=MARK if dosed else UNKNOWN)
        if not dosed:
            continue
        first = place
        if not least:
            first = place - 1
            while first >= 0 and first > place - 6 and found[first].kind in (*BETWEEN, UNKNOWN, AGENT):
                first -= 1
            if first < 0 or found[first].kind not in ("neg", "avoid", "avoid_after"):
                continue
        for n in range(first, ahead):  # none where the dose stands before
            if found[n].kind not in (AGENT, "wish", "aux", "benign"):
                found[n] = replace(found[n], kind=MARK)
        ask(f"A lower limit of {found[ahead].text} was not used: plans keep upper limits alone; is it needed?")
    return found
