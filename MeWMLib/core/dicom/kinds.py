"""What a DICOM file is, by its SOP class and modality: a CT slice, a segmentation, another image, or a document.

This is asked before anything else in a file is believed: results and reports that lie beside a CT never harm it.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["ct", "segmentation", "image", "document"]

CLASSIC_CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CONVERTED_CT = "1.2.840.10008.5.1.4.1.1.2.2"
CT_STORAGE = (CLASSIC_CT, ENHANCED_CT, LEGACY_CONVERTED_CT)
#: Segmentations by voxels; a surface segmentation is a document here.
SEGMENTATION, LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
#: Modalities of results and documents; they decide only where a file does not name its SOP class.
DOCUMENTS = ("SR", "RTSTRUCT", "PR", "KO", "RTDOSE", "RTPLAN", "RTRECORD", "REG", "FID", "DOC", "PLAN", "AU")


def kind_of(sop_class: str, modality: str) -> Kind | None:
    """What a file is; None if it says neither its SOP class nor its modality."""
    if sop_class in CT_STORAGE:
        return "ct" if modality in ("CT", "") else "image"
    if sop_class in (SEGMENTATION, LABEL_MAP):
        return "segmentation"
    if sop_class:
        from pydicom.uid import UID

        return "image" if "Image Storage" in UID(sop_class).name else "document"
    if not modality:
        return None
    if modality in DOCUMENTS:
        return "document"
    return {"CT": "ct", "SEG": "segmentation"}.get(modality, "image")  # type: ignore[return-value]
