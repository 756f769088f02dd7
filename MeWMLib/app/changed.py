"""What a job of a case is asked with beside the images, and what of it has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MeWMLib.app.advice import clinical_of
from MeWMLib.app.case import Record, Run
from MeWMLib.core.errors import MeWMError
from MeWMLib.jobs.table import kind_of

#: What can change, in the words of the page, in its order.
_WORDS = {
    "outline": "the outline",
    "clinical": "the clinical data",
    "goal": "the goal",
    "protocol": "the protocol",
    "target": "which lesions are treated",
    "territory": "what the artery feeds",
    "post": "the CT after treatment",
}


def of_form(kind: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a job that come of the form: what counts for a result is what is sent, and nothing else.

    Args:
        kind: of the job.
        form: as the page sent it.

    Raises:
        ClinicalDataError: something in the clinical data is not possible.
    """
    if kind == "segment":
        return {}
    names = ["goal", *(("target", "territory") if kind_of(kind).treats else ())]
    if kind == "simulate":
        names.append("protocol")
    said: dict[str, Any] = {name: str(form.get(name) or "").strip() for name in names}
    return {name: value for name, value in {"clinical": clinical_of(form).to_json(), **said}.items() if value}


def changed_since(record: Record, run: Run, post: str = "") -> list[str]:
    """What has changed since a job was started, in words such as "the goal"; nothing where all is as it was.

    Args:
        record: of the case, as it is now.
        run: of the case.
        post: the CT after treatment as it is now, as `Run.asked` names it.
    """
    if run.kind == "segment":
        return []
    edition = record.outline.edition if record.outline is not None else run.outline
    found = {"outline"} if edition != run.outline else set()
    if run.asked is not None:  # a case that was kept by an older version does not know it
        try:
            now = of_form(run.kind, record.form)
        except MeWMError:  # such as a value that is half typed: it is not what it was
            now = {**of_form(run.kind, {**record.form, "clinical": {}}), "clinical": None}
        if run.kind == "assess":
            now["post"] = post
        if "protocol" not in now:  # a field that is empty names no other protocol
            now["protocol"] = run.asked.get("protocol")
        found |= {name for name in {*now, *run.asked} if now.get(name) != run.asked.get(name)}
    return [words for name, words in _WORDS.items() if name in found]
