"""Embolisation without a drug in a treatment goal: "bland embolisation only", "TAE", "no chemo".

Who asks for it is given protocols without a drug. Who only rules drugs out ("no chemo") is asked whether that is meant,
and gets no drug in either case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from MeWMLib.core.goal import WITHOUT_DRUGS, GoalLimit
from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_found import Reading
from MeWMLib.policy.goal_words import AGENT, MARK, WEAK, Token

_DRUGS = (
    r"drugs?|chemo|chemos|chemotherap[a-z]*|cytostatics?|cytotoxics?|medikamente?n?|chemotherapeutik[a-z]+|"
    r"zytostatik[a-z]+|"
    r"wirkstoffe?n?|chimio|chimiotherapi[a-z]*|medicaments?|quimio|quimioterapi[a-z]*|farmacos?|medicamentos?|chemio|"
    r"chemioterapi[a-z]*|farmac[oi]|citostatic[a-z]+|\u5316\u7597|\u5316\u7597\u836f|\u5316\u7597\u836f\u7269|"
    r"\u836f\u7269|\u7528\u836f"
)
_EMBOLISATION = r"(?:trans-?arteri[a-z]+ )?(?:arteri[a-z]+ )?emboli[sz][a-z]+|\u6813\u585e"
_DRUG, _EMBOLISED = re.compile(rf"(?:{_DRUGS})"), re.compile(rf"(?:{_EMBOLISATION})")
#: What can mean nothing but embolisation without a drug.
_BLAND = re.compile(r"tae|bland[aeo]?[nrsm]?|blands|blandas?|drug-free|chemo-free|medikamentenfrei[a-z]*")
_PLAIN_ONE = re.compile(
    r"pure|mere|plain|simple|only|just|alone|solely|exclusively|reine[rnsm]?|blosse|alleinige[rn]?|nur|allein|alleine|"
    r"lediglich|ausschliesslich|seule|seulement|uniquement|pure|simple|sola|solo|solamente|unicamente|simple|soltanto|"
    r"semplice|pura|apenas|somente|so|simples|sozinha|\u5355\u7eaf|\u4ec5|\u53ea"
)
_CHINESE = re.compile(
    r"\u5355\u7eaf\u7684?(?:\u52a8\u8109)?\u6813\u585e|\u7a7a\u767d\u6813\u585e|"
    r"[\u4ec5\u53ea]\u505a?\u6813\u585e(?![\u4e00-\u9fff\w])"
)
_TACE = re.compile(
    r"[a-z]*-?tace|chemoembol[a-z]+|chimioembol[a-z]+|quimioembol[a-z]+|chemioembol[a-z]+|chemo|chemotherap[a-z]+"
)
_NEVER = ("avoid", "avoid_after", "except", "doubt", "history", "failed", "adverse", "double")
_OTHERS = re.compile(
    r"(?:other|further|more|else|additional|ander[a-z]*|weiter[a-z]*|autres?|otr[oa]s?|altr[ioae]|outr[oa]s?)"
)
_LIGHT = ("aux", "benign", "after_prep", "wish", MARK, "follow")
_ENDS = (words.STRONG, WEAK, words.QUESTION, "contrast")


def take_bland(tokens: Sequence[Token], plain: str, found: Reading) -> tuple[GoalLimit, ...]:
    """Whether a goal asks for embolisation without a drug, or rules all drugs out.

    Args:
        tokens: of the goal.
        plain: the goal in small letters without accents.
        found: what was understood is put into its `used`, and questions are asked.

    Returns:
        The limit of no drugs, or nothing.
    """
    wished, denied = list[Token](), list[list[Token]]()
    for clause, asked in _clauses(tokens):
        rest, gone = _without_denials(clause)
        if gone and not any(t.kind == "history" for t in clause):
            denied.append(clause)
        if not asked and _is_wish(rest, bool(gone)):
            wished += clause
    if _CHINESE.search(plain) and not wished:
        wished = [t for t in tokens if t.kind != AGENT]
    if wished:
        # who wants it refuses neither chemoembolisation nor drugs of the patient's own accord
        understood = {id(t) for t in wished} | {id(t) for clause in denied for t in clause}
        understood |= {id(t) for clause, _ in _clauses(tokens) if _refuses_only_drugs(clause) for t in clause}
        found.bland |= understood
        found.used |= understood
    elif denied:
        found.used |= {id(t) for clause in denied for t in clause if t.kind == words.UNKNOWN}
        found.bland |= {id(t) for clause in denied for t in clause if not _is_refused(clause)}
        found.no_drugs = found.shown(denied[0])
    return (WITHOUT_DRUGS,) if wished or denied else ()


def without_drugs_wished(wanted: tuple[str, ...], found: Reading) -> tuple[str, ...]:
    """What is wanted where no drug may be given: a drug beside it is asked about, and left out."""
    if found.no_drugs and not wanted:
        found.ask(
            f"“{found.no_drugs}”: is embolisation without a drug (TAE) meant? "
            "No drug is proposed until that is answered"
        )
    drugs = [name for name in wanted if agent(name).kind == DRUG or name == "LC beads"]
    if drugs:
        found.ask(f"{', '.join(drugs)}: wanted, while no drug is to be given; it is left out: is that right?")
    return tuple(name for name in wanted if name not in drugs)


def _clauses(tokens: Sequence[Token]) -> Iterator[tuple[list[Token], bool]]:
    """Parts between commas and breaks, each with whether a question mark ends it."""
    clause: list[Token] = []
    for token in (*tokens, Token(words.STRONG, "", 0, 0)):
        if token.kind not in _ENDS or token.text == "so":  # Portuguese "only"
            clause.append(token)
            continue
        if clause:
            yield clause, token.kind == words.QUESTION
        clause = []


def _without_denials(clause: Sequence[Token]) -> tuple[list[Token], bool]:
    """The words of a clause without "no drugs", and whether there was such a denial."""
    rest, place, denied = list[Token](), 0, False
    while place < len(clause):
        end = _denial(clause, place)
        if end is None:
            rest.append(clause[place])
            place += 1
        else:
            denied, place = True, end
    return rest, denied


def _denial(clause: Sequence[Token], place: int) -> int | None:
    """Where "no drugs" or "refuses chemotherapy" that begins here ends."""
    if _DRUG.fullmatch(clause[place].text):
        # "drug-free"
        free = next((n for n in range(place + 1, len(clause)) if clause[n].kind != MARK), place)
        return free + 1 if clause[free].text in ("free", "frei") else None
    if clause[place].kind not in ("neg", "avoid"):
        return None
    for n in range(place + 1, min(len(clause), place + 5)):
        token = clause[n]
        if _OTHERS.fullmatch(token.text):
            return None
        if _DRUG.fullmatch(token.text):
            led_on = any(
                behind.kind in (words.UNKNOWN, "adverse", "clinical", AGENT, "history", "avoid_after", "neg")
                or behind.text in ("with", "containing", "mit", "avec", "con", "com", "-")
                for behind in clause[n + 1 : n + 2]
            )
            return None if led_on and not _BLAND.fullmatch(clause[n + 1].text) else n + 1
        if token.kind not in _LIGHT:
            return None
    return None


def _is_wish(rest: Sequence[Token], denied: bool) -> bool:
    """True if a clause, its denials of drugs aside, asks for embolisation without a drug."""
    place = next((n for n, t in enumerate(rest) if _BLAND.fullmatch(t.text)), None)
    embolised = next((n for n, t in enumerate(rest) if _EMBOLISED.fullmatch(t.text)), None)
    # "only embolisation", but not "embolise only segment 8"
    only = any(_PLAIN_ONE.fullmatch(t.text) for t in rest) and all(
        t.kind in (*_LIGHT, "conn") or _PLAIN_ONE.fullmatch(t.text) or _EMBOLISED.fullmatch(t.text) for t in rest
    )
    if place is None and embolised is not None and (denied or only):
        place = embolised
    if place is None or any(t.kind in _NEVER and not _PLAIN_ONE.fullmatch(t.text) for t in rest):
        return False
    for n, token in enumerate(rest):
        if token.kind not in ("neg", "than"):
            continue
        # "TAE rather than TACE", "no TACE but TAE" against "TACE rather than TAE"
        behind = next((t for t in rest[n + 1 :] if t.kind not in ("aux", MARK, "after_prep")), None)
        if behind is None or not _TACE.fullmatch(behind.text):
            return False
    return not any(agent(name).kind == DRUG for t in rest if t.kind == AGENT for name in t.value)


def _is_refused(clause: Sequence[Token]) -> bool:
    """True if somebody refuses the drugs, and perhaps all of the treatment."""
    return any(t.kind == "avoid" or t.text in ("wants", "want", "mochte", "will") for t in clause)


def _refuses_only_drugs(clause: Sequence[Token]) -> bool:
    """ "no TACE" beside a wish for bland embolisation."""
    kept = [t for t in clause if t.kind not in ("aux", MARK)]
    return len(kept) == 2 and kept[0].kind in ("neg", "avoid", "than") and bool(_TACE.fullmatch(kept[1].text))
