"""The deviation over the replicas of an outcome as a parametric map in HU, named so."""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
from MeWMLib.exchange.segments import concept, finish
from MeWMLib.exchange.study import Study


def write_deviation(
    path: Path, study: Study, images: Sequence[Any], array: NDArray[Any], number: int, title: str
) -> bool:
    """Write a parametric map (float32) of the slices in which anything deviates; False where none does.

    Args:
        path: the file.
        study: its patient, study and grid.
        images: the slices of the simulated CT, without pixels.
        array: standard deviation in HU (K, J, I).
        number: SeriesNumber.
        title: follows "SIMULATED" in the description.
    """
    hd = package("highdicom")
    where = [n for n, one in enumerate(array) if one.any()]
    if not where:
        return False
    part = slice(where[0], where[-1] + 1)
    values = np.ascontiguousarray(array[part], np.float32)
    highest = float(values.max())
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="HU", lut_explanation="Standard deviation over the replicas of the simulation",
        unit=concept(codes.HOUNSFIELD), value_range=(0.0, highest), slope=1.0, intercept=0.0,
        quantity_definition=hd.sr.CodedConcept("R-00317", "SRT", "Standard Deviation"),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.pm.ParametricMap(
            list(images[part]), values, hd.UID(), number, hd.UID(), 1, MANUFACTURER, MODEL, MeWMLib.__version__, "0",
            contains_recognizable_visual_features=False, real_world_value_mappings=[mapping],
            window_center=highest / 2, window_width=max(highest, 1.0), content_label="DEVIATION",
            content_description=short_text(f"{SIMULATED} standard deviation {title}"),
            series_description=short_text(f"{SIMULATED} deviation {title}"),
        )  # fmt: skip
    made.Laterality = ""  # the liver is one organ
    finish(made, study)
    made.save_as(path)
    return True
