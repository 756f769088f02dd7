"""The store of jobs: one SQLite file (WAL) that survives every process, for a server and for the user's own computer.

It knows nothing of a patient: what a job is about lies in the job's folder alone. Each folder carries a mark, a copy of
its row, so that a damaged store is made anew from the folders and nothing that was accepted is lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError, OutputError, output_error
from MeWMLib.core.private_files import private
from MeWMLib.core.records import parse_json

#: In every folder that MeWM made for a job; nothing without it is ever removed.
MARK = ".mewm-job"
FILE = "jobs.sqlite"
#: A job is being sent, waits, is at work, has ended in one of three ways, or is to be removed.
UPLOADING, QUEUED, RUNNING, DONE, FAILED, CANCELLED, REMOVING = (
    "uploading", "queued", "running", "done", "failed", "cancelled", "removing",
)  # fmt: skip
ENDED = (DONE, FAILED, CANCELLED)
STATES = (UPLOADING, QUEUED, RUNNING, *ENDED, REMOVING)
INTERACTIVE, COHORT = 0, 1


@dataclass(frozen=True)
class Row:
    """One job, without anything of the patient.

    Attributes:
        id: cannot be guessed; the client knows the job by it.
        folder: name of its folder, which is not the id.
        owner: name of the user's token; on the user's own computer "".
        key: chosen by the client, so that a request that is repeated makes no second job.
        kind: of job.
        state: one of `STATES`.
        priority: `INTERACTIVE` or `COHORT`.
        sequence: order of arrival.
        created, queued, started, ended: seconds since 1970; 0 where it has not happened.
        kept_s: seconds since the end, counted while the server runs: no jump of the clock removes anything.
        attempts: times that a worker has begun with it.
        size: bytes that were sent.
        outcome: type of the error that ended it, or "".
        slot: of the worker that has its folder, or -1.
        place: address of the server that it runs on, for the records of a client; "" for this computer.
        far_id: its id there.
        pid, pid_at: process that owns it, and when that process was started.
    """

    id: str
    folder: str
    owner: str = ""
    key: str = ""
    kind: str = ""
    state: str = UPLOADING
    priority: int = INTERACTIVE
    sequence: int = 0
    created: float = 0.0
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    kept_s: float = 0.0
    attempts: int = 0
    size: int = 0
    outcome: str = ""
    slot: int = -1
    place: str = ""
    far_id: str = ""
    pid: int = 0
    pid_at: float = 0.0

    @classmethod
    def new(cls, **known: Any) -> Row:
        """A row with an id and a folder of its own."""
        return cls(id=secrets.token_hex(20), folder=secrets.token_hex(16), created=time.time(), **known)


_MALFORMED = "malformed"
_TYPES = {"str": "TEXT", "int": "INTEGER", "float": "REAL"}
_COLUMNS = {field.name: _TYPES[str(field.type)] for field in fields(Row)}


class Store:
    """The rows of all jobs; its methods may be called from any thread.

    Args:
        root: folder of the store; the folders of jobs lie in `root/jobs`.

    Attributes:
        damaged: the file was damaged and made anew.
        rebuilt: number of jobs that were then found by their folders.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.jobs = root, root / "jobs"
        self.rebuilt, self.damaged = 0, False
        #: Counts changes: who has seen this number need not ask again.
        self.version = 0
        self._lock = threading.RLock()
        try:
            self.jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = self._opened()
        except OSError as error:
            raise output_error(error, root) from error

    def _opened(self) -> sqlite3.Connection:
        path = self.root / FILE
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and _MALFORMED not in str(error):
                raise OutputError(what=f"The store of jobs cannot be used ({error})", given=str(path)) from error
        # it stays, for who wants to know what happened; the folders tell what was in it
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                part = path.with_name(path.name + ending)
                part.replace(path.with_name(f"{path.name}.damaged{ending}"))
        database = _connect(path)
        self.damaged = True
        for row in marked(self.jobs.glob("*")):
            _insert(database, row)
            self.rebuilt += 1
        return database

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            self._database.close()

    def add(self, row: Row) -> Row:
        """Keep a new job and make its folder; a key that the owner has used before gives the row of that time.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            if row.key and (found := self.find(owner=row.owner, key=row.key)):
                return found[0]
            top = self._database.execute("SELECT COALESCE(MAX(sequence), 0) + 1 FROM jobs").fetchone()[0]
            row = replace(row, sequence=int(top))
            try:
                (self.jobs / row.folder).mkdir(mode=0o700)
                _write_mark(self.jobs / row.folder, row)
                with self._guard():
                    _insert(self._database, row)
            except OSError as error:
                raise output_error(error, self.jobs) from error
            return row

    def adopt(self, row: Row) -> Row:
        """Keep the row of a folder that was found elsewhere."""
        with self._lock, self._guard():
            _insert(self._database, row)
            self.rebuilt += 1
        return row

    def get(self, job_id: str) -> Row | None:
        """The job of an id, or None."""
        found = self.find(id=job_id)
        return found[0] if found else None

    def find(self, *, states: Sequence[str] = (), **known: Any) -> list[Row]:
        """Jobs in the order of arrival.

        Args:
            states: in one of these; all where none is given.
            **known: fields and their values.
        """
        where, values = _where(states, known)
        text = f"SELECT {', '.join(_COLUMNS)} FROM jobs{where} ORDER BY sequence"
        with self._lock, self._guard():
            rows = self._database.execute(text, values).fetchall()
        return [Row(*row) for row in rows]

    def count(self, *, states: Sequence[str] = (), **known: Any) -> int:
        """How many `find` would find."""
        where, values = _where(states, known)
        with self._lock, self._guard():
            found: int = self._database.execute(f"SELECT COUNT(*) FROM jobs{where}", values).fetchone()[0]
        return found

    def change(self, job_id: str, **news: Any) -> Row | None:
        """Change fields of a job; returns the new row, None if it is gone.

        Args:
            job_id: of the job.
            **news: fields and their new values.
        """
        with self._lock, self._guard():
            names = ", ".join(f"{name} = ?" for name in news)
            # what a user was told must outlive a power cut; the rest is found again from the folders
            promised = news.get("state") in (QUEUED, *ENDED)
            self._database.execute(f"PRAGMA synchronous = {'FULL' if promised else 'NORMAL'}")
            self._database.execute(f"UPDATE jobs SET {names} WHERE id = ?", (*news.values(), job_id))
            self._database.commit()
            self.version += 1
            row = self.get(job_id)
            if row is not None:
                # the row counts; the copy is for the day on which the store is damaged
                with contextlib.suppress(OSError):
                    _write_mark(self.jobs / row.folder, row)
            return row

    def age(self, seconds: float) -> None:
        """Let time pass for jobs that have ended."""
        with self._lock, self._guard():
            listed = ", ".join("?" * len(ENDED))
            self._database.execute(f"UPDATE jobs SET kept_s = kept_s + ? WHERE state IN ({listed})", (seconds, *ENDED))
            self._database.commit()

    def forget(self, job_id: str) -> None:
        """Remove the row of a job whose folder is gone."""
        with self._lock, self._guard():
            self._database.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            self._database.commit()
            self.version += 1

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.rollback()
            raise OutputError(
                what=f"The store of jobs cannot be written ({error})", given=str(self.root / FILE), remedy="Free space"
            ) from error


def _where(states: Sequence[str], known: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The condition of a question to the store, and its values."""
    wanted = [f"{name} = ?" for name in known]
    if states:
        wanted.append(f"state IN ({', '.join('?' * len(states))})")
    return (f" WHERE {' AND '.join(wanted)}" if wanted else ""), (*known.values(), *states)


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, timeout=30.0, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError(_MALFORMED)
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in _COLUMNS.items())
        database.execute(f"CREATE TABLE IF NOT EXISTS jobs ({columns}, PRIMARY KEY (id))")
        known = {row[1] for row in database.execute("PRAGMA table_info(jobs)")}
        for name in set(_COLUMNS) - known:  # a store of an older version
            default = "''" if _COLUMNS[name] == "TEXT" else "0"
            database.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_COLUMNS[name]} NOT NULL DEFAULT {default}")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _insert(database: sqlite3.Connection, row: Row) -> None:
    names = ", ".join(_COLUMNS)
    database.execute(
        f"INSERT INTO jobs ({names}) VALUES ({', '.join('?' * len(_COLUMNS))})", tuple(asdict(row).values())
    )
    database.commit()


