"""The deviation over the replicas of an outcome as a parametric map in HU, named so."""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import MeWMLib
from MeWMLib.core.dicom.packages import package
from MeWMLib.exchange import codes
from MeWMLib.exchange.attributes import short_text
from MeWMLib.exchange.ct_series import MODEL, SIMULATED
from MeWMLib.exchange.fingerprint import MANUFACTURER
from MeWMLib.exchange.frames import MultiFrame, Pixels, few
from MeWMLib.exchange.images import Images
from MeWMLib.exchange.segments import complete, concept


class Deviation:
    """The slices in which anything deviates, in a file: a float for each voxel may take more memory than the CT.

    Args:
        kept: the file, until `drop`.
        planes: number of a slice and standard deviations in HU (J, I); each slice once, in any order.
    """

    def __init__(self, kept: Path, planes: Iterable[tuple[int, NDArray[Any]]]) -> None:
        self._kept = kept
        self._at: dict[int, int] = {}
        self._size = 0
        self.highest = 0.0
        with kept.open("wb") as file:
            for n, plane in planes:
                self._size = 4 * plane.size
                if plane.any():
                    self._at[n] = file.tell()
                    file.write(np.ascontiguousarray(plane, "<f4").data)
                    self.highest = max(self.highest, float(plane.max()))

    @property
    def slices(self) -> range:
        """From the first slice in which anything deviates to the last."""
        return range(min(self._at), max(self._at) + 1) if self._at else range(0)

    def pixels(self, order: Sequence[int]) -> Pixels:
        """Of frames of these slices."""

        def pieces() -> Iterator[bytes]:
            with self._kept.open("rb") as file:
                for n in order:
                    if n in self._at:
                        file.seek(self._at[n])
                        yield file.read(self._size)
                    else:
                        yield bytes(self._size)

        return Pixels("FloatPixelData", "OF", self._size * len(order), pieces)

    def drop(self) -> None:
        """Delete the file."""
        self._kept.unlink()


def write_deviation(path: Path, images: Images, found: Deviation, number: int, title: str) -> str:
    """Write a parametric map (float32) of the slices in which anything deviates; returns the SHA-256 of the file.

    Args:
        path: the file.
        images: the slices of the simulated CT.
        found: some slices at least.
        number: SeriesNumber.
        title: follows "SIMULATED" in the description.
    """
    made = _without_pixels(images.light(few(found.slices)), found.highest, number, title)
    made.Rows, made.Columns = images.study.geometry.shape[1:]
    complete(made, images.study)
    whole = MultiFrame(made, images, [found.slices], False)
    return whole.write(path, "", found.pixels([one.slice for one in whole.frames]))


def _mapping(highest: float) -> Any:
    """What a number of the map means."""
    hd = package("highdicom")
    return hd.pm.RealWorldValueMapping(
        lut_label="HU", lut_explanation="Standard deviation over the replicas of the simulation",
        unit=concept(codes.HOUNSFIELD), value_range=(0.0, highest), slope=1.0, intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("R-00317", "SRT", "Standard Deviation"),
    )  # fmt: skip


def _without_pixels(images: Sequence[Any], highest: float, number: int, title: str) -> Any:
    """Everything of the map but its pixels."""
    hd = package("highdicom")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.pm.ParametricMap(
            list(images), np.ones((len(images), 1, 1), np.float32), hd.UID(), number, hd.UID(), 1, MANUFACTURER, MODEL,
            MeWMLib.__version__, "0",
            contains_recognizable_visual_features=False, real_world_value_mappings=[_mapping(highest)],
            window_center=highest / 2, window_width=max(highest, 1.0), content_label="DEVIATION",
            content_description=short_text(f"{SIMULATED} standard deviation {title}"),
            series_description=short_text(f"{SIMULATED} deviation {title}"),
        )  # fmt: skip
    del made.FloatPixelData
    made.Laterality = ""  # the liver is one organ
    return made
