"""Small plan directories on disk, as the worker leaves them, made without any network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.plan import Candidate, Plan, PlanSettings, Risk, RuleFinding, SearchStep, TumourChange
from MeWMLib.core.protocol import Action, Protocol, agents_of
from MeWMLib.core.volume import TUMOUR, Geometry

AXIAL = np.array([[-1.5, 0, 0, 40.0], [0, -1.5, 0, 52.0], [0, 0, 2.5, -60.0], [0, 0, 0, 1]])


def oblique(affine: np.ndarray = AXIAL) -> np.ndarray:
    """The same grid turned by 17 degrees about one axis and 11 degrees about another."""
    a, b = np.deg2rad(17), np.deg2rad(11)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turned = affine.copy()
    turned[:3, :3] = about_z @ about_x @ affine[:3, :3]
    return turned


def small_patient(affine: np.ndarray = AXIAL, shape: tuple[int, int, int] = (48, 64, 64)) -> tuple[Any, ...]:
    """CT (int16, HU), labels (uint8) and geometry of a ball of a liver with a ball of a tumour in it."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    liver = ((k - 24) / 16) ** 2 + ((j - 32) / 22) ** 2 + ((i - 28) / 20) ** 2 <= 1
    tumour = ((k - 26) * 2.5) ** 2 + ((j - 34) * 1.5) ** 2 + ((i - 22) * 1.5) ** 2 <= 13.0**2
    body = ((j - 32) / 30) ** 2 + ((i - 32) / 30) ** 2 + 0 * k <= 1
    ct = np.full(shape, -1000.0)
    ct[body] = 20
    ct[liver] = 110
    ct[tumour] = 60
    ct += np.random.default_rng(7).normal(0, 8, shape)
    labels = np.zeros(shape, np.uint8)
    labels[liver] = 1
    labels[tumour] = TUMOUR
    return np.round(np.maximum(ct, -1024)).astype(np.int16), labels, Geometry(shape, affine)


def write_image(path: Path, array: np.ndarray, geometry: Geometry) -> None:
    """Write an array (k, j, i) with SimpleITK."""
    image = sitk.GetImageFromArray(array)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path), useCompression=True)


