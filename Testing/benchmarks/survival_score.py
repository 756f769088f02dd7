"""`make bench-survival`: how long one patient is scored, beside one forward pass of the assistant on the same patch.

    python Testing/benchmarks/survival_score.py [BUNDLE]

The whole score of a pair before and after: tumour measured on the CT after, five views of each time point, encoding of
both, log-risk, curve and members of the ensemble. Prints seconds (median after a warm-up, two threads) and their ratio
to the assistant in the same run. No test: a busy machine is slow for other reasons.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.patient import Patient
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.synthetic.cases import target_geometry
from MeWMLib.perception.findings import measure
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.survival.network import Assessor
from MeWMLib.world.patch import TreatedPatch

#: Wanted by the project on two cores, seconds.
WANTED = 0.6
BASELINE = "assistant on the patch"


def median(run: Callable[[], object], times: int = 9) -> tuple[float, float]:
    """Median of wall and of processor time, in seconds, after one run to warm up."""
    run()
    wall, processor = [], []
    for _ in range(times):
        start, own = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - own)
    return float(np.median(wall)), float(np.median(processor))


def main() -> int:
    """Measure and print; 1 if the whole score takes longer than wanted."""
    torch.set_num_threads(2)
    bundle = find_bundle(sys.argv[1] if len(sys.argv) > 1 else None, require=("survival", "assistant"))
    assessor = Assessor(*bundle.part("survival"))
    segmenter = Segmenter.from_part(*bundle.part("assistant"), torch.device("cpu"))
    drawn = SyntheticPatient.draw(0)
    geometry = target_geometry(drawn, 120)
    before = drawn.render(geometry)
    ct, labels = Volume(before.hu, geometry), LabelMap(before.labels, geometry)
    patch = TreatedPatch.of(Patient("0", ct, labels, measure(ct, labels)))
    found = patch.findings(patch.hu, patch.labels)
    tokens = assessor.encode(patch.views(patch.hu, patch.labels))

    def score(pre: object) -> None:
        """What `WorldModel` does for one outcome, given tokens or views before treatment."""
        change = patch.change(found, patch.findings(patch.hu, patch.labels))
        assessor.judge(pre, patch.views(patch.hu, patch.labels), patch.covariates(change))

    rows = {
        "whole score of one pair": median(lambda: score(patch.views(patch.hu, patch.labels))),
        "another outcome of the patient": median(lambda: score(tokens)),
        "of it, measuring the tumour": median(lambda: patch.findings(patch.hu, patch.labels)),
        BASELINE: median(lambda: segmenter.segment_patches(patch.hu[None], patch.spacing_mm)),
    }
    for name, (wall, processor) in rows.items():
        ratio = wall / rows[BASELINE][0]
        print(f"{name:32s} {wall:6.3f} s wall  {processor:6.3f} s processor  {ratio:.2f} of the {BASELINE}")
    seconds = rows["whole score of one pair"][0]
    members = assessor.config.members
    print(f"one patient is scored in {seconds:.3f} s with {members} members (wanted: under {WANTED} s)")
    return int(seconds >= WANTED)


if __name__ == "__main__":
    raise SystemExit(main())
