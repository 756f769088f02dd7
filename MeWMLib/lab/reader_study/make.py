"""`mewm study make`: a blinded, balanced, seeded reader study from real and simulated scans."""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core.errors import StudyError, output_error
from MeWMLib.core.io import atomic_path, image_of
from MeWMLib.core.marks import STUDY_KEY
from MeWMLib.core.reader_study import REAL, SIMULATED, Study, case_file, read_case, write_study
from MeWMLib.core.sealed import sha256_of
from MeWMLib.lab.program import Tell
from MeWMLib.lab.reader_study.key import Key, KeyCase, write_key
from MeWMLib.lab.reader_study.plain import PLAIN, PlainReader, numbers, plain_readers
from MeWMLib.lab.reader_study.prepare import BOX_MM, Frame, frame_of, prepare
from MeWMLib.lab.reader_study.score import POOLED
from MeWMLib.lab.reader_study.sources import Group, Source, groups_of, shared_real
from MeWMLib.scene.study_page import packed, write_study_page

#: The paper's study (arXiv 2506.02327, Table 1): of either kind for each method, methods, readers.
PAPER = (24, 5, 3)
#: A page larger than this (MB) opens slowly.
LARGE_MB = 120.0


@dataclass(frozen=True)
class MakeSettings:
    """How a study is made.

    Attributes:
        seed: of every draw, together with the files (`secret_of`).
        size: scans of either kind for each method; as many as there are if None.
        readers: their codes.
        per_session: cases of one sitting at most.
        title: for people; it must not say what is simulated.
        spacing_mm, box_mm: (k, j, i); see `prepare.frame_of`.
    """

    seed: int = 0
    size: int | None = None
    readers: tuple[str, ...] = ("R1", "R2", "R3")
    per_session: int = 48
    title: str = "Reader study: CT of the liver after TACE"
    spacing_mm: tuple[float, float, float] | None = None
    box_mm: tuple[float, float, float] = BOX_MM


@dataclass(frozen=True)
class Made:
    """What was made: the study, its key, and the plain readers of every method."""

    study: Study
    key: Key
    plain: Mapping[str, Sequence[PlainReader]]
    pages: tuple[Path, ...]


