"""What names of segments say: a table written by hand, and what no change of spelling or further word may do to it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core.segment_words import read_name
from MeWMLib.core.structures import meaning_of

TUMOURS = (
    "tumor", "Tumour", "TUMORS", "liver_tumor", "liver_tumors", "LiverTumor", "livertumor01", "Liver Lesion",
    "liver_lesions", "lesions", "lesion 3", "Lesion_2b", "HCC", "hccs", "HCC segment VIII", "hepatic tumor",
    "Hepatic Tumour", "hepatocellular carcinoma", "Hepatocellular-Carcinoma", "cancer", "liver cancer", "mass",
    "Masses", "liver metastases", "Liver mets", "nodule", "nodules", "Neoplasm, Primary", "neoplasms",
    "index lesion", "Target lesion 1", "largest tumor", "tumor left lobe", "viable tumor", "Lebermetastasen",
    "Tumoren", "tumeur", "lésions", "Läsion", "malignant liver lesion", "tumors of the liver",
    "intrahepatic cholangiocarcinoma", "tumor mask", "gt_tumor", "Tumor Nr. 1", "lesion no. 2", "lésion n°1",
    "Rundherd", "Leberherd", "Hepatozelluläres Karzinom", "carcinoma hepatocelular", "CHC", "masse hépatique",
    "tumore epatico", "tumor_pre", "tumor portal venous phase", "tumor.nii.gz", "tumormask", "satellite nodule",
    "HCC - segment 8", "S8 - HCC", "Segment IVb lesion", "肝肿瘤",
    "肝细胞癌", "肝转移瘤", "肝占位", "肝右叶病灶", "간암", "肝腫瘍",
)  # fmt: skip
LIVERS = (
    "liver", "Liver", "LIVERS", "liver_right_lobe", "liver_segment_1", "liver_segment_8", "Liver segment 4a",
    "whole liver", "Leber", "foie", "hepar", "hígado", "Hepatic parenchyma", "liver parenchyma",
    "healthy liver", "normal liver", "Liver without tumor", "liver_without_tumour", "tumor-free liver",
    "tumorless liver", "non-tumoral liver", "nontumorous liver", "Liver w/o lesions", "liver minus tumor",
    "liver excluding the tumors", "Foie sans tumeur", "Leber ohne Tumor", "liver no tumor", "total liver mask",
    "LIV", "gesamte Leber", "Tumorfreie Leber", "Leberparenchym", "Lebersegment 4", "foie entier", "liver_notumor",
    "parénquima hepático", "lobe gauche du foie", "liver.nii", "livermask", "liver_pre", "liver arterial phase",
    "全肝", "正常肝", "肝左叶", "肝实质（不含肿瘤）", "非肿瘤肝脏",
)  # fmt: skip
VESSELS = (
    "hepatic vein", "Portal veins", "liver_vessels", "aorta", "Inferior vena cava", "hepatic artery", "vessels",
    "Blood vessel", "postcava", "Pfortader", "Lebergefäße", "Lebervenen", "veine porte", "vena porta",
    "门静脉", "肝静脉",
)  # fmt: skip
#: Surely another organ: background, without a question.
OTHERS = (
    "spleen", "kidney", "kidneys", "Left Kidney", "kidney_right", "leftkidney", "pancreas",
    "adrenal_gland_left", "lungs", "lung_upper_lobe_left", "vertebrae_T12", "rib_left_4", "stomach",
    "gallbladder", "colon", "small_bowel", "urinary_bladder", "heart", "bone", "portal_vein_and_splenic_vein",
    "iliac_artery_left", "pulmonary_vein", "kidney_cyst_left", "kidney without tumor", "lymph nodes",
    "bile duct", "ascites", "background", "Milz", "prostate", "rkid", "LAG", "sto", "pericardial_effusion",
    "peritoneum", "intracerebral_hemorrhage", "airway", "Hintergrund", "背景", "左肾", "脾脏", "胆囊",
)  # fmt: skip
#: Never taken for anything: somebody has to say what they are.
ASKED = (
    "kidney_tumor_left", "renal mass", "pancreatic tumor", "Lung nodules", "spleen lesion", "adrenal mass",
    "colon cancer", "lymph node metastasis", "bone metastases", "gallbladder carcinoma", "stomach tumour",
    "brain metastases", "prostate cancer", "colorectal liver metastases", "peritumoral liver",
    "peritumoral rim", "tumor rim", "tumor margin", "tumor border", "ring around lesion", "liver tumor margin",
    "no tumor", "no liver tumor", "non-tumor", "nontumor", "NonTumor", "tumor without liver", "without tumour",
    "tumor-free", "excluding tumor", "tumor excluded", "not a lesion", "extrahepatic tumor", "necrosis",
    "tumor necrosis", "necrotic tumor", "ablation zone", "lipiodol", "Lipiodol in tumor", "liver cyst", "cysts",
    "hemangioma", "tumor thrombus", "portal vein tumor thrombus", "liver and tumor", "liver+tumor",
    "Liver with tumour", "whole liver including tumor", "liver - tumor", "metastatic liver", "tumor?",
    "possible tumor", "benign lesion", "hepatic", "Segment_1", "Segment 4", "ROI", "", "1", "thymus tumor",
    "foo lesion", "liver foo", "liver and spleen", "perihepatic", "liver rim", "healthy tumor",
    "normal liver tumor", "GTV", "ablated lesion", "residual of resected tumor", "hepatic lymph node",
    "tumor bed", "sliver", "delivery",
    # a vertebra, a lobe of the lung, a contrast phase, a lesion without the word for it, a set difference
    "T12 lesion", "L5 metastasis", "C5 mass", "upper lobe nodule", "right lower lobe mass", "liver venous",
    "liver_portal", "hepatic arterial", "liver target", "hypodense liver", "secondary liver", "viable liver",
    "liver and vessels", "liver, portal vein", "liver without tumor and vessels", "liver -tumor", "liver \\ tumor",
    "liver_-_tumor", "liver ∖ tumor", "liver ∪ tumor", "liver;tumor", "liver - right lobe", "tumor +5mm", "GTV_5mm",
    "肝血管瘤", "肝囊肿", "肾肿瘤", "肝肿瘤周围", "门静脉癌栓", "无肿瘤", "脂肪肝", "肝硬化结节", "肝和肿瘤",
)  # fmt: skip


@pytest.mark.parametrize("name", TUMOURS)
def test_tumours(name: str) -> None:
    assert meaning_of(name).label == 2 and read_name(name).kind == "tumour"


@pytest.mark.parametrize("name", LIVERS)
def test_livers(name: str) -> None:
    assert meaning_of(name).label == 1, read_name(name)


@pytest.mark.parametrize("name", VESSELS)
def test_vessels(name: str) -> None:
    found = meaning_of(name).structure
    assert found is not None and found.name == "vessel"


@pytest.mark.parametrize("name", OTHERS)
def test_other_organs_are_background(name: str) -> None:
    assert meaning_of(name).structure is None and meaning_of(name).label == 0, read_name(name)


@pytest.mark.parametrize("name", ASKED)
def test_what_is_not_sure_is_asked_with_a_reason(name: str) -> None:
    found = meaning_of(name)
    assert found.structure is None and found.label is None and found.why


def test_vessels_are_background() -> None:
    for name in ("liver_vessels", "Portal vein", "hepatic_veins", "aorta", "inferior_vena_cava"):
        assert meaning_of(name).label == 0


_ELSEWHERE = (
    "kidney", "renal", "pancreas", "lung", "adrenal", "spleen", "lymph node", "bone", "colon", "gallbladder",
    "stomach", "brain", "prostate", "bladder", "duodenum", "oesophagus", "ovary", "breast", "thymus", "zyzzyx",
)  # fmt: skip
_AGAINST = (
    "without", "non", "no", "minus", "not", "peri", "excluding", "except", "rim", "margin", "healthy", "normal",
    "free", "parenchyma", "sans", "ohne", "around", "outside",
)  # fmt: skip
_SPELLINGS = (str.upper, str.lower, str.title, str.capitalize, str.swapcase)


@given(
    st.sampled_from(TUMOURS),
    st.sampled_from(_ELSEWHERE + _AGAINST),
    st.booleans(),
    st.sampled_from(" _-"),
    st.sampled_from(_SPELLINGS),
)
@settings(max_examples=400, deadline=None)
def test_another_organ_or_a_negation_never_leaves_a_tumour(name, word, before, separator, spelling) -> None:
    words = [word.replace(" ", separator), name]
    both = separator.join(words if before else words[::-1])
    assert meaning_of(spelling(both)).label != 2, both


@given(st.sampled_from((*TUMOURS, *LIVERS)), st.sampled_from("_- ."), st.sampled_from(_SPELLINGS))
@settings(max_examples=300, deadline=None)
def test_separators_and_case_make_no_difference(name, separator, spelling) -> None:
    # camelCase is a separator too, and changing its case would take it away
    if any(a.islower() and b.isupper() for a, b in zip(name, name[1:], strict=False)) or "/" in name:
        return
    assert meaning_of(spelling(name.replace(" ", separator))).label == meaning_of(name).label


@pytest.mark.parametrize(
    "one", ["tumor", "tumour", "lesion", "metastasis", "nodule", "mass", "neoplasm", "cancer", "HCC"]
)
def test_the_plural_is_the_same(one: str) -> None:
    many = {"metastasis": "metastases", "mass": "masses"}.get(one, one + "s")
    for written in (many, f"liver_{many}", f"{many} 2"):
        assert meaning_of(written).label == 2


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text: str) -> None:
    assert read_name(text).kind in ("liver", "tumour", "vessel", "other", "doubtful", "unknown")
