"""Pictures of real and drawn slices after TACE: side by side for a document, or mixed with a key for a fresh eye.

`python -m MeWMLib.lab.synthetic.look_pictures --scans DIR --out FOLDER [--first N] [--seed N]`. The real slices are of
HCC-TACE-Seg (Moawad et al., The Cancer Imaging Archive, 2021, doi 10.7937/TCIA.5FNA-0924, CC BY 4.0).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.look import LOOK
from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.io import write_json
from MeWMLib.core.volume import LIVER, TUMOUR
from MeWMLib.lab.evaluation.montage import LARGE_INCHES, Tile, write_tiles
from MeWMLib.lab.program import Tell, finish
from MeWMLib.lab.synthetic.calibration import REGIMENS
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.look_calibration import SLICES_MM, WEEKS
from MeWMLib.lab.synthetic.look_scans import PAIRS, native_scan

#: Edge of a tile (mm), about the middle of the tumour in the slice.
TILE_MM = 70.0
#: Tumours of which slices are shown, as large as real ones; a slice has at least this share of the largest area.
RADIUS_MM, AREA = (25.0, 60.0), 0.4
#: Real and drawn slices each in a sheet for a fresh eye.
EACH = 12
#: Lines and columns of the sheets.
COLUMNS = 6

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shown:
    """A slice and what it is."""

    image: FloatArray
    name: str
    drawn: bool


def cut(hu: FloatArray, tumour: Mask, spacing: Sequence[float], k: int) -> FloatArray:
    """A square of `TILE_MM` of a slice about its tumour; air where the scan ends."""
    middle = np.argwhere(tumour[k]).mean(0)
    half = [int(0.5 * TILE_MM / s) for s in spacing[1:]]
    padded = np.pad(hu[k], [(h, h) for h in half], constant_values=-1024)
    j, i = (round(m) for m in middle)
    return np.asarray(padded[j : j + 2 * half[0], i : i + 2 * half[1]], np.float32)


def slices_of(tumour: Mask, count: int) -> list[int]:
    """Numbers of `count` slices spread over those that show much of the tumour."""
    area = tumour.sum((1, 2))
    there = np.flatnonzero(area >= AREA * area.max())
    return [int(k) for k in there[np.linspace(0, len(there) - 1, count).astype(int)]]


def real_slices(folder: Path, count: int) -> list[Shown]:
    """Slices after TACE of the pairs to which the world may be fitted; errors as `native_scan`."""
    out = []
    for patient in PAIRS:
        scan = native_scan(folder, patient, "post")
        for k in slices_of(scan.tumour, count // len(PAIRS)):
            out.append(Shown(cut(scan.hu, scan.tumour, scan.geometry.spacing, k), f"{patient}, slice {k}", False))
    return out


def drawn_slices(first: int) -> Iterator[Shown]:
    """A slice of each drawn patient from a number of the test split on, 4 to 11 weeks after the usual regimen."""
    for seed in SPLITS["test"][first:]:
        patient = StudyPatient.draw(seed, replace(LOOK, slices_mm=(SLICES_MM,)))
        if not RADIUS_MM[0] < patient.nodules[0].radius < RADIUS_MM[1]:
            continue
        rng = np.random.default_rng(seed)
        session = Session(float(rng.uniform(*WEEKS)), patient.fed)
        geometry = patient.scan_geometry(0.8 * TILE_MM)
        (scan,) = patient.render_all(geometry, [REGIMENS["conventional"]], session=session, phase="portal")
        tumour = scan.labels == TUMOUR
        if not tumour.any() or not (scan.labels == LIVER).any():
            continue
        k = slices_of(tumour, 9)[int(rng.integers(9))]
        name = f"drawn {seed}, {patient.kind}, {session.weeks:.0f} weeks"
        yield Shown(cut(scan.hu, tumour, geometry.spacing, k), name, True)


def lines(shown: Sequence[Tile]) -> list[list[Tile | None]]:
    """Tiles in lines of `COLUMNS`."""
    return [list(shown[n : n + COLUMNS]) for n in range(0, len(shown), COLUMNS)]


def main(argv: list[str] | None = None) -> int:
    """Write `world3.png` (named), `sheet.png` (mixed and numbered) and `sheet_key.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=Path, required=True, metavar="DIR", help="folder with the real scans")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="of the test patients, the first one shown")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of the mixed sheet")
    args = parser.parse_args(argv)

    def work(tell: Tell) -> dict[str, Any]:
        real, drawing = real_slices(args.scans, EACH), drawn_slices(args.first)
        drawn = []
        for n in range(EACH):
            drawn.append(next(drawing))
            tell("drawn slices", (n + 1) / EACH)
        args.out.mkdir(parents=True, exist_ok=True)
        named = [[Tile(s.image, s.name, simulated=s.drawn) for s in part[1::3]] for part in (real, drawn)]
        write_tiles(args.out / "world3.png", named)
        both = [*real, *drawn]
        order = np.random.default_rng(args.seed).permutation(len(both))
        mixed = [Tile(both[o].image, str(n)) for n, o in enumerate(order, 1)]
        write_tiles(args.out / "sheet.png", lines(mixed), 0.7 * LARGE_INCHES)
        key = {str(n): both[o].name for n, o in enumerate(order, 1)}
        write_json(key, args.out / "sheet_key.json")
        return {"folder": str(args.out), "real": len(real), "drawn": len(drawn)}

    return finish(work)


if __name__ == "__main__":
    raise SystemExit(main())
