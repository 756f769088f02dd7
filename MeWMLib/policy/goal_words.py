"""The words of a treatment goal, in order, each with what it does in a sentence (`goal_words.json`).

Agents are known by the names of the vocabulary, by names in other languages, brands and classes, and misspelt ones by
their letters. Letters are compared in small and without accents; Chinese words need no blanks between them.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.allergens import GROUPS
from MeWMLib.core.records import read_json
from MeWMLib.policy.agent_names import by_letters, classes, letters, members, pattern_of, written_names

#: Classes of words; where a word is in two, the earlier one counts, so that the careful meaning wins.
CLASSES = (
    *("aim", "double", "adverse", "avoid", "avoid_after", "limit", "neg", "except", "than", "failed", "doubt"),
    *("history", "permit", "contrast", "wish", "wish_after", "clinical", "then", "with", "conn", "after_prep"),
    *("follow", "amount", "size", "benign", "aux", "reluctant", "least"),
)
AGENT, SUBSTANCE, FACT, NUMBER, DOSE, COUNTED = "agent", "substance", "fact", "number", "dose", "counted"
MEASURE, RELUCTANT = "measure", "reluctant"
#: Plain words that narrow what they stand beside: "too much", "small".
NARROWING = ("amount", "size")
STRONG, WEAK, MARK, QUESTION, UNKNOWN = "strong", "weak", "mark", "question", "unknown"
#: What is hoped for: understood, and nothing is made of it.
AIM = "aim"
#: What a limit was read from.
TAKEN = "taken"
#: A misspelt word is read if it has so many letters and is so similar to a name (difflib ratio).
_SLIP_LETTERS, _SLIP_RATIO = 6, 0.84
#: Classes in which a misspelt word is looked for; a misspelt wish is no wish.
_SLIP_CLASSES = ("adverse", "avoid", "clinical")
_CJK = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
#: A dose for each kilogram, square metre or the like is no dose.
_DOSE = re.compile(
    r"(?P<value>\d+(?:[.,]\d+)?)\s*(?P<unit>milligram(?:m|s)?|mg|milliliters?|millilitres?|ml|cc|\u6beb\u5347|\u6beb\u514b)(?![a-z\d_])"
    r"(?:\s*(?:/|per|pro|par|por|je|each|\u6bcf)\s*(?:body |korper)?(?P<per>m2|m\^2|qm|sqm|m\b|"
    r"square met[a-z]+|quadratmeter|"
    r"metre carre|metro cuadrado|metro quadr\w+|kg|kilo\w*|ml|l\b|lb|lesion|lobe|d\b|day|week|bw\b|surface|vial|"
    r"\u516c\u65a4|\u5343\u514b|\u5e73\u65b9\u7c73))?"
)
_MEASURE = re.compile(
    r"\d+(?:[.,]\d+)?\s*(?:mg\s*/\s*d?l|[munp]?g\s*/\s*[dm]?l|(?:[munp\u03bc]|micro|k|m)?mol\s*/\s*l|"
    r"(?:[mk\u03bc]?i?u|i\.?e\.?)\s*/\s*m?l|/\s*(?:nl|ul|\u03bcl|mm3)|x?\s*10\s*\^?\s*(?:9|3|6)\s*/\s*(?:l|ul|\u03bcl)|"
    r"gpt\s*/\s*l|ml\s*/\s*min|mm\s?hg|mval\s*/\s*l|meq\s*/\s*l)(?![a-z\d])"
)
_WIDTH = re.compile(
    r"\d+(?:\s*-\s*\d+)?\s*(?:um|\u03bcm|microns?|micrometers?|micrometres?|mikrometer|\u5fae\u7c73)(?![a-z])"
)
#: "PVT -ve", "iodine (-)"
_SIGNED = re.compile(r"\(\s*(?P<sign>[-+])+\s*\)|(?<!\w)(?P<sign2>[-+])ve(?!\w)")
#: "I'd", "she's", "they'll": what is left of an auxiliary verb.
_SHORTENED = re.compile(r"(?<=[a-z])'(?:d|ll|ve|re|m|s)(?![a-z])")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
#: German writes the reason behind the substance in one word: Jodallergie, Cisplatinunverträglichkeit.
_COMPOUND = re.compile(
    r"(?<=[a-z]{3})(?=(?:allergie|allergik|unvertraglich|uberempfindlich|intoleranz|refraktar|resisten|toxizitat|frei\b))"
)
_NON = re.compile(r"(?<![^\W_])(?P<non>non)(?P<name>[a-z]{5,})")
#: Line breaks of any system.
_BREAKS = "\n\r\v\f\x85\u2028\u2029"
_MARKS = {
    **dict.fromkeys(".!;\n。！；", STRONG),
    **dict.fromkeys("?？", QUESTION),
    **dict.fromkeys(",，()[]{}、", WEAK),
    **dict.fromkeys("+/&", "conn"),
    "\u2264": "limit",
    "<": "limit",
}


@dataclass(frozen=True)
class Token:
    """One word or mark.

    Attributes:
        kind: one of `CLASSES` or of the kinds above.
        text: in small letters without accents.
        start, end: in the goal as it was written.
        value: of an agent the canonical names that it means; of a substance its name; of a number, it; of a dose, the
            number, the unit and for what each ("kg", or ""); of a plain word one of `NARROWING`.
        note: of an agent, why its name does not say surely which agent is meant, or "".
    """

    kind: str
    text: str
    start: int
    end: int
    value: Any = None
    note: str = ""


@dataclass(frozen=True)
class PlainText:
    """A text in small letters without accents, and where each letter stands in the original."""

    text: str
    places: tuple[int, ...]

    @classmethod
    def of(cls, original: str) -> PlainText:
        """Take accents off, split German compounds and "nonplatinum", and put one blank in the place of several."""
        found, places = list[str](), list[int]()
        for place, letter in enumerate(original):
            if letter.isspace():
                blank = "\n" if letter in _BREAKS else " "
                if not found or not found[-1].isspace():
                    found.append(blank)
                    places.append(place)
                elif blank == "\n":
                    found[-1] = blank
                continue
            if unicodedata.category(letter) == "Cf":
                continue  # a soft hyphen or another mark that nobody sees
            known = {"\u2019": "'", "\u2018": "'", "\u00a0": " ", "\u2013": "-", "\u2014": " - "}.get(letter, letter)
            for part in unicodedata.normalize("NFKD", known).casefold():
                if not unicodedata.combining(part):
                    found.append(part)
                    places.append(place)
        whole, known_names = "".join(found), _names()[1]
        cuts = {match.start() for match in _COMPOUND.finditer(whole)}
        cuts |= {match.end("non") for match in _NON.finditer(whole) if letters(match["name"]) in known_names}
        parts = [slice(begin, end) for begin, end in itertools.pairwise([0, *sorted(cuts), len(found)])]
        text = " ".join("".join(found[part]) for part in parts)
        shifted = [place for part in parts for place in (*places[part], *places[part.stop : part.stop + 1])]
        return cls(text, tuple(shifted))

    def original(self, start: int, end: int) -> tuple[int, int]:
        """A span of the plain text as a span of the original."""
        return self.places[start], self.places[end - 1] + 1


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = read_json(Path(__file__).with_name("goal_words.json"))
    return data


def _phrases(entry: str | dict[str, str]) -> list[str]:
    texts = entry.values() if isinstance(entry, dict) else [entry]
    return [phrase for text in texts for phrase in text.split("|")]


@cache
def _names() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """A pattern of every name, `letters` to the agents that are meant, and the Chinese names."""
    data = _data()
    meant: dict[str, tuple[str, ...]] = {letters(text): (name,) for text, name in by_letters().items()}
    meant |= {letters(name): members(name) for name in classes()}
    listed: list[tuple[str, tuple[str, ...]]] = [
        (phrase, (name,)) for name, text in data["agents"].items() for phrase in text.split("|")
    ]
    listed += [(phrase, members(name)) for name, text in data["classes"].items() for phrase in text.split("|")]
    chinese = {phrase: agents for phrase, agents in listed if _CJK.search(phrase)}
    latin = [(phrase, agents) for phrase, agents in listed if phrase not in chinese]
    meant |= {letters(phrase): agents for phrase, agents in latin}
    written = {*(name.lower() for name in written_names()), *classes(), *(phrase for phrase, _ in latin)}
    return pattern_of(written), meant, chinese


def _key(name: str) -> str:
    """`letters`, and for a Chinese name itself."""
    return letters(name) or name


@cache
def variants() -> dict[str, str]:
    """Names that do not say surely which agent is meant, by `_key`, to why."""
    return {_key(text): why for why, names in _data()["variants"].items() for text in names.split("|")}


@cache
def _lexicon() -> tuple[re.Pattern[str], dict[str, str], list[tuple[str, re.Pattern[str]]], dict[str, str]]:
    """A pattern of every phrase, phrase to class, patterns with * to their class, Chinese phrase to class."""
    data, plain, stars, chinese = _data(), dict[str, str](), list[tuple[str, re.Pattern[str]]](), dict[str, str]()
    patterns: list[str] = []
    for name in CLASSES:
        for phrase in _phrases(data.get(name, {})):
            if _CJK.search(phrase):
                chinese.setdefault(phrase, name)
            elif "*" in phrase:
                body = re.escape(phrase).replace(r"\*", r"[^\W\d_]*").replace(r"\ ", r"[ \t]+")
                stars.append((name, re.compile(body)))
                patterns.append(body)
            else:
                plain.setdefault(phrase, name)
    for word in _phrases(data["counted"]):
        if _CJK.search(word):
            chinese[word] = COUNTED
    whole = sorted(plain, key=len, reverse=True)
    patterns = [re.escape(p).replace(r"\ ", r"[ \t]+") + ("" if p[-1] in "'." else r"(?![\w])") for p in whole] + [
        rf"{p}(?![\w])" for p in patterns
    ]
    return re.compile("|".join(f"(?:{p})" for p in patterns)), plain, stars, chinese


@cache
def _substances() -> tuple[re.Pattern[str], dict[str, str], dict[str, str]]:
    """A pattern of every substance that is no agent, Chinese names to what they mean, and the others."""
    named = [(phrase, name) for name, text in _data()["substances"].items() for phrase in text.split("|")]
    named += [(phrase, name) for name, text in GROUPS.items() for phrase in text.split("|")]
    chinese = {phrase: name for phrase, name in named if _CJK.search(phrase)}
    latin = {phrase.replace("-", " "): name for phrase, name in named if phrase not in chinese}
    parts = [re.escape(p).replace(r"\ ", r"[\s-]+") for p in sorted(latin, key=len, reverse=True)]
    return re.compile(rf"(?:{'|'.join(parts)})s?(?![\w])"), chinese, latin


@cache
def _slip_words() -> dict[str, str]:
    words: dict[str, str] = {}
    for name in _SLIP_CLASSES:
        for phrase in _phrases(_data()[name]):
            word = phrase.replace("*", "")
            if len(word) >= _SLIP_LETTERS + 1 and " " not in word:
                words.setdefault(word, name)
    full = "allergy allergic anaphylaxis anaphylactic intolerance intolerant contraindicated contraindication toxicity"
    return words | dict.fromkeys(f"{full} hypersensitivity refractory resistance resistant reaction".split(), "adverse")


@cache
def _slip(word: str) -> tuple[str, Any] | None:
    """What a misspelt word means: its kind and value."""
    if len(word) < _SLIP_LETTERS:
        return None
    _, meant, _ = _names()
    near = difflib.get_close_matches(letters(word), [n for n in meant if len(n) >= _SLIP_LETTERS], 3, _SLIP_RATIO)
    if near and len({meant[name] for name in near if _ratio(word, name) > _ratio(word, near[0]) - 0.04}) == 1:
        return AGENT, meant[near[0]]
    if len(word) > _SLIP_LETTERS:
        # "tolerance" is no misspelt "intolerance", and "continue" no "discontinue"
        possible = [known for known in _slip_words() if known[0] == word[0]]
        close = difflib.get_close_matches(word, possible, 1, _SLIP_RATIO)
        if close:
            return _slip_words()[close[0]], None
    return None


def _ratio(word: str, name: str) -> float:
    return difflib.SequenceMatcher(None, letters(word), name).ratio()


def counted(text: str) -> str:
    """What a limit counts: "drugs", "embolics" or "agents"; "" for another word."""
    return next((name for name, words in _data()["counted"].items() if text in words.split("|")), "")


def are_aims(unknown: Sequence[Token]) -> bool:
    """True if all of these unknown words say what is hoped for: "longest survival"."""
    words = {word for text in _data()["aims"].values() for word in text.split("|")}
    rest = "".join(t.text for t in unknown if t.value != AIM and t.text not in words)
    for word in sorted((w for w in words if _CJK.search(w)), key=len, reverse=True):
        rest = rest.replace(word, "")
    return bool(unknown) and not rest


def tokens(plain: PlainText, facts: list[tuple[int, int, Any]]) -> Iterator[Token]:
    """The words of a goal.

    Args:
        plain: the goal.
        facts: parts that state something about the patient: start, end and what it is; they become one token each.
    """
    place, text = 0, plain.text
    starts = {start: (end, value) for start, end, value in facts}
    while place < len(text):
        if text[place] in " \t\r":
            place += 1
            continue
        kind, end, value = _one(text, place, starts)
        note = variants().get(_key(text[place:end]), "") if kind == AGENT else ""
        yield Token(kind, text[place:end], *plain.original(place, end), value, note)
        place = end


def _one(text: str, place: int, starts: dict[int, tuple[int, Any]]) -> tuple[str, int, Any]:
    """Kind, end and value of the token that starts here."""
    if place in starts:
        end, value = starts[place]
        return FACT, end, value
    signed = _SIGNED.match(text, place)
    if signed:
        return ("neg" if "-" in (signed["sign"], signed["sign2"]) else "permit"), signed.end(), None
    if _CJK.match(text[place]):
        return _chinese(text, place)
    found = [f for f in (_name(text, place), _phrase(text, place), _substance(text, place)) if f is not None]
    if found and (text[place].isalnum() or found[0][1] - place > 1):
        # of two that are equally long the name counts: it comes first
        kind, end, value = max(found, key=lambda f: f[1])
        return kind, end, value
    for pattern, kind in ((_MEASURE, MEASURE), (_WIDTH, "benign"), (_DOSE, DOSE), (_NUMBER, NUMBER)):
        match = pattern.match(text, place)
        if match and kind in (MEASURE, "benign"):
            return kind, match.end(), None if kind == MEASURE else "size"
        if match:
            value = float(match[0 if kind == NUMBER else "value"].replace(",", "."))
            if not math.isfinite(value):
                return UNKNOWN, match.end(), None
            return kind, match.end(), (value, match["unit"][:2], match["per"] or "") if kind == DOSE else value
    shortened = _SHORTENED.match(text, place)
    if shortened:
        return "aux", shortened.end(), None
    word = _WORD.match(text, place)
    if word:
        slip = _slip(word[0])
        return (slip[0], word.end(), slip[1]) if slip else (UNKNOWN, word.end(), None)
    letter = text[place]
    if letter == "-" and text[place - 1 : place + 2].strip() == "-":
        return WEAK, place + 1, None
    if letter == "." and place + 1 < len(text) and not text[place + 1].isspace():
        return MARK, place + 1, None
    return _MARKS.get(letter, MARK), place + 1, None


def _chinese(text: str, place: int) -> tuple[str, int, Any]:
    _, _, names = _names()
    _, _, _, phrases = _lexicon()
    _, substances, _ = _substances()
    for length in range(min(8, len(text) - place), 0, -1):
        part = text[place : place + length]
        if part in names:
            return AGENT, place + length, names[part]
        if part in substances:
            return SUBSTANCE, place + length, substances[part]
        if part in phrases:
            return _kind_and_end(phrases[part], place + length)
    return UNKNOWN, place + 1, None


def _name(text: str, place: int) -> tuple[str, int, Any] | None:
    pattern, meant, _ = _names()
    match = pattern.match(text, place)
    if match is None:
        return None
    key = letters(match[0])
    return (AGENT, match.end(), meant[key]) if key in meant else None


def _substance(text: str, place: int) -> tuple[str, int, Any] | None:
    pattern, _, names = _substances()
    if place and text[place - 1].isalnum():
        return None
    match = pattern.match(text, place)
    if match is None:
        return None
    written = re.sub(r"[\s-]+", " ", match[0])
    return SUBSTANCE, match.end(), names.get(written) or names[written.removesuffix("s")]


def _phrase(text: str, place: int) -> tuple[str, int, Any] | None:
    if place and (text[place - 1].isalnum() or text[place - 1] == "_") and not _CJK.match(text[place - 1]):
        return None
    pattern, plain, stars, _ = _lexicon()
    match = pattern.match(text, place)
    if match is None:
        return None
    phrase = re.sub(r"\s+", " ", match[0])
    kind = plain.get(phrase)
    if kind is None:
        kind = next(name for name, star in stars if star.fullmatch(phrase))
    return _kind_and_end(kind, match.end())


def _kind_and_end(kind: str, end: int) -> tuple[str, int, Any]:
    """Kind, end and value of a phrase of a class."""
    if kind in NARROWING:
        return "benign", end, kind
    # "with low toxicity" is no toxicity
    return (UNKNOWN, end, AIM) if kind == AIM else (kind, end, None)
