"""Clinical data of a patient. The declarations below are the one table of fields: see `clinical_fields`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.allergens import allergen
from MeWMLib.core.clinical_fields import (
    NONE,
    UNSPECIFIED,
    FieldInfo,
    choice,
    flag,
    info_of,
    number,
    plain,
    texts,
    whole,
)
from MeWMLib.core.errors import ClinicalDataError, MeWMError, ProtocolError, UnknownAgentError
from MeWMLib.core.liver_function import (
    BILIRUBIN_UMOL,
    CHILD_PUGH_POINTS,
    albi_grade,
    albi_score,
    child_pugh_class,
    child_pugh_contradiction,
    child_pugh_points,
    least_child_pugh_points,
    most_child_pugh_points,
)
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.records import read_json

#: mg/dl to umol/l: molar mass of creatinine, 113.12 g/mol.
CREATININE_UMOL = 88.4
_CHILD_PUGH = re.compile(
    r"(?:childpugh|child|cp|cps)?(?:class|score|stage|klasse)?([abc])?(\d{1,2})?(?:points?|punkte)?"
)
_BCLC = re.compile(r"(?:bclc)?(?:stage|stadium)?([0abcd])[12]?")
_NO_ALLERGY = {"", "none", "no", "nil", "nka", "nkda", "keine"}
_MOST = 20


@dataclass(frozen=True)
class Clinical:
    """Clinical data; the unit is part of the field's name; None means not known.

    Texts are taken in capitals or not, and with the usual other names ("F", "Vp4", "B8"); docs/CLINICAL.md lists them.

    Raises:
        ClinicalDataError: a value that is not possible, or two values that contradict one another.
    """

    age_years: float | None = number("age", "years", 0, 120)
    sex: str | None = choice(
        "sex",
        "female",
        "male",
        female="f w woman weiblich frau femme feminin mujer femenino femmina femminile",
        male="m man mannlich maennlich mann homme masculin hombre masculino maschio maschile",
    )
    afp_ng_per_ml: float | None = number("AFP", "ng/ml", 0, 1e8, afp_ug_per_l=("\N{MICRO SIGN}g/l", 1.0))
    child_pugh_class: str | None = choice(
        "Child-Pugh class", "A", "B", "C", help="also with the points: B8, or Child-Pugh B (8)"
    )
    bclc_stage: str | None = choice("BCLC stage", "0", "A", "B", "C", "D")
    bilirubin_mg_per_dl: float | None = number(
        "bilirubin", "mg/dl", 0.05, 60, bilirubin_umol_per_l=("\N{MICRO SIGN}mol/l", 1 / BILIRUBIN_UMOL)
    )
    creatinine_mg_per_dl: float | None = number(
        "creatinine", "mg/dl", 0.1, 30, creatinine_umol_per_l=("\N{MICRO SIGN}mol/l", 1 / CREATININE_UMOL)
    )
    albumin_g_per_dl: float | None = number("albumin", "g/dl", 0.5, 8, albumin_g_per_l=("g/l", 0.1))
    main_portal_vein_thrombosis: bool | None = flag(
        "main portal vein thrombosis", "older form of portal_vein_thrombosis: true is main; false is not main"
    )
    extrahepatic_spread: bool | None = flag("extrahepatic disease", "metastases or lymph nodes outside the liver")
    body_surface_m2: float | None = number("body surface", "m2", 0.5, 3.5, "doses are scaled by it")
    child_pugh_score: float | None = whole("Child-Pugh points", 5, 15, "checked against the class")
    ecog: float | None = whole("ECOG performance status", 0, 4)
    allergies: tuple[str, ...] | None = texts(
        "allergies", "iodine (contrast medium), platinum, anthracycline, an agent, or another substance; [] is none"
    )
    heart_failure: str | None = choice(
        "heart failure (NYHA class)",
        *(NONE, "I", "II", "III", "IV", UNSPECIFIED),
        none="no",
        I="1 nyhai nyha1 classi",
        II="2 nyhaii nyha2 classii",
        III="3 nyhaiii nyha3 classiii",
        IV="4 nyhaiv nyha4 classiv",
        unspecified="yes present",
        help="unspecified: there is one, its class is not stated",
    )
    lvef_percent: float | None = number("left ventricular ejection fraction", "%", 5, 90)
    egfr_ml_per_min: float | None = number("eGFR", "ml/min/1.73 m2", 1, 200)
    renal_failure: bool | None = flag("renal failure", "stated in words, or dialysis; better give creatinine or eGFR")
    platelets_10e9_per_l: float | None = number(
        "platelets", "10^9/l", 1, 2000, platelets_per_ul=("/\N{MICRO SIGN}l", 0.001)
    )
    inr: float | None = number("INR", "", 0.5, 20)
    ascites: str | None = choice(
        "ascites",
        *(NONE, "mild", "moderate", "severe", "refractory", UNSPECIFIED),
        none="no absent",
        mild="slight small controlled",
        severe="massive tense large",
        unspecified="yes present",
    )
    encephalopathy: str | None = choice(
        "hepatic encephalopathy (grade)",
        *(NONE, "1", "2", "3", "4", UNSPECIFIED),
        none="no absent 0",
        unspecified="yes present",
        **{"1": "i grade1 gradei", "2": "ii grade2 gradeii", "3": "iii grade3 gradeiii", "4": "iv grade4 gradeiv"},
    )
    portal_vein_thrombosis: str | None = choice(
        "portal vein thrombosis",
        *(NONE, "segmental", "lobar", "main", UNSPECIFIED),
        none="no absent vp0",
        segmental="vp1 vp2 peripheral segment",
        lobar="vp3 branch left right firstorder",
        main="vp4 trunk mainstem maintrunk",
        unspecified="yes present",
        help="Vp1 and Vp2 are segmental, Vp3 lobar, Vp4 main",
    )
    arterioportal_shunt: bool | None = flag("arterioportal shunt")
    biliary_intervention: str | None = choice(
        "biliary stent or anastomosis",
        *(NONE, "stent", "anastomosis", "sphincterotomy"),
        none="no",
        stent="biliarystent drain drainage",
        anastomosis="bilioentericanastomosis biliaryanastomosis hepaticojejunostomy whipple",
        sphincterotomy="papillotomy",
    )
    dilated_bile_ducts: bool | None = flag("dilated bile ducts", "without external drainage")
    hyperthyroidism: bool | None = flag("hyperthyroidism")
    pregnancy: bool | None = flag("pregnancy")
    tumour_burden_percent: float | None = number(
        "tumour in the liver", "%", 0, 100, "share of the liver's volume; measured on the labels where not given"
    )
    previous_tace_sessions: float | None = whole("previous TACE sessions", 0, 50)
    previous_tace: tuple[str, ...] | None = texts(
        "what was given before", "one protocol for each session, such as Doxorubicin 50 mg + Lipiodol 10 ml"
    )

    def __post_init__(self) -> None:
        self._set_class_and_points()
        if isinstance(self.bclc_stage, str | int | float) and not isinstance(self.bclc_stage, bool):
            found = _BCLC.fullmatch(plain(str(self.bclc_stage).removesuffix(".0")))
            if found:
                object.__setattr__(self, "bclc_stage", found[1].upper())
        for name, info in field_table().items():
            value = getattr(self, name)
            if value is None:
                continue
            read = _LISTS[name](value, name) if info.kind == "list" else info.normal(value)
            object.__setattr__(self, name, read)
        self._require_agreement()

    def _set_class_and_points(self) -> None:
        """The class may hold the points too: "B8"."""
        value = self.child_pugh_class
        found = _CHILD_PUGH.fullmatch(plain(value)) if isinstance(value, str) else None
        if found is None or not (found[1] or found[2]):
            return
        points = int(found[2]) if found[2] else None
        if points is not None and self.child_pugh_score not in (None, points):
            raise ClinicalDataError(
                what="child_pugh_class and child_pugh_score name different points",
                given=f"{value} and {self.child_pugh_score}",
                remedy="Keep the right one",
            )
        if points is not None:
            object.__setattr__(self, "child_pugh_score", points)
        object.__setattr__(self, "child_pugh_class", (found[1] or child_pugh_class(points) or "").upper() or None)

    def _require_agreement(self) -> None:
        if self.child_pugh_class is not None and self.child_pugh_score is not None:
            low, high = CHILD_PUGH_POINTS[self.child_pugh_class]
            if not low <= self.child_pugh_score <= high:
                raise ClinicalDataError(
                    what="child_pugh_class: the points of Child-Pugh do not belong to its class",
                    given=f"class {self.child_pugh_class}, {self.child_pugh_score:g} points",
                    remedy="A is 5 to 6 points, B 7 to 9, C 10 to 15",
                )
        level, main = self.portal_vein_thrombosis, self.main_portal_vein_thrombosis
        if main is not None and level is not None and level != UNSPECIFIED and main != (level == "main"):
            raise ClinicalDataError(
                what="Two fields contradict one another about the portal vein",
                given=f"portal_vein_thrombosis {level}, main_portal_vein_thrombosis {str(main).lower()}",
                remedy="Keep portal_vein_thrombosis",
            )
        sessions, given = self.previous_tace_sessions, self.previous_tace or ()
        if sessions is not None and len(given) > sessions:
            raise ClinicalDataError(
                what="More previous protocols than previous sessions are given",
                given=f"{len(given)} protocols, {sessions:g} sessions",
                remedy="Correct previous_tace_sessions",
            )

    @property
    def albi_score(self) -> float | None:
        """See `liver_function.albi_score`; None unless bilirubin and albumin are known."""
        if self.bilirubin_mg_per_dl is None or self.albumin_g_per_dl is None:
            return None
        return albi_score(self.bilirubin_mg_per_dl, self.albumin_g_per_dl)

    @property
    def albi_grade(self) -> int | None:
        """See `liver_function.albi_grade`."""
        return None if self.albi_score is None else albi_grade(self.albi_score)

    @property
    def computed_child_pugh(self) -> int | None:
        """Points by laboratory values, ascites and encephalopathy; see `liver_function.child_pugh_points`."""
        return child_pugh_points(*self._of_child_pugh)

    @property
    def least_child_pugh(self) -> int:
        """The points that these make at least, where some are not known."""
        return least_child_pugh_points(*self._of_child_pugh)

    @property
    def most_child_pugh(self) -> int:
        """The points that these make at most, where some are not known."""
        return most_child_pugh_points(*self._of_child_pugh)

    @property
    def child_pugh_contradiction(self) -> str:
        """See `liver_function.child_pugh_contradiction`."""
        points = None if self.child_pugh_score is None else int(self.child_pugh_score)
        return child_pugh_contradiction(self.child_pugh_class, points, self.least_child_pugh, self.most_child_pugh)

    @property
    def _of_child_pugh(self) -> tuple[float | None, float | None, float | None, str | None, str | None]:
        return self.bilirubin_mg_per_dl, self.albumin_g_per_dl, self.inr, self.ascites, self.encephalopathy

    def known(self, name: str) -> Any:
        """A field, or what follows from the others where it was not given; None if it is not known.

        The points of Child-Pugh follow from what they are made of, the class from the points; whether the main portal
        vein is occluded, from its level; the number of previous sessions, from what was given in them.
        """
        value = getattr(self, name)
        if value is None and name == "child_pugh_score" and self.child_pugh_class is None:
            return self.computed_child_pugh
        if value is None and name == "child_pugh_class":
            return child_pugh_class(self.known("child_pugh_score"))
        if value is None and name == "main_portal_vein_thrombosis":
            level = self.portal_vein_thrombosis
            return None if level in (None, UNSPECIFIED) else level == "main"
        if value in (None, UNSPECIFIED) and name == "portal_vein_thrombosis" and self.main_portal_vein_thrombosis:
            return "main"
        if value is None and name == "previous_tace_sessions" and self.previous_tace is not None:
            return len(self.previous_tace)
        return value

    @classmethod
    def from_json(cls, data: Any) -> Clinical:
        """Read a JSON object; unknown fields are refused by name, null is not known.

        A number may be given in another unit, by the name of the key (`bilirubin_umol_per_l`) or as
        {"value": 35, "unit": "umol/l"}; `child_pugh` takes class, points or both.

        Raises:
            ClinicalDataError: not an object, an unknown field, or an impossible value.
        """
        if not isinstance(data, dict):
            raise ClinicalDataError(
                what="the clinical data must be one JSON object", given=repr(data)[:80], remedy=_TEMPLATE
            )
        keys, values, unknown = _keys(), dict[str, Any](), []
        for key, value in data.items():
            if key == PERMITTED:
                continue
            if key not in keys:
                unknown.append(str(key))
                continue
            name, factor = keys[key]
            if value is None:
                continue
            if name in values:
                raise ClinicalDataError(
                    what=f"{name} is given twice", given=f"{key}: {value!r}"[:80], remedy="Keep one of the keys"
                )
            values[name] = _in_unit(name, key, value, factor)
        if unknown:
            raise ClinicalDataError(
                what="Unknown field of the clinical data",
                given=", ".join(sorted(unknown))[:200],
                remedy="Known fields: " + ", ".join(field_table()) + f". {_TEMPLATE}",
            )
        return cls(**values)

    @classmethod
    def load(cls, path: Path) -> Clinical:
        """Read a JSON file.

        Raises:
            ClinicalDataError: the file is missing, is not JSON, or its content is refused.
        """
        return cls.from_json(read_json(path, "The clinical data", ClinicalDataError, _TEMPLATE))

    def to_json(self) -> dict[str, Any]:
        """Only the fields that are known."""
        known = {k: v for k, v in asdict(self).items() if v is not None}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in known.items()}


_TEMPLATE = (
    'Write it as in {"age_years": 61, "sex": "male", "extrahepatic_spread": false}: names and words in double quotes, '
    "numbers with a point and without their unit, no comment, no comma after the last one. "
    "`mewm clinical template` prints one to fill in"
)
#: Key of the template that says what each field may be.
PERMITTED = "_permitted"
#: Keys beside those of the table.
_ALIASES = {"child_pugh": "child_pugh_class"}


@cache
def field_table() -> dict[str, FieldInfo]:
    """The table of fields by name, in the order of `Clinical`."""
    return {declared.name: info_of(declared) for declared in fields(Clinical)}


def template() -> dict[str, Any]:
    """A JSON object to fill in: every field, not known. What each may be is under `PERMITTED`, which is not read."""
    table = field_table()
    permitted = {name: info.range_text + (f"; {info.help}" if info.help else "") for name, info in table.items()}
    return {**dict.fromkeys(table), PERMITTED: permitted}


@cache
def _keys() -> dict[str, tuple[str, float]]:
    """Every key that is read, to its field and the factor of its unit."""
    found = {name: (name, 1.0) for name in field_table()} | {key: (name, 1.0) for key, name in _ALIASES.items()}
    for name, info in field_table().items():
        found |= {key: (name, factor) for key, (_unit, factor) in info.others.items()}
    return found


def _in_unit(name: str, key: str, value: Any, factor: float) -> Any:
    """The value of a key in the unit of its field."""
    info = field_table()[name]
    if isinstance(value, Mapping) and info.kind == "number":
        return info.with_unit(value)
    if key == "child_pugh" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if factor == 1.0:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClinicalDataError(what=f"{key} is not a number", given=repr(value)[:80], remedy="Give a number")
    if not info.low <= value * factor <= info.high:
        limits = f"from {info.low / factor:.4g} to {info.high / factor:.4g} {info.others[key][0]}"
        raise ClinicalDataError(
            what=f"{key} is not possible", given=repr(value)[:80], remedy=f"Give a number {limits}; see {name}"
        )
    return value * factor


def _entries(value: Any, name: str) -> list[str]:
    """A list of texts, or one text that is parted by commas."""
    parts = re.split(r"[,;|]", value) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(p, str) for p in parts) or len(parts) > _MOST:
        raise ClinicalDataError(
            what=f"{name} must be a list of texts", given=repr(value)[:80], remedy='Write ["...", "..."]; [] means none'
        )
    return [part.strip() for part in parts]


def _allergies(value: Any, name: str) -> tuple[str, ...]:
    named = [part for part in _entries(value, name) if plain(part) not in _NO_ALLERGY]
    return tuple(dict.fromkeys(allergen(part) for part in named))


def _previous(value: Any, name: str) -> tuple[str, ...]:
    """Protocols of earlier sessions, in canonical text: a free text could name a person or a day."""
    # a comma parts the agents of a protocol, so that sessions in one text are parted otherwise
    parts = value.split("|") if isinstance(value, str) else value
    try:
        given = [part for part in _entries(parts, name) if plain(part) not in ("", NONE)]
        return tuple(Protocol.parse(part).text for part in given)
    except MeWMError as error:
        if not isinstance(error, UnknownAgentError | ProtocolError):
            raise
        raise ClinicalDataError(
            what=f"{name}: {error.what}", given=error.given, remedy=error.remedy or "Write A + B for each session"
        ) from error


_LISTS = {"allergies": _allergies, "previous_tace": _previous}
