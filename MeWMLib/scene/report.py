"""`report.html`: a plan on one page, in one file, for a physician to read and to print."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import jinja2
from markupsafe import Markup

from MeWMLib.core.caution import cautions_of
from MeWMLib.core.clinical import field_table
from MeWMLib.core.difference_words import (
    INTERVAL_MEANING,
    apart_of,
    beside_lines,
    moved_rows,
    parts_lines,
    swap_rows,
)
from MeWMLib.core.io import atomic_path
from MeWMLib.core.liver_function import child_pugh_class
from MeWMLib.core.outcome_words import (
    ALL_UNCERTAIN,
    AVERAGE_PATIENT,
    growth_lines,
    has_oil,
    interval_note,
    interval_text,
    judgements,
    months_text,
    order_lines,
    picture_words,
    ratio_text,
    span,
    unjudged_count,
    viable_lines,
)
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import Candidate, Plan
from MeWMLib.core.plan_folder import NAMED, PlanDocument
from MeWMLib.core.questions import heading
from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.core.written import Criterion, change_in_words
from MeWMLib.scene import charts, search
from MeWMLib.scene.pictures import GROUPS, Picture
from MeWMLib.scene.viewer_pack import Packed
from MeWMLib.scene.viewer_page import LEFT_OUT, ViewerParts

MAX_ROWS = 20
#: The settings that count where one protocol is simulated and nothing is searched.
_OF_ONE = ("replicas", "steps", "guidance", "weeks", "judge")
#: Protocols beside the viewer.
MAX_CHOICES = 6
_MINUS = "\N{MINUS SIGN}"
#: A hyphen before a number, which is a minus.
_HYPHEN = re.compile(r"(?<![\w.,;:/-])-(?=\d)")


#: What the numbers of an outcome are of, by whether some tumour is not treated.
_SCOPE = {
    False: "Of all tumour in the scan",
    True: "Of all tumour in the scan, in which what is not treated stays as it is and counts,",
}


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, with a real minus."""
    return f"{value:+.{digits}f}".replace("-", _MINUS)


def with_minus(value: object) -> object:
    """What the page prints: a text of ours has a hyphen before a negative number, the page a minus."""
    if isinstance(value, str) and not isinstance(value, Markup) and "-" in value:
        return _HYPHEN.sub(_MINUS, value)
    return value


def tissue_ml(candidate: Candidate) -> str:
    """Tissue with Lipiodol, such as "1.6 ml": of the written volume, else of the image of the search if it shows it."""
    found = (
        candidate.tumour_change.lipiodol_ml_after if candidate.written is None else candidate.written.lipiodol_ml_after
    )
    return "not written" if found is None else f"{found:.1f} ml"


def clinical_rows(clinical: Clinical) -> list[tuple[str, str]]:
    """Name and value with unit of each clinical field that is known."""
    table = field_table()
    rows = [(table[name].title, table[name].shown(value)) for name, value in clinical.to_json().items()]
    if clinical.albi_grade is not None:
        rows.append(("ALBI grade", f"{clinical.albi_grade}"))
    if (points := clinical.computed_child_pugh) is not None:
        rows.append(("Child-Pugh by these values", f"{child_pugh_class(points)} ({points} points)"))
    return rows


def best_in_words(plan: Plan, named: bool = False, weighed: bool = False, partly: bool = False) -> list[str]:
    """Sentences about the best protocol.

    Args:
        plan: with at least one candidate.
        named: the plan is one protocol that the user named: it has no rank.
        weighed: more than the risk counted in the ranking.
        partly: some tumour is not treated; it counts in these numbers.
    """
    best = plan.candidates[0]
    risk, change = best.risk, best.tumour_change
    of = f"Of {plan.evaluated} simulated protocols (partial ones included) this one "
    of += "is ranked first by risk plus weights, with a " if weighed else "has the lowest predicted risk: a "
    count = len(risk.replicas)
    interval = f" ({interval_text(risk)})" if risk.total_interval else ""
    sentences = [
        f"{'Its predicted risk is a ' if named else of}log-risk of {signed(risk.log_risk)}{interval}: "
        f"{ratio_text(risk)}.",
        f"Its {count} replicas, which are simulations of it with different seeds, alone lie from "
        f"{signed(risk.interval[0])} to {signed(risk.interval[1])}."
        if count > 1
        else "It was simulated once, so that there is no range of replicas.",
    ]
    if risk.months:
        sentences.append(f"Predicted median survival: {months_text(risk)}. {interval_note(risk)}")
    sentences.append(
        f"{_SCOPE[partly]} the viable tumour {change_in_words(change.viable_ml_before, change.viable_ml_after)} "
        f"({signed(change.viable_change_percent, 0)} %), and the whole tumour "
        f"{change_in_words(change.volume_ml_before, change.volume_ml_after)}: means over the replicas."
    )
    more = plan.comparison is None and count > 1 and len(plan.candidates) > 1
    if more and plan.candidates[1].risk.interval[0] <= risk.interval[1]:
        sentences.append(
            "The range of its replicas overlaps that of the next protocol: the order of the two is not certain."
        )
    return sentences + order_lines(plan)


def draw_charts(plan: Plan) -> dict[str, bytes]:
    """The charts of a plan as PNG files: "survival", "tree" and "risk", of which each may be missing."""
    best = plan.best
    found = {
        "survival": charts.survival_chart(plan.candidates),
        "tree": charts.tree_chart(plan.tree, best.protocol if best else None),
        "risk": charts.risk_chart(plan.candidates) if best else None,
    }
    return {name: png for name, png in found.items() if png is not None}


