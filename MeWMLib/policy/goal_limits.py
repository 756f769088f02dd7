"""Upper limits in a treatment goal: "at most 50 mg doxorubicin", "Lipiodol max 10 ml", "no more than two drugs"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from MeWMLib.core.goal import GoalLimit
from MeWMLib.core.protocol import agent
from MeWMLib.policy.goal_bounds import BETWEEN, CAPS, settle_lower, take_caps
from MeWMLib.policy.goal_only import LONE, ONLY
from MeWMLib.policy.goal_words import AGENT, DOSE, MARK, NUMBER, QUESTION, STRONG, TAKEN, WEAK, Token, counted

_NUMBERS = {
    word: float(n)
    for n, line in enumerate(
        ("one single a ein eine un une uno una", "two zwei deux dos due", "three drei trois tres tre", "four vier")
        , start=1)
    for word in line.split()
}  # fmt: skip
_ARTICLES = {"a", "ein", "eine", "un", "une", "uno", "una"}
_ONLY = set("only|just|nur|solo|solamente|soltanto|seulement|seul|seule|maximum|alone|\u53ea|\u4ec5".split("|"))
#: Before a dose these say that it is exceeded; those of `_THAN` where "more" stands before.
_ABOVE = set(
    "over|above|beyond|exceed|exceeding|exceeds|more than|greater than|higher than|in excess of|>|\u2265|uber|"
    "oberhalb|mehr als|"
    "au-dela|dela|plus que|superieur|superieure|superiore|mas|encima|oltre|sopra|\u8d85\u8fc7|\u5927\u4e8e|"
    "\u9ad8\u4e8e".split("|")
)
_THAN = set("than|als|que|de|di|che|d'".split("|"))
_MORE = set("more|mehr|plus|mas|piu|higher|larger|greater|bigger|\u66f4\u591a".split("|"))
_BREAKS = (STRONG, WEAK, QUESTION, "contrast")


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
    tokens, limits, about = take_caps(
        settle_lower(tokens, ask), lambda named, dose, limits: _add_dose(named, dose, limits, ask), ask
    )
    gone, breaks = set[int](), set[int]()
    tokens = _excess(tokens)
    for place, token in enumerate(tokens):
        near = {t.kind for t in tokens[max(0, place - 4) : place]}
        told = "history" in near
        if token.text in LONE and near & {"neg", "avoid"} and WEAK not in near:
            ask(f"“{token.text}” seems to be ruled out, and plans keep no least number of drugs: name the drugs wanted")
        elif token.text in LONE and not told:
            limits.append(GoalLimit("drugs", 1))
        if token.text in _ONLY | ONLY and place + 1 < len(tokens) and tokens[place + 1].kind == DOSE and not told:
            # "only 50 mg A" wishes A too: its words stay
            named = _near_agent(tokens, place, place + 1)
            if named is None:
                ask(f"A limit of {tokens[place + 1].text} was not used: what is limited to it? Write “at most 50 mg A”")
            else:
                about.add(id(tokens[named]))
                _add_dose(tokens[named], tokens[place + 1], limits, ask)
        lone = _lone_count(tokens, place)
        if lone is not None:
            limits.append(GoalLimit(counted(tokens[lone].text), _value(tokens[lone - 1])))
            gone.update(range(place, lone + 1))
            gone |= {lone + 1} if lone + 1 < len(tokens) and tokens[lone + 1].text in CAPS else set()
            continue
        if token.kind != "limit":
            continue
        number = _next(tokens, place, lambda t: t.kind in (NUMBER, DOSE) or t.text in _NUMBERS)
        if number is None:
            continue
        if tokens[number].kind == DOSE:
            named = _near_agent(tokens, place, number)
            if named is None:
                ask(f"A limit of {tokens[number].text} was not used: what is limited to it? Write “at most 50 mg A”")
                gone |= {place, number}
                continue
            about.add(id(tokens[named]))
            if not _add_dose(tokens[named], tokens[number], limits, ask):
                # what cannot be read as a limit is no exclusion either
                gone |= {place, number}
                breaks |= {place} if named > place else set()
                continue
            gone |= {place, number}
            # "no A, at most 50 mg B": the limit parts B from what was said of A
            breaks |= {place} if named > place else set()
            continue
        behind = _next(tokens, number, lambda t: bool(counted(t.text)), most=2)
        if behind is not None:
            limits.append(GoalLimit(counted(tokens[behind].text), _value(tokens[number])))
            gone.update(range(place, behind + 1))
            breaks.add(place)
        elif tokens[number].kind == NUMBER and _near_agent(tokens, place, number) is not None:
            ask(f"A limit of {tokens[number].text} was not used: it has no unit. Write “at most 50 mg A”")
    kept = [
        replace(token, kind=TAKEN) if place in breaks else token
        for place, token in enumerate(tokens)
        if place not in gone or place in breaks
    ]
    return kept, tuple(dict.fromkeys(limits)), about


def _value(token: Token) -> float:
    return float(token.value) if token.kind == NUMBER else _NUMBERS[token.text]


def _lone_count(tokens: Sequence[Token], place: int) -> int | None:
    """Where what is counted stands, if "only one drug" or "one drug only" begins here."""
    only = tokens[place].text in _ONLY
    number = place + only
    behind = number + 1
    if behind >= len(tokens) or not counted(tokens[behind].text):
        return None
    counts = tokens[number].kind == NUMBER or tokens[number].text in (_NUMBERS if only else _NUMBERS.keys() - _ARTICLES)
    if not counts:
        return None
    return behind if only or (behind + 1 < len(tokens) and tokens[behind + 1].text in _ONLY | CAPS) else None


def _excess(tokens: Sequence[Token]) -> list[Token]:
    """A negated excess is a limit: "do not give more A than 50 mg", "no A over 50 mg", "avoid A above 75 mg"."""
    found, against, more = list(tokens), list[int](), False
    for place, token in enumerate(tokens):
        if token.kind in _BREAKS:
            against, more = [], False
        elif token.kind in ("neg", "avoid"):
            against, more = [*against, place], more or token.text in ("nicht mehr", "ne plus", "plus d'", "non piu")
        elif token.text in _MORE:
            more = True
        dose = place + 1
        while dose < len(tokens) and tokens[dose].kind in ("aux", "benign", "after_prep") and dose < place + 3:
            dose += 1
        above = token.text in _ABOVE or (token.text in _THAN and more)
        if not above or dose >= len(tokens) or tokens[dose].kind not in (DOSE, NUMBER) or len(against) != 1:
            continue
        if tokens[dose].kind == NUMBER:
            continue
        found[place] = replace(token, kind="limit")
        for n in range(against[0], place):
            if found[n].kind in ("neg", "avoid", "wish") or found[n].text in _MORE:
                found[n] = replace(found[n], kind=MARK)
        against = []
    return found


def _next(tokens: Sequence[Token], place: int, fits: Callable[[Token], bool], most: int = 4) -> int | None:
    """The next token that fits, with at most so many plain words (or the agent itself) before it."""
    for n in range(place + 1, min(len(tokens), place + 2 + most)):
        if fits(tokens[n]):
            return n
        if tokens[n].kind not in (*BETWEEN, AGENT):
            return None
    return None


def _near_agent(tokens: Sequence[Token], limit: int, dose: int) -> int | None:
    """The agent that a dose limit is about: between the two, right behind, or right before."""
    for n in range(limit + 1, dose):
        if tokens[n].kind == AGENT:
            return n
    found = None
    for step in (1, -1):
        n = dose + 1 if step == 1 else limit - 1
        if step == -1 and n >= 0 and tokens[n].kind == WEAK:
            n -= 1
        while 0 <= n < len(tokens) and (tokens[n].kind in BETWEEN or (step == -1 and tokens[n].kind == "contrast")):
            n += step
        if 0 <= n < len(tokens) and tokens[n].kind == AGENT:
            if tokens[dose].kind != DOSE or _fits(tokens[n], tokens[dose]):
                return n
            found = n if found is None else found
    return found


def _fits(named: Token, dose: Token) -> bool:
    return all(agent(name).dose_unit == _unit(dose) for name in named.value)


def _unit(dose: Token) -> str:
    unit = str(dose.value[1])
    unit = {"cc": "ml", "mi": "mg", "\u6beb\u5347": "ml", "\u6beb\u514b": "mg"}.get(unit, unit)
    return "ml" if dose.text.rstrip("s").endswith(("liter", "litre")) else unit


def _add_dose(named: Token, dose: Token, limits: list[GoalLimit], ask: Callable[[str], None]) -> bool:
    value, _, each = dose.value
    if each:
        ask(
            f"A limit of {dose.text} of {', '.join(named.value)} was not used, since it depends on the body: "
            f"write it as "
            f"the amount for this patient, “at most 50 {agent(named.value[0]).dose_unit}”"
        )
        return False
    wrong = [name for name in named.value if agent(name).dose_unit != _unit(dose)]
    if wrong:
        ask(f"A limit of {dose.text} does not fit {', '.join(wrong)}, dosed in {agent(wrong[0]).dose_unit}")
        return False
    limits.extend(GoalLimit(name, value) for name in named.value)
    return True
