"""`mewm study simulate`: every patient of a cohort under the protocol that was given, for a study of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.cohorts.layout import PRE, PRE_LABELS, Cohort, PatientRow, image_of
from MeWMLib.core.errors import StudyError
from MeWMLib.core.plan_folder import PLAN
from MeWMLib.jobs.job import Job
from MeWMLib.lab.cohort_plans.engines import Engine, InProcessEngine
from MeWMLib.lab.program import Tell

#: Days of a week.
_WEEK = 7.0


@dataclass(frozen=True)
class Simulated:
    """Patients who were simulated, and those who were not, with the reason."""

    done: tuple[str, ...]
    left_out: dict[str, str]


def jobs_of(cohort: Cohort, out: Path, protocol: str, template: Job) -> tuple[list[tuple[str, Job]], dict[str, str]]:
    """One job a patient, and why others have none.

    Args:
        cohort: the patients.
        out: a folder for each goes there.
        protocol: of those of whom it is not known what was given; "" leaves them out.
        template: seed, device, bundle and settings of all jobs.
    """
    jobs, left_out = [], {}
    for row in cohort.rows:
        text = row.protocol or protocol
        scan, labels = (image_of(cohort.folder / row.id, name) for name in (PRE, PRE_LABELS))
        if not text:
            left_out[row.id] = "it is not known what was given (--protocol names one for all of these)"
        elif scan is None or labels is None:
            left_out[row.id] = f"no {PRE if scan is None else PRE_LABELS}"
        elif not (out / row.id / PLAN).is_file():
            inputs = {
                "case": str(scan.absolute()),
                "labels": str(labels.absolute()),
                "protocol": text,
                "target": "largest",
                "segment": False,
                # what was given was given, whatever the rules and the questions say
                "allow_forbidden": True,
                "accept_labels": True,
            }
            settings = {**template.settings, **_weeks(row)}
            job = Job(
                template.kind, inputs, str(out / row.id), template.seed, template.device, template.bundle, settings
            )
            jobs.append((row.id, job))
    return jobs, left_out


def _weeks(row: PatientRow) -> Mapping[str, Any]:
    """The time to the scan after, where it is known: the picture is that of the same day."""
    return {} if row.interval_days is None else {"weeks": row.interval_days / _WEEK}


def simulate_cohort(
    folder: Path,
    out: Path,
    protocol: str = "",
    template: Job | None = None,
    engine: Engine | None = None,
    tell: Tell = lambda stage, share: None,
) -> Simulated:
    """Simulate every patient; one who was simulated before is not simulated again, one who fails stops no other.

    Args:
        folder: of the cohort.
        out: folder of the plans: a method of `mewm study make --simulated NAME=OUT`.
        protocol: see `jobs_of`.
        template: see `jobs_of`.
        engine: what runs the jobs.
        tell: progress.

    Raises:
        CohortError: no finished cohort.
        StudyError: nobody was simulated, now or before.
    """
    cohort = Cohort.read(folder)
    jobs, left_out = jobs_of(cohort, out.absolute(), protocol, template or Job("simulate", {}, None))
    for n, answer in enumerate((engine or InProcessEngine()).run(jobs, lambda name, event: None, lambda: False)):
        tell(f"simulate, {answer.name}", n / len(jobs))
        if answer.error is not None:
            left_out[answer.name] = str(answer.error)
    done = _done(cohort.rows, out, left_out)
    if not done:
        raise StudyError(
            what="Nobody of the cohort was simulated",
            given="; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:3]),
            remedy="Give a cohort with labels before treatment and protocols, or --protocol",
        )
    return Simulated(done, left_out)


def _done(rows: Sequence[PatientRow], out: Path, left_out: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row.id for row in rows if row.id not in left_out and (out / row.id / PLAN).is_file())
