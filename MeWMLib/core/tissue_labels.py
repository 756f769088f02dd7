"""The labels of a simulated outcome: liver and tumour in one layer, what the tumour consists of in a second one.

Both are segments of one `.seg.nrrd`. The values of the second layer are none of the first one's, so that a program that
counts voxels of a value counts the same as before. The header carries the mark of a simulated volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core._segments import segment_keys, segment_metadata
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.volume import TUMOUR, LabelMap

Mask = NDArray[np.bool_]
#: Key of a header: only the first layer of this file holds liver and tumour, the second says what the tumour is.
LAYERS_KEY, LAYERS = "MeWM_layers", "labels,tissue"
_CATEGORY = "SCT^49755003^Morphologically Altered Structure"


@dataclass(frozen=True)
class TissueSegment:
    """One segment of the second layer: name, value, colour (RGB, 0 to 1), coded type as SCHEME^CODE^MEANING."""

    name: str
    value: int
    colour: tuple[float, float, float]
    kind: str


SEGMENTS = (
    TissueSegment("Viable tumour", 3, (0.90, 0.25, 0.25), "SCT^4147007^Mass"),
    TissueSegment("Necrosis", 4, (0.45, 0.40, 0.60), "SCT^6574001^Necrosis"),
    TissueSegment("Lipiodol", 5, (1.0, 0.92, 0.30), "SCT^387025004^Ethiodized oil"),
)


def layered(
    labels: LabelMap, tissue: Mapping[str, Mask | None], marks: Mapping[str, str]
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Voxels and header of the labels of a simulated outcome.

    Args:
        labels: liver and tumour.
        tissue: (K, J, I) masks by the names of `SEGMENTS`; None for one that is not known, which is left out.
        marks: of the simulated volume, as in its header.

    Returns:
        (K, J, I, 2) with the labels and the tissue, and the keys of the header.
    """
    second = np.zeros_like(labels.array)
    keys = segment_metadata(labels)
    number = sum(key.endswith("_Name") for key in keys)
    for segment in SEGMENTS:
        mask = tissue.get(segment.name)
        if mask is None:
            continue
        second[mask & (labels.array == TUMOUR)] = segment.value
        entry = "~".join(
            (
                "Segmentation category and type - 3D Slicer General Anatomy list", _CATEGORY, segment.kind, "^^",
                "Anatomic codes - DICOM master list", "SCT^10200004^Liver", "^^",
            )
        )  # fmt: skip
        keys |= segment_keys(number, segment.name, segment.colour, segment.value, 1, second == segment.value, entry)
        number += 1
    return np.stack([labels.array, second], -1), {**keys, LAYERS_KEY: LAYERS, **marks}


def first_layer(layers: list[NDArray[Any]], metadata: Mapping[str, str]) -> tuple[list[NDArray[Any]], dict[str, str]]:
    """What of a file with tissue says liver and tumour; a file without it as it is."""
    if metadata.get(LAYERS_KEY) != LAYERS or len(layers) < 2:
        return layers, dict(metadata)
    second = {key.split("_")[0] for key, value in metadata.items() if key.endswith("_Layer") and value == "1"}
    return layers[:1], {key: value for key, value in metadata.items() if key.split("_")[0] not in second}


def read_tissue(path: Path) -> dict[str, Mask]:
    """Masks (K, J, I) of the second layer of a file that `layered` made, by the names of `SEGMENTS`; none without one.

    Raises:
        MeWMError: the file cannot be read.
    """
    file = read_image_file(path)
    if file.metadata.get(LAYERS_KEY) != LAYERS or file.array.ndim != 4:
        return {}
    names = {value for key, value in file.metadata.items() if key.endswith("_Name")}
    return {one.name: np.asarray(file.array[..., 1] == one.value) for one in SEGMENTS if one.name in names}
