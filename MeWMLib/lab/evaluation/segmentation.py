"""`mewm evaluate segmentation`: the segmenter's labels against known ones, beside region growing and an nnU-Net.

Overlap and surface distances (MONAI's), and lesion by lesion.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

from MeWMLib.cohorts.layout import Cohort
from MeWMLib.cohorts.samples import load_sample
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.baselines import region_growing
from MeWMLib.lab.evaluation.cohort_pairs import asked_ids
from MeWMLib.lab.evaluation.known_patients import before_and_after
from MeWMLib.lab.evaluation.metrics import Rows, rows_of
from MeWMLib.lab.evaluation.montage import LARGE_INCHES, Tile, slices_through, write_tiles
from MeWMLib.lab.evaluation.scans import NEWEST
from MeWMLib.lab.evaluation.work import Say, box_of, case_name, read_case, settings_from, silent
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.findings import dice
from MeWMLib.perception.neighbours import cleaned
from MeWMLib.perception.nnunet import NnUNetSegmenter
from MeWMLib.perception.postprocess import MINIMUM_LESION_ML
from MeWMLib.perception.segmenter import Segmenter

#: Surface voxels nearer than this count as agreeing.
TOLERANCE_MM = 2.0
#: A lesion is found if this share of it is labelled tumour.
FOUND_SHARE = 0.1

Mask = NDArray[np.bool_]
Segment = Callable[[Volume], LabelMap]


@dataclass(frozen=True)
class SegmentationSettings:
    """What to measure, and on which cases.

    Attributes:
        bundle: name or folder; None for the default.
        sample: name of a sample case, or "".
        cases: pairs of files, CT and labels.
        label_values: meaning of the values in the labels.
        cohort: folder of a cohort, each patient before and after treatment.
        side, splits: who of the cohort (`cohort_pairs.asked_ids`).
        patients: of the synthetic test split, whole abdomens before and after the protocol that was given.
        world: version of the synthetic world in which they are drawn.
        nnunet: folder of an nnU-Net result to be compared, or None.
        seed: of the intervals.
    """

    bundle: str | None = None
    sample: str = ""
    cases: tuple[tuple[str, str], ...] = ()
    label_values: str = "1=liver,2=tumour"
    cohort: Path | None = None
    side: str | None = None
    splits: Path | None = None
    patients: int = 0
    world: int = NEWEST
    nnunet: Path | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class KnownCase:
    """A CT whose labels are known; `patient` groups scans of one patient."""

    patient: str
    when: str
    ct: Volume
    labels: LabelMap


def known_cases(settings: SegmentationSettings) -> Iterator[KnownCase]:
    """The cases one by one.

    Raises:
        InputError: no case is asked for, or there is no such version of the synthetic world.
    """
    if not (settings.sample or settings.cases or settings.cohort or settings.patients):
        raise InputError(
            what="There is nothing to evaluate on",
            remedy="Give --sample lits-117, --case CT LABELS, --cohort DIR or --patients N",
        )
    if settings.sample:
        sample = load_sample(settings.sample)
        yield KnownCase(sample.name, "before", sample.ct, sample.labels)
    for ct_path, labels_path in settings.cases:
        yield KnownCase(case_name(ct_path), "case", *read_case(ct_path, labels_path, settings.label_values))
    if settings.cohort:
        cohort = Cohort.read(settings.cohort)
        for name in asked_ids(cohort, settings.bundle, settings.side, settings.splits):
            case = cohort.case(name)
            if case.before_labels is not None:
                yield KnownCase(name, "before", case.before, case.before_labels)
            if case.after is not None and case.after_labels is not None:
                yield KnownCase(name, "after", case.after, case.after_labels)
    for seed in SPLITS["test"][: settings.patients]:
        pair = before_and_after(seed, (2.5, 1.5, 1.5), settings.world)
        for when, drawn in zip(("before", "after"), pair, strict=True):
            yield KnownCase(f"synthetic {seed}", when, *drawn)


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure on the cases that the arguments name; rows, and on whom."""
    rows = evaluate_segmentation(settings_from(SegmentationSettings, args), args.out, say)
    about = [args.sample, *(Path(ct).name for ct, _ in args.cases), args.cohort.name if args.cohort else ""]
    about.append(f"{args.patients} test patients of the synthetic world v{args.world}" if args.patients else "")
    return rows, ", ".join(text for text in about if text)


def evaluate_segmentation(settings: SegmentationSettings, out: Path, say: Say = silent) -> Rows:
    """Measure.

    Rows: `mewm`, `region_growing`, and `nnunet` where given; each again as `ROW_before` and `ROW_after` where both
    occur. Metrics: see `compare`. The figure of a patient is the mean over its scans; intervals are over
    patients.

    Args:
        settings: see `SegmentationSettings`.
        out: folder for `overlay.png`: the first six scans, known labels over those found; liver blue, tumour red.
        say: progress.

    Raises:
        InputError: no case is asked for, or none has labels.
        DependencyError: an nnU-Net is asked for and nnunetv2 is not installed.
    """
    segmenters: dict[str, Segment] = {
        "mewm": _segmenter(settings.bundle),
        "region_growing": region_growing.segment,
    }
    if settings.nnunet is not None:
        nnunet = NnUNetSegmenter.open(settings.nnunet, torch.device("cpu"))
        segmenters["nnunet"] = lambda ct: cleaned(ct, nnunet.segment_ct(ct))[0]
    figures: list[tuple[str, str, str, Mapping[str, float]]] = []
    tiles: list[list[Tile]] = []
    for number, case in enumerate(known_cases(settings)):
        found = {name: segment(case.ct) for name, segment in segmenters.items()}
        figures += [(name, case.patient, case.when, compare(f, case.labels)) for name, f in found.items()]
        if number < 6:
            tiles += _tiles(case, found["mewm"])
        say("scans", number + 1, 0)
    if not figures:
        raise InputError(
            what="No scan has labels to compare with",
            given=str(settings.cohort),
            remedy="Import the DICOM SEG masks too",
        )
    write_tiles(out / "overlay.png", tiles, LARGE_INCHES)
    return scan_rows(figures, settings.seed)


