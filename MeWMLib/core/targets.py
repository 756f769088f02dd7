"""Which lesions are to be treated, as a user says it, and the session that comes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import TargetError, TerritoryError
from MeWMLib.core.territory import Territory
from MeWMLib.core.texts import require_length
from MeWMLib.core.volume import Geometry

ALL, LARGEST, SEGMENT = "all", "largest", "segment"
MOST_TARGETS = 2000
#: Why lesions are treated (`Session.why`), where nothing was chosen and nothing left out.
ALL_TREATED = "Treated is all tumour."
_HOW = "Write numbers of the list of lesions such as 1,3, or all, largest, segment:RIGHT, segment:LEFT, segment:5,8"
_SIDES = {"right": "right lobe", "left": "left lobe"}


@dataclass(frozen=True)
class Targets:
    """What a user wants to be treated: lesions by number, all, or those in a part of the liver.

    Attributes:
        lesions: numbers as in the findings, where 1 is the largest.
        place: the part of the liver, for lesions that are named by it.
        everything: all lesions.
        largest: what is treated where nothing is said: the largest lesion and what is in the cube around it.
    """

    lesions: tuple[int, ...] = ()
    place: Territory | None = None
    everything: bool = False
    largest: bool = False

    @classmethod
    def parse(cls, text: str) -> Targets:
        """Read "1,3", "all", "largest", "segment:RIGHT" or "segment:5,8".

        Raises:
            TargetError: none of these.
        """
        require_length(text, MOST_TARGETS, "The target", TargetError)
        plain = " ".join(text.split())
        word, colon, rest = plain.partition(":")
        if plain.casefold() == ALL:
            return cls(everything=True)
        if plain.casefold() == LARGEST:
            return cls(largest=True)
        if colon and word.strip().casefold() in (SEGMENT, "segments"):
            try:
                place = Territory.parse(_SIDES.get(rest.strip().casefold(), rest))
            except TerritoryError as error:
                raise TargetError(
                    what="The target names no part of the liver", given=repr(text[:80]), remedy=_HOW
                ) from error
            if place.segments is None:
                raise TargetError(what="The target names no segments", given=place.text, remedy=_HOW)
            return cls(place=place)
        parts = [part for part in re.split(r"[,;\s]+", plain) if part]
        if not parts or not all(re.fullmatch(r"[0-9]{1,6}", part) for part in parts):
            raise TargetError(what="The target is not understood", given=repr(text[:80]), remedy=_HOW)
        numbers = sorted({int(part) for part in parts})
        if numbers[0] < 1:
            raise TargetError(what="Lesions are counted from 1", given=repr(text[:80]), remedy=_HOW)
        return cls(tuple(numbers))

    @property
    def text(self) -> str:
        """Canonical text, which `parse` reads back."""
        if self.everything or self.largest:
            return ALL if self.everything else LARGEST
        return f"{SEGMENT}:{self.place.text}" if self.place else ",".join(map(str, self.lesions))


@dataclass(frozen=True, eq=False)
class Session:
    """What one session treats in a patient.

    Attributes:
        target: number of the lesion of which most is fed; the survival network looks at a cube around it.
        lesions: numbers of all lesions that are treated, or of which a part is.
        percent: of the volume of each, how much of it is treated.
        mask: (K, J, I) on the CT's grid: the tumour that is treated, which is the fed part of the targets.
        patch: the cube around the target; a dynamics model on a cube simulates what is in it.
        targets: (K, J, I) the lesions that are simulated whole, fed or not; None for a dynamics model on a cube.
        fed: (K, J, I) what the artery feeds; None where that was not stated, or is everything.
        territory: what is fed; None where it was not stated.
        segments_by: who divided the liver, where the territory or the target needed segments; else "".
        beyond: numbers of targets of which nothing is treated.
        why: in one or two sentences, why these and what is not treated.
    """

    target: int
    lesions: tuple[int, ...]
    percent: Mapping[int, float]
    mask: NDArray[np.bool_]
    patch: Geometry
    territory: Territory | None = None
    segments_by: str = ""
    beyond: tuple[int, ...] = ()
    why: str = ""
    targets: NDArray[np.bool_] | None = None
    fed: NDArray[np.bool_] | None = None
