"""The table of structures: every word and code that names one, and labels, colours and terminology that agree."""

from __future__ import annotations

import pytest

from MeWMLib.core.structures import (
    BY_LABEL,
    LIVER_STRUCTURE,
    STRUCTURES,
    TUMOUR_STRUCTURE,
    VESSEL_STRUCTURE,
    structure_of,
)
from MeWMLib.core.volume import LIVER, TUMOUR

#: SNOMED CT and SNOMED RT codes, as current and older exports have them.
CODES = {
    "liver": ("10200004", "T-62000"),
    "tumour": ("4147007", "M-03000", "108369006", "M-8FFFF", "52988006", "M-01100", "25370001"),
    "vessel": ("32764006", "T-48810", "7832008", "T-42500", "15825003", "T-42000", "8887007", "T-48600"),
}


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
    found = structure_of(name)
    assert found is not None and found.name == wanted


@pytest.mark.parametrize("name", ["kidney", "Segment 1", "spleen", ""])
def test_other_names_mean_nothing(name: str) -> None:
    assert structure_of(name) is None


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in CODES.items() for code in codes])
def test_a_code_counts_before_the_name(name: str, code: str) -> None:
    for written in ("kidney", "liver", "tumour", "aorta"):
        found = structure_of(written, code)
        assert found is not None and found.name == name
    assert structure_of("kidney", "64033007") is None


def test_every_code_is_tested_and_belongs_to_one_structure() -> None:
    assert {s.name: s.codes for s in STRUCTURES} == {name: frozenset(codes) for name, codes in CODES.items()}


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
