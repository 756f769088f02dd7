"""The table of structures: every word and code that names one, and labels, colours and terminology that agree."""

from __future__ import annotations

import pytest

from MeWMLib.core.structures import (
    BY_LABEL,
    LIVER_STRUCTURE,
    STRUCTURES,
    TUMOUR_STRUCTURE,
    VESSEL_STRUCTURE,
    meaning_of,
    meaning_of_entry,
)
from MeWMLib.core.volume import LIVER, TUMOUR

#: SNOMED CT and SNOMED RT codes, as current and older exports have them; the first of each pair is the current one.
CODES = {
    "liver": ("10200004", "T-62000", "71133005", "T-62023", "277961009", "T-D056D"),
    "tumour": (
        "4147007", "M-03000", "108369006", "M-8FFFF", "52988006", "M-01100", "25370001", "86049000", "M-80003",
        "372087000", "14799000", "M-80006", "128462008", "27925004", "M-03010", "1187332001", "126851005",
    ),
    "vessel": ("32764006", "T-48810", "7832008", "T-42500", "15825003", "T-42000", "8887007", "T-48600", "8993003"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Liver", "liver"),
        ("liver_right_lobe", "liver"),
        ("Hepatic parenchyma", "liver"),
        ("Leber", "liver"),
        ("foie", "liver"),
        ("Tumor", "tumour"),
        ("tumours", "tumour"),
        ("Liver tumour", "tumour"),
        ("liver-tumor 2", "tumour"),
        ("Lesions", "tumour"),
        ("HCC_1", "tumour"),
        ("Mass", "tumour"),
        ("metastases", "tumour"),
        ("Neoplasm, Primary", "tumour"),
        ("hepatocellular carcinoma", "tumour"),
        ("liver cancer", "tumour"),
        ("nodules", "tumour"),
        ("Hepatic vein", "vessel"),
        ("hepatic_veins", "vessel"),
        ("Portal vein", "vessel"),
        ("Inferior vena cava", "vessel"),
        ("aorta", "vessel"),
        ("liver vessels", "vessel"),
        ("hepatic arteries", "vessel"),
    ],
)
def test_a_name_means_one_structure(name: str, wanted: str) -> None:
    found = meaning_of(name).structure
    assert found is not None and found.name == wanted


@pytest.mark.parametrize("name", ["kidney", "Segment 1", "spleen", ""])
def test_other_names_mean_nothing(name: str) -> None:
    assert meaning_of(name).structure is None


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in CODES.items() for code in codes])
def test_a_code_counts_where_the_name_says_nothing(name: str, code: str) -> None:
    for written in ("Segment_1", "my drawing", "", {"tumour": "Lesions", "vessel": "veins"}.get(name, "liver")):
        found = meaning_of(written, code, scheme="SRT" if "-" in code else "SCT").structure
        assert found is not None and found.name == name


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("tumor", "10200004"),  # liver
        ("liver", "4147007"),  # mass
        ("kidney tumour", "4147007"),
        ("necrosis", "4147007"),
        ("liver", "64033007"),  # kidney
        ("tumor", "78961009"),  # spleen
        ("liver", "15825003"),  # aorta
        ("kidney", "10200004"),
        ("Segment_1", "6574001"),  # necrosis
        ("tumor", "367643001"),  # cyst
        # a word that is not known leaves the rest of the name what it says
        ("tumor JS", "10200004"),
        ("nontarget lesion", "10200004"),
        ("liver JS", "4147007"),
        ("liver foo", "32764006"),  # portal vein
        ("foo lesion", "64033007"),
        ("liver and vessels", "10200004"),
    ],
)
def test_code_and_name_that_contradict_each_other_are_asked(name: str, code: str) -> None:
    found = meaning_of(name, code, scheme="SCT")
    assert found.structure is None and found.label is None and found.why


@pytest.mark.parametrize(("name", "code", "label"), [("tumor JS", "4147007", 2), ("liver JS", "10200004", 1)])
def test_a_code_speaks_for_a_word_that_is_not_known(name: str, code: str, label: int) -> None:
    assert meaning_of(name).label is None and meaning_of(name, code, scheme="SCT").label == label


