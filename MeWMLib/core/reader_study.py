"""A reader study on disk: what its readers are given (never the solution), and what they answer.

A study's folder holds `study.json`, a page for each session and the cases as images; the key is elsewhere.
Answers come as JSON with every click, from the page or from Slicer's panel, or as a table, which has no clicks.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError, StudyError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.io import write_json
from MeWMLib.core.marks import provenance_of
from MeWMLib.core.records import from_plain, read_json, record_to_plain
from MeWMLib.core.tables import read_csv
from MeWMLib.core.volume import Volume

FORMAT, ANSWERS_FORMAT = "mewm-study/1", "mewm-study-answers/1"
STUDY, CASES = "study.json", "cases"
REAL, SIMULATED = "real", "simulated"
#: 1 is a guess, 5 is certain.
CONFIDENCES = (1, 2, 3, 4, 5)
#: On every frame of a study, real and simulated alike.
NOTICE = "READER STUDY: may be simulated, research use only"
#: Columns of answers as a table; `answers.csv` of the page has them.
COLUMNS = ("study", "session", "reader", "case", "answer", "confidence", "seconds", "at")
_REMEDY = "Give the folder that `mewm study make` wrote"
_AGAIN = "Give the file that the study's page or Slicer's panel saved, as it was saved"


@dataclass(frozen=True)
class Study:
    """What the readers are given.

    Attributes:
        id: of the study; answers repeat it.
        title: for people.
        shape: voxels (k, j, i) of every case.
        spacing_mm: (k, j, i), of every case.
        readers: their codes.
        sessions: names of the cases that are read at one sitting.
        orders: reader to the order of the cases, for every session.
        images_sha256: case to the checksum of its image.
    """

    id: str
    title: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    readers: tuple[str, ...]
    sessions: tuple[tuple[str, ...], ...]
    orders: dict[str, tuple[tuple[str, ...], ...]]
    images_sha256: dict[str, str]

    def __post_init__(self) -> None:
        names = self.cases
        # they become names of files
        if odd := [name for name in (self.id, *self.readers, *names) if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)]:
            raise StudyError(what="Names in a study consist of letters, digits, - and _", given=repr(odd[0])[:80])
        if not names or len(set(names)) < len(names):
            raise StudyError(what="A study needs cases, each of them once", given=f"{len(names)} cases")
        if not self.readers or set(self.orders) != set(self.readers):
            raise StudyError(what="A study needs an order of the cases for each reader", given=", ".join(self.orders))
        for reader, order in self.orders.items():
            if [sorted(session) for session in order] != [sorted(session) for session in self.sessions]:
                raise StudyError(what="The order of a reader does not hold the cases of the sessions", given=reader)
        if set(self.images_sha256) != set(names):
            raise StudyError(what="A study needs an image for each case", given=f"{len(self.images_sha256)} images")

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of all cases."""
        return tuple(name for session in self.sessions for name in session)

    def order(self, reader: str, session: int) -> tuple[str, ...]:
        """The cases of a session (from 1) as a reader sees them.

        Raises:
            StudyError: no such reader, or no such session.
        """
        if reader not in self.orders:
            raise StudyError(
                what="The study has no such reader", given=reader, remedy="Use one of " + ", ".join(self.readers)
            )
        if not 1 <= session <= len(self.sessions):
            raise StudyError(what="The study has no such session", given=f"{session} of {len(self.sessions)}")
        return self.orders[reader][session - 1]


@dataclass(frozen=True)
class StudyAnswer:
    """What a reader says of a case.

    Attributes:
        case: its name.
        answer: `REAL` or `SIMULATED`.
        confidence: one of `CONFIDENCES`.
        seconds: for which the case was looked at, without pauses.
        at: when it was answered, ISO 8601.
    """

    case: str
    answer: str
    confidence: int
    seconds: float
    at: str = ""

    def __post_init__(self) -> None:
        if self.answer not in (REAL, SIMULATED):
            raise StudyError(
                what="An answer is real or simulated", given=f"{self.case}: {self.answer!r:.40}", remedy=_AGAIN
            )
        if self.confidence not in CONFIDENCES:
            raise StudyError(what="A confidence is 1 to 5", given=f"{self.case}: {self.confidence}", remedy=_AGAIN)
        if not self.seconds >= 0:
            raise StudyError(what="A time cannot be negative", given=f"{self.case}: {self.seconds}", remedy=_AGAIN)

    @property
    def rating(self) -> int:
        """How sure the reader is that the case is real: -5 (certainly simulated) to 5 (certainly real), never 0."""
        return self.confidence if self.answer == REAL else -self.confidence


