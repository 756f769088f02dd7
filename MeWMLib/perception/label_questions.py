"""Labels and the scan under them are questioned before anything is planned on them.

Each check is on its own and says nothing where it cannot measure. Limits are for adults: they say what a person should
look at, not what is impossible.
"""
# mypy: allow-untyped-calls
# scipy carries no types.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from MeWMLib.core.questions import SEVERE, WARNING, Question
from MeWMLib.core.volume import LIVER, LabelMap, Volume, require_same_geometry
from MeWMLib.perception.phase import guess_phase
from MeWMLib.perception.trunk import Trunk

Mask = NDArray[np.bool_]

#: Share of the liver beyond which a tumour is not believed.
MAX_TUMOUR_SHARE = 0.8
#: A whole adult liver, tumour included, in ml.
LIVER_ML = (300.0, 5000.0)
#: A scan that is smaller in some direction cannot hold a whole liver.
_LIVER_MM = 120.0
#: Lipiodol, bone and metal: denser than anything that contrast enhances outside of arteries.
DENSE_HU = 300
#: Less air than tissue holds; fat is at -100 HU.
_AIR_HU = -400
#: Fat and lung, once noise is averaged away; a fatty liver is denser. Right labels hold up to 1.2 % of it (six real
#: scans), those shifted by 20 mm 3.4 % or more, mirrored ones 7.4 % or more.
_FAT_HU, _AVERAGE_MM, _FAT_SHARES, _FAT_ML = -50, 4.0, (0.03, 0.06), 5.0
#: Averaged in the same way, lesions before treatment hold up to 2 % of it; oral contrast is denser.
_BRIGHT_HU, _BRIGHT_SHARE, _BRIGHT_ML = 200, 0.05, 10.0
#: Of outlines at which nobody looked, so little is asked about; and so many places are named.
_BRIGHT_UNSEEN_ML, _BRIGHT_TOLD = 1.0, 3
#: Less of it is noise, an artery or a calcification.
_DENSE_ML, _STRANGE_SHARE, _STRANGE_ML = 2.0, 0.05, 0.5
#: So much of a liver's volume on the left, so far from the middle, is not believed.
_LEFT_SHARE, _LEFT_MM = 0.65, 20.0
#: So sure must the phase be (posterior probability).
_PHASE_CONFIDENCE = 0.8
_TRAINED_ON = "The segmenter was trained on portal-venous scans"
_PHASE_TEXTS = {
    "arterial": "The scan looks arterial ({reason}). {trained}, and the volume of a tumour measured on an arterial "
    "scan may differ from that on the portal one of the same day by half: use the portal series if there is one.",
    "non-contrast": "The scan looks as if it was made without contrast agent ({reason}). {trained}; without contrast "
    "a lesion may be invisible, and its density tells no enhancement: use the portal series if there is one.",
    "delayed": "The scan looks delayed ({reason}). {trained}; what enhances early is washed out here: use the portal "
    "series if there is one.",
}


def question_labels(
    ct: Volume, labels: LabelMap, before_treatment: bool = True, looked_at: bool = True
) -> tuple[Question, ...]:
    """Everything that looks wrong with labels and scan, in a fixed order.

    Args:
        ct, labels: on one grid.
        before_treatment: the scan was made before any treatment, so that it holds no Lipiodol.
        looked_at: a person drew the labels or has seen them; what the segmenter alone calls tumour is asked about where
            a person is told.

    Raises:
        GeometryMismatchError: labels and CT are on different grids.
    """
    require_same_geometry(ct.geometry, labels.geometry, "The labels are not on the grid of the CT")
    if not labels.array.any():
        return ()
    asked = [*_volumes(labels), *_outside(labels), *_border(labels), *_place(ct, labels)]
    return (*asked, *_density(ct, labels, before_treatment, looked_at))


