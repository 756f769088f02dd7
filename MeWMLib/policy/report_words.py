"""Words of TACE operation reports: names of agents with their misspellings, and cues of route, negation and other days.

Only regular expressions and the vocabulary; `reports.py` reads sentences with them. Numbers: `report_numbers.py`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache, lru_cache

from MeWMLib.policy.agent_names import by_letters, letters, pattern_of, written_names
from MeWMLib.policy.products import materials, ordinary_words

#: A misspelt word is read if it has this many letters and is this similar to a name (difflib ratio).
_SLIP_LETTERS, _SLIP_RATIO = 6, 0.84
#: Words that are close to an agent's name but are not misspellings of it.
_NO_SLIPS = {"embolics", "emulsion", "emulsions", "particles", "particle", "microspheres", "angiography", "platinum"}


def any_of(*alternatives: str) -> re.Pattern[str]:
    """Matches any of the alternatives as whole words, in capitals or not."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.I)


MIXED = any_of(r"emulsi\w+|emulsify|mix(?:ed|ture|ing)?|suspen(?:ded|sion)|blend(?:ed)?|combined with")
INFUSED = any_of(r"infus\w+|perfus\w+|instil+ed|bolus|administered|given|injected|injections?|delivered|HAIC")
EMBOLISED = any_of(r"(?:chemo)?emboli[sz]\w*|occlud(?:e|ing)|block(?:ing)?|plugg?ing")
ANY_VERB = re.compile("|".join(p.pattern for p in (MIXED, INFUSED, EMBOLISED)) + r"|\b(?:used|loaded|added)\b", re.I)
#: What was done, as a verb: "an emulsion of" alone does not say that anything was done.
DONE = any_of(
    r"emulsified|mixed|suspended|blended|infused|infusing|perfused|instil+ed|administered|given|injected|delivered",
    r"emboli[sz]ed|occluded|used|loaded|added|withheld|omitted",
)
LOADED = any_of(r"loaded|preloaded|pre-loaded|eluting|(?:vials?|beads?|\w*spheres?|pearls?) (?:with|containing)")
#: Not given: before the name, and behind it. A cue before covers a list of names.
NOT_BEFORE = any_of(
    r"no|not|without|neither|nor|instead of|rather than|avoid(?:ed|ing)?|omit(?:ted|ting)?|withheld",
    r"refus(?:ed|al of|es)|declin(?:ed|es)|allerg(?:y|ic) to|contraindication (?:to|for)",
    r"intoleran(?:ce|t) (?:to|of)",
)
NOT_BEHIND = re.compile(
    r"^[^;,.]{0,40}?\b(?:(?:was|were|is|are|had been) not|not (?:used|given|needed|required|necessary|available)|"
    r"(?:was|were|is|are) (?:withheld|omitted|avoided|contraindicated|unavailable|spared|replaced|substituted|stopped)|"
    r"(?:was|were) (?:considered|discussed|planned)|allergy|hypersensitivity)\b",
    re.I,
)
_SESSION = r"(?:(?:DEB-?|c)?TACE|session|procedure|treatment|course|(?:chemo|radio)?emboli[sz]ation|intervention|cycle)"
_MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
_SOME = r"\d{1,2}|one|two|three|four|five|six|seven|eight|ten|twelve|several|a few|some"
#: A clause about another day, and one that is about today again.
ANOTHER_DAY = re.compile(
    r"\b(?:previous(?:ly)?|prior|last|first|earlier|former) (?:(?:DEB-?|c)?TACE|session|procedure|treatment|course|"
    r"(?:chemo)?emboli[sz]ation)s?\b(?! (?:position|step|site|target|vessel))|"
    r"\bhistory of\b|\bnext (?:TACE|session|procedure|time|course|cycle|week|"
    r"month|year)\b|"
    r"\b(?:past|initial|follow-?up|future|later|subsequent|another|further|repeat) (?:(?:DEB-?|c)?TACE|session|"
    r"course|cycle)s?\b|"
    r"\b(?:status post|s/p|yesterday|last (?:year|month|week)|previously (?:treated|given|received|infused|had))\b|"
    rf"\b(?:had|has|have) (?:previously |already )?(?:received|undergone|had) (?:[\w-]+ ){{0,3}}{_SESSION}s?\b|"
    rf"\bafter (?:{_SOME}) (?:[\w-]+ )?{_SESSION}s\b|"
    r"\b(?:is|are) (?:planned|scheduled|intended)\b|\b(?:was|were) (?:scheduled|postponed)\b|\bwill be\b|"
    r"\b(?:days?|weeks?|months?|years?) (?:ago|earlier|before|previously|later)\b|"
    rf"\bin (?:about |approximately )?(?:{_SOME})(?:\s*(?:-|to)\s*(?:{_SOME}))? (?:weeks|months)\b|"
    rf"\bin (?:{_MONTH}|(?:19|20)\d\d)\b.{{0,80}}\b{_SESSION}\b|"
    r"^\s*(?:plan|recommendations?|outlook|procedere|next steps?)\s*:",
    re.I,
)
#: What a report of today may say too: about another day only if a later sentence says "today".
ONCE = re.compile(rf"\b(?:underwent|had|received|was treated with)\b.{{0,60}}\b{_SESSION}\b|\bthen\W*$", re.I)
#: In a sentence about another day: from here on it is about today.
RESUMES = any_of(r"therefore|thus|hence|consequently|accordingly")
TODAY = any_of(r"today|now|this (?:time|session|procedure)|current(?:ly)?|present (?:session|procedure|treatment)")
#: Right behind an agent: then the agent is what was seen, not what was given.
SEEN = re.compile(
    r"^[\s-]*(?:was\s+)?(?:deposit\w*|retention|accumulat\w*|uptake|wash-?out|staining|pooling|filling|coverage|"
    r"emulsion|mixture|suspension)\b",
    re.I,
)
TOTAL = re.compile(r"\b(?:total(?: dose| volume| amount)?(?: of)?|in all|altogether|in total)\W*$", re.I)
TOTAL_BEHIND = re.compile(r"^[\s,(]*(?:in total|in all|altogether|total)\b", re.I)


