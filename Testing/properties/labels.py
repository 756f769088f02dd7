"""Segmentations (.seg.nrrd) as 3D Slicer writes them, and damage to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from MeWMLib.core.io import read_labels
from MeWMLib.core.volume import Geometry
from Testing.properties.case import Case, Group
from Testing.properties.files import cut, flipped, nrrd, nrrd_fields
from Testing.properties.truth import Truth, draw_labels

LABELS = Group("segmentation")
NAME = "labels.seg.nrrd"


def _segments(truth: Truth, first: tuple[str, int] = ("Liver", 1), second: tuple[str, int] = ("Tumour", 2)) -> str:
    """Keys of the two segments, in one layer."""
    k, j, i = truth.array.shape
    lines = ["Segmentation_MasterRepresentation:=Binary labelmap", "Segmentation_ReferenceImageExtentOffset:=0 0 0"]
    for n, (name, value) in enumerate((first, second)):
        lines += [
            f"Segment{n}_ID:=Segment_{n + 1}", f"Segment{n}_Name:={name}", f"Segment{n}_LabelValue:={value}",
            f"Segment{n}_Layer:=0", f"Segment{n}_Extent:=0 {i - 1} 0 {j - 1} 0 {k - 1}",
        ]  # fmt: skip
    return "".join(line + "\n" for line in lines)


def _case(truth: Truth, data: bytes, valid: bool = False) -> Case:
    grid = Geometry(truth.array.shape, truth.affine)

    def read(folder: Path) -> Truth:
        found = read_labels(folder / NAME, grid)
        return Truth(np.asarray(found.array), np.asarray(found.geometry.affine))

    return Case({NAME: data}, read, truth.same_as, valid, f"truth: {truth!r}")


def _file(truth: Truth, stored: Truth, more: str, encoding: str = "gzip") -> bytes:
    return b"".join(nrrd(stored, nrrd_fields(truth, encoding), more=more))


@LABELS.kind("valid")
def _valid(rng: Random) -> Case:
    truth = draw_labels(rng)
    values = rng.choice(((1, 2), (2, 1), (3, 7), (200, 100)))
    table = np.array([0, *values], np.uint8)
    more = _segments(truth, ("Liver", values[0]), (rng.choice(("Tumour", "tumor", "Lesion")), values[1]))
    return _case(truth, _file(truth, truth.with_array(table[truth.array]), more, rng.choice(("raw", "gzip"))), True)


@LABELS.kind("bit of the gzip stream")
def _flip(rng: Random) -> Case:
    truth = draw_labels(rng)
    header, voxels = nrrd(truth, nrrd_fields(truth, "gzip"), more=_segments(truth))
    return _case(truth, header + flipped(voxels, rng))


@LABELS.kind("cut")
def _cut(rng: Random) -> Case:
    truth = draw_labels(rng)
    return _case(truth, cut(_file(truth, truth, _segments(truth), rng.choice(("raw", "gzip"))), rng))


@LABELS.kind("two segments of one value")
def _one_value(rng: Random) -> Case:
    truth = draw_labels(rng)
    return _case(truth, _file(truth, truth, _segments(truth, ("Liver", 2), ("Tumour", 2))))


@LABELS.kind("values without a segment")
def _unnamed(rng: Random) -> Case:
    truth = draw_labels(rng)
    array = truth.array.copy()
    array[truth.array == 2] = 9  # the tumour has a value that no segment has
    return _case(truth, _file(truth, truth.with_array(array), _segments(truth)))


@LABELS.kind("value that is no number")
def _no_value(rng: Random) -> Case:
    truth = draw_labels(rng)
    more = _segments(truth).replace(
        "_LabelValue:=2", f"_LabelValue:={rng.choice(('', 'two', 'nan', '-2', '1e9', '2.5'))}"
    )
    return _case(truth, _file(truth, truth, more))


@LABELS.kind("layer that is not there")
def _no_layer(rng: Random) -> Case:
    truth = draw_labels(rng)
    more = _segments(truth).replace("Segment1_Layer:=0", f"Segment1_Layer:={rng.choice(('1', '7', '-1', 'x', ''))}")
    return _case(truth, _file(truth, truth, more))


@LABELS.kind("name of something else")
def _other(rng: Random) -> Case:
    truth = draw_labels(rng)
    name = rng.choice(("Spleen", "Kidney tumour", "Liver without tumour", "Aorta", "liver vessels", ""))
    case = _case(truth, _file(truth, truth, _segments(truth, second=(name, 2))))
    liver = truth.array == 1
    # what the file does not call a tumour is none, and its liver stays liver
    return replace(case, right=lambda found: not (found.array == 2).any() and (found.array[liver] == 1).all())


@LABELS.kind("grid of another scan")
def _elsewhere(rng: Random) -> Case:
    truth = draw_labels(rng)
    affine = truth.affine.copy()
    kind = rng.randrange(3)
    if kind == 0:
        affine[:3, 3] += 0.5 * affine[:3, rng.randrange(3)]
    elif kind == 1:
        affine[:3, rng.randrange(3)] *= 1.2
    else:
        affine[:2] *= -1  # RAS taken for LPS
    moved = Truth(truth.array, affine)
    return _case(truth, _file(moved, truth, _segments(truth)))
