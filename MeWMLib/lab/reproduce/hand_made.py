"""The hand-made baselines of Table 1 on a patient's own scan, fitted on the synthetic patients that a bundle knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.volume import LabelMap, Provenance, Volume
from MeWMLib.dynamics.compose import compose
from MeWMLib.lab.evaluation.baselines import Pair, pixel2cancer, syntumor
from MeWMLib.lab.reproduce.kept import Kept, key_of
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.lab.synthetic.write import fingerprint
from MeWMLib.perception.preprocess import patch_geometry
from MeWMLib.world.patch import TreatedPatch

#: Row to the module of the baseline.
BASELINES = {"syntumor": syntumor, "pixel2cancer": pixel2cancer}
MARK = "hand-made baseline, knows no action"

Parameters = dict[str, Any]


def fitted(out: Path, fitted_on: int) -> Parameters:
    """Parameters of each baseline, fitted on training patients of the synthetic world; kept in `out`."""

    def fit() -> dict[str, dict[str, float]]:
        pairs = []
        for seed in SPLITS["train"][:fitted_on]:
            case = draw_case(seed)
            before, after = case.before, case.after[0]
            pairs.append(Pair(before.hu, after.hu, before.labels, case.spacing_mm, after.labels))
        return {name: asdict(module.fit(pairs)) for name, module in BASELINES.items()}

    found = Kept(out / "kept" / "hand_made", key_of("hand-made", fitted_on, fingerprint())).or_compute(fit)
    return {name: BASELINES[name].Parameters(**values) for name, values in found.items()}


def drawn(ct: Volume, labels: LabelMap, seed: int, parameters: Parameters) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Row and scan (K, J, I) after treatment by each fitted baseline, drawn on the cube around the largest lesion."""
    if not parameters:
        return
    patch = TreatedPatch.at(patch_geometry(labels), ct, labels)
    # whole changes, since the composition feathers them
    reached = (patch.weight > 0).astype(np.float32)
    for name in parameters:
        module = BASELINES[name]
        chance = derive_seed(name, seed)
        image = module.simulate(patch.hu, patch.labels, patch.spacing_mm, chance, reached, parameters[name])
        after = compose(ct, labels, image - patch.hu, patch.geometry, Provenance(MARK, seed, name, ""))
        yield name, after.array.astype(np.float32)
