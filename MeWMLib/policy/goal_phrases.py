"""Turns of phrase of a treatment goal whose words say something else together than each of them alone.

"don't hesitate to use" wishes, "suspended in Lipiodol" joins, "stop at stasis" says when the injection ends, "iodine
allergy? no" answers, and a number beside an unknown word is a value that must not vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from MeWMLib.policy import goal_words as words
from MeWMLib.policy.goal_polarity import AIMS, NEG_SECOND
from MeWMLib.policy.goal_words import (
    AGENT,
    DOSE,
    FACT,
    MARK,
    MEASURE,
    NUMBER,
    RELUCTANT,
    SUBSTANCE,
    UNKNOWN,
    WEAK,
    Token,
)

_MIXED = set(
    "suspended|suspension|emulsion|solution|suspend|suspending|dissolved|mixed|emulsified|dispersed|"
    "diluted|in suspension|suspendiert|"
    "emulgiert|gelost|"
    "aufgelost|gemischt|suspendu|suspendue|en suspension|dissous|dissoute|melange|melangee|emulsionne|emulsionnee|"
    "suspendido|suspendida|disuelto|disuelta|mezclado|mezclada|emulsionado|emulsionada|sospeso|sospesa|disciolto|"
    "disciolta|mescolato|mescolata|emulsionato|emulsionata".split("|")
)
_INTO = set("in|into|with|within|mit|dans|avec|en|con|nel|im".split("|"))
_STOP = set(
    "stop|stopping|end|ending|finish|stopp|stoppen|beenden|arreter|arret|parar|detener|fermare|fermarsi".split("|")
)
_WHEN = set(
    "at|when|once|if|on|upon|before|until|as soon as|bei|wenn|sobald|vor|quand|lorsque|des|a|cuando|al|quando|se".split(
        "|"
    )
)
_INFINITIVE = {"to", "zu", "de", "di", "d'", "a", "en", "in", "from", "al"}
_ABOUT = {
    "about",
    "with",
    "against",
    "to",
    "of",
    "concerning",
    "regarding",
    "for",
    "bei",
    "mit",
    "gegen",
    "avec",
    "con",
}
_FORGET = ("forget", "vergess", "vergiss", "oubli", "olvid", "dimentic", "omit", "\u5fd8")
_NO = set("no|nein|non|none|nicht|not|negative|keine|nessuna|ninguna|aucune|\u65e0|\u6ca1\u6709|\u5426".split("|"))
_YES = set("yes|ja|oui|si|positive|\u662f|\u6709".split("|"))
#: Laboratory values and scores that are no field, or are a field whose unit is missing.
_LABS = set(
    "vp|plt|plts|thrombo|thrombos|tc|bili|bil|tbil|dbil|krea|crea|creat|cr|scr|alb|quick|pt|ptt|aptt|hb|hgb|hct|wbc|"
    "leuko|leukos|leuc|leucos|anc|alt|ast|got|gpt|ggt|gamma|alp|tsh|ft|ft3|ft4|bnp|probnp|nt|troponin|trop|meld|albi|"
    "afp|plaquettes|plaquetas|piastrine|thrombozyten|thrombozythen|thrombocytes|platelets|creatinine|kreatinin|creatinina|"
    "bilirubin|bilirubine|bilirrubina|albumin|albumine|albumina|hemoglobin|haemoglobin|hamoglobin|sodium|natrium|na|k|"
    "potassium|kalium|leukocytes|leukozyten|neutrophils|lymphocytes|glucose|transaminases|lipase|che|cholinesterase|"
    "psa|cea|fibrinogen|pivka|lipase|procalcitonin|"
    "crp|pct|nh|ammonia|ammoniak|bun|urea|harnstoff|gfr|crcl|fe|fevg|fevi|hbv|tp|inr|urr|ldh|lactate|laktat|spo|hba".split(
        "|"
    )
)
#: Parts of the liver, and words that tell them apart.
_PLACES = set(
    "segment segments segmente segmento segmentos segmenti lobe lobes lappen leberlappen lobo lobulo lobi s".split()
)
_SIDES = set(
    "left right other caudate treat treating embolise embolize embolising target linken rechten linke rechte izquierdo "
    "derecho sinistro destro gauche droit anderen".split()
)
_ABOUT_SO_MANY = {"about", "around", "approximately", "roughly", "circa", "ca", "nearly", "almost", "etwa", "environ"}
_BREAKS = (words.STRONG, WEAK, words.QUESTION)
_PLAIN = ("aux", MARK)


def settle(tokens: Sequence[Token]) -> list[Token]:
    """The words of a goal, with turns of phrase as one word each that does what they do together."""
    found: list[Token] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        taken = (
            _answered(tokens, place)
            or _signed(tokens, place)
            or _joined(tokens, place, found)
            or _end_point(tokens, place)
            or _measured(tokens, place, found)
            or _spared(tokens, place)
        )
        if taken is None and token.kind == RELUCTANT:
            taken = _reluctant(tokens, place, found)
        if taken is None:
            found.append(token)
            place += 1
            continue
        merged, place = taken
        found.append(merged)
    return found


def _span(tokens: Sequence[Token], kind: str, first: int, last: int) -> Token:
    text = " ".join(t.text for t in tokens[first : last + 1])
    return Token(kind, text, tokens[first].start, tokens[last].end)


def _answered(tokens: Sequence[Token], place: int) -> tuple[Token, int] | None:
    """ "iodine allergy? no" says that there is none."""
    if tokens[place].kind != words.QUESTION or place + 1 >= len(tokens):
        return None
    answer = tokens[place + 1]
    closed = place + 2 >= len(tokens) or tokens[place + 2].kind in _BREAKS
    if closed and (answer.text in _NO or answer.text in _YES):
        return replace(tokens[place], kind=MARK, text=":"), place + 1
    return None


def _signed(tokens: Sequence[Token], place: int) -> tuple[Token, int] | None:
    """ "PVT -, ascites +" and "ascites: 0" say whether there is one."""
    token = tokens[place]
    zero = token.kind == NUMBER and token.value == 0
    closed = place + 1 >= len(tokens) or tokens[place + 1].kind in _BREAKS
    before = place - 1 - (place > 1 and tokens[place - 1].text == ":")
    if place == 0 or not closed or not (zero or token.text in ("-", "+")):
        return None
    said_of = tokens[before]
    finding = said_of.kind == FACT and said_of.value.denied is not None
    if finding or (said_of.kind in (SUBSTANCE, "adverse") and not zero):
        text = "(+)" if token.text == "+" else "(-)"
        return replace(token, kind="permit" if token.text == "+" else "neg", text=text), place + 1
    return None


def _joined(tokens: Sequence[Token], place: int, found: list[Token]) -> tuple[Token, int] | None:
    """ "A suspended in B" gives both; "A suspended in 2022" gives none."""
    if tokens[place].text not in _MIXED:
        return None
    behind = _skip(tokens, place + 1, (*_PLAIN, "benign"), 2, stop=_INTO)
    if behind >= len(tokens) or tokens[behind].text not in _INTO:
        return None
    object_ = _skip(tokens, behind + 1, (*_PLAIN, "benign", DOSE, NUMBER, "after_prep"), 5)
    if object_ < len(tokens) and tokens[object_].kind in (AGENT, SUBSTANCE):
        while found and found[-1].text in ("en", "in", "als", "as", "an", "a"):
            found.pop()  # "en suspension dans"
        return _span(tokens, "with", place, object_ - 1), object_
    return None


def _end_point(tokens: Sequence[Token], place: int) -> tuple[Token, int] | None:
    """ "stop at stasis" ends an injection and rules nothing out."""
    if tokens[place].text not in _STOP or place + 1 >= len(tokens):
        return None
    behind = tokens[place + 1]
    if behind.text not in _WHEN and behind.text.partition(" ")[0] not in _WHEN:
        return None
    object_ = _skip(tokens, place + 2, (*_PLAIN, "benign", "after_prep"), 4)
    if object_ < len(tokens) and tokens[object_].kind in (AGENT, SUBSTANCE):
        return None
    return replace(tokens[place], kind="benign"), place + 1


def _spared(tokens: Sequence[Token], place: int) -> tuple[Token, int] | None:
    """ "spare segment 4", "do not treat the left lobe": a part of the liver is ruled out, and no agent."""
    if tokens[place].kind not in ("avoid", "neg"):
        return None
    object_ = _skip(tokens, place + 1, (*_PLAIN, "benign", "wish", "after_prep", "limit"), 4)
    while (
        object_ < len(tokens)
        and object_ < place + 6
        and (tokens[object_].text in _SIDES or tokens[object_].kind == "aux")
    ):
        object_ += 1
    if object_ >= len(tokens) or tokens[object_].text not in _PLACES:
        return None
    end = _skip(tokens, object_ + 1, (NUMBER, MARK), 2)
    if end < len(tokens) and tokens[end].kind in (FACT, "clinical", "adverse", UNKNOWN, AGENT, SUBSTANCE):
        return None
    return _span(tokens, "benign", place, end - 1), end


def _reluctant(tokens: Sequence[Token], place: int, found: list[Token]) -> tuple[Token, int]:
    """A negated reluctance ("don't hesitate to", "no doubts about") is none; without a negation it is a doubt."""
    before = len(found) - 1
    while before >= max(0, len(found) - 4) and found[before].kind in (*_PLAIN, "benign", "after_prep"):
        before -= 1
    if before < 0 or found[before].kind != "neg":
        return replace(tokens[place], kind="doubt"), place + 1
    start, first = found[before].start, found[before].text
    del found[before:]
    behind, last, kind = place + 1, place, "benign"
    if behind < len(tokens) and first in ("ne", "n'") and tokens[behind].text in NEG_SECOND:
        behind, last = behind + 1, behind  # "n'oubliez pas"
    if behind < len(tokens) and tokens[behind].text in AIMS:
        return replace(_span(tokens, "avoid", place, behind), start=start), behind + 1
    prep = behind < len(tokens) and tokens[behind].text in _INFINITIVE | _ABOUT
    object_ = _skip(tokens, behind + prep, ("aux", "benign"), 3)
    named = object_ < len(tokens) and tokens[object_].kind in (AGENT, SUBSTANCE)
    if prep and object_ < len(tokens) and tokens[object_].kind in ("wish", "avoid", "avoid_after"):
        last = behind
    elif prep and named:
        last, kind = behind, "permit"
    elif named and tokens[place].text.startswith(_FORGET):
        kind = "wish"
    return replace(_span(tokens, kind, place, last), start=start), last + 1


def _measured(tokens: Sequence[Token], place: int, found: list[Token]) -> tuple[Token, int] | None:
    """A value with its unit, or beside the abbreviation of a laboratory value, is a clinical word."""
    token = tokens[place]
    if token.kind == MEASURE:
        # the word of the value may stand before it: "Krea 1,9 mg/dl"
        before = next(
            (n for n in range(len(found) - 1, max(-1, len(found) - 4), -1) if found[n].kind not in _PLAIN), None
        )
        if before is not None and found[before].kind in (UNKNOWN, "clinical"):
            found[before] = replace(found[before], kind="clinical")
            return replace(token, kind="benign"), place + 1
        close = before is not None and found[before].kind in (AGENT, DOSE, "limit")
        return replace(token, kind="benign" if close else "clinical"), place + 1
    if token.kind != UNKNOWN:
        return None
    number = _skip(tokens, place + 1, (*_PLAIN, "limit", "than", UNKNOWN), 2, stop=_BREAKS)
    if number >= len(tokens) or tokens[number].kind != NUMBER:
        return None
    share = number + 1 < len(tokens) and tokens[number + 1].text == "%" and token.text not in _ABOUT_SO_MANY
    if token.text in _LABS or (share and number == place + 1 + (tokens[place + 1].kind == MARK)):
        return replace(token, kind="clinical"), place + 1
    return None


def _skip(
    tokens: Sequence[Token], place: int, kinds: Sequence[str], most: int, stop: Sequence[str] | set[str] = ()
) -> int:
    """The place behind at most so many words of these kinds."""
    end = min(len(tokens), place + most)
    while place < end and tokens[place].kind in kinds and tokens[place].text not in stop:
        place += 1
    return place