AGENT, MIXTURE = "agent", "mixture"
#: What agents were mixed to: an amount of it is no amount of an agent.
_MIXTURE = re.compile(r"\b(?:emulsions?|mixtures?|suspensions?)\b", re.I)
#: Behind a name that is an ordinary word too ("in tandem"): then it is the product.
_PRODUCT_BEHIND = re.compile(r"[\s(]*(?:\d|microspheres?\b|particles?\b|beads?\b|PVA\b)", re.I)


@dataclass(frozen=True)
class Name:
    """A name in a text that an amount may belong to.

    Attributes:
        agent: canonical name of an agent; else the name as written.
        start, end: its place in the text.
        slip: what was written, if that was not a known name.
        kind: AGENT; MIXTURE for an emulsion; PRODUCT or NOT_A_DOSE of `products.py`.
    """

    agent: str
    start: int
    end: int
    slip: str = ""
    kind: str = AGENT


def find_names(text: str, likeness: float = _SLIP_RATIO) -> list[Name]:
    """The agents of a text in their order; a misspelt word counts if it is close to one name only.

    Args:
        text: of a report, or a list of names.
        likeness: how close, as a share of letters.
    """
    found = []
    for m in _names().finditer(text):
        also_a_word = ordinary_words().get(letters(m[0]))
        if also_a_word is None:
            found.append(Name(by_letters()[letters(m[0])], m.start(), m.end()))
        elif m[0][0].isupper() and (_is_inside(text, m.start()) or _PRODUCT_BEHIND.match(text, m.end())):
            found.append(Name(also_a_word, m.start(), m.end()))
    exact = iter([*found])
    current = next(exact, None)
    for word in re.finditer(r"[A-Za-z][A-Za-z-]{4,}", text):
        while current is not None and current.end <= word.start():
            current = next(exact, None)
        taken = current is not None and current.start < word.end()
        if not taken and (name := _slip(word[0], likeness)):
            found.append(Name(name, word.start(), word.end(), word[0]))
    return sorted(found, key=lambda n: n.start)


def find_mentions(text: str) -> list[Name]:
    """Agents, mixtures of them, products that are no agent, and what is given in mg or ml and is no treatment.

    Of names that overlap ("liposomal doxorubicin") the one that begins first counts, of these the longest.
    """
    found = find_names(text)
    found += [Name(m[0], m.start(), m.end(), "", MIXTURE) for m in _MIXTURE.finditer(text)]
    pattern, kinds = materials()
    found += [Name(m[0], m.start(), m.end(), "", kinds[letters(m[0])][0]) for m in pattern.finditer(text)]
    chosen: list[Name] = []
    for name in sorted(found, key=lambda n: (n.start, -n.end)):
        if not chosen or name.start >= chosen[-1].end:
            chosen.append(name)
    return chosen


def _is_inside(text: str, at: int) -> bool:
    """True if something of the sentence stands before this place."""
    return bool(text[max(0, at - 3) : at].strip())


@cache
def _names() -> re.Pattern[str]:
    return pattern_of([*written_names(), *(word.title() for word in ordinary_words())])


@lru_cache(maxsize=4096)
def _slip(word: str, likeness: float) -> str:
    """The agent that a misspelt word means, or "" if it is close to none or to several."""
    spelled = letters(word)
    # twice the longest name is less than 0.67 like any
    if not _SLIP_LETTERS <= len(spelled) <= 2 * max(map(len, by_letters())):
        return ""
    if word.lower() in _NO_SLIPS or spelled in materials()[1] or spelled in ordinary_words():
        return ""
    known = [n for n in by_letters() if len(n) >= _SLIP_LETTERS]
    names = {by_letters()[n] for n in difflib.get_close_matches(spelled, known, n=2, cutoff=likeness)}
    # Epirubicin, idarubicin and pirarubicin are close to each other: only the first letter can decide
    same = {name for name in names if name[0].lower() == word[0].lower()}
    chosen = same if len(same) == 1 else names
    return chosen.pop() if len(chosen) == 1 else ""
