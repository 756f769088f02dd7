"""What is measured in a scan for survival models, in the same way on a real scan and on a simulated one.

Everything is measured inside the outline before treatment, on the cube around the largest lesion: an outline after
treatment is known of some scans only, and a difference between outlines would be taken for one between scans.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import DRUG, Protocol, agent
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.lab.evaluation.radiomics import RADIOMICS, radiomics
from MeWMLib.perception.findings import LIPIODOL_HU, viable_mask
from MeWMLib.perception.preprocess import patch_geometry, resample

#: Measures of one scan beside the radiomics.
MEASURES = ("log_viable_ml", "log_dense_ml", "viable_share")
IMAGE = (*RADIOMICS, *MEASURES)
#: Clinical numbers that a survival model may read; what is not known is filled inside the training folds.
CLINICAL = (
    "age_years", "male", "log_afp", "child_pugh", "bclc_stage", "bilirubin_mg_per_dl", "albumin_g_per_dl",
    "spread", "main_vein",
)  # fmt: skip
PROCEDURE = ("drugs", "embolics", "platinum", "anthracycline", "beads", "weeks")
_STAGES = {"0": 0.0, "A": 1.0, "B": 2.0, "C": 3.0, "D": 4.0}


class ImageFeatures:
    """Measures scans of one patient.

    Args:
        labels: before treatment.
    """

    def __init__(self, labels: LabelMap) -> None:
        self._grid = patch_geometry(labels)
        known = resample(labels.array, labels.geometry, self._grid, "nearest", 0)
        self._tumour: NDArray[np.bool_] = np.asarray(known == 2)

    def of(self, array: NDArray[np.generic], geometry: Geometry) -> dict[str, float]:
        """`IMAGE` of a scan (K, J, I) by name."""
        hu = resample(np.asarray(array, np.float32), geometry, self._grid).astype(np.float32)
        ml = self._grid.voxel_ml
        viable = float(viable_mask(hu, self._tumour).sum()) * ml
        dense = float((hu[self._tumour] >= LIPIODOL_HU).sum()) * ml
        whole = max(float(self._tumour.sum()) * ml, 1e-6)
        values = [
            *radiomics(hu, self._tumour, self._grid.spacing[0]),
            np.log1p(viable),
            np.log1p(dense),
            viable / whole,
        ]
        return dict(zip(IMAGE, (float(v) for v in values), strict=True))


def clinical_numbers(clinical: Clinical) -> dict[str, float]:
    """`CLINICAL` by name; NaN where a number is not known."""

    def number(name: str) -> float:
        value = clinical.known(name)
        return float("nan") if value is None else float(value)

    sex, stage = clinical.known("sex"), clinical.known("bclc_stage")
    cirrhosis = clinical.known("child_pugh_class")
    return {
        "age_years": number("age_years"),
        "male": float("nan") if sex is None else float(sex == "male"),
        "log_afp": float(np.log1p(number("afp_ng_per_ml"))),
        "child_pugh": float("nan") if cirrhosis is None else float("ABC".index(str(cirrhosis)[0])),
        "bclc_stage": float("nan") if stage is None else _STAGES.get(str(stage), float("nan")),
        "bilirubin_mg_per_dl": number("bilirubin_mg_per_dl"),
        "albumin_g_per_dl": number("albumin_g_per_dl"),
        "spread": number("extrahepatic_spread"),
        "main_vein": number("main_portal_vein_thrombosis"),
    }


def procedure_numbers(protocol: Protocol | None, weeks: float | None) -> dict[str, float]:
    """`PROCEDURE` by name; NaN where nothing is known."""
    unknown = float("nan")
    out = {"weeks": unknown if weeks is None else weeks}
    if protocol is None:
        return out | dict.fromkeys(PROCEDURE[:-1], unknown)
    agents = [agent(name) for name in protocol.agents]
    classes = [one.agent_class for one in agents]
    drugs = sum(one.kind == DRUG for one in agents)
    return {
        "drugs": float(drugs),
        "embolics": float(len(agents) - drugs),
        "platinum": float(sum("platinum" in one for one in classes)),
        "anthracycline": float(sum("anthracycline" in one for one in classes)),
        "beads": float(sum("bead" in one for one in classes)),
        **out,
    }
