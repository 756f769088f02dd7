"""Every number of a result, measured again from its files or computed again from the numbers that it follows from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.inputs_used import voxels_sha256
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_folder import PLAN, KeptCandidate, PlanDocument, PlanFolder
from MeWMLib.core.plan_tables import csv_text, lesion_rows, ranking_rows
from MeWMLib.core.records import read_json, to_plain
from MeWMLib.core.tissue_labels import read_tissue
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.core.written import BY_MODEL
from MeWMLib.world.assessment import measured_again
from MeWMLib.world.written import Before, WrittenTissue, findings_of, measure_written

#: Measured again by the same code on the same bytes, a number may differ by this share (another processor's rounding).
TOLERANCE = 1e-6
#: A number of the search is a mean over replicas; before treatment it is that of the findings, to this share.
BEFORE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Wrong:
    """A number that does not follow from the files, in a sentence."""

    text: str


class _Checked:
    """Counts what is compared, and keeps what differs."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: list[Wrong] = []

    def same(self, where: str, said: Any, found: Any, tolerance: float = TOLERANCE) -> None:
        """Compare two values of JSON, all the way down."""
        if isinstance(said, Mapping) and isinstance(found, Mapping):
            for key in sorted(set(said) | set(found)):
                self.same(f"{where}.{key}" if where else str(key), said.get(key), found.get(key), tolerance)
        elif isinstance(said, list | tuple) and isinstance(found, list | tuple) and len(said) == len(found):
            for n, (one, other) in enumerate(zip(said, found, strict=True)):
                self.same(f"{where}[{n}]", one, other, tolerance)
        else:
            self.count += 1
            if not _alike(said, found, tolerance):
                self.wrong.append(Wrong(f"{where} is {_shown(said)}; from the files it is {_shown(found)}."))


def _alike(said: Any, found: Any, tolerance: float) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (said, found))
    if not numbers:
        return bool(said == found)
    return math.isclose(said, found, rel_tol=tolerance, abs_tol=tolerance)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)[:80]


def plan_numbers(folder: PlanFolder, document: PlanDocument) -> tuple[int, list[Wrong], list[str]]:
    """Check every number of a plan whose files are as they were written.

    Returns:
        How many numbers were compared, those that are wrong, and remarks on what the files cannot tell.
    """
    checked, remarks = _Checked(), []
    data = read_json(folder.path / PLAN)
    # what follows from other numbers of the file: hazard ratios, means, intervals, medians, differences, tolerances
    again = document.to_json()
    for key in ("candidates", "beside", "treated"):
        checked.same(key, data.get(key), to_plain(again[key]))
    _differences(checked, document)
    if not document.files:
        return checked.count, checked.wrong, ["The plan holds no volume yet."]
    ct, labels = folder.read_before(document)
    used = document.inputs.get("case")
    if used is not None and used.voxels_sha256:
        checked.same("voxels of the CT before treatment", used.voxels_sha256, voxels_sha256(ct))
    before = Before.of(ct, labels, document.phase)
    _findings(checked, document, before)
    kept = [(f"candidates[{c.rank - 1}].written", c) for c in document.plan.candidates if c.files]
    if document.beside is not None and document.beside.mine.files:
        kept.append(("beside.mine.written", document.beside.mine))
    for where, candidate in kept:
        one = folder.read_candidate(document, candidate, ct, deviation=False)
        if candidate.written is None:
            remarks.append(f"{where} is not told: the plan is of an older version.")
        else:
            _written(checked, where, candidate, one, before, folder)
    for key, rows in (("ranking", ranking_rows(document)), ("lesions", lesion_rows(document))):
        if key in document.tables:
            file = folder.path / document.tables[key]
            lines = file.read_text(encoding="utf-8").splitlines()
            # a plan of an older version has fewer columns
            columns = lines[0].split(",") if lines else []
            checked.same(document.tables[key], lines, csv_text(rows, columns).splitlines())
    for candidate in document.plan.candidates:
        _before(checked, document, candidate)
    remarks.append(
        "Risks, and the ranking's volumes after treatment, are means over replicas of which one each is written: only "
        "--rerun makes them again."
    )
    return checked.count, checked.wrong, remarks


def _differences(checked: _Checked, document: PlanDocument) -> None:
    """Differences of protocols belong to the changes that they are of, and to the comparison of the plan."""
    comparison, pair = document.plan.comparison, document.beside
    found = [
        (f"{name}.contributions[{n}]", one.risk_change, one.difference)
        for name, candidate in _named(document)
        for n, one in enumerate(candidate.contributions)
    ]
    if pair is not None:
        found += [(f"beside.swaps[{n}]", one.risk_change, one.difference) for n, one in enumerate(pair.swaps)]
        if comparison is not None and pair.difference is not None:
            told = comparison.difference(pair.mine.risk, pair.first.risk)
            checked.same("beside.difference", to_plain(pair.difference), to_plain(told))
    for where, change, one in found:
        if one is not None:
            checked.same(f"{where}.difference.change", one.change, change)
            if comparison is not None:
                checked.same(f"{where}.difference.gain", one.gain, comparison.gain)
                checked.same(f"{where}.difference.level", one.level, comparison.level)


def _named(document: PlanDocument) -> list[tuple[str, Candidate]]:
    """Every candidate of a plan with its place in plan.json."""
    found = [(f"candidates[{one.rank - 1}]", one) for one in document.plan.candidates]
    if document.beside is not None:
        found += [("beside.mine", document.beside.mine), ("beside.first", document.beside.first)]
    return found


