"""How long one patient is scored, beside one forward pass of the assistant on the same patch.

    python Testing/benchmarks/survival_score.py [BUNDLE]

Prints seconds and their ratio; two threads. No test: a busy machine is slow for other reasons.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from MeWMLib.bundles import find_bundle
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.survival.network import Assessor
from MeWMLib.survival.patches import five_views, half_resolution


def _median(run, times: int = 7) -> tuple[float, float]:
    """Median of wall and of processor time, in seconds, after one run to warm up."""
    run()
    wall, processor = [], []
    for _ in range(times):
        start, own = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - own)
    return float(np.median(wall)), float(np.median(processor))


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(2)
    bundle = find_bundle(sys.argv[1] if len(sys.argv) > 1 else None, require=("survival",))
    assessor = Assessor(*bundle.part("survival"))
    rng = np.random.default_rng(0)
    hu = rng.normal(80, 20, (96, 96, 96)).astype(np.float32)
    z, y, x = np.mgrid[:96, :96, :96] - 47.5
    tumour = z**2 + y**2 + x**2 < 25**2
    before = assessor.encode(five_views(half_resolution(hu, tumour)))
    late = np.zeros(len(assessor.config.covariates), np.float32)

    def whole() -> None:
        """Views, both encodings and the risk, as for a first protocol."""
        views = five_views(half_resolution(hu, tumour))
        assessor.score(views, views, late)

    def another() -> None:
        """A further protocol of the same patient: the tokens before treatment are kept."""
        assessor.score(before, five_views(half_resolution(hu, tumour)), late)

    rows = {"survival, first protocol": _median(whole), "survival, further protocol": _median(another)}
    if "assistant" in bundle.manifest["parts"]:
        segmenter = Segmenter.from_part(*bundle.part("assistant"), torch.device("cpu"))
        rows["assistant on the patch"] = _median(lambda: segmenter.segment_patches(hu[None], 1.0))
    base = rows.get("assistant on the patch", rows["survival, first protocol"])
    for name, (wall, processor) in rows.items():
        print(f"{name:28s} {wall:6.3f} s wall  {processor:6.3f} s processor  ratio {processor / base[1]:.2f}")


if __name__ == "__main__":
    main()
