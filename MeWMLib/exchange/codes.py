"""Codes of what an export speaks of: SNOMED CT, NCI Thesaurus, DICOM, UCUM, and our own where no terminology has one.

Every code was looked up in the dictionary of pydicom; ours are of the scheme 99MEWM and carry their meaning.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A coded concept."""

    value: str
    scheme: str
    meaning: str


ORGAN = Code("123037004", "SCT", "Anatomical Structure")
MORPHOLOGY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
SUBSTANCE = Code("105590001", "SCT", "Substance")
LIVER = Code("10200004", "SCT", "Liver")
TUMOUR = Code("4147007", "SCT", "Mass")
NECROSIS = Code("6574001", "SCT", "Necrosis")
#: Viable by mRECIST is what enhances; no terminology that DICOM uses has "viable tumour".
VIABLE = Code("C113842", "NCIt", "Enhancing Lesion")
LIPIODOL = Code("89595000", "SCT", "Iodized oil")
AI = Code("123110", "DCM", "Artificial Intelligence")
SIMULATED = Code("simulated", "99MEWM", "Simulated after treatment by a generative model")

VOLUME = Code("118565006", "SCT", "Volume")
LONGEST = Code("103339001", "SCT", "Long axis")
VIABLE_VOLUME = Code("viable-volume", "99MEWM", "Volume of viable tumour")
VIABLE_LONGEST = Code("viable-long-axis", "99MEWM", "Longest axial diameter of viable tumour")
NECROTIC_VOLUME = Code("necrotic-volume", "99MEWM", "Volume of necrosis")
LIPIODOL_VOLUME = Code("lipiodol-volume", "99MEWM", "Volume of Lipiodol deposits")
LOG_RISK = Code("log-risk", "99MEWM", "Predicted log-risk against the average synthetic patient")
LOG_RISK_LOW = Code("log-risk-low", "99MEWM", "Lowest log-risk over the replicas")
LOG_RISK_HIGH = Code("log-risk-high", "99MEWM", "Highest log-risk over the replicas")
LOG_RISK_95_LOW = Code("log-risk-95-low", "99MEWM", "Low end of the 95 % interval of the true log-risk")
LOG_RISK_95_HIGH = Code("log-risk-95-high", "99MEWM", "High end of the 95 % interval of the true log-risk")
HAZARD_95_LOW = Code("hazard-95-low", "99MEWM", "Low end of the 95 % interval of the true hazard ratio")
HAZARD_95_HIGH = Code("hazard-95-high", "99MEWM", "High end of the 95 % interval of the true hazard ratio")
HAZARD_RATIO = Code("hazard-ratio", "99MEWM", "Predicted hazard ratio against the average synthetic patient")
PROTOCOL = Code("protocol", "99MEWM", "Protocol that was simulated")
AGENT = Code("agent", "99MEWM", "Agent of the protocol")
RECIST_ONE = Code("126081", "DCM", "RECIST 1.1")
MRECIST = Code("mrecist", "99MEWM", "mRECIST for hepatocellular carcinoma")
NOT_JUDGED = Code("not-judged", "99MEWM", "Cannot be judged")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
MILLILITRE = Code("ml", "UCUM", "milliliter")
ONE = Code("1", "UCUM", "no units")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
#: Categories of the response by diameters.
RESPONSES = {
    "CR": Code("112041", "DCM", "Target Lesion Complete Response"),
    "PR": Code("112042", "DCM", "Target Lesion Partial Response"),
    "PD": Code("112043", "DCM", "Target Lesion Progressive Disease"),
    "SD": Code("112044", "DCM", "Target Lesion Stable Disease"),
}
#: Agents of the vocabulary that SNOMED CT has in DICOM's lists; others are free text alone.
AGENTS = {"Lipiodol": LIPIODOL}
