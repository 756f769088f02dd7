"""The one CT of a folder, or the one that the user names; where there are several, a list that says what to type."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from MeWMLib.core.dicom.assemble import checked
from MeWMLib.core.dicom.headers import look_at
from MeWMLib.core.dicom.records import DicomObject, FileHeader, SliceRecord, places_of
from MeWMLib.core.dicom.scan import Scan, scan, scan_files, suspects
from MeWMLib.core.dicom.stacks import TOO_SHORT, LeftOut, Stack, number_key, same_kind, stacks_of
from MeWMLib.core.errors import MeWMError, NotCTError, SeriesError, UnreadableFileError
from MeWMLib.core.volume import Geometry

#: The first that there is is taken for planning, and for a pair of scans that both have.
PREFERRED_PHASES = ("portal", "arterial", "delayed", "non-contrast", "unknown")
#: Length (mm) of the body that shows a whole liver; more of it makes a scan no better.
_WHOLE_LIVER_MM = 160.0
#: Lines of a list in an error.
_LISTED = 12


class Phase(Protocol):
    """What a guess of the contrast phase says."""

    @property
    def phase(self) -> str: ...

    @property
    def confidence(self) -> float: ...


@dataclass(frozen=True)
class Candidate:
    """A stack and what to type to choose it: NUMBER, UID, NUMBER/ACQUISITION or NUMBER/partN."""

    key: str
    stack: Stack
    looks: Phase | None = None
    trouble: str = ""

    @property
    def first(self) -> FileHeader:
        """Header of its first file."""
        return self.stack.slices[0].file

    @property
    def step_mm(self) -> float:
        """Distance of its slices."""
        places = np.sort(places_of(self.stack.slices))
        return float(np.median(np.diff(places))) if len(places) > 1 else 0.0

    @property
    def line(self) -> str:
        """What a list says of it."""
        first, count = self.first, len(self.stack.slices)
        title = f' "{first.description[:40]}"' if first.description else ""
        part = f", {self.stack.part}" if self.stack.part else ""
        words = [f"series {self.key}{title}{part}: {count} slice{'s' if count > 1 else ''}"]
        if count > 1:
            words.append(f"{self.step_mm:.3g} mm apart")
        if first.date:
            words.append(f"{first.date[:4]}-{first.date[4:6]}-{first.date[6:]}")
        if self.looks is not None:
            known = self.looks.phase != "unknown"
            words.append(f"{self.looks.phase} ({100 * self.looks.confidence:.0f} %)" if known else "phase unknown")
        if trouble := self.trouble or self.stack.fault or self.stack.doubt:
            words.append(trouble)
        if not self.key.startswith(first.series):
            words.append(f"UID {first.series}")
        return ", ".join(words)

    @property
    def rank(self) -> tuple[float, float, float, str]:
        """The lowest is best for planning: phase, then how much of the body it shows, thin slices, the first date."""
        phase = self.looks.phase if self.looks is not None else "unknown"
        shown = round(min(self.stack.extent_mm, _WHOLE_LIVER_MM) / 20)
        order = PREFERRED_PHASES.index(phase) if phase in PREFERRED_PHASES else len(PREFERRED_PHASES)
        return order, -shown, round(self.step_mm, 1), self.first.date


def holds_volume(path: Path) -> bool:
    """True for one file that holds several slices of a CT (enhanced CT)."""
    try:
        found = look_at(path) if path.is_file() else None
    except OSError:
        return False
    return isinstance(found, DicomObject) and len(found.slices) > 1


def scan_ct(folder: Path) -> Scan:
    """Scan a folder, its sub-folders only where it holds no CT volume itself (a scout is none); or one file.

    Raises:
        UnreadableFileError: the folder cannot be listed.
    """
    if folder.is_file():
        return scan_files([folder])
    found = scan(folder, deep=False)
    return found if candidates(found)[0] else scan(folder)


def candidates(found: Scan) -> tuple[list[Candidate], list[LeftOut]]:
    """Every stack of a scan with what to type for it, and what is no volume."""
    groups: dict[tuple[str, ...], list[SliceRecord]] = defaultdict(list)
    for one in found.slices:
        groups[one.file.patient_id, one.file.study, one.file.series].append(one)
    split = [stacks_of(members) for members in groups.values()]
    firsts = [members[0].file for members in groups.values()]
    listed: list[Candidate] = []
    order = sorted(range(len(firsts)), key=lambda n: (firsts[n].date, number_key(firsts[n].series_number)))
    firsts, split = [firsts[n] for n in order], [split[n] for n in order]
    for first, (stacks, _) in zip(firsts, split, strict=True):
        alone = sum(other.series_number == first.series_number for other in firsts) == 1
        name = first.series_number if first.series_number and alone else first.series
        several = len(stacks) > 1
        for n, stack in enumerate(stacks, 1):
            short = stack.part.removeprefix("acquisition ") if stack.part.startswith("acquisition") else f"part{n}"
            listed.append(
                Candidate(f"{name}/{short.replace(' ', '-')}" if several else name, with_suspects(stack, found))
            )
    return listed, [line for _, out in split for line in out]


def with_suspects(stack: Stack, found: Scan) -> Stack:
    """The stack, with its fault where files that may belong to it cannot be read."""
    bad = suspects(found, stack.slices)
    if not bad or stack.fault:
        return stack
    return replace(
        stack, fault=f"a file of the series is damaged: {bad[0].reason}", files=tuple(one.path.name for one in bad)
    )


def choose(folder: Path, series: str | None = None, look: Callable[[Stack], Phase] | None = None) -> Stack:
    """The one CT volume of a folder, or the one that `series` names.

    Args:
        folder: files that are no CT are passed over; sub-folders are searched where the folder itself holds no CT. Or
            the file of an enhanced CT.
        series: what a list says: SeriesNumber, SeriesInstanceUID, NUMBER/ACQUISITION or NUMBER/partN.
        look: guesses the phase of a stack; asked for the list alone.

    Raises:
        SeriesError: no series, or several; the error lists them and suggests the best one for planning.
        NotCTError: there are images, but no CT.
        UnreadableFileError: there is nothing but damaged files.
    """
    return _one(scan_ct(folder), folder, series, look)


def _one(found: Scan, folder: Path, series: str | None, look: Callable[[Stack], Phase] | None) -> Stack:
    chosen, rest = _meant(found, folder, series)
    if len(chosen) == 1:
        return chosen[0].stack
    raise _several(folder, chosen, rest, look)


def offered(folder: Path, look: Callable[[Stack], Phase] | None = None) -> tuple[list[Candidate], str]:
    """The CT volumes of a folder among which a user chooses; where there is one alone, `choose` takes it.

    Args:
        folder: as for `choose`.
        look: guesses the phase of a stack; not asked about one alone.

    Returns:
        The volumes, and what to type for the best of them for planning, "" where none can be used.

    Raises:
        MeWMError: as `choose`, where there is none.
    """
    chosen, _ = _meant(scan_ct(folder), folder, None)
    if len(chosen) == 1:
        return chosen, chosen[0].key
    seen = _seen(chosen, look)
    best = _best(seen)
    return seen, best.key if best is not None else ""


def _meant(found: Scan, folder: Path, series: str | None) -> tuple[list[Candidate], list[Candidate]]:
    """The volumes that `series` may mean, and the others that were found."""
    listed, out = candidates(found)
    if not listed:
        raise _nothing(folder, found, out)
    if series is not None:
        listed = _named(listed, series)
    sound = [one for one in listed if not one.stack.doubt] or listed
    # a short piece beside a whole volume of its own series may be a part of it
    pieces = [
        one
        for one in listed
        if one not in sound
        and one.stack.doubt.startswith(TOO_SHORT)
        and one.first.series in {s.first.series for s in sound}
    ]
    chosen = [*sound, *pieces]
    return chosen, [one for one in listed if one not in chosen]


def check_files(paths: Sequence[Path]) -> Geometry | None:
    """Check files that another program read as one volume; nothing is unpacked.

    Returns:
        The grid that they make; None where no CT is among them.

    Raises:
        MeWMError: what `choose` and reading would say of a folder that holds just these files.
    """
    found = scan_files(paths)
    if not found.slices and not found.bad:
        return None
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return checked(_one(found, folder, None, None))[1]


def _named(listed: list[Candidate], series: str) -> list[Candidate]:
    wanted, slash, part = series.strip().partition("/")
    wanted, part = wanted.strip(), _plain(part)
    mine = [one for one in listed if wanted in (one.first.series, one.first.series_number)]
    if not mine:
        raise SeriesError(
            what=f"There is no series {wanted}", given=_list(listed), remedy="Give one of these with --series"
        )
    if not slash:
        return mine
    named = [one for one in mine if part in {_plain(one.key.partition("/")[2]), _plain(one.stack.part)} - {""}]
    if not named and part.isdigit():  # the number of a part where acquisitions do not tell them apart
        named = [one for one in mine if one.key.partition("/")[2] == f"part{part}"]
    if not named:  # acquisitions that follow one another along the body are one volume; one of them can be had
        named = [
            replace(one, stack=replace(one.stack, slices=kept, part=f"acquisition {part}"))
            for one in mine
            if (kept := tuple(s for s in one.stack.slices if _plain(s.acquisition) == part))
        ]
    if not named:
        what = "acquisition" if part.isdigit() else "part"
        raise SeriesError(
            what=f"There is no {what} {series.partition('/')[2].strip()} in it",
            given=_list(mine),
            remedy="Give one of these with --series",
        )
    return named


def _plain(text: str) -> str:
    return re.sub(r"[\s_\-]+", "", re.sub(r"of\s*\d+$", "", text.strip().lower())).removeprefix("acquisition")


def _list(listed: Sequence[Candidate]) -> str:
    """One series a line."""
    lines = [one.line for one in listed[:_LISTED]]
    return "".join(f"\n  {one}" for one in [*lines, *_more(listed)])


def _more(listed: Sequence[Candidate]) -> list[str]:
    return [f"and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []


def _several(
    folder: Path, chosen: list[Candidate], more: list[Candidate], look: Callable[[Stack], Phase] | None
) -> SeriesError:
    """The error that lists what could be meant, and what else there is (short or not axial)."""
    seen = _seen(chosen, look)
    best = _best(seen)
    one_series = len({one.first.series for one in seen}) == 1
    acquisitions = all(one.stack.part.startswith("acquisition") for one in seen)
    if one_series:
        what = f"Several {'acquisitions' if acquisitions else 'volumes'} lie at the same positions in one series"
        if not all(same_kind(seen[0].stack.slices[0], one.stack.slices[0]) for one in seen):
            what = "The slices of the series differ in size, orientation or pixel spacing, and make several volumes"
    else:
        what = "The folder holds more than one CT series"
    remedy = "Choose one with --series, followed by what the list shows after the word series"
    if best is not None:
        remedy = f"Choose one with --series {best.key}, the best of them for planning, or with another of these names"
    if one_series and not acquisitions:
        remedy += ", or export each phase as a series of its own"
    if not one_series:
        remedy += ", or give the sub-folder of one series"
    return SeriesError(what=what, given=f"{folder}{_list([*seen, *more])}", remedy=remedy)


def _seen(chosen: Sequence[Candidate], look: Callable[[Stack], Phase] | None) -> list[Candidate]:
    return [_looked_at(one, look) if n < _LISTED else one for n, one in enumerate(chosen)]


def _best(seen: Sequence[Candidate]) -> Candidate | None:
    """The best for planning of those that can be used."""
    usable = [one for one in seen if not one.trouble and not one.stack.fault and one.stack.simulated is None]
    return min(usable, key=lambda one: one.rank, default=None)


def _looked_at(one: Candidate, look: Callable[[Stack], Phase] | None) -> Candidate:
    if look is None or one.stack.fault:
        return one
    try:
        return replace(one, looks=look(one.stack))
    except MeWMError as error:
        return replace(one, trouble=f"cannot be read: {error.what[0].lower()}{error.what[1:]}")


def _nothing(folder: Path, found: Scan, out: Iterable[LeftOut]) -> MeWMError:
    """Why there is no CT in a folder."""
    images = [one.header for one in found.objects if one.header.kind == "image"]
    if lines := [f"{line.what}: {line.reason}" for line in out]:
        colour = any("colour" in line for line in lines)
        kind = NotCTError if colour else SeriesError
        what = "The DICOM series is in colour" if colour else "The folder holds no CT volume"
        names = ", ".join(dict.fromkeys(one.file.path.name for one in found.slices[:5]))
        given = f"{folder}: {'; '.join(lines[:_LISTED])} ({names}{' ...' if len(found.slices) > 5 else ''})"
        return kind(what=what, given=given, remedy="Give the axial slices of a CT")
    if found.bad:
        names = ", ".join(bad.path.name for bad in found.bad[:5])
        return UnreadableFileError(
            what=f"There is no CT but what cannot be read: {found.bad[0].reason}",
            given=f"{folder}: {names}",
            remedy="Export the series again from the PACS",
        )
    if images:
        return NotCTError(what="The DICOM series is not a CT", given=_others(images), remedy="Give a CT series")
    passed = [*found.documents, *found.segmentations]
    return SeriesError(
        what="The folder holds no CT" if passed else "The folder holds no DICOM file",
        given=f"{folder}, {_others(passed)}" if passed else str(folder),
        remedy="Give the folder of one CT series, or a NIfTI file",
    )


def _others(headers: Iterable[FileHeader]) -> str:
    groups: dict[str, list[FileHeader]] = defaultdict(list)
    for one in headers:
        groups[one.series].append(one)
    lines = []
    for members in list(groups.values())[:_LISTED]:
        first = members[0]
        capture = " (pictures of a screen)" if first.sop_class.startswith("1.2.840.10008.5.1.4.1.1.7") else ""
        lines.append(
            f"series {first.series_number or first.series}: {len(members)} slices of "
            f"{first.modality or 'no modality'}{capture}"
        )
    return "; ".join(lines)