def write_plan_folder(
    folder: Path,
    ct: np.ndarray,
    labels: np.ndarray,
    geometry: Geometry,
    *,
    keep: int = 3,
    stopped_by: str = "finished",
    goal: str = "Control the tumour and keep liver function",
) -> Path:
    """Write a whole plan directory; the simulated CTs brighten a part of the tumour."""
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / "pre.nrrd", ct, geometry)
    write_image(folder / "pre.seg.nrrd", labels, geometry)
    plan = _plan(keep)
    rng = np.random.default_rng(3)
    tumour = labels == TUMOUR
    axis = np.argwhere(tumour)[:, 2]
    for rank, candidate in enumerate(plan.candidates[:keep], start=1):
        edge = np.quantile(axis, 0.6 - 0.2 * (rank - 1)) if len(axis) else 0
        lit = tumour & (np.arange(labels.shape[2]) <= edge)
        simulated = ct.astype(np.float32)
        simulated[lit] = 330 + 60 * rng.standard_normal(int(lit.sum()))
        simulated[tumour & ~lit] = 30 + 10 * rng.standard_normal(int((tumour & ~lit).sum()))
        after = labels.copy()
        shell = tumour & ~_shrunk(tumour)
        after[shell] = 1
        simulated[shell] = ct[shell]
        sd = np.zeros(ct.shape, np.float32)
        sd[tumour & ~shell] = 20
        sd[lit & ~shell] = 90
        names = candidate.files
        write_image(folder / names["ct"], np.round(simulated).astype(ct.dtype), geometry)
        write_image(folder / names["labels"], after, geometry)
        write_image(folder / names["sd"], sd, geometry)
    data = plan_json(plan, geometry, labels, stopped_by, goal)
    (folder / "plan.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def _shrunk(mask: np.ndarray) -> np.ndarray:
    result = mask.copy()
    for axis in (1, 2):
        for step in (-1, 1):
            result &= np.roll(mask, step, axis)
    return result


def _plan(keep: int) -> Plan:
    drugs, embolics = agents_of("drug"), agents_of("embolic")
    months = tuple(float(m) for m in range(0, 61, 3))
    candidates = []
    tree = []
    rng = np.random.default_rng(11)
    root = Protocol(())
    for n in range(5):
        first = root.plus(Action(drugs[n]))
        tree.append(SearchStep(1, 0, root, first, 0.3 - 0.08 * n, n >= 2))
        if n < 2:
            continue
        for m in range(4):
            second = first.plus(Action(embolics[m]))
            tree.append(SearchStep(2, n - 2, first, second, -0.1 - 0.05 * n - 0.07 * m, m >= 2))
            if m < 2:
                continue
            third = second.plus(Action(embolics[(m + 1) % 4 if m < 3 else 0]))
            tree.append(SearchStep(3, n - 2, second, third, -0.5 - 0.1 * n + 0.05 * m, n == 4))
    for n in range(8):
        protocol = Protocol(
            (
                Action(drugs[n % 5], 30.0, "emulsion" if n % 2 else None),
                Action(embolics[0], 10.0),
                Action(embolics[1 + n % 3]),
            )
        )
        risk = -0.9 + 0.22 * n
        replicas = tuple(float(r) for r in risk + rng.normal(0, 0.12, 3))
        hazard = np.exp(risk) / 30.0
        survival = tuple(float(s) for s in np.exp(-hazard * np.array(months)))
        change = TumourChange(48.2, 44.0, 45.1, 9.0 + 4 * n, 20.1 - 2 * n, 51.0, 49.0)
        warnings = (
            (
                RuleFinding(
                    "dose-high", "warning", "The dose is above the usual range & needs a second look", "Lencioni 2016"
                ),
            )
            if n % 3 == 0
            else ()
        )
        stem = f"simulated_{n + 1:02d}"
        files = {"ct": f"{stem}.nrrd", "labels": f"{stem}.seg.nrrd", "sd": f"{stem}_sd.nrrd"} if n < keep else {}
        candidates.append(Candidate(protocol, Risk(replicas, months, survival), change, warnings, files))
    candidates.sort(key=lambda c: c.risk.log_risk)
    return Plan(tuple(candidates), tuple(tree), "finished", 41)


def plan_json(plan: Plan, geometry: Geometry, labels: np.ndarray, stopped_by: str, goal: str) -> dict[str, Any]:
    """The content of `plan.json` as the worker writes it."""
    tumour_ml = float((labels == TUMOUR).sum()) * geometry.voxel_ml
    kji = np.argwhere(labels == TUMOUR).mean(axis=0) if (labels == TUMOUR).any() else np.zeros(3)
    centre = tuple(float(v) for v in geometry.to_ras(kji))
    lesions = (
        Lesion(1, tumour_ml * 0.94, 41.0, centre, 61.0, 9.0, 0.0, 0.06, tumour_ml * 0.9),
        Lesion(2, tumour_ml * 0.06, 12.0, centre, 58.0, 9.0, 0.0, 0.0, tumour_ml * 0.06),
    )
    findings = Findings(float((labels > 0).sum()) * geometry.voxel_ml, 109.0, lesions)
    proposed = (*agents_of("drug")[:5], *agents_of("embolic")[:4])
    data = plan.to_json()
    data["stopped_by"] = stopped_by
    return {
        "mewm": "0.1.0",
        "schema": 1,
        "research_use_only": "Research use only. Not for clinical decisions. Simulated volumes are not scans.",
        "case": "case-1",
        "goal": goal,
        "clinical": {"age_years": 61, "child_pugh_class": "A", "bclc_stage": "B", "afp_ng_per_ml": 412.0},
        "seed": 20,
        "device": "cpu",
        "settings": dict(vars(PlanSettings())),
        "bundle": {"name": "mewm-small", "sha256": "ab" * 32},
        "versions": {"mewm": "0.1.0", "python": "3.11", "torch": "2.9"},
        "findings": findings.to_json(),
        "policy": {
            "name": "guideline",
            "drugs": list(agents_of("drug")[:5]),
            "embolics": list(agents_of("embolic")[:4]),
            "reasons": {name: f"{name} is in common use for this stage" for name in proposed},
        },
        "labels": {"source": "expert labels of the sample", "dice_liver": 0.93, "dice_tumour": None, "note": "A note."},
        "treated": {"lesion": 1, "lesions": 2, "share_of_tumour_percent": 94.0, "patch_spacing_mm": 1.0},
        **data,
        "files": {"pre": "pre.nrrd", "pre_labels": "pre.seg.nrrd"},
    }


def pixel_of(framing: Any, ras_mm: Any, size: int) -> tuple[float, float]:
    """(row, column) of a point, projected onto the slice, in a picture that is `size` pixels wide."""
    right, anterior, superior = np.subtract(ras_mm, framing.centre_ras_mm)
    across, up = {
        "Axial": (-right, anterior), "Coronal": (-right, superior), "Sagittal": (-anterior, superior)
    }[framing.orientation]  # fmt: skip
    scale = size / framing.width_mm
    return framing.rows(size) / 2 - up * scale, size / 2 + across * scale
