"""Table 1 of one patient: scans after treatment by every row against the real one, and crops for FID and LPIPS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import Outcome
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import TUMOUR, Geometry, Volume
from MeWMLib.lab.evaluation.baselines import ACTIONLESS
from MeWMLib.lab.evaluation.montage import Tile, write_tiles
from MeWMLib.lab.evaluation.pair_measures import SMOOTH_MM, Truth, judged_region, lipiodol_figures, with_ratios
from MeWMLib.lab.evaluation.perceptual import tumour_crops
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.lab.reproduce.hand_made import Parameters, drawn
from MeWMLib.lab.reproduce.truth import AfterScan
from MeWMLib.world.model import WorldModel

#: Around the tumour, what figures and pictures are cut to.
MARGIN_MM = 2.5 * SMOOTH_MM
#: Crops of each scan.
CROPS = 4
#: What is drawn of a patient, and its title.
SHOWN = {"mewm": "one sample", "mewm_expected": "expected", "syntumor": "SynTumor", "pixel2cancer": "Pixel2Cancer"}

FloatArray = NDArray[np.float32]
Box = tuple[slice, slice, slice]


@dataclass(eq=False)
class Measured:
    """Table 1 of one patient.

    Attributes:
        values: row to metric to number.
        crops: row to (n, 64, 64) HU; "truth" are those of the scan after.
        outcomes: replicas of the simulation of what was given.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    crops: dict[str, FloatArray] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


class Simulations:
    """Scans after treatment of one patient, row by row.

    Args:
        world, others: the main model and those of further rows.
        patient: before treatment.
        protocol: what was given.
        plan: replicas, steps and weeks.
        seed: of the replicas.
        hand_made: parameters of the baselines.
    """

    def __init__(
        self,
        world: WorldModel,
        others: dict[str, WorldModel],
        patient: Patient,
        protocol: Protocol,
        plan: PlanSettings,
        seed: int,
        hand_made: Parameters,
    ) -> None:
        self._world, self._others, self._patient, self._protocol = world, others, patient, protocol
        self._plan, self._seed, self._hand_made = plan, seed, hand_made
        self.outcomes = self._simulated(world, plan)

    def _simulated(self, world: WorldModel, plan: PlanSettings) -> list[Outcome]:
        return world.simulate(self._patient, self._protocol, self._seed, plan, compared=False)

    def rows(self) -> Iterator[tuple[str, list[FloatArray]]]:
        """Row and its scans (K, J, I), one for each replica."""
        own = _arrays(self.outcomes)
        yield "mewm", own
        yield "mewm_expected", [self._expected(own)]
        blind = replace(self._plan, guidance=0.0, replicas=1)
        yield "mewm_action_dropped", _arrays(self._simulated(self._world, blind))
        yield "copy_pre", [self._patient.ct.array.astype(np.float32)]
        for name, other in self._others.items():
            yield name, _arrays(self._simulated(other, blind if name in ACTIONLESS else self._plan))
        for name, image in drawn(self._patient.ct, self._patient.labels, self._seed, self._hand_made):
            yield name, [image]

    def _expected(self, own: Sequence[FloatArray]) -> FloatArray:
        """The scan of lowest expected error; of a model on a cube the mean of the replicas."""
        try:
            found = self._world.expected(self._patient, self._protocol, self._seed, self._plan)
        except BundleError:
            return np.asarray(np.mean(own, axis=0), np.float32)
        return found.array.astype(np.float32)


def _arrays(outcomes: Sequence[Outcome]) -> list[FloatArray]:
    return [one.ct.array.astype(np.float32) for one in outcomes]


def measure_images(
    made: Simulations, patient: Patient, after: AfterScan | None, picture: Path, drawn: bool = False
) -> Measured:
    """Hold every row against the scan after treatment; without one only the picture is made.

    Metrics: those of `pair_measures.Truth.figures` in the dilated outline before treatment, as means over the replicas,
    errors also as ratios to `copy_pre`; `lipiodol_error_ml`, |simulated - real| of the volume at 200 HU and more.

    Args:
        made: simulations.
        patient: before treatment.
        after: the scan after treatment, or None.
        picture: PNG that is written.
        drawn: the scan after is that of a drawn patient, whose scans are marked as drawn in the picture.
    """
    ct, labels = patient.ct, patient.labels
    box = _box(labels.tumour, ct.geometry)
    inside = judged_region(labels)[box]
    known = labels.array[box]
    out = Measured(outcomes=made.outcomes)
    truth = real = None
    if after is not None:
        real = after.hu[box]
        truth = Truth(ct.array[box].astype(np.float32), real, inside & after.covered[box], ct.geometry)
        out.crops["truth"] = tumour_crops(real, known, CROPS)
        oil = _oil(real, truth.inside, ct.geometry)
    shown: dict[str, FloatArray] = {}
    for name, images in made.rows():
        parts = [image[box] for image in images]
        shown[name] = parts[0]
        if truth is None:
            continue
        each = [
            truth.figures(part) | {"lipiodol_error_ml": abs(_oil(part, truth.inside, ct.geometry) - oil)}
            for part in parts
        ]
        out.values[name] = {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}
        out.crops[name] = tumour_crops(parts[0], known, CROPS)
    if truth is not None:
        out.values = with_ratios(out.values)
    _draw(picture, ct.array[box].astype(np.float32), known == TUMOUR, shown, real, drawn, patient.id)
    return out


def _oil(hu: FloatArray, inside: NDArray[np.bool_], geometry: Geometry) -> float:
    part = geometry.crop((0, 0, 0), (hu.shape[0], hu.shape[1], hu.shape[2]))
    return lipiodol_figures(Volume(hu, part), inside)["lipiodol_200_ml"]


def _box(tumour: NDArray[np.bool_], geometry: Geometry) -> Box:
    """The box of the tumour with a margin in mm."""
    where = ndimage.find_objects(tumour.view(np.uint8))[0]
    k, j, i = (
        slice(max(0, s.start - int(np.ceil(MARGIN_MM / mm))), min(n, s.stop + int(np.ceil(MARGIN_MM / mm))))
        for s, n, mm in zip(where, tumour.shape, geometry.spacing, strict=True)
    )
    return k, j, i


def _draw(
    path: Path,
    before: FloatArray,
    tumour: NDArray[np.bool_],
    rows: dict[str, FloatArray],
    after: FloatArray | None,
    drawn: bool,
    name: str,
) -> None:
    """One line of tiles in the slice with most tumour: before, simulated, and the scan after."""
    k = int(tumour.sum((1, 2)).argmax())
    cut = box_of(tumour[k][None], 12)[1:]
    outline = tumour[k][cut]
    tiles: list[Tile | None] = [Tile(before[k][cut], f"{name}, before", outline, drawn=drawn)]
    if after is not None:
        tiles.append(Tile(after[k][cut], "scan after", outline, drawn=drawn))
    tiles += [Tile(rows[r][k][cut], words, outline, simulated=True) for r, words in SHOWN.items() if r in rows]
    write_tiles(path, [tiles])
