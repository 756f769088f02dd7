"""Small scans to make reader studies of: a lesion with deposits in a liver, with noise; and readers who answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from MeWMLib.core.io import write_labels, write_volume
from MeWMLib.core.reader_study import REAL, SIMULATED, StudyAnswer, StudyAnswers, write_answers
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

#: A box that is quick to read.
BOX_MM = (40.0, 60.0, 60.0)


def scan(
    seed: int, *, simulated: bool = False, noise: float = 12.0, how: dict[str, Any] | None = None
) -> tuple[Volume, LabelMap]:
    """One scan; `how` says what its scanner or program does to its values and to its grid."""
    how, rng = how or {}, np.random.default_rng([77, seed])
    spacing = np.array(how.get("spacing", (2.5, 1.25, 1.25)))
    shape = tuple(int(n) for n in np.rint(np.array(how.get("field", (60.0, 90.0, 90.0))) / spacing))
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = rng.uniform(-60, 60, 3)
    mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    k, j, i = np.meshgrid(*mm, indexing="ij")
    body = (j / 42) ** 2 + (i / 42) ** 2 < 1
    liver = (k / 27) ** 2 + (j / 30) ** 2 + (i / 32) ** 2 < 1
    size = rng.uniform(0.9, 1.1, 3)
    tumour = (k / 12 / size[0]) ** 2 + (j / 12 / size[1]) ** 2 + (i / 13 / size[2]) ** 2 < 1
    hu = np.where(body, 20.0, float(how.get("air", -1000)))
    hu[liver], hu[tumour] = 110, 60
    grains = ndimage.gaussian_filter(rng.normal(size=shape), 4 / spacing)
    hu[tumour & (grains > 1.0 * grains.std())] = 700
    # of one strength in a volume of tissue, however large a voxel is
    hu[body] += rng.normal(0, 12.0 * np.sqrt(2.5 * 1.25**2 / np.prod(spacing)), int(body.sum()))
    if noise != 12.0:
        quiet = ndimage.gaussian_filter(hu, 0.8)
        hu[tumour] = quiet[tumour] if noise < 12 else hu[tumour] + rng.normal(0, noise, int(tumour.sum()))
    hu = np.clip(hu, -1e9, how.get("most", 3071))
    step = how.get("step", 1)
    hu = np.rint(hu / step) * step if step else hu
    array = hu.astype(how.get("dtype", np.int16))
    provenance = Provenance("Lipiodol 10 ml", seed, "bundle", "c" * 64) if simulated else None
    ct = Volume(array, Geometry(shape, affine), simulated=provenance)
    return ct, LabelMap((liver.astype(np.uint8) + tumour).astype(np.uint8), ct.geometry)


def write_scans(folder: Path, counts: dict[str, int], **how: dict[str, Any]) -> Path:
    """Write scans and their table; `counts` is method (or real) to number, `how` method to what `scan` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, seed = ["method,patient,ct,labels"], 0
    for method, count in counts.items():
        for _ in range(count):
            seed += 1
            ct, labels = scan(seed, simulated=method != REAL, **how.get(method, {}))
            write_volume(ct, folder / f"{method}{seed}.nrrd")
            write_labels(labels, folder / f"{method}{seed}.seg.nrrd")
            rows.append(f"{method},P{seed},{method}{seed}.nrrd,{method}{seed}.seg.nrrd")
    (folder / "scans.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "scans.csv"


def answer_all(study: Any, reader: str, path: Path, say: Any, session: int = 1) -> Path:
    """Answer a session as the page does: `say` gives (real?, confidence) of a case."""
    answers = StudyAnswers(study.id, session, reader, source="page")
    for n, case in enumerate(study.order(reader, session)):
        real, confidence = say(case)
        answers = answers.with_answer(
            StudyAnswer(case, REAL if real else SIMULATED, confidence, 3.0 + n % 4, "2026-11-28")
        )
    write_answers(answers, path)
    return path


def small_study(root: Path) -> Any:
    """A study of 12 cases, six of either kind, two readers, in root/study; its key beside it."""
    from MeWMLib.lab.reader_study.make import MakeSettings, make_study
    from MeWMLib.lab.reader_study.sources import from_table

    table = write_scans(root / "scans", {REAL: 6, "mewm": 6})
    settings = MakeSettings(seed=3, readers=("R1", "R2"), box_mm=BOX_MM)
    return make_study(from_table(table), root / "study", root / "study_key.json", settings)
