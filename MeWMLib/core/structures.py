"""What can be segmented, in one table: label, colour, terminology, and the words that name it; and the CT window.

Another organ is one more row here; readers and writers of segmentations (.seg.nrrd, DICOM SEG, nnU-Net, Slicer nodes)
ask this table and keep no words of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from MeWMLib.core.volume import LIVER, TUMOUR

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
        codes: codes of DICOM SEG that mean it: SNOMED CT, and SNOMED RT as older files have it.
        words: a regular expression that finds it in a name in lower case.
    """

    name: str
    label: int | None
    colour: Colour
    category: str
    kind: str
    region: str
    codes: frozenset[str]
    words: str

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
    frozenset({"4147007", "M-03000", "108369006", "M-8FFFF", "52988006", "M-01100", "25370001"}),
    r"tumou?r|lesion|\bhcc|\bmass|metasta|neoplas|carcinoma|cancer|nodule",
)
VESSEL_STRUCTURE = Structure(
    "vessel",
    None,
    (0.0, 0.592, 0.808),
    "SCT^123037004^Anatomical Structure",
    "SCT^59820001^Blood vessel",
    "^^",
    frozenset({"32764006", "T-48810", "7832008", "T-42500", "15825003", "T-42000", "8887007", "T-48600"}),
    r"\b(?:portal vein|hepatic veins?|vena cava|aorta|vessels?|arter\w+|veins?)\b",
)
LIVER_STRUCTURE = Structure(
    "liver",
    LIVER,
    (0.867, 0.510, 0.396),
    "SCT^123037004^Anatomical Structure",
    "SCT^10200004^Liver",
    "^^",
    frozenset({"10200004", "T-62000"}),
    r"liver|hepatic parenchyma|\b(?:hepar|foie|leber)\b",
)
#: In the order in which a name is searched: "liver tumour" is a tumour, "hepatic vein" a vessel.
STRUCTURES = (TUMOUR_STRUCTURE, VESSEL_STRUCTURE, LIVER_STRUCTURE)
#: Those that a label map holds, by their values.
BY_LABEL = {s.label: s for s in sorted(STRUCTURES, key=lambda s: s.label or 0) if s.label is not None}


def structure_of(name: str, code: str = "") -> Structure | None:
    """The structure that a coded type means, else the one that a name means; None if neither says."""
    for structure in STRUCTURES:
        if code in structure.codes:
            return structure
    text = re.sub(r"[_\-]+", " ", name.lower())
    return next((s for s in STRUCTURES if re.search(s.words, text)), None)