def write_report(
    path: Path,
    document: PlanDocument,
    pictures: Sequence[Picture],
    notes: Sequence[str],
    scene: bool = True,
    packed: Packed | None = None,
    drawn: Mapping[str, bytes] | None = None,
) -> None:
    """Write the report as one HTML file that needs no other file and no network, with a viewer for its volumes.

    Args:
        path: the file.
        document: the plan.
        pictures: from `pictures.make_pictures`.
        notes: what could not be made and why; shown near the top.
        scene: `scene.mrb` is written beside it.
        packed: the volumes, from `viewer_pack.pack`; None for a page without them, which then says so.
        drawn: from `draw_charts`, which is called without it.

    Raises:
        OutputError: the file cannot be written.
    """
    html = render_report(document, pictures, notes, scene, packed, drawn)
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def render_report(
    document: PlanDocument,
    pictures: Sequence[Picture],
    notes: Sequence[str],
    scene: bool = True,
    packed: Packed | None = None,
    drawn: Mapping[str, bytes] | None = None,
) -> str:
    """Return the report as HTML; see `write_report`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        # Everything in a plan may come from a user: the goal, the case, the reasons of a language model.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=with_minus,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        signed=signed,
        median=months_text,
        interval=interval_text,
        seen=picture_words,
        unjudged=unjudged_count,
        oil=has_oil,
        ends=_ends,
        beside=beside_lines,
        moved=moved_rows,
        swapped=swap_rows,
    )
    groups: dict[str, list[dict[str, str]]] = {name: [] for name in GROUPS}
    for picture in pictures:
        entry = {"source": _data_uri(picture.png), "caption": picture.caption}
        groups[picture.group].append(entry)
    plan, best = document.plan, document.plan.best
    kept = list(plan.candidates) + ([document.beside.mine] if document.beside else [])
    with_volumes = {one.rank: one for one in kept if one.files}
    space, named, weights = document.policy, document.kind == NAMED, document.settings.weights_text
    weighed = weights != "none"
    kinds = (("drug", space.drugs), ("embolic", space.embolics))
    return environment.get_template("report.html.j2").render(
        plan=document,
        scene=scene,
        ranking=plan,
        settings=asdict(document.settings),
        cancelled=plan.cancelled,
        best=best,
        best_words=best_in_words(plan, named, weighed, document.treated.partly) if best else [],
        named=named,
        weighed=weighed,
        weights=f"Ranked by score, which is log-risk plus weights ({weights}): the first need not have the lowest risk."
        if weighed
        else "Ranked by the log-risk alone.",
        candidates=plan.candidates[:MAX_ROWS],
        standings=plan.standings,
        judged=[_folded(one) for one in judgements(document, best)] if best else [],
        level=None if plan.comparison is None else f"{round(100 * plan.comparison.level, 1):g} %",
        left_out=max(0, len(plan.candidates) - MAX_ROWS),
        clinical=clinical_rows(document.clinical),
        agents=[(kind, name, space.reasons.get(name, "")) for kind, names in kinds for name in names],
        moved=moved_rows(best) if best else [],
        parts=parts_lines(best) if best else [],
        questions_title=heading(document.questions),
        growth=growth_lines(document, MAX_ROWS),
        viable_words=viable_lines(document, best) if best else [],
        written=best.written.told(has_oil(best)) if best and best.written else [],
        cautions=cautions_of(document),
        average=AVERAGE_PATIENT,
        all_uncertain=ALL_UNCERTAIN,
        interval_meaning=INTERVAL_MEANING,
        apart=apart_of(document),
        spread="(95 %)" if best and best.risk.total_interval else "(replicas)",
        of_one=_OF_ONE,
        kept_ranks=[one.rank for one in kept if one.files],
        numbers=document.numbers,
        tissue_ml=tissue_ml,
        pruned=search.pruned(plan),
        pictures=groups,
        charts={name: _data_uri(png) for name, png in (draw_charts(plan) if drawn is None else drawn).items()},
        choices=_choices(kept),
        with_volumes=with_volumes,
        viewer=ViewerParts(packed, LEFT_OUT, _file_names(document, with_volumes)),
        notes=list(notes),
        window=f"window {VIEW_WINDOW_HU:.0f} HU, level {VIEW_LEVEL_HU:.0f} HU",
    )


def _ends(one: Candidate, as_ratio: bool = False) -> str:
    """The interval of a risk for a cell, such as "+0.04 to +1.68"; "" where there is none."""
    risk = one.risk
    ends = risk.total_interval or (risk.interval if len(risk.replicas) > 1 else None)
    return "" if ends is None else span(ends, as_ratio)


def _folded(one: Criterion) -> tuple[str, str, str, str]:
    """Name and category of a judgement, the part of its reasons that is read first, and the rest, which is folded."""
    first, *rest = one.reasons or ("",)
    return one.name, one.category or "cannot be judged", first, "; ".join(rest)


def _choices(kept: Sequence[Candidate]) -> list[Candidate]:
    """What can be chosen beside the viewer: the first ones of the ranking, and whatever else has volumes.

    The user's own protocol comes second, since the list scrolls and what was asked for is to be seen at once.
    """
    found = [one for n, one in enumerate(kept) if n < MAX_CHOICES or one.files]
    return [*found[:1], *sorted(found[1:], key=lambda one: one.rank != 0)]


def _file_names(document: PlanDocument, kept: Mapping[int, Candidate]) -> str:
    names = [document.files.get("pre", "pre.nrrd"), document.files.get("pre_labels", "pre.seg.nrrd")]
    return ", ".join(names + [name for one in kept.values() for name in one.files.values()])


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
