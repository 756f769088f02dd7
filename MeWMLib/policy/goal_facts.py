"""What a treatment goal states about the patient: numbers, classes and findings that are fields of `Clinical`.

A number counts with its unit; a value that is not plausible, or an inequality, is no fact and is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from MeWMLib.core.clinical import Clinical, field_table
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.policy.goal_levels import LOBAR, MAIN, SEGMENTAL, grade_of, is_qualified
from MeWMLib.policy.goal_numbers import IS, Reader, later_values, number_patterns
from MeWMLib.policy.goal_stated import Clauses, Stated, worse

_GRADE = r"(?:iv|i{1,3}|[1-4])"
_CLASS = r"nyha\s*(?:class|klasse|classe|clase|stage|stadium)?\s*"
_RANGE = r"\s*(?:->|\u2192|-|/|to|bis|a|al|hasta|or|oder|ou|o|~|\u81f3|\u5230)\s*"
_DOUBT = "a range: the worse end is taken"


def _is(field: str, value: Any, denied: Any, **more: Any) -> Reader:
    return lambda _match: Stated(field, value, denied, **more)


def _first(match: re.Match[str], *names: str) -> str:
    """The first of these groups that is there, or ""."""
    groups = match.groupdict()
    return next((groups[name] for name in names if groups.get(name)), "")


def _heart_failure(match: re.Match[str]) -> Stated:
    normal = field_table()["heart_failure"].normal
    first, last = _first(match, "class", "class2", "only"), _first(match, "last", "last2", "last3")
    if not first:
        kind = _first(match, "kind").replace("congestive", "").strip()
        return Stated("heart_failure", UNSPECIFIED, NONE, graded=bool(kind))
    value = worse("heart_failure", normal(first), normal(last or first))
    return Stated("heart_failure", value, NONE, graded=True, doubt=_DOUBT if last else "")


def _graded(field: str, *groups: str) -> Reader:
    def read(match: re.Match[str]) -> Stated:
        given = _first(match, *groups)
        try:
            value = field_table()[field].normal(given) if given else UNSPECIFIED
        except ClinicalDataError:
            value = grade_of(field, given)
        return Stated(field, value, NONE, graded=bool(given))

    return read


def _ascites(match: re.Match[str]) -> Stated | None:
    number = match["number"]
    if not number:
        return _graded("ascites", "grade", "grade2", "grade3", "grade4")(match)
    grade = len(number) if number.startswith("i") else int(number)
    return Stated("ascites", ("mild", "moderate", "severe")[grade - 1], NONE, graded=True)


def _child_pugh(match: re.Match[str]) -> Stated | None:
    first = match["class"].upper() + (match["points"] or "")
    second = ((match["class2"] or "").upper() or match["class"].upper()) + (match["points2"] or "")
    found = second if match["class2"] or match["points2"] else first
    found = worse("child_pugh_class", first, found)
    try:
        known = Clinical(child_pugh_class=found).to_json()
    except ClinicalDataError:
        return None
    doubt = _DOUBT if match["class2"] or match["points2"] else ""
    return Stated("child_pugh_class", found, doubt=doubt) if known else None


def _bclc(match: re.Match[str]) -> Stated:
    last = match["last"]
    value = max(match["stage"].upper(), (last or match["stage"]).upper())
    return Stated("bclc_stage", value, doubt=_DOUBT if last else "")


def _ecog(match: re.Match[str]) -> Stated:
    value = max(int(match["value"]), int(match["last"] or match["value"]))
    return Stated("ecog", value, doubt=_DOUBT if match["last"] else "")


def _vp(match: re.Match[str]) -> Stated:
    normal = field_table()["portal_vein_thrombosis"].normal
    first, last = normal(f"vp{match['level']}"), normal(f"vp{match['last'] or match['level']}")
    if first == NONE and last == NONE:
        return Stated("portal_vein_thrombosis", NONE, UNSPECIFIED)
    value = worse("portal_vein_thrombosis", first, last)
    return Stated("portal_vein_thrombosis", value, NONE, graded=True, doubt=_DOUBT if match["last"] else "")


def _thrombosis(match: re.Match[str]) -> Stated:
    given = " ".join(text for name, text in match.groupdict().items() if text and name.startswith("level"))
    value = grade_of("portal_vein_thrombosis", given) if given else UNSPECIFIED
    return Stated("portal_vein_thrombosis", value, NONE, graded=bool(given))


def _no_flow(match: re.Match[str]) -> Stated:
    given = _first(match, "level", "level2", "level3", "level4")
    return Stated("portal_vein_thrombosis", grade_of("portal_vein_thrombosis", given) if given else UNSPECIFIED, NONE)


def _patent(match: re.Match[str]) -> Stated:
    """A patent portal vein denies a thrombosis, a patent trunk that of the trunk alone."""
    part = bool(_first(match, "level", "level2"))
    return Stated("portal_vein_thrombosis", NONE, UNSPECIFIED, graded=part, says_no=part)


_LEVEL = rf"(?:{MAIN}|{LOBAR}|{SEGMENTAL})"
_THROMBUS = r"(?:(?:tumou?r|bland)\s+)?(?:thromb[a-z]*|occlusion|invasion)"
_VEIN = r"(?:portal[- ]vein|portal venous|portal|pv|v\.? portae|vena portae|pfortader)"
_PORTAL = r"(?:de la veine )?porte|portale|(?:de la )?(?:vena )?porta[l]?|(?:della )?(?:vena )?porta(?:le)?"
_CLASS_AND_POINTS = re.compile(r"(?<![\w-])(?:a[56]|b[789]|c1[0-5])(?!\w)")
_ANYWHERE = re.compile(r"extra-?hepatic|distant|fern|.*a distan|\u8fdc\u5904|\u809d\u5916")
#: Pattern over small letters without accents, and what it states.
_PATTERNS: tuple[tuple[str, Reader], ...] = (
    (
        r"(?P<kind>(?:(?:congestive|chronic|severe|decompensated|systolic|diastolic|acute) ){0,3})(?:heart|cardiac) "
        rf"(?:failure|insufficiency|decompensation)(?:[\s(]*{_CLASS}(?P<class>{_GRADE})(?:{_RANGE}(?P<last>{_GRADE}))?\)?)?"
        rf"|\bchf\b(?:[\s(]*{_CLASS}(?P<class2>{_GRADE})(?:{_RANGE}(?P<last2>{_GRADE}))?\)?)?"
        rf"|{_CLASS}(?P<only>{_GRADE})\b(?:{_RANGE}(?P<last3>{_GRADE})\b)?(?: (?:heart|cardiac) failure)?",
        _heart_failure,
    ),
    (
        r"(?:herz(?:insuffizienz|versagen|schwache)|insuffisance cardiaque|insuficiencia cardiaca|"
        r"insufficienza cardiaca|scompenso cardiaco|fallo cardiaco)(?:[\s(]*"
        rf"{_CLASS}(?P<class>{_GRADE})(?:{_RANGE}(?P<last>{_GRADE}))?\)?)?|\u5fc3\u529b\u8870\u7aed|\u5fc3\u8870|"
        r"\u5fc3\u529f\u80fd\u4e0d\u5168",
        _heart_failure,
    ),
    (
        rf"\u5fc3\u529f\u80fd\s*(?:nyha)?\s*(?P<class>{_GRADE})(?:{_RANGE}(?P<last>{_GRADE}))?\s*\u7ea7",
        _heart_failure,
    ),
    (r"hfm?[rp]ef|hfmref", _is("heart_failure", UNSPECIFIED, NONE, graded=True)),
    (
        r"(?P<kind>(?:(?:chronic|acute|end[- ]stage|severe|overt) ){0,3})(?:renal|kidney) "
        r"(?:failure|insufficiency|impairment|disease)|"
        r"\b(?:ckd|esrd|aki)\b|niereninsuffizienz|nierenversagen|insuffisance renale|insuficiencia renal|"
        r"insufficienza renale|\u80be\u529f\u80fd\u4e0d\u5168|\u80be\u8870\u7aed|\u80be\u8870",
        lambda m: Stated("renal_failure", True, False, graded=bool(m["kind"]) or m[0] in ("aki", "esrd")),
    ),
    # who needs no dialysis may have a renal failure all the same
    (r"(?:on |h[ae]mo)?dialysis|dialysepflichtig|dialyse|\u900f\u6790", _is("renal_failure", True, None)),
    *number_patterns(),
    (
        r"(?:child(?:[- ]?(?:turcotte[- ]?)?pugh)?|\bctp\b|\bcps?(?=[ -]?[abc][ -]?\d))\s*(?:class|score|stage|stadium|"
        r"klasse)?\s*[:=-]?\s*(?P<class>[abc])\s*[-(]?\s*(?P<points>\d{1,2})?\)?"
        rf"(?:{_RANGE}(?:(?:child[- ]?(?:pugh)?\s*)?(?P<class2>[abc]))?\s?"
        r"(?P<points2>\d{1,2})?(?!\w)(?<=[\dabc]))?(?!\w)",
        _child_pugh,
    ),
    (
        r"\bbclc\s*[-:]?\s*(?:stage|stadium)?\s*[-:]?\s*(?P<stage>[0abcd])[12]?(?![\w])"
        rf"(?:{_RANGE}(?:bclc\s*-?)?(?P<last>[0abcd])[12]?(?!\w))?",
        _bclc,
    ),
    (
        rf"(?:\becog|\bps)\s*(?:performance status|ps|status)?{IS}(?P<value>[0-4])(?!\w)"
        rf"(?:{_RANGE}(?P<last>[0-4])(?!\w))?(?![.,]\d)",
        _ecog,
    ),
    (
        r"(?:(?P<grade>mild|slight|moderate|severe|massive|tense|refractory|large|small|trace|minimal|minor|gross|marked)\s+)?"
        r"(?:ascites|aszites|ascite|ascitis)(?:\s*\(?(?:grade|grad|grado|\u00b0)\s*(?P<number>[1-3]|i{1,3})\b\)?|"
        r":\s*(?P<grade4>trace|minimal|mild|slight|moderate|severe|massive|tense|"
        r"refractory|large|small)(?!\w))?"
        r"(?:\s+(?P<grade3>minime|legere|discrete|leve|lieve|moderee?|moderada|moderata|abondante|abundante|grave|"
        r"massiv[ao]|importante|tesa|a tension|refractaire|refractaria|refrattaria))?(?!\w)|"
        r"(?P<grade2>\u5c11\u91cf|\u5fae\u91cf|\u4e2d\u91cf|\u5927\u91cf|\u91cd\u5ea6|\u8f7b\u5ea6|\u4e2d\u5ea6|\u4e2d\u7b49\u91cf|"
        r"\u987d\u56fa\u6027|\u96be\u6cbb\u6027)?\u8179\u6c34",
        _ascites,
    ),
    (
        r"(?:hepatic |portosystemic )?(?:encephalopathy|enzephalopathie|encephalopathie|encefalopatia)"
        rf"(?:\s*\(?(?:grade|grad|grado|stage)?\s*(?P<grade>{_GRADE})\b\)?)?|\u809d\u6027\u8111\u75c5|"
        rf"\bhe\s*(?:grade|grad|stage|stadium|wh|\u00b0)\s*(?P<grade2>{_GRADE})\b|\bhe (?P<grade3>ii|iii|iv)\b|"
        r"\bhe(?=\s*[:(])|(?<=no )he(?=\s*(?:$|[,.;)]))|(?<=keine )he(?=\s*(?:$|[,.;)]))",
        _graded("encephalopathy", "grade", "grade2", "grade3"),
    ),
    # before the vein: what is said of its flow
    (
        r"(?:no|absent|absence of|lack of|without|kein|pas de|sin|senza) (?:portal )?(?:flow|fluss|flux|flujo|flusso) "
        rf"(?:in|within|im|in der|dans|en|nel|nella) (?:the |le |la |el )?(?:(?P<level>{_LEVEL}) )?{_VEIN}(?! vein)"
        rf"(?: (?P<level4>{_LEVEL}))?|"
        rf"(?:(?P<level2>{_LEVEL}) )?{_VEIN}(?: (?P<level3>{_LEVEL}))?(?: trunk| branch| vein)? (?:is |was |"
        rf"are )?(?:not patent|"
        r"non-?patent|(?:completely |partially )?(?:occluded|thrombosed|blocked))|"
        rf"cavern(?:ous|omatous) transformation|pfortader (?:ist )?(?:verschlossen|thrombosiert|nicht offen)|"
        r"(?:veine )?porte (?:non permeable|thrombosee|occluse)|porta (?:trombosada|no permeable|trombizzata|"
        r"non pervia)",
        _no_flow,
    ),
    (
        rf"(?:(?P<level>{_LEVEL}) )?(?:portal vein|pv|pfortader)(?: is| are| ist)? (?:patent|open|offen|durchgangig)|"
        rf"patent (?:(?P<level2>{_LEVEL}) )?(?:portal vein|pv)|veine porte permeable|vena porta (?:permeable|pervia)|"
        r"\u95e8\u9759?\u8109\u901a\u7545",
        _patent,
    ),
    (
        rf"(?:(?P<level>{_LEVEL})\s+)?(?:branch\s+)?{_VEIN}"
        rf"(?:\s+(?P<level2>{_LEVEL}))?(?:\s+branch)?\s+{_THROMBUS}|"
        rf"{_THROMBUS} (?:in|of|within) (?:the )?(?:(?P<level3>{_LEVEL}) )?(?:branch of (?:the )?)?{_VEIN}"
        r"(?! vein)(?: trunk)?"
        rf"(?: (?P<level4>{_LEVEL}))?|"
        rf"(?:(?P<level5>{_LEVEL})\s+)?\bpvtt?\b(?:\s+(?:(?:of|in|on|am|im|a)\s+)?(?:the )?(?P<level6>{_LEVEL})\b)?|"
        r"(?P<level7>haupt(?:stamm)?|stamm|ast|segmentast|segment)?-?(?:pfortader)?(?:haupt)?stammthrombose|"
        r"pfortader(?:haupt)?(?P<level8>stamm|ast)?-?(?:tumor)?(?:thrombose|thrombus|verschluss|invasion|infiltration)|"
        rf"thrombose (?:{_PORTAL})(?: (?P<level9>tronculaire|segmentaire|lobaire|droite|gauche|du tronc))?|"
        rf"trombosi[s]? (?:{_PORTAL})(?: (?P<level10>principale?|segmentari[ao]|lobar|derecha|izquierda|destra|"
        rf"sinistra|"
        r"del tronco))?|\u95e8\u9759?\u8109(?P<level11>\u4e3b\u5e72|\u5de6\u652f|\u53f3\u652f|\u5206\u652f)?"
        r"(?:\u764c\u6813|\u8840\u6813)|(?P<level12>\u5de6\u652f|\u53f3\u652f|\u4e3b\u5e72|\u5206\u652f)(?:\u764c\u6813|\u8840\u6813)",
        _thrombosis,
    ),
    (
        r"\u95e8\u9759?\u8109(?:\u4e3b\u5e72|\u5de6\u652f|\u53f3\u652f|\u5206\u652f)(?:\u672a\u89c1|\u65e0)(?:\u660e\u663e)?(?:\u764c\u6813|\u8840\u6813)",
        _is("portal_vein_thrombosis", UNSPECIFIED, NONE, graded=True, says_no=True),
    ),
    (
        r"\u95e8\u9759?\u8109(?:\u672a\u89c1|\u65e0)(?:\u764c\u6813|\u8840\u6813)",
        _is("portal_vein_thrombosis", NONE, UNSPECIFIED),
    ),
    (rf"\bvp\s*-?(?P<level>[0-4])\b(?:{_RANGE}(?:vp)?(?P<last>[1-4])\b)?", _vp),
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
        r"schilddrusenuberfunktion|hyperthyreot\w*|\u7532\u4ea2|\u7532\u72b6\u817a\u529f\u80fd\u4ea2\u8fdb",
        _is("hyperthyroidism", True, False),
    ),
    (
        r"(?:m(?:orbus|b)?\.? )?basedow(?:'s)?(?: disease)?|graves'?(?: disease)?|maladie de basedow|toxic "
        r"(?:multinodular |nodular )?(?:goit(?:er|re)|adenoma)|plummer(?:'s)?(?: disease)?|autonomes adenom|"
        r"schilddrusenautonomie|gozzo tossico|bocio toxico|goitre toxique",
        _is("hyperthyroidism", True, False, doubt="its cause is named, not whether the thyroid is overactive now"),
    ),
    (
        r"(?:extra-?hepatic|lung|bone|pulmonary|osseous|distant|lymph[- ]node|nodal|brain|adrenal|peritoneal|pleural|"
        r"cerebral)\s+(?:spread|metasta[a-z]+|mets?)|(?:extra-?hepatic|distant|nodal|peritoneal)\s+disease|"
        r"fernmetastasen|lungenmetastasen|knochenmetastasen|"
        r"metastases (?:pulmonaires|osseuses|a distance)|metastasis (?:pulmonares|oseas|a distancia)|"
        r"metastasi (?:polmonari|ossee|a distanza)|\u8fdc\u5904\u8f6c\u79fb|\u809d\u5916\u8f6c\u79fb|"
        r"\u80ba\u8f6c\u79fb|\u9aa8\u8f6c\u79fb",
        lambda m: Stated("extrahepatic_spread", True, False, site=_ANYWHERE.match(m[0]) is None),
    ),
)


_COMPILED = tuple((re.compile(rf"(?<![a-z])(?:{pattern})"), read) for pattern, read in _PATTERNS)


def facts_in(text: str) -> list[tuple[int, int, Stated]]:
    """Statements about the patient in a text of small letters without accents: start, end, and what it states."""
    found: list[tuple[int, int, Stated]] = []
    for start, end, stated in sorted(_found(text), key=lambda f: (f[0], -f[1])):
        if not found or start >= found[-1][1]:
            found.append((start, end, stated))
    stops = [start for start, _, _ in found[1:]] + [len(text)]
    for number, stop in enumerate(stops[: len(found)]):
        start, end, stated = found[number]
        found.extend(later_values(text, stated, start, end, stop))
    found.extend(_other_classes(text, found))
    clauses, timed = Clauses(text), list[tuple[int, int, Stated]]()
    for start, end, stated in sorted(found, key=lambda f: f[0]):
        graded = stated.graded or (stated.denied is not None and is_qualified(text, start))
        timed.append((start, end, replace(stated, graded=graded, when=clauses.when(start))))
    return timed


def _other_classes(text: str, found: list[tuple[int, int, Stated]]) -> list[tuple[int, int, Stated]]:
    """A second class of Child-Pugh without its name: "Child-Pugh A elsewhere, but I count B9"."""
    places = [(start, end) for start, end, stated in found if stated.field == "child_pugh_class"]
    if not places:
        return []
    taken = {n for start, end, _ in found for n in range(start, end)}
    return [
        (match.start(), match.end(), Stated("child_pugh_class", match[0].upper()))
        for match in _CLASS_AND_POINTS.finditer(text, places[0][1])
        if match.start() not in taken
    ]


def _found(text: str) -> Iterator[tuple[int, int, Stated]]:
    for pattern, read in _COMPILED:
        for match in pattern.finditer(text):
            stated = read(match)
            if stated is not None and match.end() > match.start():
                yield match.start(), match.end(), stated