@dataclass(frozen=True)
class StudyEvent:
    """One thing that a reader did: when (ISO 8601, UTC), what, at which case ("" outside of one), and with what."""

    at: str
    what: str
    case: str = ""
    detail: str = ""


@dataclass(frozen=True)
class StudyAnswers:
    """The answers of one reader in one session.

    Attributes:
        study: id of the study.
        session: from 1; 0 in a table that holds several.
        reader: code of the reader.
        answers: one a case, in the order in which they were given.
        events: every click, or () in a table.
        source: "page", "slicer" or "table".
    """

    study: str
    session: int
    reader: str
    answers: tuple[StudyAnswer, ...] = ()
    events: tuple[StudyEvent, ...] = ()
    source: str = "table"

    def with_event(self, what: str, case: str = "", detail: str = "") -> StudyAnswers:
        """The same with one more event, now."""
        return replace(self, events=(*self.events, StudyEvent(now(), what, case, detail)))

    def with_answer(self, answer: StudyAnswer) -> StudyAnswers:
        """The same with one more answer, and its event.

        Raises:
            StudyError: the case was answered before; an answer is final.
        """
        if any(one.case == answer.case for one in self.answers):
            raise StudyError(what="The case was answered before", given=answer.case, remedy="Go on with the next one")
        told = self.with_event("answered", answer.case, f"{answer.answer} {answer.confidence}")
        return replace(told, answers=(*told.answers, answer))

    def left(self, study: Study) -> tuple[str, ...]:
        """The cases that are still to be answered, in the reader's order."""
        known = {one.case for one in self.answers}
        return tuple(name for name in study.order(self.reader, self.session) if name not in known)


