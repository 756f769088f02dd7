"""A summary of the plan as a PDF inside a DICOM object, for viewers that show documents and no structured report."""
# mypy: allow-untyped-calls

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.core.caution import cautions_of
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.difference_words import apart_of
from MeWMLib.core.errors import optional_packages
from MeWMLib.core.outcome_words import interval_text
from MeWMLib.core.plan_document import PlanDocument
from MeWMLib.exchange.attributes import coded, short_text
from MeWMLib.exchange.fingerprint import MANUFACTURER, sign
from MeWMLib.exchange.study import MADE_UP, Study

_PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
_LINES, _COLUMNS = 58, 92
#: Candidates that are listed.
_LISTED = 20


def write_pdf(path: Path, study: Study, document: PlanDocument, number: int, private: bool) -> None:
    """Write the summary.

    Args:
        path: the file.
        study: what it belongs to.
        document: the plan.
        number: SeriesNumber.
        private: leave out what a person typed: the case and the goal.

    Raises:
        DependencyError: matplotlib is not installed.
    """
    pdf = pdf_of(summary(document, private))
    pydicom, hd = package("pydicom"), package("highdicom")
    data = pydicom.Dataset()
    data.update(study.header)
    if "FrameOfReferenceUID" in data:
        del data.FrameOfReferenceUID
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = _PDF_CLASS, hd.UID(), "DOC"
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = hd.UID(), number, 1
    data.SeriesDescription = short_text("SIMULATED MeWM plan, summary")
    data.Manufacturer, data.ManufacturerModelName, data.SoftwareVersions = MANUFACTURER, "MeWM", MeWMLib.__version__
    data.ConversionType = "SYN" if study.kind == MADE_UP else "WSD"
    data.SeriesDate = data.ContentDate = data.InstanceCreationDate = study.stamp[0]
    data.SeriesTime = data.ContentTime = data.InstanceCreationTime = study.stamp[1]
    data.AcquisitionDateTime, data.BurnedInAnnotation = "", "NO"
    data.DocumentTitle = "MeWM plan, research use only"
    data.ConceptNameCodeSequence = [coded("126000", "DCM", "Imaging Measurement Report")]
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    data.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    data.EncapsulatedDocumentLength = len(pdf)
    meta = data.file_meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _PDF_CLASS, data.SOPInstanceUID
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    sign(data)
    data.save_as(path, enforce_file_format=True)


def summary(document: PlanDocument, private: bool = False) -> list[str]:
    """The lines of the summary; `private` leaves out what a person typed."""
    lines = ["MeWM plan", "", *textwrap.wrap(document.research_use_only, _COLUMNS), ""]
    lines += [*textwrap.wrap(" ".join(cautions_of(document)), _COLUMNS), ""]
    if not private:
        lines += [f"Case: {document.case}", *textwrap.wrap(f"Goal: {document.goal}", _COLUMNS), ""]
    found = document.findings
    lines += [f"Liver {found.liver_ml:.0f} ml, tumour {found.tumour_ml:.1f} ml in {len(found.lesions)} lesions", ""]
    for one in found.lesions[:_LISTED]:
        lines.append(f"  lesion {one.index}: {one.volume_ml:.1f} ml, {one.longest_axial_diameter_mm:.0f} mm")
    weighed = any(document.settings.weights.values())
    order = "by predicted risk plus weights" if weighed else "lowest predicted risk first"
    lines += ["", f"Treated: {document.treated.text}", "", f"Simulated protocols, {order}:", ""]
    apart = apart_of(document)
    for candidate in document.plan.candidates[:_LISTED]:
        change = candidate.tumour_change
        text = (
            f"{candidate.rank}. {candidate.protocol.text}: {candidate.risk.text}, "
            f"{interval_text(candidate.risk) or 'one replica'}; viable tumour {change.viable_ml_before:.1f} to "
            f"{change.viable_ml_after:.1f} ml"
        )
        if (written := candidate.written) is not None:
            text += f"; longest diameter {written.diameter_mm_before:.0f} to {written.diameter_mm_after:.0f} mm"
        if candidate.rank in apart:
            text += f"; {apart[candidate.rank]}"
        lines += textwrap.wrap(text, _COLUMNS, subsequent_indent="   ")
        for warning in candidate.warnings:
            lines += textwrap.wrap(warning.text, _COLUMNS, initial_indent="   ", subsequent_indent="   ")
    bundle = document.bundle
    lines += ["", f"Bundle {bundle.name}", f"sha256 {bundle.sha256}", f"MeWM {document.mewm}, seed {document.seed}"]
    return lines


def pdf_of(lines: list[str]) -> bytes:
    """Lines of text as PDF pages (A4).

    Raises:
        DependencyError: matplotlib is not installed.
    """
    with optional_packages("The summary as PDF", "scene"):
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import PdfPages
        from matplotlib.figure import Figure
    written = io.BytesIO()
    settings: Any = {"text.parse_math": False, "pdf.fonttype": 42, "font.family": "DejaVu Sans Mono"}
    # no date of its own: it would be that of the computer
    with rc_context(settings), PdfPages(written, metadata={"CreationDate": None}) as pages:
        for start in range(0, len(lines), _LINES):
            figure = Figure(figsize=(8.27, 11.69))
            figure.text(0.08, 0.95, "\n".join(lines[start : start + _LINES]), fontsize=8, va="top", linespacing=1.35)
            pages.savefig(figure)
    return written.getvalue()