def _segmenter(bundle: str | None) -> Segment:
    part = find_bundle(bundle, require=("assistant",)).part("assistant")
    segmenter = Segmenter.from_part(*part, torch.device("cpu"))
    return lambda ct: cleaned(ct, segmenter.segment_ct(ct))[0]


def scan_rows(figures: Sequence[tuple[str, str, str, Mapping[str, float]]], seed: int) -> dict[str, Any]:
    """Rows of a table from (row, patient, when, figures) of each scan."""
    times = {when for _, _, when, _ in figures}
    order = list(dict.fromkeys(name for name, *_ in figures))
    scans: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for name, patient, when, found in sorted(figures, key=lambda f: order.index(f[0])):
        for row in (name, f"{name}_{when}") if len(times) > 1 else (name,):
            scans.setdefault(patient, {}).setdefault(row, []).append(found)
    return rows_of([{row: _means(each) for row, each in rows.items()} for rows in scans.values()], seed)


def _means(scans: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over the scans in which it is known."""
    known = {metric: [s[metric] for s in scans if np.isfinite(s[metric])] for metric in scans[0]}
    return {metric: float(np.mean(values)) if values else float("nan") for metric, values in known.items()}


def surface(found: Mask, truth: Mask, spacing_mm: Sequence[float]) -> dict[str, float]:
    """`hd95_mm`, the 95th percentile of surface distances, and `surface_dice` at 2 mm; NaN if one mask is empty.

    Args:
        found, truth: (K, J, I).
        spacing_mm: of the array's axes.
    """
    if not (found.any() and truth.any()):
        return {"hd95_mm": float("nan"), "surface_dice": 0.0 if found.any() or truth.any() else float("nan")}
    wide = box_of(found | truth, margin=1)
    a, b = (torch.from_numpy(np.ascontiguousarray(m[wide]))[None, None].float() for m in (found, truth))
    spacing = [float(s) for s in spacing_mm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MONAI about one class
        far = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=spacing)
        near = compute_surface_dice(a, b, [TOLERANCE_MM], include_background=True, spacing=spacing)
    return {"hd95_mm": float(far), "surface_dice": float(near)}


def lesions(found: Mask, truth: Mask, voxel_ml: float, minimum_ml: float = MINIMUM_LESION_ML) -> dict[str, float]:
    """Lesion by lesion, lesions under `minimum_ml` left out.

    Returns:
        `lesion_sensitivity`: share of true lesions of which a tenth is found (NaN without lesions);
        `lesion_false_positives`: found components that no true tumour touches.
    """
    known = cc3d.connected_components(truth, connectivity=26)
    sizes = np.bincount(known.ravel())
    hits = np.bincount(known[found], minlength=len(sizes))
    counted = sizes[1:] * voxel_ml >= minimum_ml
    seen = hits[1:] >= FOUND_SHARE * sizes[1:]
    others = cc3d.connected_components(found, connectivity=26)
    volumes = np.bincount(others.ravel())[1:] * voxel_ml
    touched = np.bincount(others[truth], minlength=len(volumes) + 1)[1:] > 0
    return {
        "lesion_sensitivity": float(seen[counted].mean()) if counted.any() else float("nan"),
        "lesion_false_positives": float(((volumes >= minimum_ml) & ~touched).sum()),
    }


def compare(found: LabelMap, truth: LabelMap) -> dict[str, float]:
    """All measures of a segmentation: liver (tumour included) and tumour, on one grid."""
    spacing = truth.geometry.spacing
    out = {
        "dice_liver": dice(found.liver, truth.liver),
        "dice_tumour": dice(found.tumour, truth.tumour) if truth.tumour.any() else float("nan"),
    }
    for name, a, b in (("liver", found.liver, truth.liver), ("tumour", found.tumour, truth.tumour)):
        measured = surface(a, b, spacing)
        out |= {f"hd95_mm_{name}": measured["hd95_mm"], f"surface_dice_{name}": measured["surface_dice"]}
    return out | lesions(found.tumour, truth.tumour, truth.geometry.voxel_ml)


def _tiles(case: KnownCase, found: LabelMap) -> list[list[Tile]]:
    """Four slices through the tumours, or the liver without any: known outlines, and under them those found."""
    shown = case.labels.tumour if case.labels.tumour.any() else case.labels.liver
    chosen = slices_through(shown, 4) or [case.ct.array.shape[0] // 2] * 4
    return [
        [
            Tile(
                case.ct.array[k].astype(np.float32), f"{case.patient}, {case.when}, slice {k}: {whose}",
                labels.liver[k], lesion=labels.tumour[k],
            )
            for k in chosen
        ]
        for whose, labels in (("known", case.labels), ("found", found))
    ]  # fmt: skip
