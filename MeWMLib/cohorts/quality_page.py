"""The quality page of an imported cohort: one HTML file that needs no other.

One row a patient with pictures, phases with what was measured; then what was left out and why.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.layout import CohortCase, PatientRow, read_patient
from MeWMLib.core.errors import optional_packages
from MeWMLib.core.io import atomic_path
from MeWMLib.core.structures import BY_LABEL
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception.preprocess import box_geometry, resample

QUALITY_PAGE, THUMBNAIL = "quality.html", "thumbnail.png"
#: Window of the pictures (HU), and their pixel.
_WINDOW_HU, _PIXEL_MM = (-120.0, 260.0), 1.6
_GAP = 4
RGB = NDArray[np.uint8]


def thumbnail(case: CohortCase, centres: tuple[Any, Any]) -> bytes:
    """PNG of an axial and a coronal slice before treatment, and under them those after it, with outlines of the masks.

    Args:
        case: the images.
        centres: point (RAS mm) that the slices before and after go through; None takes the middle of the masks, or of
            the scan.
    """
    with optional_packages("The quality page", "import"):
        from PIL import Image
    scans = zip((case.before, case.after), (case.before_labels, case.after_labels), centres, strict=True)
    lines = []
    for ct, labels, centre in scans:
        if ct is not None:
            point = _point(ct, labels, centre)
            lines.append([_tile(ct, labels, point, axis) for axis in (0, 1)])
    width = max(tile.shape[1] for line in lines for tile in line)
    pictures = []
    for line in lines:
        height = max(tile.shape[0] for tile in line)
        pictures.append(np.concatenate([_framed(tile, height, width) for tile in line], axis=1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(pictures, axis=0)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _framed(tile: RGB, height: int, width: int) -> RGB:
    """A picture in the middle of a larger black one."""
    top, left = (height - tile.shape[0]) // 2, (width - tile.shape[1]) // 2
    room = ((top, height - tile.shape[0] - top + _GAP), (left, width - tile.shape[1] - left + _GAP), (0, 0))
    return np.pad(tile, room)


def _point(ct: Volume, labels: LabelMap | None, centre: Any) -> NDArray[np.float64]:
    if labels is not None and labels.liver.any():
        wanted = labels.tumour if labels.tumour.any() else labels.liver
        return ct.geometry.to_ras(np.argwhere(wanted).mean(axis=0))
    if centre is not None:
        return np.asarray(centre, np.float64)
    return ct.geometry.to_ras((np.array(ct.geometry.shape) - 1) / 2)


def _tile(ct: Volume, labels: LabelMap | None, point: NDArray[np.float64], axis: int) -> RGB:
    """One slice (H, W, 3): axis 0 axial, anterior up; axis 1 coronal, head up. The patient's right is on the left."""
    box = box_geometry(ct.geometry, (_PIXEL_MM,) * 3)
    place = np.clip(np.round(box.to_kji(point)), 0, np.array(box.shape) - 1).astype(int)
    start, shape = [0, 0, 0], list(box.shape)
    start[axis], shape[axis] = int(place[axis]), 1
    plane = box.crop((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    low, high = _WINDOW_HU
    hu = np.squeeze(resample(ct.array, ct.geometry, plane), axis)
    grey = np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    if labels is not None:
        found = np.squeeze(resample(labels.array, labels.geometry, plane, "nearest", 0), axis)
        for label, structure in BY_LABEL.items():
            mask = found >= label
            picture[mask & ~ndimage.binary_erosion(mask)] = np.round(255 * np.array(structure.colour))
    return picture[::-1] if axis == 1 else picture


def write_quality_page(
    folder: Path, rows: Sequence[PatientRow], left_out: Sequence[Mapping[str, str]], notes: Sequence[str] = ()
) -> None:
    """Write `quality.html` into a cohort.

    Args:
        folder: of the cohort; `patient.json` and the thumbnail of every patient are read from it.
        rows: the table.
        left_out: lines with `patient`, `what`, `reason`.
        notes: on the clinical table as a whole.

    Raises:
        OutputError: it cannot be written.
        DependencyError: jinja2 is not installed.
    """
    with optional_packages("The quality page", "import"):
        import jinja2
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = Path(__file__).with_name("templates") / "quality.html.j2"
    template = environment.from_string(page.read_text(encoding="utf-8"))
    patients = [_patient(folder, row) for row in rows]
    counts = {
        "patient" if len(rows) == 1 else "patients": len(rows),
        "with a scan after treatment": sum(row.has_after is True for row in rows),
        "with masks": sum(one["masks"] for one in patients),
        "with a known protocol": sum(bool(row.protocol) for row in rows),
        "with known survival": sum(row.months is not None and row.event is not None for row in rows),
        "thing left out" if len(left_out) == 1 else "things left out": len(left_out),
    }
    reasons = Counter(one["reason"].split(" (")[0].split(":")[0] for one in left_out).most_common()
    text = template.render(patients=patients, counts=counts, left_out=left_out, reasons=reasons, notes=notes)
    with atomic_path(Path(folder) / QUALITY_PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _patient(folder: Path, row: PatientRow) -> dict[str, Any]:
    """What the template shows of one patient."""
    stored = read_patient(folder, row.id) or {}
    imported = stored.get("import", {"studies": [], "notes": [], "left_out": []})
    picture = Path(folder) / row.id / THUMBNAIL
    scans = [
        {**scan, "when": study["when"], "days": study["days"]}
        for study in imported["studies"]
        for scan in study["scans"]
    ]
    return {
        "row": row,
        "scans": scans,
        "notes": imported["notes"],
        "left_out": imported["left_out"],
        "masks": any("masks" in note for scan in scans for note in scan["notes"]),
        "doubt": [s["used_as"] for s in scans if s["used_as"] in ("pre", "post") and s["phase"]["confidence"] < 0.8],
        "picture": base64.b64encode(picture.read_bytes()).decode() if picture.exists() else "",
    }