def test_other_organs_by_code_are_background() -> None:
    for code in ("64033007", "T-71000", "78961009", "39607008", "15776009"):
        assert meaning_of("Segment_7", code).structure is None and meaning_of("Segment_7", code).label == 0
    assert meaning_of("kidney", "64033007").structure is None


def test_a_code_of_another_scheme_or_of_nothing_in_particular_leaves_it_to_the_name() -> None:
    for code, scheme in (
        ("4147007", "99MINE"),
        ("10200004", "FMA"),
        ("85756007", "SCT"),
        ("T-D0050", "SRT"),
        ("7", ""),
    ):
        assert meaning_of("Liver tumors", code, scheme=scheme).label == 2
        assert meaning_of("liver", code, scheme=scheme).label == 1
        assert meaning_of("Segment_1", code, scheme=scheme).label is None


def test_a_mass_belongs_to_its_region() -> None:
    assert meaning_of("Mass", "4147007", region="10200004").label == 2
    assert meaning_of("Mass", "4147007", region="T-62000", region_scheme="SRT").label == 2
    assert meaning_of("Mass", "4147007", region="818981001").label == 2  # the abdomen
    for region in ("64033007", "39607008", "12738006", "999999"):
        for code in ("4147007", ""):
            assert meaning_of("Mass", code, region=region).label is None
        assert meaning_of("Mass", "4147007", region=region).structure is None
    assert meaning_of("Liver thing", "10200004", category="49755003").label is None  # something abnormal in the liver


def _entry(kind: str, region: str = "^^", category: str = "SCT^49755003^Morphologically Altered Structure") -> str:
    context = "Segmentation category and type - 3D Slicer General Anatomy list"
    return "~".join([context, category, kind, "^^", "Anatomic codes - DICOM master list", region, "^^"])


@pytest.mark.parametrize(
    ("name", "entry", "label"),
    [
        ("Segment_1", _entry("SCT^4147007^Mass", "SCT^10200004^Liver"), 2),
        ("Segment_1", _entry("SCT^4147007^Mass", "SCT^64033007^Kidney"), None),
        ("tumor", _entry("SCT^4147007^Mass", "SCT^64033007^Kidney"), None),
        ("Mass", _entry("SRT^M-03000^Mass"), 2),
        ("Segment_2", _entry("SCT^10200004^Liver", "^^", "SCT^123037004^Anatomical Structure"), 1),
        ("tumor", _entry("SCT^85756007^Tissue", "^^", "SCT^85756007^Tissue"), 2),
        ("liver", _entry("SCT^85756007^Tissue", "^^", "SCT^85756007^Tissue"), 1),
        ("Segment_1", _entry("SCT^85756007^Tissue", "^^", "SCT^85756007^Tissue"), None),
        ("liver", "", 1),
        ("liver", "~~^^", 1),
    ],
)
def test_a_terminology_entry_of_slicer(name: str, entry: str, label: int | None) -> None:
    assert meaning_of_entry(name, entry).label == label


def test_no_code_belongs_to_two_structures() -> None:
    for name, codes in CODES.items():
        assert set(codes) <= next(s.codes for s in STRUCTURES if s.name == name)
    assert sum(len(s.codes) for s in STRUCTURES) == len(frozenset().union(*(s.codes for s in STRUCTURES)))


def test_labels_are_those_of_a_label_map() -> None:
    assert BY_LABEL == {LIVER: LIVER_STRUCTURE, TUMOUR: TUMOUR_STRUCTURE} and list(BY_LABEL) == [1, 2]
    assert VESSEL_STRUCTURE.label is None and TUMOUR_STRUCTURE.title == "Tumour"


def test_what_slicer_is_told_of_each() -> None:
    for structure in STRUCTURES:
        context, category, kind, modifier, anatomy, region, last = structure.terminology.split("~")
        assert context.startswith("Segmentation category") and anatomy.startswith("Anatomic codes")
        assert all(part.count("^") == 2 for part in (category, kind, modifier, region, last))
        assert all(0 <= part <= 1 for part in structure.colour)
    assert "SCT^4147007^Mass" in TUMOUR_STRUCTURE.terminology and "SCT^10200004^Liver" in TUMOUR_STRUCTURE.terminology
    assert len({s.colour for s in STRUCTURES}) == len(STRUCTURES)
