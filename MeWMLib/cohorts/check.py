"""`mewm cohort check`: what the patients of a cohort lack, what follows from it, and how it can be made."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.identity import is_judged
from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, TABLE, Cohort, PatientRow
from MeWMLib.core.errors import MeWMError
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LabelMap

#: What a cohort may serve, in the words of `mewm train`, and besides them what the policies are measured on.
AUTOENCODER, SEGMENTER, DYNAMICS, SURVIVAL = "autoencoder", "segmenter", "dynamics", "survival"
POLICIES = "policies"
SERVES = (AUTOENCODER, SEGMENTER, DYNAMICS, SURVIVAL, POLICIES)
_WORDS = {name: f"the {name}" for name in (*SERVES[:3], POLICIES)} | {SURVIVAL: SURVIVAL}


@dataclass(frozen=True)
class Need:
    """Something that a patient may have.

    Attributes:
        word: what is said of a patient without it.
        stops: what such a patient cannot serve.
        follows: what else follows; "" if that is all.
        made_by: the command, or the column, that makes it; with {folder}, {table}, {pre}, {labels} and {post}.
    """

    word: str
    stops: tuple[str, ...] = ()
    follows: str = ""
    made_by: str = ""


#: In the order in which they are told.
NEEDS: dict[str, Need] = {
    "scan_before": Need("no readable scan before treatment", SERVES, "", "`mewm cohort import`, or a file pre.nrrd"),
    "liver": Need(
        "no labels of liver and tumour before treatment",
        (AUTOENCODER, SEGMENTER, DYNAMICS, SURVIVAL, POLICIES),
        "",
        "`mewm segment {pre} --out {folder}/pre_labels.seg.nrrd`, and look at what it outlines: labels of "
        "MeWM teach the segmenter nothing",
    ),
    "tumour": Need(
        "labels without tumour before treatment",
        (AUTOENCODER, DYNAMICS, SURVIVAL, POLICIES),
        "",
        "outline it in {folder}/pre_labels.seg.nrrd",
    ),
    "scan_after": Need("no scan after treatment", (DYNAMICS,), "survival knows only what was there before treatment"),
    "labels_after": Need(
        "no labels on the scan after treatment",
        (),
        "the tumour that is left is not measured: survival knows only what was there before treatment",
        "`mewm segment {post} --out {folder}/post_labels.seg.nrrd`",
    ),
    "registered": Need(
        "a scan after treatment that is not registered to the one before",
        (),
        "training registers it by itself (half a minute each) and keeps the result",
        "look at it first: `mewm assess {pre} --labels {labels} --post {post}`",
    ),
    "protocol": Need(
        "no protocol",
        (DYNAMICS, POLICIES),
        "",
        "`mewm report parse REPORT.txt` reads it from the operation report; write it into the column protocol of "
        "{table}",
    ),
    "survival": Need(
        "no survival", (SURVIVAL,), "", "write months and event (1 death, 0 end of follow-up) into {table}"
    ),
    "weeks": Need(
        "no number of weeks from treatment to the scan after",
        (),
        "the dynamics learn from it without knowing when",
        "write weeks into {table}, or import again with the column treatment_date in the clinical table",
    ),
    "phase": Need("no known contrast phase", (), "it is guessed from aorta and liver", "write phase into {table}"),
}  # fmt: skip
#: What is only asked of a patient who has a scan after treatment.
_OF_AFTER = ("labels_after", "registered", "weeks")


@dataclass(frozen=True)
class PatientCheck:
    """What one patient has and serves.

    Attributes:
        id: of the table.
        lacks: keys of `NEEDS`.
        serves: of `SERVES`; empty for a patient who is for judging only.
        judging: by whom results are judged; never trained on.
        problem: why a file cannot be read; "" if all can.
    """

    id: str
    lacks: tuple[str, ...]
    serves: tuple[str, ...]
    judging: bool = False
    problem: str = ""


@dataclass(frozen=True)
class CohortCheck:
    """What a cohort has and serves."""

    cohort: Cohort
    patients: tuple[PatientCheck, ...]

    def serving(self, part: str) -> list[str]:
        """Ids of the patients who serve a part."""
        return [one.id for one in self.patients if part in one.serves]

    def lacking(self, need: str) -> list[PatientCheck]:
        """The patients who lack something."""
        return [one for one in self.patients if need in one.lacks]

    def sentences(self) -> list[str]:
        """What is said of the cohort: of each part whom it can use, of each lack what follows, of the judged who."""
        whole = len(self.patients)
        said = [f"{_WORDS[part]}: {len(self.serving(part))} of {whole} patients" for part in SERVES]
        for name, need in NEEDS.items():
            without = self.lacking(name)
            if without:
                said.append(f"{len(without)} of {whole} have {need.word}{self._follows(need, without)}")
        if judged := [one.id for one in self.patients if one.judging]:
            said.append(f"{', '.join(judged)}: for judging only, never trained on")
        return said + [f"{one.id}: {one.problem}" for one in self.patients if one.problem]

    def _follows(self, need: Need, without: list[PatientCheck]) -> str:
        does = Counter(part for one in without for part in one.serves)
        serves = [_WORDS[p] for p in SERVES if does[p]]
        not_those = [_WORDS[p] for p in need.stops if not does[p]]
        text = ""
        if need.stops:
            they = "they serve " if len(without) > 1 else "it serves "
            text = ": " + (they + _joined(serves) if serves else they + "nothing")
            text += f", not {_joined(not_those, 'or')}" if serves and not_those else ""
        return text + (f"{'; ' if text else ': '}{need.follows}" if need.follows else "")

    def offers(self) -> list[str]:
        """What can be made, with the command that makes it, for the first patient of each kind."""
        told = []
        for name, need in NEEDS.items():
            if need.made_by and (without := self.lacking(name)):
                first = without[0].id
                made = need.made_by.format(**self._places(first))
                more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
                told.append(f"{need.word}, as {first}{more}: {made}")
        return told

    def _places(self, patient: str) -> dict[str, Path]:
        """Where a patient's files are, or would be."""
        folder = self.cohort.folder / patient
        found = {"folder": folder, "table": self.cohort.folder / TABLE}
        for key, name in (("pre", PRE), ("labels", PRE_LABELS), ("post", POST)):
            with contextlib.suppress(MeWMError):
                found[key] = self.cohort.file(patient, name) or folder / name
            found.setdefault(key, folder / name)
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "patients": len(self.patients),
            "serve": {part: self.serving(part) for part in SERVES},
            "lack": {name: [one.id for one in found] for name in NEEDS if (found := self.lacking(name))},
            "says": self.sentences(),
            "can_be_made": self.offers(),
            "each": [
                {
                    "id": one.id,
                    "lacks": list(one.lacks),
                    "serves": list(one.serves),
                    "judging": one.judging,
                    "problem": one.problem,
                }
                for one in self.patients
            ],
        }


