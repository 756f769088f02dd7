"""Which lesions a session treats, and which part of them is fed. No networks.

A dynamics model on coarse maps is told the territory and simulates every target whole; lesions that are no target stay
as they are. One on a cube (the paper's path) knows no territory: it simulates the cube around the largest target, and
all tumour in it that is treated. Tumour outside of the fed region and what lies outside of the cube then stay as they
are in the simulated image, and the numbers count them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import NoTumourError, TargetError, TerritoryError
from MeWMLib.core.patient import Patient
from MeWMLib.core.questions import NOTE, SEVERE, Question
from MeWMLib.core.targets import ALL_TREATED, Session, Targets
from MeWMLib.core.territory import Territory, in_words
from MeWMLib.core.volume import Geometry
from MeWMLib.perception.findings import measure, numbered
from MeWMLib.perception.phase import phase_of
from MeWMLib.perception.preprocess import patch_around
from MeWMLib.perception.segments import APPROXIMATE, Division, SegmentMap

Mask = NDArray[np.bool_]
#: A second lesion of so much of the largest one's volume may be the target as well.
RIVAL = 0.5
#: A lesion is in a part of the liver if most of its volume is.
_MOST = 0.5
#: Numbers that a sentence lists.
_LISTED = 12


@dataclass(frozen=True, eq=False)
class _Lesions:
    """The tumour voxels of a patient, each with its lesion, and whether it is fed."""

    places: NDArray[np.intp]
    number: NDArray[np.int32]
    fed: Mask
    sizes: NDArray[np.intp]
    geometry: Geometry

    @classmethod
    def of(cls, patient: Patient, fed: Mask | None) -> _Lesions:
        numbers = numbered(patient.labels)
        places = np.argwhere(numbers)
        at = tuple(places.T)
        inside = np.ones(len(places), bool) if fed is None else fed[at]
        return cls(places, numbers[at], inside, np.bincount(numbers[at]), patient.ct.geometry)

    @property
    def count(self) -> int:
        return len(self.sizes) - 1

    def shares(self, chosen: Mask) -> NDArray[np.float64]:
        """Of every lesion, the share of its voxels that are chosen; index 0 is none."""
        found = np.bincount(self.number[chosen], minlength=len(self.sizes))
        return np.asarray(found / np.maximum(self.sizes, 1), np.float64)

    def in_cube(self, cube: Geometry) -> Mask:
        index = cube.to_kji(self.geometry.to_ras(self.places))
        return np.asarray(((index > -0.5) & (index < np.array(cube.shape) - 0.5)).all(axis=1))


def treating(
    patient: Patient,
    targets: Targets | None = None,
    territory: Territory | None = None,
    fed: Mask | None = None,
    segments: NDArray[np.uint8] | None = None,
    whole: bool = False,
) -> Patient:
    """The patient with the session that was asked for.

    Without targets, everything that is fed is treated; where lesions are not simulated whole, as far as it lies in the
    cube around the largest fed lesion.

    Args:
        patient: as `WorldModel.patient` measures them.
        targets: which lesions; None for those that can be treated in one session.
        territory: what is fed; None where it was not stated, which feeds everything.
        fed: (K, J, I) the region that was painted; it is what counts, whatever the territory is called.
        segments: (K, J, I) drawn segments, as `core.regions.read_segments` gives them; without them the liver is
            divided approximately where that is needed.
        whole: the dynamics model simulates lesions whole and knows territories.

    Raises:
        TerritoryError: a painted region that was not given, or an artery of which nobody knows what it feeds.
        TargetError: no such lesion, or none in that part of the liver.
        NoTumourError: no target is fed.
    """
    targets = None if targets is not None and targets.largest and not whole else targets
    if territory is None and fed is not None:
        territory = Territory.painted()
    drawn = SegmentMap.drawn(segments, patient.labels) if segments is not None else None
    if drawn is not None:
        patient = replace(
            patient, findings=measure(patient.ct, patient.labels, segments=drawn, phase=phase_of(patient.ct))
        )
    parts = _fed_segments(territory) if territory is not None and fed is None else None
    by_segments = parts is not None or (targets is not None and targets.place is not None)
    known = (drawn or SegmentMap.approximate(patient.labels)) if by_segments else None
    if parts is not None and known is not None:
        fed = known.mask(parts)
    lesions = _Lesions.of(patient, fed)
    source = "" if known is None else known.source
    wanted = _wanted(targets, lesions, known)
    fed_share = lesions.shares(lesions.fed)
    fed_of = [n for n in wanted if fed_share[n] > 0]
    if not fed_of:
        raise NoTumourError(
            what="The territory feeds no tumour of the target" if targets else "The territory feeds no tumour",
            given=f"{territory.described if territory else 'no territory'}; lesions {_listed(wanted)}",
            remedy="Choose another territory or target; `mewm propose` lists the lesions with their places",
        )
    fed_voxels = np.bincount(lesions.number[lesions.fed], minlength=lesions.count + 1)
    main = max(fed_of, key=lambda n: (fed_voxels[n], -n))
    cube = patch_around(patient.labels.geometry, lesions.places[lesions.number == main])
    if targets is not None and targets.largest:
        wanted = fed_of = [main]
    target = np.isin(lesions.number, fed_of) & lesions.fed
    treated = lesions.shares(target if whole else target & lesions.in_cube(cube))
    # of a target that the user did not name, what lies beyond the cube is not spoken of as one
    chosen = [n for n in fed_of if treated[n] > 0]
    mask = np.zeros(patient.labels.array.shape, bool)
    mask[tuple(lesions.places[target].T)] = True
    simulated = None
    if whole:
        simulated = np.zeros_like(mask)
        simulated[tuple(lesions.places[np.isin(lesions.number, fed_of)].T)] = True
    beyond = [n for n in wanted if treated[n] == 0] if targets is not None else []
    session = Session(
        target=main,
        lesions=tuple(chosen),
        percent={n: round(100 * float(treated[n]), 1) for n in chosen},
        mask=mask,
        patch=cube,
        territory=territory,
        segments_by=source,
        beyond=tuple(beyond),
        targets=simulated,
        fed=fed if whole else None,
    )
    return replace(patient, session=replace(session, why=_why(session, targets, lesions, fed_share)))


def _fed_segments(territory: Territory) -> frozenset[str] | None:
    """The segments that a territory feeds; None for the whole liver, where no border matters."""
    if territory.is_painted:
        raise TerritoryError(
            what="The territory is a painted region, and none was given",
            given=territory.text,
            remedy="Give the label file with --fed, or name the territory",
        )
    if territory.segments is None:
        raise TerritoryError(
            what="What an artery from outside of the liver feeds in it is not known",
            given=" and ".join(territory.unknown),
            remedy="Paint what it feeds and give the label file with --fed",
        )
    return None if territory.is_whole else territory.segments


def _wanted(targets: Targets | None, lesions: _Lesions, known: SegmentMap | None) -> list[int]:
    """Numbers of the lesions that may be treated."""
    every = list(range(1, lesions.count + 1))
    if targets is None or targets.everything or targets.largest:
        return every
    if targets.place is not None:
        assert known is not None and targets.place.segments is not None  # asked for by `treating` and `Targets`
        there = known.mask(targets.place.segments)[tuple(lesions.places.T)]
        found = [n for n in every if lesions.shares(there)[n] > _MOST]
        if not found:
            raise TargetError(
                what="No lesion lies in this part of the liver",
                given=f"{targets.place.described}, {known.source} segments",
                remedy="`mewm propose` lists the lesions with their places; name them by number, such as --target 1",
            )
        return found
    strange = [n for n in targets.lesions if n > lesions.count]
    if strange:
        there_are = "there is 1 lesion" if lesions.count == 1 else f"there are {lesions.count} lesions"
        raise TargetError(
            what="There is no such lesion",
            given=f"{_listed(strange)}; {there_are}",
            remedy="`mewm propose` lists the lesions, largest first",
        )
    return list(targets.lesions)


def _why(session: Session, targets: Targets | None, lesions: _Lesions, fed_share: NDArray[np.float64]) -> str:
    """Why these lesions, and what stays untreated."""
    if session.targets is not None:
        text = _why_whole(session, targets, lesions)
    else:
        text = _why_cube(session, targets, lesions)
    if targets is not None:
        asked = int(lesions.sizes[[*session.lesions, *session.beyond]].sum())
        done = sum(lesions.sizes[n] * session.percent[n] for n in session.lesions) / max(asked, 1)
        if done < 99.95:
            text += f" That is {done:.0f} % of the volume of the targets."
    if session.beyond:
        unfed = [n for n in session.beyond if fed_share[n] == 0]
        far = [n for n in session.beyond if fed_share[n] > 0]
        if unfed:
            text += f" Not fed, so not treated: {_lesion_words(unfed)}."
        if far:
            text += f" Outside of the cube, so not simulated: {_lesion_words(far)}."
    # what rounds to all of it is not said to be a part
    part = [n for n in session.lesions if round(session.percent[n]) < 100]
    if part:
        shown = ", ".join(f"{n} ({session.percent[n]:.0f} %)" for n in part[:_LISTED])
        text += f" Treated in part: {_lesion_words(part, shown)}."
    return text


def _why_whole(session: Session, targets: Targets | None, lesions: _Lesions) -> str:
    """The beginning of `_why` where lesions are simulated whole."""
    count = len(session.lesions)
    verb, which = ("is", "the lesion") if lesions.count == 1 else ("are", _lesion_words(session.lesions))
    verb = "is" if count == 1 else verb
    if targets is not None:
        text = f"Treated {verb} {which}, as you chose ({targets.text})."
        text += " Other lesions stay as they are, fed or not." if count < lesions.count else ""
    elif session.territory is not None:
        text = f"Treated is all tumour that is fed: {which}."
    else:
        text = ALL_TREATED
    if session.territory is not None:
        by = f", {session.segments_by} segments" if session.segments_by else ""
        text += f" Fed is: {session.territory.described}{by}; the rest of a treated lesion is simulated as not fed."
    return text


def _why_cube(session: Session, targets: Targets | None, lesions: _Lesions) -> str:
    """The beginning of `_why` where a cube is simulated."""
    edge = session.patch.shape[0] * session.patch.spacing[0]
    cube = f"the cube of {edge:.0f} mm around the largest {{}}, which is what this model simulates"
    if targets is not None:
        where = cube.format("target")
        text = f"Treated are the targets that you chose ({targets.text}), as far as they are in {where}."
        text += " Other lesions stay as they are, fed or not." if len(session.lesions) < lesions.count else ""
    elif session.territory is not None:
        text = f"Treated is all tumour that is fed and in {cube.format('fed lesion')}."
    else:
        text = f"Treated is all tumour in {cube.format('lesion')}."
    if session.territory is not None:
        by = f", {session.segments_by} segments" if session.segments_by else ""
        text += f" Fed is: {session.territory.described}{by}; tumour outside of it stays as it is."
    return text


def _lesion_words(numbers: Sequence[int], shown: str = "") -> str:
    return f"lesion{'s' if len(numbers) > 1 else ''} {shown or _listed(numbers)}"


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return ", ".join(map(str, numbers[:_LISTED])) + more


def question_session(patient: Patient, chosen: bool) -> tuple[Question, ...]:
    """What is asked about a session: rivals of the target, and what a reader should know of its borders.

    Args:
        patient: with a session.
        chosen: the user has named the targets.
    """
    session = patient.session
    if session is None:
        return ()
    return (*(() if chosen else _rivals(patient, session)), *_borders(patient, session))


def _rivals(patient: Patient, session: Session) -> tuple[Question, ...]:
    fed = np.bincount(numbered(patient.labels)[session.mask])
    order = [int(n) for n in np.argsort(-fed[1:], kind="stable")[:2] + 1]
    if len(order) < 2 or fed[order[1]] < max(1.0, RIVAL * fed[order[0]]):
        return ()
    # where both are treated, nothing was chosen between them
    if session.targets is not None or session.percent.get(order[1], 0.0) > 100 * _MOST:
        return ()
    ml = [float(fed[n]) * patient.ct.geometry.voxel_ml for n in order]
    places = {one.index: f", {one.location.split(';')[0]}" for one in patient.findings.lesions if one.location}
    words = [f"lesion {n} ({volume:.1f} ml{places.get(n, '')})" for n, volume in zip(order, ml, strict=True)]
    text = f"Two lesions are alike in size, and either may be the target: {words[0]} and {words[1]}."
    return (Question("target", SEVERE, text, {"first_ml": round(ml[0], 2), "second_ml": round(ml[1], 2)}),)


def _borders(patient: Patient, session: Session) -> tuple[Question, ...]:
    if session.segments_by != APPROXIMATE:
        return ()
    division = Division.of(patient.labels)
    words = in_words(session.territory.segments) if session.territory and session.territory.segments else "the target"
    text = (
        f"The borders of {words} are APPROXIMATE: they come from the shape of the liver, not from its vessels, and may "
        "be two or three centimetres off. Give drawn segments with --segments, or paint what is fed and give it with "
        "--fed."
    )
    if division is None or not division.found:
        text += " The scan does not show the whole liver, which makes them worse."
    return (Question("segments-approximate", NOTE, text),)
