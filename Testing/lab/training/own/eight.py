"""Eight patients as a hospital has them: drawn, and written as if they were real, as NIfTI in the documented layout.

The sixth has no scan after treatment, the seventh no protocol, the eighth no labels after treatment.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from MeWMLib.core.io import write_labels, write_volume
from MeWMLib.core.volume import LabelMap, Volume
from Testing.perception.moved_pair import grid

COUNT, WITHOUT_AFTER, WITHOUT_PROTOCOL, WITHOUT_LABELS_AFTER = 8, 6, 7, 8
PROTOCOLS = ("Doxorubicin 50 mg + Lipiodol 10 ml", "Epirubicin 40 mg + Lipiodol 8 ml + Gelatin Sponge")


def name(n: int) -> str:
    """Id of patient n, counted from 1."""
    return f"p{n}"


def scans(n: int, move: tuple[float, float, float] = (0, 0, 0)) -> tuple[Volume, LabelMap, Volume, LabelMap]:
    """Patient n before and after treatment, each with labels; the scan after is moved by some mm of RAS."""
    return (*_scan(n, False, (0, 0, 0)), *_scan(n, True, move))


def _scan(n: int, after: bool, move: tuple[float, float, float]) -> tuple[Volume, LabelMap]:
    geometry = grid()
    ras = geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1))
    x, y, z = np.moveaxis(ras - np.array(move), -1, 0)
    hu = np.full(geometry.shape, -1000.0)
    hu[(x / 78) ** 2 + (y / 60) ** 2 < 1] = -90
    hu[(x / 66) ** 2 + (y / 50) ** 2 < 1] = 45
    liver = ((x - 22) / 38) ** 2 + ((y - 4) / 36) ** 2 + (z / 44) ** 2 < 1
    radius = 10.0 + 1.2 * n - (1.5 if after else 0)
    tumour = (x - 24 - n % 3) ** 2 + (y - 6) ** 2 + (z - 2 * (n % 4)) ** 2 < radius**2
    hu[liver] = 110
    hu[np.hypot(x - 6, y + 16) < 9] = 155
    hu[np.hypot(x, y + 36) < 12] = 320
    hu[tumour] = 75 + 2 * n
    if after:
        hu[tumour & (z > 2 * (n % 4))] = 420
    labels = np.where(tumour, 2, np.where(liver, 1, 0)).astype(np.uint8)
    noise = np.random.default_rng([n, int(after)]).normal(0, 6, hu.shape)
    hu = ndimage.gaussian_filter(hu, 0.5) + noise
    return Volume(np.round(hu).astype(np.int16), geometry), LabelMap(labels, geometry)


def rows() -> list[dict[str, object]]:
    """The table of the cohort, as a person would type it."""
    return [
        {
            "id": name(n),
            "protocol": "" if n == WITHOUT_PROTOCOL else PROTOCOLS[n % 2],
            "months": 40 - 4 * n,
            "event": int(n not in (4, 5)),
            "phase": "portal",
            "has_after": int(n != WITHOUT_AFTER),
            "registered": 1,
            "weeks": 4 + n % 3,
        }
        for n in range(1, COUNT + 1)
    ]


def write_cohort(folder: Path) -> Path:
    """Write the cohort as documented, by nothing of MeWM's that writes cohorts."""
    folder.mkdir(parents=True)
    for n in range(1, COUNT + 1):
        before, labels, after, labels_after = scans(n)
        place = folder / name(n)
        write_volume(before, place / "pre.nii.gz")
        write_labels(labels, place / "pre_labels.nii.gz")
        if n != WITHOUT_AFTER:
            write_volume(after, place / "post.nii.gz")
            if n != WITHOUT_LABELS_AFTER:
                write_labels(labels_after, place / "post_labels.nii.gz")
    table = rows()
    with (folder / "patients.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    manifest = {"format": "mewm-cohort/1", "complete": True, "synthetic": False}
    (folder / "cohort.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def write_dicom(root: Path, count: int = COUNT, move: tuple[float, float, float] = (0, 0, 0)) -> Path:
    """Write the patients as an export of a PACS (a folder a person, two dates, DICOM SEG), and a table of a clinic.

    Args:
        root: gets `export/` and `patients.csv`.
        count: the first so many patients.
        move: of the scan after treatment, mm of RAS.
    """
    from Testing.core.dicom import builders

    kinds = [("Liver", "10200004", "Liver"), ("Tumor", "4147007", "Mass")]
    lines = ["patient,protocol,os_months,event,treatment_date"]
    for n, row in enumerate(rows()[:count], start=1):
        person = f"Mustermann_{n}"
        before, labels, after, labels_after = scans(n, move)
        dates = [("20210104", before, labels)]
        if n != WITHOUT_AFTER:
            dates.append(("20210301", after, None if n == WITHOUT_LABELS_AFTER else labels_after))
        for date, ct, known in dates:
            k, j, i = ct.geometry.spacing
            x, y, z = ct.geometry.affine[:3, 3]

            def place(data: object, at: int, first: tuple[float, ...] = (-x, -y, z), step: float = k) -> None:
                data.ImagePositionPatient = [first[0], first[1], first[2] + step * at]  # type: ignore[attr-defined]

            series = builders.Series(
                ct.array, f"4711-{n}", f"Mustermann^{n}", date, removed=False, change=place,
                tags={"PixelSpacing": [j, i], "SliceThickness": k},
            )  # fmt: skip
            folder = root / "export" / person / date
            series.write(folder / "ct")
            if known is not None:
                sources = [series.dataset(at) for at in range(len(ct.array))]
                builders.segmentation(folder / "seg" / "masks", sources, [known.array >= 1, known.array == 2], kinds)
        lines.append(f"{person},{row['protocol']},{row['months']},{row['event']},2021-01-20")
    (root / "patients.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
