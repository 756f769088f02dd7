"""What can be segmented, in one table: label, colour, terminology; what a segment means; and the CT window.

Readers and writers of segmentations (.seg.nrrd, DICOM SEG, nnU-Net, Slicer nodes) ask `meaning_of` and keep no words
and no codes of their own. The words are in `segment_words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from MeWMLib.core.segment_words import GREAT_VESSEL, Kind, NameReading, read_name
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR

#: HU window of all networks (lower, upper); what is beyond it is clipped.
CT_WINDOW_HU = (-175.0, 600.0)
#: Window and level in HU in which people look at a CT of the liver.
VIEW_WINDOW_HU, VIEW_LEVEL_HU = 450.0, 125.0

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Structure:
    """One kind of segment.

    Attributes:
        name: canonical, as in files and options; also the id of a segment in Slicer.
        label: its value in a label map, or None for what is known but not kept (vessels).
        colour: RGB, 0 to 1.
        category, kind, region: coded terminology as SCHEME^CODE^MEANING; region is "^^" where there is none.
        codes: codes of a segment's type that mean it: SNOMED CT, and SNOMED RT as older files have it.
    """

    name: str
    label: int | None
    colour: Colour
    category: str
    kind: str
    region: str
    codes: frozenset[str]

    @property
    def title(self) -> str:
        """Name as people read it."""
        return self.name.capitalize()

    @property
    def terminology(self) -> str:
        """Terminology entry of a Slicer segment."""
        # context ~ category ~ type ~ type modifier ~ anatomic context ~ region ~ region modifier
        parts = (
            "Segmentation category and type - 3D Slicer General Anatomy list",
            self.category, self.kind, "^^", "Anatomic codes - DICOM master list", self.region, "^^",
        )  # fmt: skip
        return "~".join(parts)


TUMOUR_STRUCTURE = Structure(
    "tumour",
    TUMOUR,
    (0.25, 0.82, 1.0),
    "SCT^49755003^Morphologically Altered Structure",
    "SCT^4147007^Mass",
    "SCT^10200004^Liver",
    # mass, neoplasm, primary, malignant primary, secondary, metastasis, lesion, nodule; hepatocellular carcinoma,
    # carcinoma, adenocarcinoma; neoplasm of the liver (DICOM PS3.16 CID 7159 and its neighbours)
    frozenset(
        "4147007 M-03000 108369006 M-8FFFF 372087000 86049000 M-80003 14799000 M-80006 128462008 DF-00436 "
        "52988006 M-01100 27925004 M-03010 25370001 1187425009 68453008 M-80103 1187332001 126851005".split()
    ),
)
VESSEL_STRUCTURE = Structure(
    "vessel",
    None,
    (0.0, 0.592, 0.808),
    "SCT^123037004^Anatomical Structure",
    "SCT^59820001^Blood vessel",
    "^^",
    # portal vein, inferior vena cava, aorta, hepatic vein, blood vessel, artery, vein, hepatic artery
    frozenset(
        "32764006 T-48810 64131007 T-48710 7832008 T-42500 15825003 T-42000 8887007 T-48600 8993003 T-48720 "
        "59820001 T-40000 51114001 T-41000 29092000 T-48000 76015000 T-46420".split()
    ),
)
LIVER_STRUCTURE = Structure(
    "liver",
    LIVER,
    (0.867, 0.510, 0.396),
    "SCT^123037004^Anatomical Structure",
    "SCT^10200004^Liver",
    "^^",
    # liver, and Couinaud's segments I to VIII
    frozenset(
        "10200004 T-62000 71133005 T-62023 277956007 T-D054F 277957003 T-D0567 277958008 T-D056A 277959000 T-D056B "
        "277960005 T-D056C 277961009 T-D056D 277962002 T-D056E".split()
    ),
)
STRUCTURES = (TUMOUR_STRUCTURE, VESSEL_STRUCTURE, LIVER_STRUCTURE)
#: Those that a label map holds, by their values.
BY_LABEL = {s.label: s for s in sorted(STRUCTURES, key=lambda s: s.label or 0) if s.label is not None}

#: Other organs and the like, SNOMED CT and RT: surely no part of the liver. 125040 is DICOM's background.
_OTHER_CODES = frozenset(
    "64033007 T-71000 78961009 T-C3000 15776009 T-65000 39607008 T-28000 23451007 T-B3000 28231008 T-63000 "
    "69695003 T-57000 71854001 T-59300 38848004 T-58200 30315005 T-58000 14742008 T-59000 89837001 T-74000 "
    "41216001 T-92000 12738006 T-A0100 80891009 T-32000 272673000 T-D016E 3138006 113197003 T-11300 51282000 T-11510 "
    "32849002 T-56000 76752008 T-04000 69748006 T-B6000 35039007 T-83000 15497006 T-87000 34402009 T-59600 "
    "59441001 T-C4000 61492009 T-C4440 71616004 T-13001 91727004 39937001 T-01000 35819009 T-48890 79741001 T-64500 "
    "28273000 T-60610 34707002 T-60600 2748008 T-A7010 3120008 T-29000 5798000 T-D3400 40689003 T-94000 87953007 "
    "T-73000 44567001 T-25000 45048000 T-D1600 55603005 42258001 T-46510 90771006 T-48840 125040".split()
)
#: Findings in a liver that are neither: asked. Necrosis, cyst, abscess, oedema, haemorrhage, embolus, clot, thrombus,
#: inflammation.
_DOUBTFUL_CODES = frozenset(
    "6574001 M-54000 367643001 M-3340A 44132006 M-41610 79654002 M-36300 50960005 M-37000 55584005 M-35300 "
    "75753009 M-35000 396339007 M-35001 409774005 M-0100C".split()
)
#: Aorta and inferior vena cava: beside the liver.
_GREAT_VESSELS = frozenset("15825003 T-42000 7832008 T-42500 64131007 T-48710".split())
#: Regions that contain the liver and say nothing more: the abdomen.
_WIDE_REGIONS = frozenset({"818981001", "818983003", "113345001", "T-D4000"})
#: Morphologically abnormal structure: with the type liver it is something in the liver.
_ABNORMAL = frozenset({"49755003", "M-01000"})
#: Schemes whose codes are those above; an empty one is taken on trust. Other schemes may use a number for anything.
_SCHEMES = frozenset({"", "SCT", "SNOMED-CT", "SNM3", "SRT", "99SDM", "DCM"})


@dataclass(frozen=True)
class Meaning:
    """What a segment is.

    Attributes:
        structure: liver, tumour or vessel; None for everything else.
        label: its value in a label map; None where somebody has to say it.
        why: a few words: what speaks against a label, or what the thing is that is left out.
    """

    structure: Structure | None
    label: int | None
    why: str = ""


_BY_KIND: Mapping[str, Structure] = {s.name: s for s in STRUCTURES}


def meaning_of(
    name: str, code: str = "", *, scheme: str = "", category: str = "", region: str = "", region_scheme: str = ""
) -> Meaning:
    """What a segment means: by its coded type first, else by its name.

    Nothing is guessed: where code, region and name contradict each other, or the name holds a word that may turn its
    sense, there is no structure and no label, and `why` says what was in the way.

    Args:
        name: as people wrote it.
        code, scheme: coded type, such as 4147007 of SCT (mass).
        category: code of the category of that type.
        region, region_scheme: coded place of it.
    """
    said = read_name(name)
    coded = _kind_of_code(code if scheme.upper() in _SCHEMES else "")
    place = region if region_scheme.upper() in _SCHEMES else ""
    if coded == "liver" and category in _ABNORMAL:
        coded, place = "doubtful", ""
    if place and place not in LIVER_STRUCTURE.codes | _WIDE_REGIONS:
        elsewhere = Meaning(None, None, "its coded place is not the liver")
        if coded == "tumour" or (not coded and said.kind in ("tumour", "liver")) or said.kind == "tumour":
            return elsewhere
    if not coded:
        return _meaning(said)
    agreed = _agreed(coded, said)
    if agreed is not None and code in _GREAT_VESSELS:
        agreed = replace(agreed, why=GREAT_VESSEL)
    return _meaning(agreed if agreed is not None else NameReading("doubtful", _contradiction(coded, said)))


def meaning_of_entry(name: str, entry: str) -> Meaning:
    """As `meaning_of`, from the terminology entry of a Slicer segment: category, type and region, joined by "~"."""
    parts = [part.split("^") + [""] * 2 for part in entry.split("~")] + [["", "", ""]] * 7
    (_, category, *_), (scheme, code, *_), (region_scheme, region, *_) = parts[1], parts[2], parts[5]
    return meaning_of(
        name,
        code.strip(),
        scheme=scheme.strip(),
        category=category.strip(),
        region=region.strip(),
        region_scheme=region_scheme.strip(),
    )


def _kind_of_code(code: str) -> Kind | Literal[""]:
    """What a code says; "" where it says nothing, as "tissue" does."""
    for structure in STRUCTURES:
        if code in structure.codes:
            return structure.name  # type: ignore[return-value]
    if code in _OTHER_CODES:
        return "other"
    return "doubtful" if code in _DOUBTFUL_CODES else ""


def _agreed(coded: Kind, said: NameReading) -> NameReading | None:
    """What code and name say together; None where they contradict each other."""
    if coded == "doubtful":
        return None
    if said.kind == coded or (said.kind == "unknown" and said.hint in ("", coded)):
        # a code of another organ says nothing of a tumour in it
        return replace(said, kind=coded, why="another organ" if coded == "other" else "")
    # a vessel is also another organ's
    return NameReading("other", "a vessel") if {coded, said.kind} == {"vessel", "other"} else None


def _contradiction(coded: Kind, said: NameReading) -> str:
    if coded == "doubtful":
        return "its code is of something in the liver that is neither liver nor tumour"
    meant = {"other": "another organ"}.get(coded, f"{coded}")
    return f"its code says {meant}, its name {said.why if said.kind == 'doubtful' else said.hint or said.kind}"


def _meaning(reading: NameReading) -> Meaning:
    structure = _BY_KIND.get(reading.kind)
    if reading.kind in ("other", "vessel"):  # a vessel that was drawn by itself is left out, as the cohorts' are
        return Meaning(structure, BACKGROUND, reading.why)
    return Meaning(structure, structure.label if structure is not None else None, reading.why)
