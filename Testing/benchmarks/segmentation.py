"""Segment again after a simulated change against a full run, on one synthetic abdomen: ratios of windows and of time.

`python Testing/benchmarks/segmentation.py [--overlap 0.75]`
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from MeWMLib.cohorts.synthetic.world import synthetic_case
from MeWMLib.core.bundles import find_bundle
from MeWMLib.perception.preprocess import isotropic_geometry, resample
from MeWMLib.perception.segmenter import Segmenter


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlap", type=float, default=None, help="of windows; the bundle's by default")
    parser.add_argument("--seed", type=int, default=200_003)
    args = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = Segmenter.from_part(*find_bundle().part("assistant"), torch.device("cpu"))
    if args.overlap is not None:
        segmenter.config = replace(segmenter.config, overlap=args.overlap)
    ct, labels = synthetic_case(args.seed)
    grid = isotropic_geometry(ct.geometry, segmenter.config.spacing_mm)
    hu = resample(ct.array, ct.geometry, grid).astype(np.float32)
    tumour = resample(labels.array, labels.geometry, grid, "nearest", 0) == 2
    components, _ = ndimage.label(tumour)
    target = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    near = ndimage.binary_dilation(target, iterations=3)
    changed = np.where(near, hu - 30, hu).astype(np.float32)
    kept = segmenter.segment_kept(hu)  # also the warm-up
    began = time.perf_counter()
    whole = segmenter.segment_kept(changed)
    full = time.perf_counter() - began
    began = time.perf_counter()
    part = segmenter.segment_again(kept, changed)
    again = time.perf_counter() - began
    equal = np.array_equal(whole.labels, part.labels)
    print(f"image {hu.shape}, change {int(near.sum()) * segmenter.config.spacing_mm**3 / 1000:.0f} ml, equal: {equal}")
    print(f"windows {whole.computed} / {part.computed} = {whole.computed / part.computed:.1f}")
    print(f"seconds {full:.2f} / {again:.2f} = {full / again:.1f}")
    if not equal:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
