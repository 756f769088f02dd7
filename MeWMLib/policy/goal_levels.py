"""Grades, levels and places of findings, as single words in several languages."""

from __future__ import annotations

import re
from typing import Any

from MeWMLib.core.clinical_fields import UNSPECIFIED
from MeWMLib.policy.goal_stated import there, worse

_SLIGHT = (
    r"mild\w*|slight|small|minor|minimal\w*|minim[eoa]|trace|traces|little|low-grade|gering\w*|leicht\w*|wenig|diskret\w*|"
    r"leger\w*|legere|discret\w*|faible|leve|lev[ei]|escas[ao]|lieve|modest[ao]|\u5c11\u91cf|\u8f7b\u5ea6|\u5fae\u91cf"
)
_MODERATE = r"moderat\w*|moderee?|moderad[ao]|massig\w*|mittelgradig\w*|\u4e2d\u91cf|\u4e2d\u5ea6|\u4e2d\u7b49"
_SEVERE = (
    r"severe|massive?\w*|tense|large|marked|pronounced|gross|abondante?|abundante|importante|severa?|grave|gravi|tesa|"
    r"a tension|gespannt\w*|ausgepragt\w*|schwer\w*|\u5927\u91cf|\u91cd\u5ea6|\u4e25\u91cd|\u5f20\u529b\u6027"
)
_REFRACTORY = r"refractor[yi]\w*|refraktar\w*|refractair\w*|refrattari\w*|\u987d\u56fa\u6027|\u96be\u6cbb\u6027"
SEGMENTAL = (
    r"(?:sub)?segment(?:al|ar|ast|aste|aire|aria|ario|ale|ali)?\w*|peripher\w*|perifer\w*|second[- ]order|"
    r"\u6bb5\u652f|\u4e8c\u7ea7\u5206\u652f"
)
LOBAR = (
    r"lobar\w*|lobaire|right|left|branch\w*|first[- ]order|ast\b|recht\w*|link\w*|droite?|gauche|branche|derech[ao]|"
    r"izquierd[ao]|rama|destr[ao]|sinistr[ao]|ramo|\u5de6\u652f|\u53f3\u652f|\u5206\u652f"
)
MAIN = r"main|trunk|mainstem|main-stem|stem|(?:haupt)?stamm\w*|haupt|tronc(?:ulaire)?|tronco|principale?|\u4e3b\u5e72"
#: Field to the patterns of its grades and what they say, and to words that say no more than that it is there.
_LEVELS: dict[str, tuple[tuple[str, Any], ...]] = {
    "ascites": ((_REFRACTORY, "refractory"), (_SEVERE, "severe"), (_MODERATE, "moderate"), (_SLIGHT, "mild")),
    "portal_vein_thrombosis": (
        *((rf"vp\s*{n}", level) for n, level in zip("1234", ("segmental", "segmental", "lobar", "main"), strict=True)),
        (MAIN, "main"), (LOBAR, "lobar"), (SEGMENTAL, "segmental"),
    ),
    "encephalopathy": tuple(
        (rf"(?:grade|grad|grado|stage|stadium|wh|\u00b0)?\s*(?:{roman}|{n})", str(n))
        for n, roman in ((4, "iv"), (3, "iii"), (2, "ii"), (1, "i"))
    ),
    "heart_failure": tuple(
        (rf"(?:nyha|class|klasse|classe|clase|stage|stadium|nyha class|nyha klasse)\s*(?:{roman}|{n})", roman.upper())
        for n, roman in ((4, "iv"), (3, "iii"), (2, "ii"), (1, "i"))
    ),
}  # fmt: skip
_THERE = (
    rf"{_SLIGHT}|{_MODERATE}|{_SEVERE}|partial\w*|partiell\w*|partielle|parcial\w*|parziale?|incomplete|subtotal|complete|"
    r"total|bland|subclinical|subklinisch\w*|latent\w*|subclinique|subclinico|covert|compensated|kompensiert\w*|chronic|"
    r"chronisch\w*|acute|present|yes|positive|pos|recurrent|persisten\w*|ja|oui|si|thrombos\w*|occluded|\u90e8\u5206"
)
#: A word that makes more of a finding than that it is there: its denial is no denial of the finding.
QUALIFIERS = re.compile(
    rf"(?:{_THERE}|{_REFRACTORY}|{SEGMENTAL}|{LOBAR}|{MAIN}|significant\w*|relevant\w*|clinically relevant|symptomatic|"
    r"extensive|widespread|overt|manifest\w*|new|further|additional|progressive|worsening|high-grade|higher-grade|"
    r"high-flow|end[- ]stage|terminal\w*|decompensated|dekompensiert\w*|decompense\w*|occlusive|obstructi\w*|bilateral|"
    r"uncontrolled|florid\w*|obvious|clear|strong|diffuse|multiple|neue?[rns]?|signifikant\w*|nennenswert\w*|hochgradig\w*|"
    r"hohergradig\w*|nouvel\w*|nouveau|significati\w*|avance\w*|evolue\w*|nuev[ao]s?|nuov[aoie]|avanzad[ao]|avanzat[ao]|"
    r"descompensad[ao]|scompensat[ao]|manifiest[ao]|large-volume|diuretic-resistant|\u660e\u663e|\u663e\u8457|"
    r"\u5b8c\u5168|\u5e7f\u6cdb)\Z"
)
_COMPILED = {
    field: tuple((re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"), value) for pattern, value in levels)
    for field, levels in _LEVELS.items()
}
_IS_THERE = re.compile(rf"(?<!\w)(?:{_THERE})(?!\w)")
#: Words beside a grade that add nothing: "moderate only", "thrombus in the right branch".
_BESIDE = set(
    "only just now today currently in of the on is but a mild branch portal vein thrombus thrombosed "
    "thrombosis segment "
    "pvt grade side jetzt aktuell nur ast pfortader thrombosiert de la du le rama vena solo seulement maintenant ahora "
    "adesso trombosis thrombose trombosi tumour tumor x nodules aber".split()
)
_CJK = re.compile(r"[\u3400-\u9fff]")


def level_of(field: str, text: str) -> Any:
    """The grade that words without a finding give to a field: "moderate only"; None if they give none.

    Args:
        field: of `Clinical`.
        text: small letters without accents.
    """
    found, rest = None, text
    for pattern, value in _COMPILED.get(field, ()):
        if pattern.search(rest):
            found = value if found is None else worse(field, found, value)
            rest = pattern.sub(" ", rest)
    if found is None and _IS_THERE.search(rest):
        found = there(field)
    rest = _IS_THERE.sub(" ", rest)
    return found if set(re.findall(r"[^\W_]+", rest)) <= _BESIDE else None


def grade_of(field: str, text: str) -> Any:
    """The choice of a field that a word such as "massive" or "trunk" means; `UNSPECIFIED` for another word."""
    for pattern, value in _COMPILED.get(field, ()):
        if pattern.search(text):
            return value
    return UNSPECIFIED


def is_qualified(text: str, start: int) -> bool:
    """True if a grade, level or the like stands right before this place."""
    begin = max(0, start - 30)
    before = text[begin:start]
    if _CJK.search(before[-1:]):
        return any(QUALIFIERS.match(before[-n:]) for n in (2, 3))
    words = before.split()[-1:]
    return bool(words) and before[-1:] in " -" and QUALIFIERS.match(words[0].rstrip("-")) is not None