def make_study(
    sources: Sequence[Source], out: Path, key_path: Path, settings: MakeSettings, tell: Tell = lambda stage, share: None
) -> Made:
    """Draw the cases, bring them into one form, write study, pages and key.

    The page of a session and the images hold nothing but voxels under numbers that chance gave out. A real scan that
    serves several methods is one case, read once.

    Args:
        sources: all scans that may be drawn.
        out: folder of the study; absent or empty.
        key_path: where the key goes, outside of `out`.
        settings: see there.
        tell: progress.

    Raises:
        StudyError: a setting is impossible, `out` holds something, or the key would lie in it; see `groups_of`.
        InputError: a scan cannot be read or has no tumour.
        OutputError: something cannot be written.
    """
    _check(out, key_path, settings)
    secret = secret_of(sources, settings.seed)
    groups = groups_of(sources, settings.size, secret)
    # written beside its place, so that no half study is given out
    part = out.with_name(f".part-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        made = _written(groups, part, settings, secret, tell)
        write_key(made.key, key_path)
        write_study(made.study, part)
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise output_error(error, out) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(made, pages=tuple(out / page.name for page in made.pages))


def _written(groups: Sequence[Group], out: Path, settings: MakeSettings, secret: int, tell: Tell) -> Made:
    """Cases and pages in `out`; study and key are not written yet."""
    rng = np.random.default_rng([secret, 1])
    uses = _uses(groups)
    order = [list(uses)[int(n)] for n in rng.permutation(len(uses))]
    named = {f"{n:03d}": source for n, source in enumerate(order, 1)}
    study_id = hashlib.sha256(f"{secret} {settings}".encode()).hexdigest()[:16]
    frame = frame_of(order, settings.spacing_mm, settings.box_mm)
    cases: dict[str, KeyCase] = {}
    sums: dict[str, str] = {}
    drawn = 0
    for n, (name, source) in enumerate(named.items()):
        tell(f"cases, {name}", n / len(named))
        case = prepare(source, frame, np.random.default_rng([secret, 2, n]))
        drawn += case.marked and source.method == REAL
        truth = REAL if source.method == REAL else SIMULATED
        found = numbers(case, frame.spacing_mm)
        cases[name] = KeyCase(truth, uses[source], source.patient, str(source.ct), str(source.labels), found)
        sums[name] = _write_case(out, name, case.array, frame, study_id)
    sessions = _sessions(cases, settings.per_session, rng)
    orders = {
        reader: tuple(_order(one, np.random.default_rng([secret, 3, n, at])) for at, one in enumerate(sessions))
        for n, reader in enumerate(settings.readers)
    }
    study = Study(study_id, settings.title, frame.shape, frame.spacing_mm, settings.readers, sessions, orders, sums)
    pages = []
    for n, session in enumerate(sessions, 1):
        tell("pages", n / (len(sessions) + 1))
        pages.append(out / f"session_{n}.html")
        # one session at a time in memory
        write_study_page(pages[-1], study, n, packed({name: read_case(out, study, name).array for name in session}))
    _at_one_time(out)
    key = Key(study_id, settings.seed, cases, tuple(_notes(groups, settings, cases, drawn, pages)))
    plain = {m: plain_readers(key.numbers(m, REAL), key.numbers(m, SIMULATED)) for m in key.methods}
    return Made(study, key, plain, tuple(pages))


def _check(out: Path, key_path: Path, settings: MakeSettings) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise StudyError(
            what="The folder of the study holds something already", given=str(out), remedy="Give a new folder"
        )
    if out.absolute() in key_path.absolute().parents:
        raise StudyError(
            what="The key would lie in the folder that the readers get",
            given=str(key_path),
            remedy="Give a place outside of it with --key",
        )
    if not settings.readers or len(set(settings.readers)) < len(settings.readers):
        raise StudyError(what="Each reader needs a code of their own", given=", ".join(settings.readers))
    if POOLED in settings.readers:
        raise StudyError(what="This code stands for all readers together", given=POOLED, remedy="Take another one")
    if settings.per_session < 2:
        raise StudyError(what="A session has at least two cases", given=str(settings.per_session))
    for what, sizes in (("voxels", settings.spacing_mm or BOX_MM), ("box", settings.box_mm)):
        if not all(0.3 <= size <= 500 for size in sizes):
            raise StudyError(what=f"The {what} of the study cannot be of this size", given=f"{sizes} mm")


def _uses(groups: Sequence[Group]) -> dict[Source, tuple[str, ...]]:
    """Every scan of the study, and the methods that it serves."""
    found: dict[Source, tuple[str, ...]] = {}
    for group in groups:
        for source in (*group.real, *group.simulated):
            found[source] = (*found.get(source, ()), group.method)
    return found


def _sessions(cases: Mapping[str, KeyCase], most: int, rng: np.random.Generator) -> tuple[tuple[str, ...], ...]:
    """Deal the cases out, every kind and method evenly."""
    count = -(-len(cases) // most)
    strata: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, one in cases.items():
        strata.setdefault((one.truth, one.methods), []).append(name)
    dealt: list[list[str]] = [[] for _ in range(count)]
    at = 0
    for stratum in sorted(strata):
        for n in rng.permutation(len(strata[stratum])):
            dealt[at % count].append(strata[stratum][int(n)])
            at += 1
    return tuple(tuple(sorted(session)) for session in dealt)


def _order(session: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(session[int(n)] for n in rng.permutation(len(session)))


def secret_of(sources: Sequence[Source], seed: int) -> int:
    """What all draws follow from: the seed and the files that are drawn from.

    The seed alone would not do: the readers' orders are public, and whoever tries seeds until these come out would have
    the key. Readers do not hold the files.
    """
    files = sorted((one.method, one.patient, _digest(one.ct), _digest(one.labels)) for one in sources)
    return int.from_bytes(hashlib.sha256(json.dumps([seed, files]).encode()).digest()[:16], "big")


def _digest(path: Path) -> str:
    """Of a file; of a DICOM folder by the files in it."""
    if not path.is_dir():
        return sha256_of(path)
    inside = sorted(one for one in path.rglob("*") if one.is_file())
    return hashlib.sha256("".join(sha256_of(one) for one in inside).encode()).hexdigest()


def _write_case(out: Path, name: str, array: NDArray[np.int16], frame: Frame, study: str) -> str:
    """Write an image without compression, so that all files have one size; returns its checksum."""
    image = image_of(array, frame.geometry)
    # within MeWM such a file is no scan: nobody plans on it by mistake
    image.SetMetaData(STUDY_KEY, study)
    path = case_file(out, name)
    with atomic_path(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=False)
        content = temporary.read_bytes()
    if len(content) < array.nbytes:
        raise StudyError(what="An image of the study was not written whole", given=str(path), remedy="Free some space")
    return hashlib.sha256(content).hexdigest()


def _at_one_time(folder: Path) -> None:
    """Give all files one time: how long a case took to prepare says what kind of file it came from."""
    now = int(time.time())
    for path in folder.rglob("*"):
        os.utime(path, (now, now))


def _notes(
    groups: Sequence[Group], settings: MakeSettings, cases: Mapping[str, KeyCase], drawn: int, pages: Sequence[Path]
) -> list[str]:
    """What whoever reads the results must know."""
    size, methods, readers = len(groups[0].real), len(groups), len(settings.readers)
    found = []
    if (size, methods, readers) != PAPER:
        found.append(
            f"{size} real and {size} simulated scans for each of {methods} methods, {readers} readers; the paper has "
            f"{PAPER[0]} and {PAPER[0]}, {PAPER[1]} methods, {PAPER[2]} readers."
        )
    if shared := shared_real(groups):
        real = sum(one.truth == REAL for one in cases.values())
        found.append(
            f"{shared} real scans serve several methods and are read once: {real} of the {len(cases)} cases are real."
        )
    for group in groups:
        if group.both_sides:
            found.append(
                f"{group.method}: of {len(group.both_sides)} patients a real and a simulated scan are in the study; a "
                "reader may recognise them."
            )
    if drawn:
        found.append(f"{drawn} of the scans that stand for real ones are simulated themselves: this is a rehearsal.")
    for page in pages:
        if (megabytes := page.stat().st_size / 1e6) > LARGE_MB:
            found.append(f"{page.name} has {megabytes:.0f} MB and opens slowly: use fewer --per-session.")
    return found


def plain_lines(plain: Mapping[str, Sequence[PlainReader]]) -> list[str]:
    """What the plain readers found, for people; the noise-level reader always, the others where they tell."""
    lines = []
    for method, readers in plain.items():
        for one in readers:
            tells = one.p_holm < 0.05
            if one.name == "noise_lesion" or tells:
                lines.append(
                    f"{method}: a reader who looks at the {PLAIN[one.name]} alone has AUC {one.either_way:.2f} "
                    f"(p = {one.p_holm:.2g} after Holm), {100 * one.accuracy:.0f} % right by a learned threshold"
                    + (": THIS TELLS REAL FROM SIMULATED" if tells else "")
                    + "."
                )
    return lines


def with_readers(settings: MakeSettings, count: int) -> MakeSettings:
    """The same for so many readers: R1, R2, ...

    Raises:
        StudyError: fewer than one.
    """
    if count < 1:
        raise StudyError(what="A study needs a reader", given=str(count))
    return replace(settings, readers=tuple(f"R{n}" for n in range(1, count + 1)))