def now() -> str:
    """This moment in UTC, as ISO 8601 with milliseconds."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def read_study(folder: Path) -> Study:
    """Read `study.json`.

    Raises:
        StudyError: there is none, it is of another format, or it contradicts itself.
    """
    path = Path(folder) / STUDY
    plain: dict[str, Any] = read_json(path, "The study", StudyError, _REMEDY, require={"format": str})
    if plain.pop("format") != FORMAT:
        raise StudyError(what="The study is of another format", given=str(path), remedy=f"Give {FORMAT}")
    return from_plain(Study, plain, "the study", StudyError, _REMEDY)


def write_study(study: Study, folder: Path) -> None:
    """Write `study.json`.

    Raises:
        OutputError: it cannot be written.
    """
    write_json({"format": FORMAT, **record_to_plain(study)}, Path(folder) / STUDY)


def case_file(folder: Path, case: str) -> Path:
    """Where the image of a case lies."""
    return Path(folder) / CASES / f"{case}.nrrd"


def read_case(folder: Path, study: Study, case: str) -> Volume:
    """Read the image of a case.

    Raises:
        StudyError: it is missing, or is not as it was written.
    """
    path = case_file(folder, case)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StudyError(what="An image of the study is missing", given=str(path), remedy=_REMEDY) from error
    if hashlib.sha256(content).hexdigest() != study.images_sha256.get(case):
        raise StudyError(what="An image of the study is not as it was written", given=str(path), remedy=_REMEDY)
    # not as a CT is read: a small box may hold liver alone, and no fat by which a CT is known
    file = read_image_file(path)
    return Volume(file.array, file.geometry, simulated=provenance_of(file.metadata))


def write_answers(answers: StudyAnswers, path: Path) -> None:
    """Write answers as JSON, with every click.

    Raises:
        OutputError: the file cannot be written.
    """
    write_json({"format": ANSWERS_FORMAT, **record_to_plain(answers)}, path)


def read_answers(path: Path, study: Study) -> list[StudyAnswers]:
    """Read a file of answers: JSON of the page or the panel (one reader, one session), or a table (any number).

    Args:
        path: `.json`, or a CSV with `COLUMNS`.
        study: what the answers belong to.

    Raises:
        UnreadableFileError: the file cannot be read.
        StudyError: it belongs to another study, names an unknown reader or case, answers a case twice, or its answers
            are not those of its own clicks.
    """
    path = Path(path)
    found = _read_json(path) if path.suffix.lower() == ".json" else _read_table(path)
    for one in found:
        _check(one, study, path)
    return found


def _read_json(path: Path) -> list[StudyAnswers]:
    plain: dict[str, Any] = read_json(path, "The answers", UnreadableFileError, _AGAIN, require={"format": str})
    if plain.pop("format") != ANSWERS_FORMAT:
        raise StudyError(what="The answers are of another format", given=str(path), remedy=f"Give {ANSWERS_FORMAT}")
    return [from_plain(StudyAnswers, plain, "the file of answers", StudyError, _AGAIN)]


def _read_table(path: Path) -> list[StudyAnswers]:
    table = read_csv(path, "The table of answers", StudyError)
    needed = [name for name in COLUMNS if name not in ("session", "at")]
    table.require(needed, "The table of answers lacks columns", "Give " + ", ".join(needed))
    readers: dict[tuple[str, str], list[StudyAnswer]] = {}
    for row in table.rows():
        numbers = {name: row.number(name) for name in ("confidence", "seconds")}
        missing = [name for name, value in numbers.items() if value is None]
        if missing or numbers["confidence"] != int(numbers["confidence"] or 0):
            raise row.wrong(
                what="An answer needs a confidence (1 to 5) and its seconds", name=(missing or ["confidence"])[0]
            )
        answer = StudyAnswer(
            row.text("case"), row.text("answer"), int(numbers["confidence"] or 0), numbers["seconds"] or 0.0,
            row.text("at"),
        )  # fmt: skip
        readers.setdefault((row.text("study"), row.text("reader")), []).append(answer)
    return [StudyAnswers(study, 0, reader, tuple(answers)) for (study, reader), answers in readers.items()]


def _check(one: StudyAnswers, study: Study, path: Path) -> None:
    if one.study != study.id:
        raise StudyError(
            what="The answers belong to another study", given=f"{path}: {one.study}, not {study.id}", remedy=_AGAIN
        )
    allowed = set(study.cases) if one.session == 0 else set(study.order(one.reader, one.session))
    study.order(one.reader, 1)
    seen: set[str] = set()
    for answer in one.answers:
        if answer.case not in allowed:
            raise StudyError(what="An answer names a case that is not in it", given=f"{path}: {answer.case}")
        if answer.case in seen:
            raise StudyError(what="A case is answered twice", given=f"{path}: {answer.case}", remedy=_AGAIN)
        seen.add(answer.case)
    if one.source != "table":
        clicked = {event.case: event.detail for event in one.events if event.what == "answered"}
        if clicked != {answer.case: f"{answer.answer} {answer.confidence}" for answer in one.answers}:
            raise StudyError(
                what="The answers are not those of the clicks in the same file", given=str(path), remedy=_AGAIN
            )


def joined(parts: Sequence[StudyAnswers]) -> Mapping[str, dict[str, StudyAnswer]]:
    """Reader to case to answer, of several files; a file that was saved twice counts once.

    Raises:
        StudyError: two files answer one case of one reader differently, or none holds an answer.
    """
    found: dict[str, dict[str, StudyAnswer]] = {}
    for part in parts:
        own = found.setdefault(part.reader, {})
        for answer in part.answers:
            known = own.setdefault(answer.case, answer)
            if (known.answer, known.confidence) != (answer.answer, answer.confidence):
                raise StudyError(
                    what="Two files answer one case differently",
                    given=f"reader {part.reader}, case {answer.case}",
                    remedy="Give the file that counts, alone",
                )
    if not any(found.values()):
        raise InputError(what="No case was answered", remedy="Give files that hold answers")
    return {reader: answers for reader, answers in found.items() if answers}
