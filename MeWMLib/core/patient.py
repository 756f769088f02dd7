"""A patient as the method sees one: a CT, labels, findings and clinical data. Never a name, a date or a hospital id."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from MeWMLib.core.clinical import Clinical as Clinical
from MeWMLib.core.goal import Goal
from MeWMLib.core.targets import Session
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry


@dataclass(frozen=True)
class Lesion:
    """One connected tumour component.

    Attributes:
        index: 1 is the largest.
        volume_ml: its volume.
        longest_axial_diameter_mm: RECIST diameter, the longest in any axial slice.
        centre_ras_mm: centroid.
        mean_hu, sd_hu: statistics inside it.
        lipiodol_fraction: share of voxels at lipiodol density.
        necrotic_fraction: share of voxels that are not perfused; None where the contrast phase does not tell.
        viable_ml: what is perfused; None as above.
        viable_diameter_mm: mRECIST diameter, the longest axial one of the viable part; 0 if nothing is viable. It is
            read in the arterial phase, and None in others.
        hu_low, hu_high: 5th and 95th percentile of HU.
        liver_edge_mm: shortest distance from the lesion to the surface of the liver; 0 if it touches it.
        vessel_mm: shortest distance to a main vessel, where vessels are known.
        location: where in the liver, in words.

    The last six are None or "" where they were not measured.
    """

    index: int
    volume_ml: float
    longest_axial_diameter_mm: float
    centre_ras_mm: tuple[float, float, float]
    mean_hu: float
    sd_hu: float
    lipiodol_fraction: float
    necrotic_fraction: float | None
    viable_ml: float | None
    viable_diameter_mm: float | None = None
    hu_low: float | None = None
    hu_high: float | None = None
    liver_edge_mm: float | None = None
    vessel_mm: float | None = None
    location: str = ""


@dataclass(frozen=True)
class Findings:
    """What the labels say: liver and lesions, largest first.

    Attributes:
        liver_ml: liver, tumour included.
        liver_mean_hu: mean of the liver without tumour; None where there is none, which is not 0 HU.
    """

    liver_ml: float
    liver_mean_hu: float | None
    lesions: tuple[Lesion, ...]

    @property
    def tumour_ml(self) -> float:
        """Volume of all lesions."""
        return sum(lesion.volume_ml for lesion in self.lesions)

    @property
    def viable_ml(self) -> float:
        """Viable volume of all lesions; of one of which it is not known, nothing."""
        return sum(lesion.viable_ml or 0.0 for lesion in self.lesions)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient before treatment.

    Attributes:
        id: opaque identifier (never a hospital id).
        ct: the pre-treatment CT.
        labels: liver and tumour on the same grid.
        findings: measured on the labels.
        clinical: clinical data, all optional.
        goal: of the treatment, as it was read; what it rules out is never given.
        session: what is treated; None treats all tumour in the cube around the largest lesion.
    """

    id: str
    ct: Volume
    labels: LabelMap
    findings: Findings
    clinical: Clinical = Clinical()
    goal: Goal = Goal()
    session: Session | None = None

    def __post_init__(self) -> None:
        require_same_geometry(self.ct.geometry, self.labels.geometry, "The labels are not on the grid of the CT")

    @property
    def target_findings(self) -> Findings:
        """The findings with the target first: doses go by its size."""
        if self.session is None:
            return self.findings
        first = self.session.target
        lesions = sorted(self.findings.lesions, key=lambda lesion: lesion.index != first)
        return replace(self.findings, lesions=tuple(lesions))

    def __repr__(self) -> str:
        found = self.findings
        tumour = f"{len(found.lesions)} lesions, tumour {found.tumour_ml:.1f} ml, liver {found.liver_ml:.0f} ml"
        return f"Patient({self.id!r}, {tumour}, {self.ct.geometry.describe()})"
