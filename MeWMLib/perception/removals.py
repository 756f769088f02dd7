"""What the rules after the network took out of labels, as a list and as notes to the user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.questions import NOTE, Question
from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap

#: Less is not told about, and so many pieces of a kind are named.
TOLD_ML, TOLD = 0.1, 3

BLOOD, DENSE, GUT = "blood", "dense", "gut"
WORDS = {
    BLOOD: "blood in the heart or a vessel",
    DENSE: "bone, cartilage, or contrast agent in stomach or bowel",
    GUT: "stomach or bowel",
}
#: Numbers of the kinds in maps of them.
NUMBERS = {n: kind for n, kind in enumerate((BLOOD, DENSE, GUT), start=1)}


@dataclass(frozen=True)
class Removal:
    """A piece that was called tumour, or liver, and is no longer.

    Attributes:
        kind: "blood", "dense" or "gut"; `WORDS` says what that is.
        volume_ml: of the piece.
        centre_ras_mm: its middle.
        was_tumour: False for a piece of the liver's outline.
    """

    kind: str
    volume_ml: float
    centre_ras_mm: tuple[float, float, float]
    was_tumour: bool


def listed(labels: LabelMap, kinds: NDArray[np.uint8]) -> Iterable[Removal]:
    """Each connected piece that was removed, largest first.

    Args:
        labels: before.
        kinds: (K, J, I) the number of the kind of what was removed, 0 elsewhere.
    """
    found = []
    for number, kind in NUMBERS.items():
        for label in (TUMOUR, LIVER):
            pieces = cc3d.connected_components((kinds == number) & (labels.array == label), connectivity=26)
            sizes = np.bincount(pieces.ravel()) * labels.geometry.voxel_ml
            for n, place in enumerate(ndimage.find_objects(pieces), start=1):
                if sizes[n] < TOLD_ML:
                    continue
                start = np.array([s.start for s in place])
                x, y, z = labels.geometry.to_ras(np.argwhere(pieces[place] == n).mean(axis=0) + start)
                found.append(Removal(kind, float(sizes[n]), (float(x), float(y), float(z)), label == TUMOUR))
    return sorted(found, key=lambda one: -one.volume_ml)


def question_removed(removed: Iterable[Removal]) -> tuple[Question, ...]:
    """A note for each kind of what was removed, with its volume and where the largest pieces were (RAS, mm)."""
    asked = []
    for kind, words in WORDS.items():
        for was_tumour, name in ((True, "lesion"), (False, "liver")):
            pieces = [one for one in removed if one.kind == kind and one.was_tumour == was_tumour]
            if not pieces:
                continue
            total = sum(one.volume_ml for one in pieces)
            places = "; ".join(f"{one.volume_ml:.1f} ml at {_place(one)}" for one in pieces[:TOLD])
            more = f"; and {len(pieces) - TOLD} more" if len(pieces) > TOLD else ""
            text = (
                f"{total:.1f} ml that the segmenter outlined as {name} were taken away, since the scan shows {words} "
                f"there: {places}{more} (R, A, S in mm). If that is a lesion, outline it yourself."
            )
            asked.append(Question(f"{kind}-in-{name}", NOTE, text, {"volume_ml": round(total, 2)}))
    return tuple(asked)


def _place(one: Removal) -> str:
    return "(" + ", ".join(f"{c:.0f}" for c in one.centre_ras_mm) + ")"
