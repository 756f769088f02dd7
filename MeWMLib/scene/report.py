"""`report.html`: a plan on one page, in one file, for a physician to read and to print."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from MeWMLib.core.io import atomic_path
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.scene import charts, search
from MeWMLib.scene.annotate import png_bytes
from MeWMLib.scene.pictures import GROUPS, Picture
from MeWMLib.scene.plan_folder import PlanFolder, ShownCandidate

MAX_ROWS = 20
_CLINICAL = {
    "age_years": ("age", "years"),
    "sex": ("sex", ""),
    "afp_ng_per_ml": ("AFP", "ng/ml"),
    "child_pugh_class": ("Child-Pugh class", ""),
    "bclc_stage": ("BCLC stage", ""),
    "bilirubin_mg_per_dl": ("bilirubin", "mg/dl"),
    "creatinine_mg_per_dl": ("creatinine", "mg/dl"),
    "albumin_g_per_dl": ("albumin", "g/dl"),
    "main_portal_vein_thrombosis": ("main portal vein thrombosis", ""),
    "extrahepatic_spread": ("extrahepatic spread", ""),
}
_MINUS = "\N{MINUS SIGN}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, with a real minus."""
    return f"{value:+.{digits}f}".replace("-", _MINUS)


def clinical_rows(clinical: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value with unit of each clinical field that is known."""
    rows = []
    for key, value in clinical.items():
        name, unit = _CLINICAL.get(key, (key.replace("_", " "), ""))
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"
        rows.append((name, f"{text} {unit}".strip()))
    return rows


def best_in_words(plan: PlanFolder) -> list[str]:
    """Sentences about the best protocol."""
    best = plan.candidates[0]
    low, high = best.interval
    change = best.change
    sentences = [
        f"Of {plan.data['evaluated_protocols']} simulated protocols (partial ones included) this one has the lowest "
        f"predicted risk: a log hazard ratio of {signed(best.risk)} against the average patient, from {signed(low)} to "
        f"{signed(high)} over {len(best.replicas)} replicas."
    ]
    if best.months:
        sentences.append(f"Predicted median survival: {median_text(best)}.")
    viable = f"{change['viable_ml_before']:.1f} ml to {change['viable_ml_after']:.1f} ml"
    sentences.append(
        f"In the treated region the viable tumour goes from {viable} ({signed(change['viable_change_percent'], 0)} %), "
        f"and {change['lipiodol_ml_after']:.1f} ml of tumour hold lipiodol; the longest axial diameter goes from "
        f"{change['diameter_mm_before']:.0f} mm to {change['diameter_mm_after']:.0f} mm."
    )
    if len(plan.candidates) > 1 and plan.candidates[1].interval[0] <= high:
        sentences.append(
            "The range of its replicas overlaps that of the next protocol: the order of the two is not certain."
        )
    return sentences


def median_text(candidate: ShownCandidate) -> str:
    """Median survival in words."""
    if not candidate.months:
        return "not predicted"
    if candidate.median_survival_months is None:
        return f"over {candidate.months[-1]:.0f} months"
    return f"{candidate.median_survival_months:.0f} months"


def write_report(path: Path, plan: PlanFolder, pictures: Sequence[Picture], notes: Sequence[str]) -> None:
    """Write the report as one HTML file that needs no other file, no script and no network.

    Args:
        path: the file.
        plan: the plan.
        pictures: from `pictures.make_pictures`.
        notes: what could not be made and why; shown near the top.

    Raises:
        OutputError: the file cannot be written.
    """
    html = render_report(plan, pictures, notes)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def render_report(plan: PlanFolder, pictures: Sequence[Picture], notes: Sequence[str]) -> str:
    """Return the report as HTML; see `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        # Everything in a plan may come from a user: the goal, the case, the reasons of a language model.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, median=median_text)
    groups: dict[str, list[dict[str, str]]] = {name: [] for name in GROUPS}
    for picture in pictures:
        entry = {"source": _data_uri(png_bytes(picture.pixels)), "caption": picture.caption}
        groups[picture.group].append(entry)
    best = plan.candidates[0] if plan.candidates else None
    found = {
        "survival": charts.survival_chart(plan.candidates),
        "tree": charts.tree_chart(plan.tree, best.protocol if best else None),
        "risk": charts.risk_chart(plan.candidates) if best else None,
    }
    return environment.get_template("report.html.j2").render(
        plan=plan.data,
        cancelled=plan.cancelled,
        best=best,
        best_words=best_in_words(plan) if best else [],
        candidates=plan.candidates[:MAX_ROWS],
        left_out=max(0, len(plan.candidates) - MAX_ROWS),
        clinical=clinical_rows(plan.data["clinical"]),
        agents=_agents(plan.data["policy"]),
        moved=search.moved(plan),
        pruned=search.pruned(plan),
        pictures=groups,
        charts={name: _data_uri(png) for name, png in found.items() if png is not None},
        notes=list(notes),
        window=f"window {VIEW_WINDOW_HU:.0f} HU, level {VIEW_LEVEL_HU:.0f} HU",
    )


def _agents(policy: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Kind, name and reason of each proposed agent, in the order of the policy."""
    reasons = policy["reasons"]
    return [
        (kind, str(name), str(reasons.get(name, "")))
        for kind, names in (("drug", policy["drugs"]), ("embolic", policy["embolics"]))
        for name in names
    ]


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
