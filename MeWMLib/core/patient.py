"""A patient as the method sees one: a CT, labels, findings and clinical data. Never a name, a date or a hospital id."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.clinical_words import in_our_words
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry

_CHOICES = {
    "sex": ("female", "male"),
    "child_pugh_class": ("A", "B", "C"),
    "bclc_stage": ("0", "A", "B", "C", "D"),
}
_RANGES = {
    "age_years": (0.0, 120.0),
    "afp_ng_per_ml": (0.0, 1e8),
    "bilirubin_mg_per_dl": (0.0, 60.0),
    "creatinine_mg_per_dl": (0.0, 30.0),
    "albumin_g_per_dl": (0.5, 8.0),
}
#: What to do about a file that is no JSON, or holds a value of another type.
_EXAMPLE = (
    'Write it as in {"age_years": 61, "sex": "male", "extrahepatic_spread": false}: names and words in double quotes, '
    "numbers with a point and without their unit, no comment, no comma after the last one"
)


@dataclass(frozen=True)
class Clinical:
    """Clinical data; the unit is part of the field's name; None means not known."""

    age_years: float | None = None
    sex: str | None = None
    afp_ng_per_ml: float | None = None
    child_pugh_class: str | None = None
    bclc_stage: str | None = None
    bilirubin_mg_per_dl: float | None = None
    creatinine_mg_per_dl: float | None = None
    albumin_g_per_dl: float | None = None
    main_portal_vein_thrombosis: bool | None = None
    extrahepatic_spread: bool | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ClinicalDataError(
                    what=f"{name} is not possible", given=repr(value), remedy=f"Give a number from {low:g} to {high:g}"
                )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ClinicalDataError(
                    what=f"{name} is not known", given=repr(value), remedy="Use " + " or ".join(choices)
                )
        for name in ("main_portal_vein_thrombosis", "extrahepatic_spread"):
            if getattr(self, name) not in (None, True, False):
                raise ClinicalDataError(what=f"{name} must be true or false", given=repr(getattr(self, name)))

    @classmethod
    def from_json(cls, data: Any) -> Clinical:
        """Read a JSON object; unknown fields are refused by name, words such as "M" and "A5" are read.

        Raises:
            ClinicalDataError: not an object, an unknown field, or an impossible value.
        """
        if isinstance(data, dict):
            data = in_our_words(data)
        from_plain(cls, data, "The clinical data", ClinicalDataError, _EXAMPLE)
        return cls(**data)  # as given: 61 years are not 61.0 years

    @classmethod
    def load(cls, path: Path) -> Clinical:
        """Read a JSON file.

        Raises:
            ClinicalDataError: the file is missing, is not JSON, or its content is refused.
        """
        return cls.from_json(read_json(path, "The clinical data", ClinicalDataError, _EXAMPLE))

    def to_json(self) -> dict[str, Any]:
        """Only the fields that are known."""
        return {k: v for k, v in asdict(self).items() if v is not None}


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
        necrotic_fraction: share of voxels at necrosis density.
        viable_ml: what is neither.
        viable_diameter_mm: mRECIST diameter, the longest axial one of the viable part; 0 if nothing is viable.
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
    necrotic_fraction: float
    viable_ml: float
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
        """Viable volume of all lesions."""
        return sum(lesion.viable_ml for lesion in self.lesions)

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
    """

    id: str
    ct: Volume
    labels: LabelMap
    findings: Findings
    clinical: Clinical = Clinical()

    def __post_init__(self) -> None:
        require_same_geometry(self.ct.geometry, self.labels.geometry, "The labels are not on the grid of the CT")

    def __repr__(self) -> str:
        found = self.findings
        tumour = f"{len(found.lesions)} lesions, tumour {found.tumour_ml:.1f} ml, liver {found.liver_ml:.0f} ml"
        return f"Patient({self.id!r}, {tumour}, {self.ct.geometry.describe()})"