def _write_mark(folder: Path, row: Row) -> None:
    temporary = folder / f"{MARK}.new"
    with private(temporary, "w") as stream:
        stream.write(json.dumps(asdict(row)))
    temporary.replace(folder / MARK)


def marked(folders: Iterator[Path]) -> list[Row]:
    """The rows of those folders that carry MeWM's mark, in the order of arrival."""
    found = []
    for folder in folders:
        with contextlib.suppress(OSError, InputError, TypeError):
            row = Row(**parse_json((folder / MARK).read_bytes(), require={"id": str, "folder": str, "state": str}))
            if row.folder == folder.name and row.state in STATES:
                found.append(row)
    return sorted(found, key=lambda row: row.sequence)


def emptied(folder: Path, stays: Callable[[Path], bool] = lambda _: False) -> None:
    """Remove everything in a folder of ours, links themselves and not what they lead to, but for what `stays`."""
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            if stays(path):
                continue
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def removed(folder: Path) -> bool:
    """Remove a folder of a job; True once nothing of it is left.

    Raises:
        OutputError: it does not carry MeWM's mark.
    """
    if not folder.exists():
        return True
    if not (folder / MARK).is_file():
        raise OutputError(what="A folder without MeWM's mark is not removed", given=str(folder))
    # the mark goes last: what could not be removed is still known as ours, and tried again
    try:
        emptied(folder, lambda path: path.name == MARK)
        if any(path.name != MARK for path in folder.iterdir()):
            return False
    except OSError:
        return False
    remove_tree(folder)
    return not folder.exists()


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours with everything in it, as far as that can be done; no link is followed.

    A folder whose owner may not write to it is no obstacle: that owner is us.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and not folder.is_symlink():
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
        for base, folders, _names in os.walk(folder):
            for path in (Path(base) / name for name in folders):
                with contextlib.suppress(OSError):
                    if not path.is_symlink():
                        path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
