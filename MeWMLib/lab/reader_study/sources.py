"""Where the scans of a reader study come from: a table, cohorts, folders of plans; and who is drawn into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MeWMLib.cohorts.layout import MANIFEST, POST, POST_LABELS, Cohort, image_of
from MeWMLib.core.errors import StudyError
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.core.reader_study import REAL
from MeWMLib.core.tables import read_csv


@dataclass(frozen=True)
class Source:
    """A scan that may be drawn into the study.

    Attributes:
        method: `REAL`, or the name of what simulated it.
        patient: opaque; a group holds a patient twice only where there is no other.
        ct, labels: files; the labels hold the tumour around which the picture is cut.
    """

    method: str
    patient: str
    ct: Path
    labels: Path


@dataclass(frozen=True)
class Group:
    """The real and simulated scans by which one method is judged.

    Attributes:
        method: its name.
        real, simulated: as many of either.
        both_sides: patients of whom a real and a simulated scan are in it.
    """

    method: str
    real: tuple[Source, ...]
    simulated: tuple[Source, ...]

    @property
    def both_sides(self) -> tuple[str, ...]:
        """Patients who are on both sides."""
        return tuple(sorted({one.patient for one in self.real} & {one.patient for one in self.simulated}))


def from_table(path: Path) -> list[Source]:
    """Read a CSV with the columns method (`real`, or a name), patient, ct, labels; paths are relative to the file.

    Raises:
        UnreadableFileError: the table cannot be read.
        StudyError: a column, a cell or a file is missing.
    """
    table = read_csv(path, "The table of scans", StudyError)
    table.require(("method", "patient", "ct", "labels"), "The table of scans lacks columns", "Add them")
    found = []
    for row in table.rows():
        cells = {name: row.text(name) for name in ("method", "patient", "ct", "labels")}
        for name, cell in cells.items():
            if not cell:
                raise row.wrong(what=f"A scan needs its {name}", name=name)
        files = [path.parent / Path(cells[name]).expanduser() for name in ("ct", "labels")]
        for name, file in zip(("ct", "labels"), files, strict=True):
            if not file.exists():
                raise row.wrong(what="A file of the table is not there", name=name)
        found.append(Source(cells["method"], cells["patient"], *files))
    return found


def from_cohort(folder: Path, method: str = REAL) -> list[Source]:
    """The scans after treatment of a cohort (docs/COHORTS.md) that have labels with them.

    Raises:
        CohortError: no finished cohort.
        StudyError: nobody in it has a scan after treatment with labels.
    """
    cohort = Cohort.read(folder)
    after = {row.id: folder / row.id for row in cohort.rows if row.has_after is not False}
    pairs = [(name, image_of(path, POST), image_of(path, POST_LABELS)) for name, path in after.items()]
    found = [Source(method, name, scan, labels) for name, scan, labels in pairs if scan and labels]
    if not found:
        raise StudyError(
            what="Nobody in the cohort has a scan after treatment with labels",
            given=str(folder),
            remedy=f"Add {POST_LABELS} (`mewm segment`), or give a table of scans with --scans",
        )
    return found


def from_plans(folder: Path, method: str) -> list[Source]:
    """The best simulated volume of every plan in a folder (of `mewm plan-cohort`), or of one plan folder.

    Raises:
        StudyError: there is none with a simulated volume.
        UnreadableFileError: a plan is not as it was written.
    """
    if (folder / MANIFEST).is_file():
        return from_cohort(folder, method)
    plans = [folder] if (folder / PLAN).is_file() else sorted(one.parent for one in folder.glob(f"*/{PLAN}"))
    found = []
    for one in plans:
        document = PlanFolder(one).read("plan")
        kept = next((c for c in document.plan.candidates if {"ct", "labels"} <= set(c.files)), None)
        if kept is not None:
            found.append(Source(method, one.name, one / kept.files["ct"], one / kept.files["labels"]))
    if not found:
        raise StudyError(
            what="The folder holds no plan with a simulated volume",
            given=str(folder),
            remedy="Give a folder of `mewm plan`, `mewm simulate` or `mewm plan-cohort`",
        )
    return found


def groups_of(sources: Sequence[Source], size: int | None, seed: int) -> list[Group]:
    """Draw the groups: for each method as many real as simulated scans, of different patients as far as there are.

    Real scans are dealt out to the methods without repetition where there are enough, and serve several methods where
    there are not.

    Args:
        sources: all scans.
        size: of either kind in a group (the paper: 24); as many as there are if left out.
        seed: of the draw.

    Raises:
        StudyError: no real scan, no method, or fewer scans than asked for.
    """
    if len({one.ct.absolute() for one in sources}) < len(sources):
        raise StudyError(what="A scan is given twice", given=_twice(sources), remedy="Give each file once")
    real = [one for one in sources if one.method == REAL]
    methods: dict[str, list[Source]] = {}
    for one in sources:
        if one.method != REAL:
            methods.setdefault(one.method, []).append(one)
    if not real or not methods:
        raise StudyError(
            what="A study needs real and simulated scans",
            given=f"{len(real)} real, {len(sources) - len(real)} simulated",
            remedy="Give both: --cohort DIR (or a table) and --simulated NAME=DIR",
        )
    rng = np.random.default_rng([seed, 0])
    counts = {name: len(found) for name, found in methods.items()} | {REAL: len(real)}
    most = min(counts.values())
    size = most if size is None else size
    if not 1 <= size <= most:
        raise StudyError(
            what="There are not enough scans for groups of this size",
            given=f"{size} of either kind wanted; there are "
            + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())),
            remedy=f"Ask for {most} or fewer, or give more scans",
        )
    pool = _shuffled(real, rng)
    found = []
    for name in sorted(methods):
        # where all of a method are needed, real scans of other patients are looked for; else the other way round
        needed = {one.patient for one in methods[name]} if len(methods[name]) == size else set()
        chosen = _drawn(pool, size, needed, rng)
        simulated = _drawn(methods[name], size, {one.patient for one in chosen}, rng)
        if len(real) >= size * len(methods):
            pool = [one for one in pool if one not in chosen]
        found.append(Group(name, tuple(chosen), tuple(simulated)))
    return found


def _twice(sources: Sequence[Source]) -> str:
    seen: set[Path] = set()
    return next(str(one.ct) for one in sources if one.ct.absolute() in seen or seen.add(one.ct.absolute()))  # type: ignore[func-returns-value]


def _shuffled(sources: Sequence[Source], rng: np.random.Generator) -> list[Source]:
    return [sources[int(n)] for n in rng.permutation(len(sources))]


def _drawn(sources: Sequence[Source], size: int, elsewhere: set[str], rng: np.random.Generator) -> list[Source]:
    """Some of the sources: first one of each patient who is not elsewhere, then of the others, then second ones."""
    seen: set[str] = set()
    ranked = []
    for one in _shuffled(sources, rng):
        ranked.append(((one.patient in seen, one.patient in elsewhere), one))
        seen.add(one.patient)
    ranked.sort(key=lambda entry: entry[0])  # stable: within a rank the order stays that of chance
    return [one for _, one in ranked[:size]]


def shared_real(groups: Sequence[Group]) -> int:
    """How many real scans serve more than one method."""
    counts: dict[Path, int] = {}
    for group in groups:
        for one in group.real:
            counts[one.ct] = counts.get(one.ct, 0) + 1
    return sum(n > 1 for n in counts.values())


def named_folders(words: Sequence[str]) -> Mapping[str, Path]:
    """NAME=DIR of the command line.

    Raises:
        StudyError: no such form, a name twice, or a folder that is not there.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not name or name == REAL or name in found:
            raise StudyError(
                what="Simulated scans are given as NAME=DIR, each name once",
                given=word,
                remedy="Such as mewm=out/plans",
            )
        found[name] = Path(folder).expanduser()
        if not found[name].is_dir():
            raise StudyError(what="The folder of simulated scans is not there", given=word)
    return found
