"""Refusals of the treatment itself in a goal: "no TACE", "Patient lehnt TACE ab", "consent withdrawn".

Who refuses may do so with words in between, in the passive, or without a negation. Each is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from MeWMLib.policy.goal_found import Reading
from MeWMLib.policy.goal_words import AGENT, FACT, MARK, QUESTION, STRONG, SUBSTANCE, UNKNOWN, WEAK, Token

#: What a proposal is for; who refuses these refuses it.
_PROCEDURES = set(
    "tace|deb-tace|ctace|tae|embolisation|embolization|embolisations|embolizations|chemoembolisation|chemoembolization|"
    "procedure|intervention|treatment|therapy|therapie|behandlung|eingriff|session|sessions|sitzung|chemotherapy|chemo|"
    "chemotherapie|transarterielle chemoembolisation|traitement|chimioembolisation|chimiotherapie|tratamiento|"
    "quimioembolizacao|embolizacao|tratamento|quimioembolizacion|quimioterapia|embolizacion|embolizzazione|"
    "trattamento|chemioembolizzazione|chemioterapia|"
    "embolic|embolics|drug|drugs|agents|medikamente|\u6813\u585e|\u5316\u7597|\u4ecb\u5165|\u6cbb\u7597".split("|")
)
_AGAINST = ("neg", "avoid", "than", "except")
_OTHERS = {"other", "else", "all", "every", "others"}
#: Behind the procedure they do not say what else is refused: "no chemoembolisation any more".
_ANY_MORE = set("mehr more anymore longer plus mas piu weiter".split())
#: The procedure by words that mean nothing else.
_TACE = (
    r"[a-z]*tace|tae|tare|(?:chemo|chimio|quimio|chemio)?-?embolis[a-z]*|(?:chemo|quimio|chemio)?-?emboliz[a-z]*|"
    r"eingriffe?s?|intervention[a-z]*|"
    r"procedures?|prozedur|intervencion[a-z]*|intervento|procedimiento|procedura|\u6813\u585e|\u4ecb\u5165|\u624b\u672f"
)
_ANY = (
    r"treatments?|proceed|undergo[a-z]*|treated|therap[a-z]+|terapi[a-z]+|behandl[a-z]+|behandeln|sessions?|"
    r"sitzung[a-z]*|chemo|chemotherap[a-z]+|"
    r"traitements?|seances?|"
    r"tratamientos?|"
    r"sesion(?:es)?|quimioterapia|chimiotherapie|trattament[a-z]+|sedut[ae]|chemioterapia|\u5316\u7597|\u6cbb\u7597"
)
_CONSENT = (
    r"consents?|einwilligung[a-z]*|einverstandnis[a-z]*|zustimmung[a-z]*|consentements?|consentimientos?|consenso|"
    r"\u540c\u610f\u4e66"
)
#: Verbs of refusal, in any form.
_REFUSES = (
    r"refus[a-z]*|recus[a-z]+|rejeit[a-z]+|changed [a-z]+ mind|prefer[a-z]* not|opt[a-z]* out|reluctan[a-z]+|"
    r"hesitan[a-z]+|not keen|"
    r"contrari[ao]|abgeneigt|declin[a-z]+|reject[a-z]+|turn[a-z]* (?:[a-z]+ ){0,4}down|"
    r"unwilling|oppos[a-z]+|object(?:s|ed)? to|withdr[ae]w[a-z]*|"
    r"revok[a-z]+|resist(?:s|ed)|says? no to|said no to|lehn[a-z]+|ablehn[a-z]+|abzulehnen|abgelehnt[a-z]*|"
    r"verweiger[a-z]*|weiger[a-z]+|"
    r"widerruf[a-z]*|verzicht[a-z]*|widersetzt|zuruckgezogen|rechaz[a-z]+|niega|negado|rehus[a-z]+|opp?one|"
    r"rifiut[a-z]+|"
    r"respin[a-z]+|"
    r"retire[a-z]*|revoc[a-z]+|ritirat[a-z]+|nega|renounc[a-z]+|renonc[a-z]+|renunci[a-z]+|rinunci[a-z]+|\u62d2|"
    r"\u4e0d\u613f|\u4e0d\u60f3|"
    r"\u4e0d\u540c\u610f|\u4e0d\u63a5\u53d7|\u4e0d\u80af|\u653e\u5f03|\u65e0\u6cd5\u63a5\u53d7|"
    r"\u4e0d\u5e0c\u671b|\u4e0d\u613f\u610f"
)
#: Who refuses.
_WHO = (
    r"patient[a-z]*|doente|pat|pt|pts|he|she|er|sie|paciente|paziente|il|elle|ella|family|familie|famille|"
    r"familia|famiglia|"
    r"wife|husband|angehorige[a-z]*|\u60a3\u8005|\u75c5\u4eba|"
    r"\u5bb6\u5c5e"
)
#: Verbs of wish and consent, which a negation turns into a refusal.
_AGREES = (
    r"agree[a-z]*|consent[a-z]*|accept[a-z]*|want[a-z]*|wish[a-z]*|request[a-z]*|willing|desire[a-z]*|will|"
    r"mochte[a-z]*|wunsch[a-z]*|gewunscht|wunschgemass|gewollt|"
    r"wollen|willigt|einverstanden|stimmt[a-z]*|zugestimmt|akzeptier[a-z]*|lassen|veut|souhait[a-z]*|desir[a-z]+|"
    r"accord|quiere|dese[a-z]+|"
    r"acept[a-z]+|aceit[a-z]+|quer|concord[a-z]+|consient[a-z]*|vuole|volont[a-z]*|voluntad|desider[a-z]+|"
    r"accett[a-z]+|acconsent[a-z]+"
)
_NEGATED = (
    r"no|nao|not|never|n't|[a-z]+n't|cannot|nicht|kein[a-z]*|nie|ne|n'|pas|plus|jamais|ni|nunca|non|mai|\u4e0d|\u672a"
)


def _words(pattern: str) -> re.Pattern[str]:
    """The words of a pattern; Chinese ones stand anywhere."""
    chinese = [p for p in pattern.split("|") if p.startswith("\\u")]
    latin = [p for p in pattern.split("|") if p not in chinese]
    return re.compile("|".join([rf"(?<![a-z0-9])(?:{'|'.join(latin)})(?![a-z0-9])", *chinese]))


_MATCH_TACE, _MATCH_ANY = _words(_TACE), re.compile(f"{_words(_TACE).pattern}|{_words(_ANY).pattern}")
_MATCH_CONSENT, _MATCH_REFUSES, _MATCH_WHO = _words(_CONSENT), _words(_REFUSES), _words(_WHO)
_MATCH_AGREES, _MATCH_NEGATED = _words(_AGREES), _words(_NEGATED)
_MATCH_AGAINST = _words("gegen|against|contre|contra|contro")
_MATCH_RATHER = re.compile(rf"(?<![a-z])prefer[a-z]* [^.]*? to (?:the |a )?(?:{_MATCH_TACE.pattern})")
_MATCH_LITTLE = re.compile(_MATCH_NEGATED.pattern + "|" + _words("hardly|scarcely|barely|kaum|apenas|appena").pattern)
_BREAKS = (STRONG, WEAK, QUESTION, "contrast")
_BESIDE = {"ab", "do", "does", "did", "is", "to", "it"}
_ASKED = "speaks against the treatment itself: is it to be planned all the same?"


def ask_of_refusal(part: Sequence[Token], found: Reading) -> None:
    """A refusal of the treatment itself is asked about: "no TACE", "patient refuses chemoembolisation"."""
    kept = [t for t in part if t.kind not in ("aux", MARK)]
    if any(id(t) in found.bland for t in kept):
        return
    for place, token in enumerate(kept):
        bland = token.text == "tae" or (
            token.text == "bland" and any(t.text in _PROCEDURES for t in kept[place : place + 2])
        )
        if token.text not in _PROCEDURES and not bland:
            continue
        cue = next((n for n in range(place - 1, max(-1, place - 4), -1) if _is_against(kept[n])), None)
        between = kept[cue + 1 : place] if cue is not None else ()
        led = cue is not None and all(
            t.kind in (UNKNOWN, "benign", "wish", "after_prep") and t.text not in _OTHERS for t in between
        )
        behind = [t.kind for t in kept[place + 1 : place + 4] if t.kind != "benign" and t.text not in _ANY_MORE]
        led &= behind[:1] not in (["adverse"], ["clinical"], [UNKNOWN])
        if led or bland or behind[:1] in (["avoid"], ["avoid_after"], ["neg"]):
            found.ask(f"“{found.shown(part)}” {_ASKED}")
            return


def _is_against(token: Token) -> bool:
    """True for a negation, "almost no" among them."""
    return token.kind in _AGAINST or (token.kind == "doubt" and _MATCH_LITTLE.search(token.text) is not None)


def ask_of_refusals(tokens: Sequence[Token], plain: str, places: Sequence[int], found: Reading) -> None:
    """Ask of a refusal whose words stand apart: "TACE vom Patienten abgelehnt", "lehnt die TACE ab".

    Args:
        tokens: of the goal.
        plain: the goal in small letters without accents.
        places: of each letter of `plain` in the goal.
        found: what is asked.
    """
    if any(_ASKED in question for question in found.questions):
        return
    clause: list[Token] = []
    where = {place: n for n, place in reversed(list(enumerate(places)))}
    for token in (*tokens, Token(STRONG, "", 0, 0)):
        if token.kind not in _BREAKS:
            clause.append(token)
            continue
        if (
            clause
            and not any(id(t) in found.bland for t in clause)
            and _refused(clause, plain[where[clause[0].start] : where[clause[-1].end - 1] + 1])
        ):
            found.ask(f"“{found.shown(clause)}” {_ASKED}")
            return
        clause = []


def _refused(clause: Sequence[Token], text: str) -> bool:
    named = any(t.kind in (AGENT, SUBSTANCE, FACT) for t in clause)
    refuses, negated = _MATCH_REFUSES.search(text), _MATCH_NEGATED.search(text)
    against = refuses or negated or any(t.kind in _AGAINST for t in clause)
    if _MATCH_CONSENT.search(text) and against and (not named or _MATCH_TACE.search(text)):
        return True
    # "refuses treatment with A" refuses A
    procedure = (_MATCH_TACE if named else _MATCH_ANY).search(text)
    if procedure is None:
        words = [t for t in clause if t.kind not in ("aux", "benign", MARK)]
        known = (_MATCH_REFUSES, _MATCH_WHO, _MATCH_NEGATED, _MATCH_AGREES)
        said = [word for t in words for word in t.text.split() if word not in _BESIDE]
        only = bool(said) and all(any(pattern.search(word) for pattern in known) for word in said)
        return only and not named and bool(refuses or (negated and _MATCH_AGREES.search(text)))
    if refuses or _MATCH_RATHER.search(text):
        return True
    if _MATCH_AGAINST.search(text) and _MATCH_WHO.search(text):
        return True
    return bool(negated and _MATCH_AGREES.search(text) and (_MATCH_WHO.search(text) or not named))
