"""The liver of HCC_009 after treatment, portal phase: outlined by hand, so that a registration can be measured.

The collection has no mask of that scan here. `hcc_009_post_liver.json` holds outlines on every fourth slice, in RAS mm,
tumour and Lipiodol included, gall bladder, portal vein and vena cava left out. Between those slices the signed distance
is interpolated; fat is taken away by its HU. They were drawn by one AI reader before any Dice was computed; but the
registrations had been run, and their rigid shift told which slices to outline.

`python Testing/lab/evaluation/hcc_009.py CT OUT` writes the mask as a label file.
"""

import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Polygon
from scipy import ndimage

from MeWMLib.core import io
from MeWMLib.core.volume import LabelMap, Volume

OUTLINES = Path(__file__).with_name("hcc_009_post_liver.json")
#: Fat and air are darker, in the smoothed scan.
FAT_HU = 25.0


def post_liver(ct: Volume) -> LabelMap:
    """The liver on the grid of a scan (axial, the patient's own frame); nothing above and below what was outlined."""
    content = json.loads(OUTLINES.read_text(encoding="utf-8"))
    count, height, width = ct.geometry.shape
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)
    points = ct.geometry.to_ras(np.c_[np.zeros(len(places)), places])[:, :2]
    levels = np.array([s["z_mm"] for s in content["slices"]])
    distances = []
    for drawn in content["slices"]:
        inside = np.zeros(len(points), bool)
        for outline in drawn["outlines"]:
            inside |= Polygon(outline).contains_points(points)
        flat = inside.reshape(height, width)
        outside = ndimage.distance_transform_edt(~flat) if flat.any() else np.full(flat.shape, 8.0)
        distances.append(ndimage.distance_transform_edt(flat) - outside)
    smooth = ndimage.gaussian_filter(np.clip(ct.array, -150, 300).astype(np.float32), (0.3, 0.8, 0.8))
    mask = np.zeros(ct.geometry.shape, bool)
    for k in range(count):
        z = float(ct.geometry.to_ras(np.array([[k, 0, 0]]))[0, 2])
        if not levels[0] <= z <= levels[-1]:
            continue
        n = min(int(np.searchsorted(levels, z, "right")) - 1, len(levels) - 2)
        share = (z - levels[n]) / (levels[n + 1] - levels[n])
        flat = ((1 - share) * distances[n] + share * distances[n + 1] > 0) & (smooth[k] > FAT_HU)
        mask[k] = ndimage.binary_fill_holes(ndimage.binary_opening(flat, iterations=2))
    return LabelMap(mask.astype(np.uint8), ct.geometry)


if __name__ == "__main__":
    io.write_labels(post_liver(io.read_volume(Path(sys.argv[1]))), Path(sys.argv[2]))
