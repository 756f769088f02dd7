"""What a server tells who runs it: measures for Prometheus, a structured log, and the audit log.

None of them holds anything of a patient: no goal, no name of a file, no id by which a job could be reached.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

#: What each measure says; a name that is not here is a mistake in the program.
MEASURES = {
    "mewm_jobs_submitted_total": "jobs that were put into the queue",
    "mewm_jobs_ended_total": "jobs that have ended, by how",
    "mewm_worker_deaths_total": "workers that died while a job was at work",
    "mewm_removals_failed_total": "removals of data that did not succeed and are tried again",
    "mewm_requests_refused_total": "requests that were refused before they were read, by reason",
    "mewm_job_seconds": "seconds from begin to end of a job",
    "mewm_job_wait_seconds": "seconds that a job waited in the queue",
    "mewm_stage_seconds": "seconds of each stage of a job",
}
#: Upper ends of the buckets of durations (seconds).
_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
_AUDIT_BYTES, _AUDIT_FILES = 10 * 1024**2, 10
_Key = tuple[str, tuple[tuple[str, str], ...]]


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A file that is rotated and that only its owner reads."""

    def _open(self) -> Any:
        stream = super()._open()
        if hasattr(os, "fchmod"):
            os.fchmod(stream.fileno(), 0o600)
        return stream


class Notes:
    """Counts, logs and the audit of one server; its methods may be called from any thread.

    Args:
        audit: file of the audit log; None for none.
        as_json: the log is one JSON object a line.
    """

    def __init__(self, audit: Path | None = None, as_json: bool = False) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Key, float] = {}
        self._durations: dict[_Key, list[float]] = {}
        self._as_json = as_json
        self._audit: logging.Logger | None = None
        if audit is not None:
            self._audit = logging.Logger("mewm.audit")
            self._audit.addHandler(
                _PrivateFile(audit, maxBytes=_AUDIT_BYTES, backupCount=_AUDIT_FILES, encoding="utf-8")
            )

    def close(self) -> None:
        """Close the audit log."""
        for handler in self._audit.handlers if self._audit is not None else ():
            handler.close()

    def count(self, name: str, **labels: str) -> None:
        """Add one."""
        with self._lock:
            key = _key(name, labels)
            self._counts[key] = self._counts.get(key, 0.0) + 1.0

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Note a duration."""
        with self._lock:
            row = self._durations.setdefault(_key(name, labels), [0.0] * (len(_BUCKETS) + 2))
            for n, end in enumerate(_BUCKETS):
                row[n] += seconds <= end
            row[-2] += seconds
            row[-1] += 1

    def audit(self, what: str, who: str, **more: Any) -> None:
        """Write down who did what; `more` holds kinds, sizes and outcomes alone."""
        if self._audit is not None:
            self._audit.info(json.dumps({"time": _now(), "what": what, "who": who, **more}))

    def log(self, level: str, message: str, **more: Any) -> None:
        """Say something to who runs the server, on standard error."""
        if self._as_json:
            text = json.dumps({"time": _now(), "level": level, "message": message, **more})
        else:
            text = " ".join((_now(), level, message, *(f"{key}={value}" for key, value in more.items())))
        with self._lock:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def exposition(self, gauges: dict[str, tuple[str, float]]) -> str:
        """All measures in the text format of Prometheus.

        Args:
            gauges: further values of this moment, by name with what each says.
        """
        lines: list[str] = []
        with self._lock:
            counts, durations = dict(self._counts), {key: list(row) for key, row in self._durations.items()}
        for name, (text, value) in gauges.items():
            lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge", f"{name} {value:g}"]
        for name, text in MEASURES.items():
            if name.endswith("_total"):
                lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
                lines += [
                    f"{name}{_labels(labels)} {n:g}" for (one, labels), n in sorted(counts.items()) if one == name
                ]
                continue
            lines += [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
            for (one, labels), row in sorted(durations.items()):
                if one == name:
                    for end, n in zip((*_BUCKETS, float("inf")), (*row[:-2], row[-1]), strict=True):
                        le = "+Inf" if end == float("inf") else f"{end:g}"
                        lines.append(f"{name}_bucket{_labels((*labels, ('le', le)))} {n:g}")
                    lines += [f"{name}_sum{_labels(labels)} {row[-2]:g}", f"{name}_count{_labels(labels)} {row[-1]:g}"]
        return "\n".join((*lines, ""))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _key(name: str, labels: dict[str, str]) -> _Key:
    assert name in MEASURES
    return name, tuple(sorted(labels.items()))


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else ""
