"""A plan directory as the worker leaves it: `plan.json`, checked, and the volumes beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import SimpleITK as sitk

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.io import from_sitk, read_labels, read_volume
from MeWMLib.core.volume import LabelMap, Provenance, Volume, require_same_geometry

SCHEMA = 1
_REMEDY = "Run mewm plan again, or give the folder that it wrote"
#: Predicted survival at which a curve is over, for a picture.
HARDLY = 0.03


@dataclass(frozen=True)
class ShownWarning:
    """A clinical rule that a protocol touches: what severity, why, and where that stands."""

    severity: str
    reason: str
    source: str


@dataclass(frozen=True)
class ShownCandidate:
    """One ranked protocol of `plan.json`.

    Attributes:
        rank: 1 is the best.
        protocol: canonical text.
        risk, interval, replicas: log hazard ratios against the average patient.
        median_survival_months: None if the curve stays above one half.
        months, survival: the predicted survival curve.
        change: the fields of `core.plan.TumourChange`.
        warnings: rules that the protocol touches.
        files: names of the files "ct", "labels" and "sd"; empty if the simulated volume was not kept.
    """

    rank: int
    protocol: str
    risk: float
    interval: tuple[float, float]
    replicas: tuple[float, ...]
    median_survival_months: float | None
    months: tuple[float, ...]
    survival: tuple[float, ...]
    change: dict[str, float]
    warnings: tuple[ShownWarning, ...]
    files: dict[str, str]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ShownCandidate:
        """Read one entry of "candidates"."""
        low, high = (float(v) for v in data["risk_interval"])
        median = data.get("median_survival_months")
        return cls(
            rank=int(data["rank"]),
            protocol=str(data["protocol"]),
            risk=float(data["risk"]),
            interval=(low, high),
            replicas=tuple(float(r) for r in data["risk_replicas"]),
            median_survival_months=None if median is None else float(median),
            months=tuple(float(m) for m in data["survival"]["months"]),
            survival=tuple(float(p) for p in data["survival"]["probability"]),
            change={str(k): float(v) for k, v in data["tumour_change"].items()},
            warnings=tuple(ShownWarning(w["severity"], w["reason"], w["source"]) for w in data["warnings"]),
            files={str(k): str(v) for k, v in data["files"].items()},
        )


@dataclass(frozen=True)
class ShownStep:
    """One expansion of the search tree; `parent` "" is the root."""

    step: int
    parent: str
    child: str
    risk: float
    kept: bool


@dataclass(frozen=True, eq=False)
class Simulated:
    """The simulated volumes of one candidate; `sd` is the standard deviation over replicas in HU, or None."""

    candidate: ShownCandidate
    ct: Volume
    labels: LabelMap
    sd: Volume | None


@dataclass(frozen=True)
class PlanFolder:
    """A plan directory whose `plan.json` was read and checked.

    Attributes:
        path: the directory.
        data: the whole of `plan.json`.
        candidates: by rising rank.
        tree: the search tree.
    """

    path: Path
    data: dict[str, Any]
    candidates: tuple[ShownCandidate, ...]
    tree: tuple[ShownStep, ...]

    @property
    def cancelled(self) -> bool:
        """True if the search was stopped before it was finished."""
        return bool(self.data["stopped_by"] != "finished")

    def read_before(self) -> tuple[Volume, LabelMap]:
        """Read the CT before treatment and its labels.

        Raises:
            MeWMError: a file is missing or cannot be read.
        """
        files = self.data["files"]
        ct = read_volume(self._file(files["pre"]))
        return ct, read_labels(self._file(files["pre_labels"]), ct.geometry)

    def read_simulated(self, candidate: ShownCandidate, before: Volume, deviation: bool = True) -> Simulated:
        """Read the simulated volumes of a candidate that has files; they must lie on the grid of the CT.

        Args:
            candidate: one of `candidates`.
            before: the CT before treatment.
            deviation: read the map of standard deviations too, which is twice as large as the CT.

        Raises:
            MeWMError: a file is missing or cannot be read, or lies on another grid.
        """
        ct = read_volume(self._file(candidate.files["ct"]))
        require_same_geometry(before.geometry, ct.geometry, "The simulated CT does not lie on the grid of the CT")
        if ct.simulated is None:
            ct = replace(ct, simulated=self.provenance(candidate))
        labels = read_labels(self._file(candidate.files["labels"]), ct.geometry)
        sd = None
        if deviation and "sd" in candidate.files:
            sd = _read_map(self._file(candidate.files["sd"]))
            require_same_geometry(before.geometry, sd.geometry, "The deviation map does not lie on the grid of the CT")
        return Simulated(candidate, ct, labels, sd)

    def provenance(self, candidate: ShownCandidate) -> Provenance:
        """Where the simulated volume of a candidate comes from."""
        return Provenance(
            protocol=candidate.protocol,
            seed=int(self.data["seed"]),
            bundle=str(self.data["bundle"]["name"]),
            bundle_sha256=str(self.data["bundle"]["sha256"]),
            versions={str(k): str(v) for k, v in self.data["versions"].items()},
        )

    def _file(self, name: str) -> Path:
        # A plan that came from elsewhere must not make us read files outside its own folder.
        if PurePath(name).name != name or name in ("", ".", ".."):
            raise UnreadableFileError(
                what="plan.json names a file outside its folder", given=repr(name), remedy=_REMEDY
            )
        path = self.path / name
        if not path.is_file():
            raise UnreadableFileError(what="A file of the plan is missing", given=str(path), remedy=_REMEDY)
        return path


def _read_map(path: Path) -> Volume:
    # `read_volume` refuses what is no CT, and a map of standard deviations is none.
    try:
        return Volume(*from_sitk(sitk.ReadImage(str(path))))
    except RuntimeError as error:
        raise UnreadableFileError(what="A map of the plan cannot be read", given=str(path), remedy=_REMEDY) from error


def open_plan_folder(path: Path) -> PlanFolder:
    """Read and check the `plan.json` of a plan directory.

    Raises:
        UnreadableFileError: no such directory, no `plan.json`, no JSON, another schema, or a field that is missing or
            of a wrong type.
    """
    path = Path(path)
    file = path / "plan.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableFileError(what="The plan cannot be read", given=f"{file} ({error})", remedy=_REMEDY) from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise UnreadableFileError(
            what=f"The plan is not of schema {SCHEMA}", given=f"{file}, schema {found!r}", remedy=_REMEDY
        )
    try:
        candidates = tuple(ShownCandidate.from_json(c) for c in data["candidates"])
        tree = tuple(
            ShownStep(int(s["step"]), str(s["parent"]), str(s["child"]), float(s["risk"]), bool(s["kept"]))
            for s in data["search_tree"]
        )
        _require(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise UnreadableFileError(
            what="The plan is not complete", given=f"{file}: {problem}", remedy=_REMEDY
        ) from error
    return PlanFolder(path, data, tuple(sorted(candidates, key=lambda c: c.rank)), tree)


def _require(data: dict[str, Any]) -> None:
    """Touch every field that the report and the scene show, so that a plan fails here or not at all."""
    int(data["seed"])
    for name in ("case", "goal", "research_use_only", "device", "stopped_by", "mewm", "evaluated_protocols"):
        str(data[name])
    for name, keys in {
        "clinical": (),
        "settings": (),
        "versions": (),
        "bundle": ("name", "sha256"),
        "findings": ("liver_ml", "liver_mean_hu", "lesions"),
        "policy": ("name", "drugs", "embolics", "reasons"),
        "labels": ("source",),
        "treated": ("lesion", "lesions", "share_of_tumour_percent"),
        "files": ("pre", "pre_labels"),
    }.items():
        if not isinstance(data[name], dict):
            message = f"{name} is no object"
            raise TypeError(message)
        for key in keys:
            data[name][key]
    for lesion in data["findings"]["lesions"]:
        for key in ("index", "volume_ml", "longest_axial_diameter_mm", "mean_hu", "viable_ml", "necrotic_fraction"):
            float(lesion[key])


def way_to(tree: Sequence[ShownStep], best: str | None) -> set[tuple[int, str]]:
    """The expansions that led to the best protocol, as (step, child)."""
    way: set[tuple[int, str]] = set()
    wanted, below = best, max((s.step for s in tree), default=0) + 1
    while wanted:
        found = [s for s in tree if s.child == wanted and s.step < below]
        if not found:
            break
        one = max(found, key=lambda s: (s.kept, s.step))
        way.add((one.step, one.child))
        wanted, below = one.parent, one.step
    return way


def last_month(shown: Sequence[ShownCandidate]) -> float:
    """Where the axis ends: when hardly anyone is predicted to live under any protocol, else at the last month."""
    return max(next((t for t, p in zip(c.months, c.survival, strict=True) if p < HARDLY), c.months[-1]) for c in shown)
