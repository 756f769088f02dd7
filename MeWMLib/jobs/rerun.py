"""A plan made again with the settings that it recorded, to compare it with the one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError
from MeWMLib.core.plan_folder import BEFORE, PLAN, SEARCHED, PlanDocument, PlanFolder
from MeWMLib.core.records import read_json
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.verified_numbers import Wrong, rows_differ, voxels_differ

#: On the same device with the same versions every number is the same; else it may be off by this share.
ELSEWHERE = 0.02
#: What was asked for and is answered by the folder itself.
_ANSWERED = ("series", "label_values", "resample_labels", "accept_labels", "accept_goal", "segment")
#: Of plan.json: what is compared.
_COMPARED = ("candidates", "search_tree", "stopped_by", "evaluated_protocols", "simulations", "pruned")


def job_again(folder: Path, document: PlanDocument, places: Mapping[str, Path], bundle: str | None, out: Path) -> Job:
    """The job that makes a plan again, from the CT and labels in its folder.

    Args:
        folder: of the plan.
        document: its plan.json.
        places: of further inputs, such as a painted region, by the names of the job's inputs.
        bundle: name or folder; by default the name in the plan.
        out: folder to write.

    Raises:
        InputError: a file is needed that is not in the folder, or a language model proposed.
    """
    needed = sorted({"fed", "segments"} & set(document.inputs))
    missing = [document.inputs[name].name for name in needed if name not in places]
    if missing:
        raise InputError(
            what="The plan cannot be made again without a file that it was given",
            given=", ".join(missing),
            remedy="Give its folder with --inputs",
        )
    asked = {name: value for name, value in document.asked.items() if name not in _ANSWERED}
    if str(asked.get("policy") or "").startswith("llm:"):
        raise InputError(
            what="A language model proposed for this plan, and may not answer the same again",
            given=str(asked["policy"]),
            remedy="Verify it without --rerun",
        )
    inputs: dict[str, Any] = {
        **asked,
        **{name: str(places[name]) for name in needed},
        "case": str((folder / BEFORE["pre"]).absolute()),
        "labels": str((folder / BEFORE["pre_labels"]).absolute()),
        "clinical": document.clinical.to_json(),
        "goal": document.goal,
        "accept_goal": True,
        "accept_labels": True,
        "segment": False,
    }
    return Job(
        "plan" if document.kind == SEARCHED else "simulate",
        {name: value for name, value in inputs.items() if value not in ("", None)},
        out=str(out),
        seed=document.seed,
        device=document.device.split(":")[0],
        bundle=bundle or document.bundle.name,
        settings=asdict(document.settings),
    )


def compared(folder: Path, again: Path) -> tuple[int, list[Wrong], list[str]]:
    """What differs between a plan and the same plan made again; as `verified_numbers.plan_numbers`."""
    first, second = (PlanFolder(one).read(verify="plan") for one in (folder, again))
    alike = first.device == second.device and first.versions == second.versions
    same_bundle = first.bundle.sha256 == second.bundle.sha256
    remarks = []
    if not same_bundle:
        remarks.append(
            f"It was made again by another bundle ({second.bundle.sha256[:12]}...): give its own by --bundle."
        )
    if not alike:
        remarks.append(f"Device or versions differ: numbers may be off by {100 * ELSEWHERE:g} %.")
    data = [read_json(one / PLAN) for one in (folder, again)]
    rows = [{key: one.get(key) for key in _COMPARED} for one in data]
    wrong = rows_differ(rows[0], rows[1], 0.0 if alike else ELSEWHERE)
    kept = [PlanFolder(one).read_kept(document, PlanFolder(one).read_before(document)[0])
            for one, document in ((folder, first), (again, second))]  # fmt: skip
    for one, other in zip(*kept, strict=False):
        differ = voxels_differ(one.ct, other.ct)
        if differ and alike:
            name = one.candidate.files["ct"]
            wrong.append(Wrong(f"{name} differs in {differ} of {one.ct.array.size} voxels from the one made again."))
    if not wrong:
        remarks.append("The plan was made again, and all of its numbers and voxels are the same.")
    return len(rows[0]) + len(kept[0]), wrong, remarks
