"""Upper limits in a treatment goal: "at most 50 mg doxorubicin", "Lipiodol max 10 ml", "no more than two drugs"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from MeWMLib.core.goal import GoalLimit
from MeWMLib.core.protocol import agent
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, NUMBER, TAKEN, WEAK, Token, counted

_NUMBERS = {
    word: float(n)
    for n, line in enumerate(
        ("one single a ein eine un une uno una", "two zwei deux dos due", "three drei trois tres tre", "four vier")
        , start=1)
    for word in line.split()
}  # fmt: skip
_BETWEEN = (MARK, "aux", "benign", "after_prep", "with", "follow", "wish")
_LONE = {"monotherapy", "single-agent", "single agent", "\u5355\u836f"}


def take_limits(
    tokens: Sequence[Token], ask: Callable[[str], None]
) -> tuple[list[Token], tuple[GoalLimit, ...], set[int]]:
    """Take the limits out of a goal.

    Args:
        tokens: of the goal.
        ask: called with a question where a limit is not clear.

    Returns:
        The tokens that are left, the limits, and the ids of the agents' tokens that a limit is about.
    """
    gone, limits, about = set[int](), list[GoalLimit](), set[int]()
    breaks = set[int]()
    for place, token in enumerate(tokens):
        if token.text in _LONE:
            limits.append(GoalLimit("drugs", 1))
            gone.add(place)
        if token.kind != "limit":
            continue
        number = _next(tokens, place, lambda t: t.kind in (NUMBER, DOSE) or t.text in _NUMBERS)
        if number is None:
            continue
        if tokens[number].kind == DOSE:
            named = _near_agent(tokens, place, number)
            if named is None or not _add_dose(tokens[named], tokens[number], limits, ask):
                continue
            about.add(id(tokens[named]))
            gone |= {place, number}
            # "no A, at most 50 mg B": the limit parts B from what was said of A
            breaks |= {place} if named > place else set()
            continue
        behind = _next(tokens, number, lambda t: bool(counted(t.text)), most=2)
        if behind is not None:
            value = tokens[number].value if tokens[number].kind == NUMBER else _NUMBERS[tokens[number].text]
            limits.append(GoalLimit(counted(tokens[behind].text), float(value)))
            gone.update(range(place, behind + 1))
            breaks.add(place)
    kept = [
        replace(token, kind=TAKEN) if place in breaks else token
        for place, token in enumerate(tokens)
        if place not in gone or place in breaks
    ]
    return kept, tuple(dict.fromkeys(limits)), about


def _next(tokens: Sequence[Token], place: int, fits: Callable[[Token], bool], most: int = 4) -> int | None:
    """The next token that fits, with at most so many plain words (or the agent itself) before it."""
    for n in range(place + 1, min(len(tokens), place + 2 + most)):
        if fits(tokens[n]):
            return n
        if tokens[n].kind not in (*_BETWEEN, AGENT):
            return None
    return None


def _near_agent(tokens: Sequence[Token], limit: int, dose: int) -> int | None:
    """The agent that a dose limit is about: between the two, right behind, or right before."""
    for n in range(limit + 1, dose):
        if tokens[n].kind == AGENT:
            return n
    for step in (1, -1):
        n = dose + 1 if step == 1 else limit - 1
        if step == -1 and n >= 0 and tokens[n].kind == WEAK:
            n -= 1
        while 0 <= n < len(tokens) and tokens[n].kind in _BETWEEN:
            n += step
        if 0 <= n < len(tokens) and tokens[n].kind == AGENT:
            return n
    return None


def _add_dose(named: Token, dose: Token, limits: list[GoalLimit], ask: Callable[[str], None]) -> bool:
    value, unit = dose.value
    unit = {"cc": "ml", "mi": "mg"}.get(unit, unit)
    unit = "ml" if dose.text.rstrip("s").endswith(("liter", "litre")) else unit
    wrong = [name for name in named.value if agent(name).dose_unit != unit]
    if wrong:
        ask(f"A limit of {dose.text} does not fit {', '.join(wrong)}, dosed in {agent(wrong[0]).dose_unit}")
        return False
    limits.extend(GoalLimit(name, value) for name in named.value)
    return True