def question_phase(ct: Volume, stated_by: str = "as its file says") -> tuple[Question, ...]:
    """Whether the phase of the scan is another one than the segmenter knows.

    A phase that is known with the scan counts; else it is guessed from the image, and a guess that is not sure says
    nothing.

    Args:
        ct: the scan.
        stated_by: who stated the phase of the scan, where it has one.
    """
    phase, reason, numbers = ct.phase, stated_by, {}
    if phase == "unknown":
        guess = guess_phase(ct)
        if guess.confidence < _PHASE_CONFIDENCE:
            return ()
        phase, reason = guess.phase, f"aorta {guess.aorta_hu:.0f} HU, liver {guess.liver_hu:.0f} HU"
        numbers = {"aorta_hu": guess.aorta_hu or 0.0, "liver_hu": guess.liver_hu or 0.0, "chance": guess.confidence}
    if phase not in _PHASE_TEXTS:
        return ()
    text = _PHASE_TEXTS[phase].format(reason=reason, trained=_TRAINED_ON)
    return (Question("phase", WARNING, text, {k: round(v, 3) for k, v in numbers.items()}),)


def _volumes(labels: LabelMap) -> Iterator[Question]:
    voxel = labels.geometry.voxel_ml
    tumour, parenchyma = labels.tumour, labels.array == LIVER
    tumour_ml, rest_ml = float(tumour.sum()) * voxel, float(parenchyma.sum()) * voxel
    liver_ml = tumour_ml + rest_ml
    share = tumour_ml / liver_ml
    numbers = {"liver_ml": round(liver_ml, 1), "tumour_ml": round(tumour_ml, 1)}
    if not rest_ml:
        yield Question("no-parenchyma", SEVERE, "The labels hold tumour, but no liver around it.", numbers)
    elif _encloses(tumour, parenchyma):
        text = (
            f"The tumour ({tumour_ml:.0f} ml) encloses the liver ({rest_ml:.0f} ml): the values of liver and tumour "
            "are probably swapped."
        )
        yield Question("swapped", SEVERE, text, numbers)
    elif share > MAX_TUMOUR_SHARE:
        text = f"The tumour is {100 * share:.0f} % of the liver ({tumour_ml:.0f} of {liver_ml:.0f} ml)."
        yield Question("tumour-share", SEVERE, text, {**numbers, "share": round(share, 3)})
    low, high = LIVER_ML
    if liver_ml > high:
        text = f"The liver has {liver_ml:.0f} ml; a liver with tumour has {low:.0f} to {high:.0f} ml."
        yield Question("liver-volume", SEVERE, text, numbers)
    elif rest_ml and liver_ml < low and not _is_part(labels):
        text = f"The liver has {liver_ml:.0f} ml; a whole one has {low:.0f} ml or more."
        yield Question("liver-volume", SEVERE, text, numbers)


def _is_part(labels: LabelMap) -> bool:
    """True if the scan does not show a whole liver: it is too small, or its border cuts the liver."""
    extent = np.array(labels.geometry.shape) * labels.geometry.spacing
    return bool((extent < _LIVER_MM).any() or _faces(labels.liver))


