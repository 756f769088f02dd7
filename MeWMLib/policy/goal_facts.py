"""What a treatment goal states about the patient: numbers, classes and findings that are fields of `Clinical`.

A number counts with its unit; a value that is not plausible, or an inequality, is no fact and is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.clinical import Clinical, field_table
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED, plain
from MeWMLib.core.errors import ClinicalDataError

_NUM = r"(?P<value>\d+(?:[.,]\d+)?)"
_IS = r"\s*(?:level|value|count|of|is|was|at|=|:|,)?\s*(?:is|of|=|:)?\s*"
_UMOL = r"(?:\u00b5|\u03bc|u|micro)?mol\s*/\s*l"
_GRADE = r"(?:iv|i{1,3}|[1-4])"
_NYHA = rf"(?:[\s,(]*nyha\s*(?:class|klasse|stage|stadium)?\s*(?P<class>{_GRADE})\)?)?"


@dataclass(frozen=True)
class Stated:
    """A statement about the patient.

    Attributes:
        field: of `Clinical`.
        value: what it says; None if it is asked about.
        denied: the value if the statement is denied ("no ascites"); None if a denial says nothing.
    """

    field: str
    value: Any
    denied: Any = None


Reader = Callable[[re.Match[str]], "Stated | None"]


def _number(field: str, factors: dict[str, float]) -> Reader:
    def read(match: re.Match[str]) -> Stated | None:
        unit = plain((match.groupdict().get("unit") or "").replace("\u03bc", "u"))
        if unit not in factors:
            return None
        value = float(match["value"].replace(",", ".")) * factors[unit]
        info = field_table()[field]
        try:
            value = info.normal(int(value) if info.kind == "whole" and value == int(value) else value)
        except ClinicalDataError:
            return None
        return Stated(field, value)

    return read


def _is(field: str, value: Any, denied: Any) -> Reader:
    return lambda _match: Stated(field, value, denied)


def _graded(field: str, group: str, fallback: str = UNSPECIFIED) -> Reader:
    def read(match: re.Match[str]) -> Stated:
        given = next((match[n] for n in (group, f"{group}2") if n in match.groupdict() and match[n]), "")
        try:
            value = field_table()[field].normal(given) if given else fallback
        except ClinicalDataError:
            value = fallback
        return Stated(field, value, NONE)

    return read


def _child_pugh(match: re.Match[str]) -> Stated | None:
    try:
        found = Clinical(child_pugh_class=(match["class"] or "") + (match["points"] or ""))
    except ClinicalDataError:
        return None
    known = found.to_json()
    return Stated("child_pugh_class", match["class"].upper() + (match["points"] or "")) if known else None


def _vp(match: re.Match[str]) -> Stated:
    return Stated("portal_vein_thrombosis", field_table()["portal_vein_thrombosis"].normal(f"vp{match['level']}"), NONE)


_PVT_LEVEL = r"main|trunk|right|left|segmental|lobar|branch|peripheral"
_THROMBUS = r"(?:tumou?r\s+)?(?:thromb[a-z]*|occlusion|invasion)"
#: Pattern over small letters without accents, and what it states.
_PATTERNS: tuple[tuple[str, Reader], ...] = (
    (
        r"(?:(?:congestive|chronic|severe|decompensated|systolic|diastolic) ){0,3}(?:heart|cardiac) "
        rf"(?:failure|insufficiency|decompensation){_NYHA}|\bchf\b{_NYHA.replace('class>', 'class2>')}"
        r"|nyha\s*(?:class|klasse)?\s*(?P<only>" + _GRADE + r")\b",
        lambda m: (
            _graded("heart_failure", "class")(m)
            if not m["only"]
            else Stated("heart_failure", field_table()["heart_failure"].normal(m["only"]), NONE)
        ),
    ),
    (
        r"(?:herz(?:insuffizienz|versagen|schwache)|insuffisance cardiaque|insuficiencia cardiaca|"
        rf"insufficienza cardiaca|scompenso cardiaco|fallo cardiaco){_NYHA}|\u5fc3\u529b\u8870\u7aed|\u5fc3\u8870|"
        r"\u5fc3\u529f\u80fd\u4e0d\u5168",
        _graded("heart_failure", "class"),
    ),
    (
        r"(?:lvef|left ventricular ejection fraction|ejection fraction|\bef)" + _IS + _NUM + r"\s*%?",
        _number("lvef_percent", {"": 1.0}),
    ),
    (
        r"(?:(?:chronic|acute|end[- ]stage|severe) ){0,3}(?:renal|kidney) (?:failure|insufficiency|impairment|disease)|"
        r"\b(?:ckd|esrd|aki)\b|niereninsuffizienz|nierenversagen|insuffisance renale|insuficiencia renal|"
        r"insufficienza renale|(?:on |h[ae]mo)?dialysis|dialysepflichtig|dialyse|\u80be\u529f\u80fd\u4e0d\u5168|"
        r"\u80be\u8870\u7aed|\u80be\u8870",
        _is("renal_failure", True, False),
    ),
    (
        rf"(?:serum )?(?:creatinine|creatinin|kreatinin|creatinina|\bcrea){_IS}{_NUM}\s*(?P<unit>mg\s*/\s*dl|{_UMOL})?",
        _number("creatinine_mg_per_dl", {"mgdl": 1.0, "umoll": 1 / 88.4, "mmoll": 0.0, "micromoll": 1 / 88.4}),
    ),
    (
        rf"(?:total )?(?:bilirubin|bilirubine|bilirubina){_IS}{_NUM}\s*(?P<unit>mg\s*/\s*dl|{_UMOL})?",
        _number("bilirubin_mg_per_dl", {"mgdl": 1.0, "umoll": 1 / 17.1, "micromoll": 1 / 17.1}),
    ),
    (
        rf"(?:serum )?(?:albumin|albumine|albumina){_IS}{_NUM}\s*(?P<unit>g\s*/\s*d?l)?",
        _number("albumin_g_per_dl", {"gdl": 1.0, "gl": 0.1}),
    ),
    (rf"\be?gfr{_IS}{_NUM}(?:\s*ml\s*/\s*min(?:\s*/\s*1[.,]73\s*m2)?)?", _number("egfr_ml_per_min", {"": 1.0})),
    (
        rf"(?:platelets?|thrombozyten|plaquettes|plaquetas|piastrine)(?: count)?{_IS}{_NUM}\s*"
        r"(?P<unit>g\s*/\s*l|gpt\s*/\s*l|/\s*nl|k\b|x?\s*10\^?9\s*/\s*l|/\s*ul)?",
        _number(
            "platelets_10e9_per_l",
            {"gl": 1.0, "gptl": 1.0, "nl": 1.0, "k": 1.0, "109l": 1.0, "x109l": 1.0, "ul": 0.001},
        ),
    ),
    (rf"\binr{_IS}{_NUM}", _number("inr", {"": 1.0})),
    (rf"\b(?:afp|alpha-?fetoprotein){_IS}{_NUM}\s*(?P<unit>ng\s*/\s*ml)?", _number("afp_ng_per_ml", {"ngml": 1.0})),
    (
        r"child(?:[- ]?(?:turcotte[- ]?)?pugh)?\s*(?:class|score|stage|stadium|klasse)?\s*[:=]?\s*"
        r"(?P<class>[abc])\s*[-(]?\s*(?P<points>\d{1,2})?\)?(?![\w])",
        _child_pugh,
    ),
    (
        r"\bbclc\s*[-:]?\s*(?:stage|stadium)?\s*[-:]?\s*(?P<stage>[0abcd])[12]?(?![\w])",
        lambda m: Stated("bclc_stage", m["stage"].upper()),
    ),
    (
        rf"(?:\becog|\bps)\s*(?:performance status|ps|status)?{_IS}(?P<value>[0-4])(?![\w.,]\d)",
        _number("ecog", {"": 1.0}),
    ),
    (
        r"(?:(?P<grade>mild|slight|moderate|severe|massive|tense|refractory|large)\s+)?"
        r"(?:ascites|aszites|ascite|ascitis|\u8179\u6c34)",
        _graded("ascites", "grade"),
    ),
    (
        r"(?:hepatic |portosystemic )?(?:encephalopathy|enzephalopathie|encephalopathie|encefalopatia)"
        rf"(?:\s*\(?(?:grade|grad)?\s*(?P<grade>{_GRADE})\b\)?)?|\u809d\u6027\u8111\u75c5",
        _graded("encephalopathy", "grade"),
    ),
    (
        rf"(?:(?P<level>{_PVT_LEVEL})\s+)?(?:branch\s+)?(?:portal[- ]vein|portal venous|portal|pv)"
        rf"(?:\s+(?P<level2>{_PVT_LEVEL}))?(?:\s+branch)?\s+{_THROMBUS}|"
        r"(?:main\s+)?\bpvtt?\b|pfortaderthrombose|"
        r"thrombose (?:de la veine )?porte|thrombose portale|trombosis (?:de la vena )?porta[l]?|trombosi "
        r"(?:della vena )?porta(?:le)?|\u95e8\u9759\u8109(?:\u4e3b\u5e72)?(?:\u764c\u6813|\u8840\u6813)",
        lambda m: (
            Stated("portal_vein_thrombosis", "main", NONE)
            if m[0].startswith(("main", "\u95e8\u9759\u8109\u4e3b\u5e72"))
            else _graded("portal_vein_thrombosis", "level")(m)
        ),
    ),
    (r"\bvp\s*-?(?P<level>[1-4])\b", _vp),
    (
        r"(?:arterio-?\s?portal|\bap)\s*(?:venous\s*)?(?:shunt(?:ing|s)?|fistula|fistel)|arterioportaler shunt|"
        r"shunt arterioportal[e]?|\u52a8\u95e8\u8109\u7618|\u52a8\u8109\u95e8\u8109\u5206\u6d41",
        _is("arterioportal_shunt", True, False),
    ),
    (
        r"(?:biliary|bile[- ]duct|cbd|choledochal)\s+(?:\w+\s+)?(?:stent|drain|drainage|endoprosthesis)s?|"
        r"gallengangsstent|gallengangstent|prothese biliaire|stent biliaire|stent biliar[e]?|\u80c6\u9053\u652f\u67b6",
        _is("biliary_intervention", "stent", NONE),
    ),
    (
        r"(?:bilio-?enteric|biliary|bilio-?digestive|biliodigestive)\s+(?:anastomosis|anastomose|bypass|diversion)|"
        r"hepatico-?jejunostomy|choledocho-?jejunostomy|biliodigestiven? anastomose|\bwhipple(?:\s+\w+)?|"
        r"anastomose bilio-?digestive|anastomosis biliodigestiva|anastomosi bilio-?digestiva",
        _is("biliary_intervention", "anastomosis", NONE),
    ),
    (r"(?:endoscopic )?(?:sphincterotomy|papillotomy)", _is("biliary_intervention", "sphincterotomy", NONE)),
    (
        r"dilat(?:ed|(?:at)?ion of) (?:the )?(?:intrahepatic |extrahepatic |common )?(?:bile|biliary) (?:ducts?|tree)|"
        r"(?:bile[- ]duct|biliary|ductal) dilat(?:at)?ion|gestaute gallenwege|voies biliaires dilatees|"
        r"vias biliares dilatadas|vie biliari dilatate|\u80c6\u7ba1\u6269\u5f20",
        _is("dilated_bile_ducts", True, False),
    ),
    (
        r"hyperthyroid(?:ism)?|thyrotoxicosis|hyperthyreose|hyperthyroidie|hipertiroidismo|ipertiroidismo|"
        r"\u7532\u4ea2|\u7532\u72b6\u817a\u529f\u80fd\u4ea2\u8fdb",
        _is("hyperthyroidism", True, False),
    ),
    (
        r"(?:extra-?hepatic|lung|bone|pulmonary|osseous|distant|lymph[- ]node|nodal|brain|adrenal)\s+"
        r"(?:spread|metasta[a-z]+|disease|mets?)|fernmetastasen|lungenmetastasen|knochenmetastasen|"
        r"metastases (?:pulmonaires|osseuses|a distance)|metastasis (?:pulmonares|oseas|a distancia)|"
        r"metastasi (?:polmonari|ossee|a distanza)|\u8fdc\u5904\u8f6c\u79fb|\u809d\u5916\u8f6c\u79fb|"
        r"\u80ba\u8f6c\u79fb|\u9aa8\u8f6c\u79fb",
        _is("extrahepatic_spread", True, False),
    ),
    (rf"tumou?r (?:burden|load|share){_IS}(?:about )?{_NUM}\s*%", _number("tumour_burden_percent", {"": 1.0})),
)


_COMPILED = tuple((re.compile(rf"(?<![a-z])(?:{pattern})"), read) for pattern, read in _PATTERNS)


def facts_in(text: str) -> list[tuple[int, int, Stated]]:
    """Statements about the patient in a text of small letters without accents: start, end, and what it states."""
    found: list[tuple[int, int, Stated]] = []
    for start, end, stated in sorted(_found(text), key=lambda f: (f[0], -f[1])):
        if not found or start >= found[-1][1]:
            found.append((start, end, stated))
    return found


def _found(text: str) -> Iterator[tuple[int, int, Stated]]:
    for pattern, read in _COMPILED:
        for match in pattern.finditer(text):
            stated = read(match)
            if stated is not None and match.end() > match.start():
                yield match.start(), match.end(), stated
