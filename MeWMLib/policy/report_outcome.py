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

from MeWMLib.policy.report_words import any_of, find_names

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
#: The sentence is about the tumour and what feeds it.
_TUMOUR = re.compile(
    r"\b(?:tumou?rs?|tumou?ral|lesions?|nodules?|mass(?:es)?|HCCs?|carcinomas?|metastas[ie]s|feed\w*|"
    r"stain\w*|blush\w*|hypervascular\w*|neovascular\w*|target\w*)\b", re.I,
)  # fmt: skip
#: Vessels and organs that are no tumour, and vessels that are closed to protect them.
_ELSEWHERE = re.compile(
    r"\b(?:cystic|gastroduodenal|GDA|(?:right|left) gastric|gastric|duoden\w+|gallbladder|stomach|bowel|pancrea\w+|"
    r"parenchym\w+|splenic|mesenteric|SMA|femoral|falciform|supraduodenal|coil\w*|microcoil\w*|plug\w*|protect\w*|"
    r"prophylactic\w*|redistribut\w+|spared)\b", re.I,
)  # fmt: skip
_LESION = re.compile(r"\b(?:tumou?rs?|tumou?ral|lesions?|nodules?|HCCs?|carcinomas?|metastas[ie]s|feed\w*)\b", re.I)
_LOOKED = re.compile(r"\b(?:(?:angio|arterio|aorto|porto)gra\w+|DSA|runs?|CBCT|CTHA)\b", re.I)
_AFTER = re.compile(
    r"\b(?:final\w*|completion|control|post\w*|after\w*|end|subsequent\w*|repeat\w*|follow-?up|then|now|last|closing|"
    r"check|residual|remaining|remains?|no longer|any more|disappear\w*|vanish\w*|gone)\b|\bleft\W*$", re.I,
)  # fmt: skip
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

    Only clauses that speak of the tumour, its staining or what feeds it count, and none about the time before the
    treatment; of these the last one that states an outcome counts.
    """
    named = [n for n, clause in enumerate(clauses) if find_names(clause)]
    first = named[0] if named else -1  # before it, nothing was given
    stated = [
        (level, clause)
        for n, clause in enumerate(clauses)
        if (n >= first or not _is_before(clause)) and (level := _level(clause)) is not None
    ]
    if not stated:
        return None, "", ""
    level, clause = stated[-1]
    levels = sorted({n for n, _ in stated})
    note = f"the outcome is described in different ways (levels {levels}); the last one counts"
    return level, clause, note if len(levels) > 1 else ""


def _is_before(clause: str) -> bool:
    """True for what was seen before anything was given: nothing in it says that it is the end."""
    return not _AFTER.search(clause) and (_LOOKED.search(clause) is not None or _NONE_LEFT.search(clause) is not None)


def _level(clause: str) -> int | None:
    looked = _LOOKED.search(clause) is not None and not _AFTER.search(clause)  # "no stain in S4 on the angiography"
    if not _TUMOUR.search(clause) or ((looked or _ELSEWHERE.search(clause)) and not _LESION.search(clause)):
        return None
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
