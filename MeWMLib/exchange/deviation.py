"""The deviation over the replicas of an outcome as a parametric map in HU, named so."""
# mypy: allow-untyped-calls

from __future__ import annotations

import tempfile
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
from MeWMLib.exchange.encoded import long_element
from MeWMLib.exchange.fingerprint import MANUFACTURER
from MeWMLib.exchange.frames import frames_of
from MeWMLib.exchange.segments import concept, finish
from MeWMLib.exchange.study import Study


def write_deviation(
    path: Path, study: Study, images: Sequence[Any], planes: Iterable[tuple[int, NDArray[Any]]], number: int, title: str
) -> bool:
    """Write a parametric map (float32) of the slices in which anything deviates; False where none does.

    Args:
        path: the file.
        study: its patient, study and grid.
        images: the slices of the simulated CT, without pixels.
        planes: number of a slice and standard deviations in HU (J, I); each slice once, in any order.
        number: SeriesNumber.
        title: follows "SIMULATED" in the description.
    """
    shape = study.geometry.shape[1:]
    size = 4 * shape[0] * shape[1]
    # a float for each voxel: the map of a liver would take more memory than the CT
    with tempfile.TemporaryFile(dir=path.parent) as kept:
        places: dict[int, int] = {}
        highest = 0.0
        for n, plane in planes:
            if plane.any():
                places[n] = kept.tell()
                kept.write(np.ascontiguousarray(plane, "<f4").data)
                highest = max(highest, float(plane.max()))
        if not places:
            return False
        part = slice(min(places), max(places) + 1)
        made = _without_pixels(images[part], highest, number, title)
        made.Rows, made.Columns = shape
        order = [n for n, _ in frames_of(made, images)]

        def frames() -> Iterator[bytes]:
            for n in order:
                if n in places:
                    kept.seek(places[n])
                    yield kept.read(size)
                else:
                    yield bytes(size)

        finish(made, study, pixels=frames())
        made.save_as(path)
        with path.open("ab") as file:  # the element with the highest tag, so that it comes last
            file.write(long_element("FloatPixelData", "OF", size * len(order)))
            file.writelines(frames())
    return True


def _without_pixels(images: Sequence[Any], highest: float, number: int, title: str) -> Any:
    """Everything of the map but its pixels."""
    hd = package("highdicom")
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="HU", lut_explanation="Standard deviation over the replicas of the simulation",
        unit=concept(codes.HOUNSFIELD), value_range=(0.0, highest), slope=1.0, intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("R-00317", "SRT", "Standard Deviation"),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.pm.ParametricMap(
            list(images), np.ones((len(images), 1, 1), np.float32), hd.UID(), number, hd.UID(), 1, MANUFACTURER, MODEL,
            MeWMLib.__version__, "0",
            contains_recognizable_visual_features=False, real_world_value_mappings=[mapping],
            window_center=highest / 2, window_width=max(highest, 1.0), content_label="DEVIATION",
            content_description=short_text(f"{SIMULATED} standard deviation {title}"),
            series_description=short_text(f"{SIMULATED} deviation {title}"),
        )  # fmt: skip
    del made.FloatPixelData
    made.Laterality = ""  # the liver is one organ
    return made