def _findings(checked: _Checked, document: PlanDocument, before: Before) -> None:
    said, found = document.findings, findings_of(before)
    checked.same("findings.liver_ml", said.liver_ml, found.liver_ml)
    checked.same("findings.liver_mean_hu", said.liver_mean_hu, found.liver_mean_hu)
    checked.same("number of findings.lesions", len(said.lesions), len(found.lesions))
    places = {"location", "liver_edge_mm", "vessel_mm"}
    for one, other in zip(said.lesions, found.lesions, strict=False):
        told, seen = ({k: v for k, v in to_plain(x).items() if k not in places} for x in (one, other))
        checked.same(f"findings.lesions[{one.index}]", told, seen)
    sizes = {one.index: one.volume_ml for one in found.lesions}
    if document.treated.targets and sizes:
        done = sum(
            sizes.get(n, 0.0) * percent / 100
            for n, percent in zip(document.treated.targets, document.treated.target_percent, strict=False)
        )
        share = 100 * done / sum(sizes.values())
        # percentages are told with one decimal each
        checked.same("treated.share_of_tumour_percent", document.treated.share_of_tumour_percent, share, 2e-3)


def _written(
    checked: _Checked, where: str, candidate: Candidate, one: KeptCandidate, before: Before, folder: PlanFolder
) -> None:
    written = candidate.written
    assert written is not None  # asked by the caller
    masks = read_tissue(folder.path / candidate.files["labels"])
    told = written.viable_by == BY_MODEL
    tissue = WrittenTissue.of(before, one.ct, one.labels, masks.get("Viable tumour") if told else None)
    numbers = measure_written(before, one.ct, one.labels, written.sample, tissue)
    checked.same(where, written.to_json(), numbers.to_json())
    for name, mask in tissue.segments.items():
        if mask is not None and name in masks:
            checked.same(f"voxels of the segment {name} ({where})", int(masks[name].sum()), int(mask.sum()))
    if one.ct.simulated is not None:
        checked.same(f"seed of the file ({where})", written.sample.seed, one.ct.simulated.seed)
        checked.same(f"protocol of the file ({where})", candidate.protocol.text, one.ct.simulated.protocol)


def _before(checked: _Checked, document: PlanDocument, candidate: Candidate) -> None:
    """Numbers before treatment are those of the findings."""
    where, change, found = f"candidates[{candidate.rank - 1}].tumour_change", candidate.tumour_change, document.findings
    checked.same(f"{where}.volume_ml_before", change.volume_ml_before, found.tumour_ml, BEFORE_TOLERANCE)
    if all(one.viable_ml is not None for one in found.lesions) and found.viable_ml > 0:
        checked.same(f"{where}.viable_ml_before", change.viable_ml_before, found.viable_ml, BEFORE_TOLERANCE)


def assessed_numbers(data: Mapping[str, Any], places: Mapping[str, Path]) -> tuple[int, list[Wrong], list[str]]:
    """Check the numbers of an assessment.

    Args:
        data: of its JSON file.
        places: of the inputs that were found and are the same.

    Returns:
        As `plan_numbers`.
    """
    checked, remarks = _Checked(), []
    curve = data["survival"]
    risk = Risk((data["risk"],), tuple(curve["months"]), tuple(curve["probability"]))
    checked.same("median_survival_months", data["median_survival_months"], risk.median_survival_months)
    if "risk_total_interval" in data:  # not in those of older versions
        told = replace(risk, unseen=data["risk_uncertainty"])
        checked.same("risk_total_interval", data["risk_total_interval"], to_plain(told.total_interval))
        checked.same("median_interval_months", data["median_interval_months"], to_plain(told.median_interval_months))
    names = (("case", "labels", "before"), ("post", "post_labels", "after"))
    missing = [name for scan, outline, _ in names for name in (scan, outline) if name not in places]
    if missing:
        remarks.append(
            f"Volumes, diameters and responses were not measured again: {', '.join(missing)} not found, or drawn by "
            "the segmenter; give the folder of the files with --inputs."
        )
        return checked.count, checked.wrong, remarks
    try:
        scans = [_scan(places[scan], places[outline]) for scan, outline, _ in names]
    except MeWMError as error:
        return checked.count, checked.wrong, [f"The inputs cannot be measured again: {error.what}."]
    for key, value in measured_again(data, scans[0], scans[1]).items():
        checked.same(key, data.get(key), to_plain(value))
    remarks.append("Registration, matches of lesions and risk are not measured again here.")
    return checked.count, checked.wrong, remarks


def _scan(ct: Path, labels: Path) -> tuple[Volume, LabelMap]:
    volume = read_volume(ct)
    return volume, read_labels(labels, volume.geometry, tumour_alone=True)


def rows_differ(first: Mapping[str, Any], second: Mapping[str, Any], tolerance: float) -> list[Wrong]:
    """What of the numbers of two plans differs by more than a share."""
    checked = _Checked()
    checked.same("", first, second, tolerance)
    return checked.wrong


def voxels_differ(first: Volume, second: Volume) -> int:
    """Number of voxels that differ between two volumes of one grid; all of them where the grids differ."""
    if first.array.shape != second.array.shape:
        return int(first.array.size)
    return int(np.count_nonzero(first.array != second.array))
