"""What a server allows."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil

from MeWMLib.core.errors import InputError
from MeWMLib.jobs.runner import GRACE_S


def _share_of_memory() -> int:
    return int(0.8 * psutil.virtual_memory().total)


@dataclass(frozen=True)
class Limits:
    """What a server allows.

    Attributes:
        max_jobs: jobs at a time; each has a worker, and on a computer with several graphics cards a card.
        max_queued: jobs that wait; 0 refuses what cannot be begun at once.
        max_per_user: jobs of one user that wait or are at work.
        max_running_per_user: jobs of one user at a time; 0 for all.
        max_uploads_per_user: jobs of one user that are being sent at a time.
        max_upload_bytes: size of all files of a job together, as they are sent.
        max_voxel_bytes: size of one file, unpacked.
        worker_memory_bytes: memory of one worker; by default all workers together may have 80 %.
        job_s: seconds of one job.
        retention_s: seconds after its end that a job's data are kept.
        keep_bytes: data of ended jobs together; the oldest go first.
        spare_bytes: of the disk, which no upload may take.
        header_s, quiet_s, body_s: deadlines in seconds for the header of a request, between two pieces of its body, and
            for the whole body.
        upload_quiet_s: an upload that nobody has gone on with for so long is removed.
        connections_per_address, connections: at a time.
        grace_s: seconds between a cancel and the end of the worker.
    """

    max_jobs: int = 1
    max_queued: int = 1000
    max_per_user: int = 200
    max_running_per_user: int = 0
    max_uploads_per_user: int = 16
    max_upload_bytes: int = 4 * 1024**3
    max_voxel_bytes: int = 2 * 1024**3
    worker_memory_bytes: int = 0
    job_s: float = 24 * 3600.0
    retention_s: float = 24 * 3600.0
    keep_bytes: int = 100 * 1024**3
    spare_bytes: int = 1024**3
    header_s: float = 15.0
    quiet_s: float = 30.0
    body_s: float = 3600.0
    upload_quiet_s: float = 900.0
    connections_per_address: int = 64
    connections: int = 1000
    grace_s: float = GRACE_S
    _may_be_0: tuple[str, ...] = field(
        default=("max_queued", "max_running_per_user", "worker_memory_bytes", "spare_bytes"), repr=False, init=False
    )

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "_may_be_0" and (value < 0 or (value == 0 and name not in self._may_be_0)):
                raise InputError(what=f"{name} must be above 0", given=str(value))
        if not self.worker_memory_bytes:
            object.__setattr__(self, "worker_memory_bytes", _share_of_memory() // self.max_jobs)
        if not self.max_running_per_user:
            object.__setattr__(self, "max_running_per_user", self.max_jobs)
