"""What the final angiography showed, as the level of attenuation l in 1..4 (arXiv 2506.02327, section 3.2).

The paper names words ("occluded", "reduced", "disappear") and says that a higher level is a better effect; MeWM reads
the levels as:

4  no tumour staining left, or the feeding arteries occluded
3  mostly so
2  partly so: staining or flow reduced
1  little changed, or failed
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from MeWMLib.policy.report_words import any_of

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
_END = any_of(
    r"disappear\w*|vanish\w*|occlu(?:ded|sion)|obliterat\w+|absent|embolised|embolized|devasculari[sz]ed",
    r"devasculari[sz]ation|gone|eliminated|no longer (?:seen|visible)|stasis|stagnat\w+",
)
_LESS = any_of(r"reduc\w+|decreas\w+|diminish\w*|fad(?:ed|ing)|weaken\w*|slow(?:ed|er)?|sluggish|less")
_MOSTLY = any_of(
    r"mostly|largely|nearly|near|almost|markedly|significant(?:ly)?|substantial(?:ly)?|mainly|subtotal(?:ly)?",
    r"great(?:ly)?|marked|much|strongly|majority|most",
)
_PARTLY = any_of(r"partial(?:ly)?|partly|in part|incomplete(?:ly)?|some(?:what)?|moderate(?:ly)?|half")
_LITTLE = any_of(r"slight(?:ly)?|minimal(?:ly)?|hardly|barely|little|scarcely|not significantly|insignificantly")
_GIVEN = re.compile(r"\b(?:was|were) (?:used|injected|infused)\b", re.I)
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
_UNCHANGED = any_of(
    r"unchanged|no (?:obvious |significant |relevant |clear )?(?:change|reduction|decrease|effect)",
    r"not (?:obviously |significantly |visibly )?(?:reduced|changed|decreased|occluded|disappear\w*|emboli[sz]ed)",
    r"persist(?:s|ed|ent|ing)|fail(?:ed|ure)|remain(?:s|ed) (?:patent|open|visible|the same)",
    r"still (?:patent|visible|seen)",
)


def attenuation(clauses: Sequence[str]) -> tuple[int | None, str, str]:
    """The level, the clause that it was read from, and a note if clauses contradict each other.

    Clauses about the time before the treatment do not count; of the others, the last one that states an outcome counts.
    """
    stated = [(level, clause) for clause in clauses if (level := _level(clause)) is not None]
    if not stated:
        return None, "", ""
    level, clause = stated[-1]
    levels = sorted({n for n, _ in stated})
    note = f"the outcome is described in different ways (levels {levels}); the last one counts"
    return level, clause, note if len(levels) > 1 else ""


def _level(clause: str) -> int | None:
    if _BEFORE.match(clause.strip().removeprefix("the ").removeprefix("The ")) or not _SUBJECT.search(clause):
        return None
    # an aim is not an outcome: "used to embolize the feeding branches"
    text = _AIM.sub("", clause)
    if _NONE_LEFT.search(text):
        return 4
    residual = _RESIDUAL.search(text)
    if _UNCHANGED.search(text):
        return 3 if residual and residual["little"] else 1
    if residual:
        return 3 if residual["little"] else 2
    end = _END.search(text)
    # staining, vessels or flow must be what the words are about, and not an agent that was injected
    if not (end or _LESS.search(text)) or not _SUBJECT.search(text) or _GIVEN.search(text):
        return None
    if _LITTLE.search(text):
        return 1
    if end and _PARTLY.search(text):
        return 2
    if _MOSTLY.search(text):
        return 3
    return 4 if end else 2
