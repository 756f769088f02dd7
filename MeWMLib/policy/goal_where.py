"""Wishes about where to treat, "only segment 8", "spare the left lobe": a plan has its territory for them."""

from __future__ import annotations

import re

from MeWMLib.policy.goal_found import Reading

_PLACE = re.compile(
    r"(?<![a-z0-9])(?:seg(?:m(?:ent(?:e|s|o|os|i|es)?)?)?\.?\s*(?:[1-8]|viii|vii|vi|iv|v|iii|ii|i)[ab]?|s[1-8][ab]?|"
    r"(?:left|right|caudate|quadrate|both|other)\s+(?:liver\s+|hepatic\s+)?(?:lobes?|hemiliver|side|artery)|"
    r"(?:linke[rnms]?|rechte[rnms]?)\s+(?:leber)?(?:lappen|seite|arterie)|leberlappen|lappen|"
    r"lobes? (?:gauche|droite?|caude)|foie (?:gauche|droit)|lobulos? (?:izquierdo|derecho|caudado)|"
    r"lobo (?:sinistro|destro|caudato))(?![a-z0-9])|"
    r"[\u5de6\u53f3](?:\u809d)?\u53f6|\u809d?[1-8\u4e00-\u516b]\u6bb5|[\u5de6\u53f3]\u534a\u809d"
)
_CUE = re.compile(
    r"(?<![a-z0-9])(?:treat\w*|embolis\w+|embolize\w*|target\w*|avoid\w*|spar(?:e|es|ed|ing)|protect\w*|preserv\w*|exclud\w+|leave|"
    r"leav\w+|skip\w*|omit\w*|only|just|not|no|never|don't|without|except|superselective\w*|selective\w*|inject\w*|"
    r"use|give|in|into|via|through|behandel\w*|nur|nicht|kein\w*|schon\w*|vermeid\w*|aussparen|auslassen|ohne|ausser|"
    r"uber|traiter|traitez|seulement|uniquement|eviter|evitez|epargner|epargnez|pas|sans|sauf|tratar|trate|solo|"
    r"solamente|evitar|evite|respetar|preservar|sin|excepto|trattare|trattate|soltanto|evitare|risparmiare|non|senza|"
    r"tranne)(?![a-z0-9])|\u6cbb\u7597|\u53ea|\u4ec5|\u907f|\u4e0d|\u522b|\u4fdd\u62a4|\u4fdd\u7559"
)
#: What is said of a lesion or a vessel there is no wish.
_FOUND = re.compile(
    r"(?<![a-z0-9])(?:thromb\w*|pvtt?|portal|porte?|pfortader\w*|vein|veine|branch|vena|tumou?rs?|lesions?|nodules?|hcc|"
    r"metasta\w*|resect\w*|resez\w*|atroph\w*|hypertroph\w*|knoten|herd\w*|lasion\w*|nodul\w*|lesion\w*|mass|"
    r"ablat\w*)(?![a-z0-9])|\u8840\u6813|\u764c\u6813|\u95e8|\u7624|\u7ed3\u8282"
)
_DEED = re.compile(
    r"(?<![a-z0-9])(?:treat|preserve|spare|avoid|target|embolise|embolize|behandeln|schonen|vermeiden|traiter|epargner|eviter|tratar|"
    r"evitar|trattare|evitare|risparmiare|only|nur|not)(?![a-z0-9])"
)
_CLAUSES = re.compile(r"[,;!?\n\u3002\uff0c\uff1b]|\.(?=\s|$)")


def ask_of_where(plain: str, found: Reading) -> None:
    """Ask of a wish about where to treat, which no goal sets.

    Args:
        plain: the goal in small letters without accents.
        found: what is asked.
    """
    for clause in _CLAUSES.split(plain):
        place = _PLACE.search(clause)
        if place is None or not _CUE.search(clause):
            continue
        if _FOUND.search(clause) and not _DEED.search(clause):
            continue
        found.ask(
            f"“{clause.strip()}” says where to treat ({place[0]}), which a goal does not set and which was not used: "
            'give it with --territory, such as --territory "segments 5, 8"'
        )
