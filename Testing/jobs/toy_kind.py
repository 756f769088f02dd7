"""A kind of job by one entry in one file: it counts the bright voxels of a CT. Run as a script it is its worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from MeWMLib.jobs import worker
from MeWMLib.jobs.table import KINDS, Input, JobKind, Output
from MeWMLib.jobs.task import Task


def count(task: Task) -> dict[str, Any]:
    """Count the voxels of the CT above a threshold."""
    case = task.read()
    with task.report.stage("count"):
        found = int((case.ct.array > float(task.job.inputs["above"])).sum())
        Path(task.job.out or "").write_text(f"{found}\n", encoding="utf-8")
    return {"case": case.name, "voxels": found}


KINDS["count"] = JobKind(
    "count",
    title="Counting voxels",
    help="count the bright voxels of a CT",
    example="mewm count ct.nrrd --above 60 --out count.txt",
    inputs=(
        Input("case", "a CT file", "ct", "CASE", required=True),
        Input("above", "threshold in HU", metavar="HU", required=True),
        Input("secret", "what a server may not know", stays="private"),
    ),
    run=f"{__name__}:count",
    output=Output("count", "text file to write", (".txt",)),
    stages={"count": "Count"},
)

if __name__ == "__main__":
    sys.exit(worker.main())