def _encloses(tumour: Mask, parenchyma: Mask) -> bool:
    """True if the largest tumour, larger than the parenchyma, holds nearly all of that inside its convex hull."""
    if tumour.sum() <= parenchyma.sum():
        return False
    pieces = cc3d.connected_components(tumour, connectivity=26)
    largest = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    if largest.sum() <= parenchyma.sum():
        return False
    outline = np.argwhere(largest & ~ndimage.binary_erosion(largest))
    inner = np.argwhere(parenchyma)
    inner = inner[:: max(len(inner) // 4000, 1)]
    try:
        hull = ConvexHull(outline)
    except QhullError:  # flat: it encloses nothing
        return False
    inside = (inner @ hull.equations[:, :3].T + hull.equations[:, 3] <= 0.5).all(axis=1)
    return bool(inside.mean() > 0.9)


def _outside(labels: LabelMap) -> Iterator[Question]:
    """Lesions that touch no liver."""
    parenchyma = labels.array == LIVER
    if not parenchyma.any() or not labels.tumour.any():
        return
    pieces = cc3d.connected_components(labels.tumour, connectivity=26)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    near = ndimage.binary_dilation(parenchyma, np.ones((3, 3, 3), bool), iterations=2)
    touching = np.zeros(len(sizes), bool)
    touching[np.unique(pieces[near])] = True
    away = np.flatnonzero(~touching[1:] & (sizes[1:] > 0)) + 1
    if not away.size:
        return
    ml = float(sizes[away].sum()) * labels.geometry.voxel_ml
    largest = int(sizes.argmax()) in away
    text = f"{_lesions(away.size)} ({ml:.1f} ml) outside of the liver" + (
        ", the largest of all among them, which would be treated." if largest else "."
    )
    yield Question(
        "lesion-outside", SEVERE if largest else WARNING, text, {"lesions": float(away.size), "volume_ml": round(ml, 2)}
    )


def _lesions(count: int) -> str:
    return "1 lesion is" if count == 1 else f"{count} lesions are"


def _faces(mask: Mask) -> int:
    """On how many sides of the image a mask touches the border."""
    return sum(bool(np.take(mask, end, axis=axis).any()) for axis in range(3) for end in (0, -1))


def _border(labels: LabelMap) -> Iterator[Question]:
    for name, mask in (("liver", labels.liver), ("lesion", labels.tumour)):
        faces = _faces(mask)
        if faces:
            sides = "one side" if faces == 1 else f"{faces} sides"
            text = f"The border of the scan cuts the {name} on {sides}: its volume is that of the part in the scan."
            yield Question(f"{name}-cut", WARNING, text, {"sides": float(faces)})


def _place(ct: Volume, labels: LabelMap) -> Iterator[Question]:
    """Left and right, front and back, up and down, against the body that the CT shows."""
    trunk = Trunk.of(ct)
    if trunk.middle_right is not None:
        places = np.argwhere(labels.liver)
        places = places[:: max(len(places) // 20000, 1)]
        right = labels.geometry.to_ras(places)[:, 0] - trunk.middle_right
        share, middle = float((right < 0).mean()), float(right.mean())
        if share > _LEFT_SHARE and middle < -_LEFT_MM:
            text = (
                f"The liver is on the patient's left ({100 * share:.0f} % of it, its middle {-middle:.0f} mm from that "
                "of the body): the header of the scan or of the labels may have left and right swapped."
            )
            yield Question("liver-left", SEVERE, text, {"share": round(share, 3), "left_mm": round(-middle, 1)})
    if trunk.spine_behind_mm is not None and trunk.spine_behind_mm < -15.0:
        text = "The spine is in front: the header of the scan may have front and back swapped."
        yield Question("front-back", SEVERE, text, {"spine_in_front_mm": round(-trunk.spine_behind_mm, 1)})
    if trunk.lung_above_share is not None and trunk.lung_above_share < 0.05:
        text = "The lungs are at the lower end: the header of the scan may have up and down swapped."
        yield Question("up-down", SEVERE, text, {"lung_above_share": round(trunk.lung_above_share, 3)})


def _density(ct: Volume, labels: LabelMap, before_treatment: bool, looked_at: bool) -> Iterator[Question]:
    """Fat and air in the liver, air and bone inside lesions, Lipiodol in a liver that was not treated yet."""
    box = ndimage.find_objects(labels.liver.astype(np.uint8))[0]
    wide = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
    hu, liver, tumour = ct.array[wide], labels.liver[wide], labels.tumour[wide]
    voxel, size = labels.geometry.voxel_ml, max(int(tumour.sum()), 1)
    averaged = _averaged(hu, labels)
    yield from _fat(averaged, liver & ~tumour, voxel)
    air = int((tumour & (hu < _AIR_HU)).sum())
    dense = hu >= DENSE_HU
    bone = _leaving(dense, liver)
    inside = int((tumour & bone).sum())
    for topic, word, count in (("air-in-lesion", "Air", air), ("bone-in-lesion", "Bone or metal", inside)):
        share, ml = count / size, count * voxel
        if share > _STRANGE_SHARE and ml > _STRANGE_ML:
            text = f"{word} is in {100 * share:.0f} % of the lesions ({ml:.1f} ml): the labels may be displaced."
            severity = SEVERE if share > 0.3 else WARNING
            yield Question(topic, severity, text, {"share": round(share, 3), "volume_ml": round(ml, 2)})
    start = np.array([s.start for s in wide])
    if before_treatment:
        yield from _bright(tumour & (averaged >= _BRIGHT_HU), size, start, labels, looked_at)
    deposits = float((dense & liver & ~bone).sum()) * voxel
    if before_treatment and deposits > _DENSE_ML:
        text = (
            f"{deposits:.1f} ml of the liver are {DENSE_HU} HU or denser, as Lipiodol is: the patient may have been "
            "treated before, and what is simulated is a first treatment."
        )
        yield Question("lipiodol", WARNING, text, {"volume_ml": round(deposits, 2)})


def _bright(bright: Mask, size: int, start: NDArray[np.intp], labels: LabelMap, looked_at: bool) -> Iterator[Question]:
    """What of the lesions, (K, J, I) from voxel `start` on, is too dense for tumour; of how many voxels they are.

    Calcium and Lipiodol of an earlier session are as dense, so that it is a question; nobody but a person can tell.
    """
    count, voxel = int(bright.sum()), labels.geometry.voxel_ml
    if count <= _BRIGHT_SHARE * size or count * voxel <= (_BRIGHT_ML if looked_at else _BRIGHT_UNSEEN_ML):
        return
    pieces = cc3d.connected_components(bright, connectivity=26)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    listed = []
    for n, piece in enumerate(np.argsort(-sizes, kind="stable")[:_BRIGHT_TOLD]):
        if n == 0 or sizes[piece] * voxel >= _STRANGE_ML:
            r, a, s = labels.geometry.to_ras(np.argwhere(pieces == piece).mean(axis=0) + start)
            listed.append(f"{sizes[piece] * voxel:.1f} ml at ({r:.0f}, {a:.0f}, {s:.0f})")
    text = (
        f"{count * voxel:.1f} ml of the lesions ({100 * count / size:.0f} %) are {_BRIGHT_HU} HU or denser: oral "
        "contrast in stomach or bowel may have been taken for a lesion, the patient may have been treated before, or "
        f"it is calcium: {'; '.join(listed)} (R, A, S in mm)."
    )
    if not looked_at:
        text += " Nobody has looked at these outlines: they are the segmenter's."
    numbers = {"share": round(count / size, 3), "volume_ml": round(count * voxel, 2)}
    yield Question("bright-lesion", WARNING if looked_at else SEVERE, text, numbers)


def _averaged(hu: NDArray[Any], labels: LabelMap) -> NDArray[np.float32]:
    """HU without most of their noise, and without the partial volume of what is much darker or brighter."""
    size = np.maximum(np.round(_AVERAGE_MM / np.array(labels.geometry.spacing)), 1).astype(int)
    clipped = np.clip(hu, -200, DENSE_HU).astype(np.float32)
    return np.asarray(ndimage.uniform_filter(clipped, size.tolist()), np.float32)


def _fat(averaged: NDArray[np.float32], parenchyma: Mask, voxel_ml: float) -> Iterator[Question]:
    """Whether too much of what is called liver is fat or lung."""
    count, total = int((parenchyma & (averaged < _FAT_HU)).sum()), int(parenchyma.sum())
    share, ml = count / max(total, 1), count * voxel_ml
    if share > _FAT_SHARES[0] and ml > _FAT_ML:
        text = (
            f"Fat or air is in {100 * share:.0f} % of the liver ({ml:.1f} ml): the labels may be displaced, mirrored "
            "or of another scan."
        )
        severity = SEVERE if share > _FAT_SHARES[1] else WARNING
        yield Question("fat-in-liver", severity, text, {"share": round(share, 3), "volume_ml": round(ml, 2)})


def _leaving(dense: Mask, liver: Mask) -> Mask:
    """Dense pieces that are mostly outside of the liver: ribs, spine, the kidney's contrast."""
    if not dense.any():
        return dense
    pieces = cc3d.connected_components(dense, connectivity=6)
    whole = np.bincount(pieces.ravel())
    within = np.bincount(pieces[liver].ravel(), minlength=len(whole))
    mostly = within < 0.5 * whole
    mostly[0] = False
    return np.asarray(mostly[pieces])
