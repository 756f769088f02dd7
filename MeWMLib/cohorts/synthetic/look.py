"""How the scans of the world look (version 3): contrast, noise, deposits and death, in one place and with their origin.

`python -m MeWMLib.lab.synthetic.look_calibration` measures what can be measured and prints it beside these values. The
origin of a value stands in the metadata of its field: "measured" on the public scans of docs/SYNTHETIC_WORLD.md,
"fitted" to their statistics, or "assumed".
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from MeWMLib.rendering.grains import GrainConstants

Range = tuple[float, float]


def _from(origin: str, default: Any) -> Any:
    return field(default=default, metadata={"origin": origin})


@dataclass(frozen=True)
class LookConstants:
    """Constants of the look; ranges are the ends between which patients are drawn.

    Attributes:
        liver_portal, liver_arterial: HU of the liver.
        tumour_portal, tumour_arterial: viable tumour minus liver, HU.
        unenhanced: HU of tissue without contrast medium, which dead tissue falls to in the arterial phase.
        noise_hu, noise_spread: median of the noise (HU), and deviation of its logarithm.
        noise_limits: where it ends.
        in_plane_mm, slices_mm: voxels in plane, and the distances of slices that occur.
        low_cut, high_cut, streak, slice_tie, blur_mm, edge: see `rendering.scanner.Scanner`.
        texture_hu: deviation of the fine structure of liver and tumour.
        grains: see `rendering.grains.GrainConstants`.
        oil_share: Lipiodol (ml for 1 ml of fed tumour) five weeks after a usual session, median.
        oil_spread: deviation of its logarithm between patients.
        oil_none: share of patients in whom nothing is left to be seen.
        oil_half_life: weeks in which half of what is left is washed out.
        oil_patch_mm, oil_fill: size of the parts of a territory that fill with oil, and their share of it.
        oil_rim: how much denser deposits are at the rim of the lesion than in its middle (logarithm).
        oil_clump: how uneven they are over some mm (deviation of the logarithm).
        death_none: share of patients whose dead tissue is hardly darker in the portal phase.
        death_drop: mean fall (HU) of dead tissue in the portal phase in the others.
        death_floor: HU below which dead tissue does not fall.
        shift_mm, turn_deg, breath_mm: deviations of the difference of pose between two scans.
    """

    liver_portal: Range = _from("measured", (92.0, 143.0))
    liver_arterial: Range = _from("measured", (50.0, 67.0))
    tumour_portal: Range = _from("measured", (-51.0, 19.0))
    tumour_arterial: Range = _from("measured", (8.0, 28.0))
    unenhanced: float = _from("assumed", 47.0)
    noise_hu: float = _from("measured", 20.5)
    noise_spread: float = _from("measured", 0.2)
    noise_limits: Range = _from("measured", (8.0, 35.0))
    in_plane_mm: Range = _from("measured", (0.62, 0.85))
    slices_mm: tuple[float, ...] = _from("measured, and the common distances besides", (2.5, 2.5, 2.5, 3.0, 5.0))
    low_cut: float = _from("fitted", 0.04)
    high_cut: Range = _from("fitted", (0.41, 0.5))
    streak: Range = _from("measured", (0.5, 0.75))
    slice_tie: float = _from("fitted", 0.28)
    blur_mm: Range = _from("assumed", (0.45, 0.6))
    edge: Range = _from("fitted", (0.15, 0.75))
    texture_hu: float = _from("fitted", 7.0)
    grains: GrainConstants = _from("fitted", GrainConstants())
    oil_share: float = _from("fitted", 0.005)
    oil_spread: float = _from("assumed: about the spread between the pairs", 0.6)
    oil_none: float = _from("assumed", 0.1)
    oil_half_life: float = _from("assumed", 12.0)
    oil_patch_mm: float = _from("fitted", 16.0)
    oil_fill: float = _from("fitted", 0.34)
    oil_rim: float = _from("fitted", 1.35)
    oil_clump: float = _from("fitted", 1.0)
    death_none: float = _from("measured on two pairs, so hardly more than assumed", 0.4)
    death_drop: float = _from("measured on two pairs, so hardly more than assumed", 36.0)
    death_floor: float = _from("measured", 22.0)
    shift_mm: float = _from("assumed: what registration leaves", 1.0)
    turn_deg: float = _from("assumed: what registration leaves", 0.8)
    breath_mm: float = _from("assumed: what registration leaves", 1.6)

    @classmethod
    def origins(cls) -> dict[str, str]:
        """Where each constant comes from, by its name."""
        return {f.name: str(f.metadata["origin"]) for f in fields(cls)}


LOOK = LookConstants()
