"""What the final angiography showed, as the level of attenuation l in 1..4 (arXiv 2506.02327, section 3.2).

The paper names words ("occluded", "reduced", "disappear") and says that a higher level is the better effect; the steps
in between are read here as:

4  no tumour staining left, or the feeding arteries occluded
3  mostly so
2  partly so: staining or flow reduced
1  little changed, or failed
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_AIM = re.compile(
    r"\bto (?:emboli[sz]e|occlude|block|reduce)\b[^,;]*|\bfor (?:the )?(?:protective )?emboli[sz]ation\b[^,;]*", re.I
)
_SUBJECT = re.compile(
    r"\b(?:stain\w*|blush\w*|hypervascular\w*|vascularity|neovascular\w*|feed(?:ing|er)s?\b|arter(?:y|ies)|branch(?:es)?|"
    r"blood (?:supply|flow)|flow|stasis|devasculari[sz]\w+|enhancement|vessels?)",
    re.I,
)
_BEFORE = re.compile(
    r"\b(?:initial|baseline|diagnostic|pre-?(?:treatment|emboli[sz]ation|procedural)|before|at the start|first) ?"
    r"(?:\w+ )?(?:angiogra\w+|DSA|run|arteriogra\w+|emboli[sz]ation|treatment)?",
    re.I,
)
_END = (
    r"disappear\w*|vanish\w*|occlu(?:ded|sion)|obliterat\w+|absent|embolised|embolized|devasculari[sz]ed|"
    r"devasculari[sz]ation|gone|eliminated|no longer (?:seen|visible)|stasis|stagnat\w+"
)
_LESS = r"reduc\w+|decreas\w+|diminish\w*|fad(?:ed|ing)|weaken\w*|slow(?:ed|er)?|sluggish|less"
_MOSTLY = (
    r"mostly|largely|nearly|near|almost|markedly|significant(?:ly)?|substantial(?:ly)?|mainly|subtotal(?:ly)?|great(?:ly)?|"
    r"marked|much|strongly|majority|most"
)
_PARTLY = r"partial(?:ly)?|partly|in part|incomplete(?:ly)?|some(?:what)?|moderate(?:ly)?|half"
_LITTLE = r"slight(?:ly)?|minimal(?:ly)?|hardly|barely|little|scarcely|not significantly|insignificantly"
_NOT = r"not|never|no longer|failed to|could not be|cannot be|without"
_NONE_LEFT = re.compile(
    r"\b(?:no|without|absence of|free of)(?: (?:obvious|definite|evident|visible|further|more|residual|remaining|"
    r"significant|any|abnormal|clear|apparent))*(?: (?:tumou?r|lesion|contrast|arterial|feeding))* "
    r"(?:stain\w*|blush\w*|enhancement|hypervascular\w*|feed\w+ \w+|flow|vascularity)|"
    r"(?:negative|complete) (?:stain\w*|stasis)",
    re.I,
)
_RESIDUAL = re.compile(
    r"\b(?:(?P<little>small|slight|minimal|trace|faint|little|minor|scant|some faint)\w*"
    r"(?: (?:amount|area|degree|bit)s? of)? )?"
    r"(?:residual|remaining|persist\w*|remnant)\b",
    re.I,
)
_UNCHANGED = re.compile(
    r"\b(?:unchanged|no (?:obvious |significant |relevant |clear )?(?:change|reduction|decrease|effect)|"
    r"not (?:obviously |significantly |visibly )?(?:reduced|changed|decreased|occluded|disappear\w*|emboli[sz]ed)|"
    r"persist(?:s|ed|ent|ing)|fail(?:ed|ure)|remain(?:s|ed) (?:patent|open|visible|the same)|"
    r"still (?:patent|visible|seen))\b",
    re.I,
)


def attenuation(clauses: Sequence[str]) -> tuple[int | None, str, str]:
    """The level, the clause that it was read from, and a note if clauses contradict each other.

    Clauses about the time before the treatment do not count; of the others the last one that says something decides.
    """
    said = [(level, clause) for clause in clauses if (level := _level(clause)) is not None]
    if not said:
        return None, "", ""
    level, clause = said[-1]
    levels = sorted({n for n, _ in said})
    note = f"the outcome is told in different words (levels {levels}); the last one counts" if len(levels) > 1 else ""
    return level, clause, note


def _level(clause: str) -> int | None:
    if _BEFORE.match(clause.strip().removeprefix("the ").removeprefix("The ")) or not _SUBJECT.search(clause):
        return None
    # what was aimed at is no outcome: "used to embolize the feeding branches"
    text = _AIM.sub("", clause)
    if _NONE_LEFT.search(text):
        return 4
    if _UNCHANGED.search(text):
        small = _RESIDUAL.search(text)
        return 3 if small and small["little"] else 1
    residual = _RESIDUAL.search(text)
    if residual:
        return 3 if residual["little"] else 2
    end, less = _has(_END, text), _has(_LESS, text)
    if not (end or less):
        return None
    if not _subject_near(text):
        return None
    if _has(_LITTLE, text):
        return 1
    if end and _has(_PARTLY, text):
        return 2
    if _has(_MOSTLY, text):
        return 3
    return 4 if end else 2


def _has(words: str, text: str) -> bool:
    return re.search(rf"\b(?:{words})\b", text, re.I) is not None


def _subject_near(text: str) -> bool:
    """True if staining, vessels or flow are what the words are about, and not an agent that was injected."""
    stated = re.search(rf"\b(?:{_END}|{_LESS})\b", text, re.I)
    subject = _SUBJECT.search(text)
    return (
        stated is not None
        and subject is not None
        and not re.search(r"\b(?:was|were) (?:used|injected|infused)\b", text)
    )