def check_cohort(
    cohort: Cohort, images: bool = True, on_step: Callable[[str, float], None] | None = None
) -> CohortCheck:
    """Say what each patient has and what follows from it.

    Args:
        cohort: real, synthetic or imported.
        images: read scans and labels, so that what cannot be read and labels without tumour are found; otherwise files
            that are there count as good.
        on_step: called with the share that is done.
    """
    found = []
    for n, row in enumerate(cohort.rows):
        found.append(_checked(cohort, row, images))
        if on_step is not None:
            on_step("patients", (n + 1) / len(cohort.rows))
    return CohortCheck(cohort, tuple(found))


def _checked(cohort: Cohort, row: PatientRow, images: bool) -> PatientCheck:
    has, problem = dict.fromkeys(NEEDS, True), ""
    try:
        has |= _files(cohort, row, images)
    except MeWMError as error:
        problem = str(error)
        has |= dict.fromkeys(("scan_before", "liver", "tumour", "scan_after", "labels_after"), False)
    try:
        has["protocol"] = bool(row.protocol.strip()) and bool(Protocol.parse(row.protocol).agents)
    except MeWMError as error:
        has["protocol"], problem = False, f"{problem} {error}".strip()
    has["survival"] = row.months is not None and row.event is not None
    has["weeks"], has["phase"] = row.weeks is not None, row.phase != "unknown"
    has["registered"] = row.registered is True or cohort.synthetic
    if not has["scan_after"]:
        has |= dict.fromkeys(_OF_AFTER, True)
    lacks = tuple(name for name in NEEDS if not has[name])
    if not has["liver"]:  # that there is no tumour follows from it
        lacks = tuple(name for name in lacks if name != "tumour")
    judging = row.judging is True or is_judged(row.id, row.whose)
    stopped = {part for name in lacks for part in NEEDS[name].stops}
    serves = () if judging else tuple(part for part in SERVES if part not in stopped)
    return PatientCheck(row.id, lacks, serves, judging, problem)


def _files(cohort: Cohort, row: PatientRow, images: bool) -> Mapping[str, bool]:
    """Which files are there; with `images`, whether they can be read and what the labels hold."""
    paths = {name: cohort.file(row.id, name) for name in (PRE, PRE_LABELS, POST, POST_LABELS)}
    there = {name: path is not None and path.is_file() for name, path in paths.items()}
    before = there[PRE_LABELS]
    liver = tumour = before
    if images:
        outlines: dict[str, LabelMap] = {}
        for scan, labels in ((PRE, PRE_LABELS), (POST, POST_LABELS)):
            path, known = paths[scan], paths[labels]
            if path is not None and there[scan]:
                geometry = read_volume(path).geometry
                if known is not None and there[labels]:
                    outlines[labels] = read_labels(known, geometry, tumour_alone=True)
        if PRE_LABELS in outlines:
            liver, tumour = bool(outlines[PRE_LABELS].liver.any()), bool(outlines[PRE_LABELS].tumour.any())
    return {
        "scan_before": there[PRE],
        "liver": liver,
        "tumour": tumour,
        "scan_after": there[POST],
        "labels_after": there[POST_LABELS],
    }


def _joined(words: list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""
