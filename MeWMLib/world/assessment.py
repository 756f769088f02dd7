"""A real scan after treatment against the one before: registered, measured, judged. No networks here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.patient import Patient
from MeWMLib.core.records import from_plain, to_plain
from MeWMLib.core.volume import PHASES, LabelMap, Volume
from MeWMLib.perception.phase import SURE, guess_phase
from MeWMLib.perception.registration import OnStage, Registered, Registration, measured_as_it_is, register
from MeWMLib.perception.registration_picture import LEGEND, registration_picture, write_picture
from MeWMLib.perception.registration_quality import Verdict, judge, require_fit
from MeWMLib.perception.response import Response, response_of
from MeWMLib.perception.response_lesions import LesionMatch, match_lesions, measure_lesions
from MeWMLib.perception.viability import liver_reference

#: A guess that is less sure is not a phase on which anything is judged.
PHASE_CONFIDENCE = SURE
#: So much of the tumour must be shown by the scan after.
TUMOUR_COVERED = 0.5


@dataclass(frozen=True)
class KnownPhase:
    """The contrast phase of a scan and how it is known."""

    phase: str
    reason: str


@dataclass(frozen=True, eq=False)
class Assessment:
    """What a scan after treatment says.

    Attributes:
        registered: the scan after on the grid of the one before.
        verdict: how well it fits.
        labels: of the scan after, brought onto that grid.
        response: lesions, volumes, and the response by each criterion.
        phases: of the scan before and the one after.
    """

    registered: Registered
    verdict: Verdict
    labels: LabelMap
    response: Response
    phases: tuple[KnownPhase, KnownPhase]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; what is not known is null."""
        found = self.registered
        return {
            "registration": {
                **to_plain(self.verdict),
                "measures": _finite(found.quality),
                "picture": LEGEND,
                "stages": [{**to_plain(stage), "measures": _finite(stage.measures)} for stage in found.stages],
            },
            "phases": {"before": to_plain(self.phases[0]), "after": to_plain(self.phases[1])},
            "volumes_ml": {"before": _volumes(self.response, "before"), "after": _volumes(self.response, "after")},
            **to_plain(self.response),
        }

    def write_picture(self, patient: Patient, path: Path) -> None:
        """Write the picture of the registration as PNG.

        Raises:
            OutputError: it cannot be written.
        """
        write_picture(registration_picture(patient.ct, patient.labels, self.registered, self.labels), path)


def known_phase(ct: Volume, stated: str = "") -> KnownPhase:
    """The phase of a scan: as it was stated, as its file says, or guessed from aorta and liver.

    Raises:
        InputError: an unknown phase was stated.
    """
    if stated:
        if stated not in PHASES:
            raise InputError(what="Unknown contrast phase", given=stated, remedy="Use one of " + ", ".join(PHASES))
        return KnownPhase(stated, "as you stated")
    if ct.phase != "unknown":
        return KnownPhase(ct.phase, "known with the scan")
    guess = guess_phase(ct)
    if guess.confidence < PHASE_CONFIDENCE:
        return KnownPhase("unknown", guess.reason)
    return KnownPhase(guess.phase, guess.reason)


def assess_pair(
    patient: Patient,
    after: Volume,
    labels: LabelMap,
    *,
    outlined_by: tuple[bool, bool] = (True, True),
    doubt: str = "",
    stated: tuple[str, str] = ("", ""),
    registered: bool = False,
    accepted: bool = False,
    settings: Registration | None = None,
    on_stage: OnStage = lambda fraction, name: None,
    log: Callable[[str], None] = lambda text: None,
) -> Assessment:
    """Register a scan after treatment to the one before, measure both, and judge the response.

    Args:
        patient: before treatment.
        after: the scan after, on any grid.
        labels: liver and tumour on its grid.
        outlined_by: whether a person outlined the scan before, and the one after.
        doubt: why a lesion that is not outlined after treatment may be there all the same; "" if it is trusted.
        stated: phases of the scans, "" where they are to be found out.
        registered: the scan after lies on the one before already; it is only measured.
        accepted: go on although the scans do not fit.
        settings: of the registration.
        on_stage: called before each stage of the registration with the finished share and its name; it may raise.
        log: takes one line for each stage.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the scan, or the scans do not overlap.
        RegistrationError: they do not fit, and that was not accepted.
        InputError: the scan after is a simulated one, or an unknown phase was stated.
    """
    if after.simulated is not None:
        raise InputError(
            what="The scan after treatment is a simulated one",
            given=after.simulated.protocol,
            remedy="Give a real CT; `mewm plan` and `mewm simulate` judge what they simulate themselves",
        )
    phases = known_phase(patient.ct, stated[0]), known_phase(after, stated[1])
    if registered:
        found = measured_as_it_is(patient.ct, patient.labels, after, labels)
    else:
        found = register(patient.ct, patient.labels, after, settings or Registration(), labels, on_stage)
    # its numbers are measured on the voxels that it runs on, those of the verdict on the scan's own
    coarse = f" (on voxels of {(settings or Registration()).spacing_mm:g} mm)" if not registered else ""
    for stage in found.stages:
        log(f"Registration, {stage.text}{coarse}")
    verdict = judge(found.quality)
    log(f"Registration: {verdict.word} (on the scan's own voxels): {verdict.text}")
    require_fit(verdict, accepted)
    response = _response(patient, after, labels, found, phases, outlined_by, doubt)
    return Assessment(found, verdict, found.labels(labels), response, phases)


def require_tumour_shown(found: Registered, labels: LabelMap) -> None:
    """The risk is read from the tumour's surroundings in both scans.

    Raises:
        GeometryMismatchError: the registered scan does not cover the tumour.
    """
    share = float(found.covered[labels.tumour].mean()) if labels.tumour.any() else 0.0
    if share < TUMOUR_COVERED:
        raise GeometryMismatchError(
            what="The CT after treatment does not cover the lesion",
            given=f"{100 * share:.0f} % of the tumour",
            remedy="Give a scan of the whole liver; register it to the CT before treatment first, if you did that "
            "yourself (--no-register)",
        )


def measured_again(
    result: Mapping[str, Any], before: tuple[Volume, LabelMap], after: tuple[Volume, LabelMap]
) -> dict[str, Any]:
    """What an assessment says of its two scans, measured again; matches of lesions and phases are taken from it.

    Args:
        result: of `Assessment.to_json`.
        before, after: scan and labels, each on its own grid.
    """
    scans = []
    for when, (ct, labels) in (("before", before), ("after", after)):
        said = result[when]
        phase = result["phases"][when]["phase"]
        found, _ = measure_lesions(ct, labels, liver_reference(ct, labels, phase), bool(said["outlined_by_user"]))
        scans.append(replace(found, doubt=str(said["doubt"])))
    matches = from_plain(_Matches, {"matches": result["matches"]}, "the matches", strict=False).matches
    response = response_of(scans[0], scans[1], matches)
    volumes = {when: _volumes(response, when) for when in ("before", "after")}
    return {"volumes_ml": volumes, **to_plain(response)}


@dataclass(frozen=True)
class _Matches:
    matches: tuple[LesionMatch, ...]


def _response(
    patient: Patient,
    after: Volume,
    labels: LabelMap,
    found: Registered,
    phases: tuple[KnownPhase, KnownPhase],
    outlined_by: tuple[bool, bool],
    doubt: str,
) -> Response:
    scans, numbers = [], []
    pairs = ((patient.ct, patient.labels), (after, labels))
    for (ct, known), phase, by_user in zip(pairs, phases, outlined_by, strict=True):
        lesions, components = measure_lesions(ct, known, liver_reference(ct, known, phase.phase), by_user)
        scans.append(lesions)
        numbers.append(components)
    moved = found.numbers(numbers[1], labels.geometry)
    matches = match_lesions(numbers[0], moved, found.covered, patient.ct.geometry, after_count=len(scans[1].lesions))
    return response_of(scans[0], replace(scans[1], doubt=doubt), matches)


def _volumes(response: Response, when: str) -> dict[str, float | None]:
    scan = getattr(response, when)
    names = ("volume_ml", "viable_ml", "necrotic_ml", "lipiodol_ml", "unknown_ml")
    return {"liver": scan.liver_ml, **{name.removesuffix("_ml"): scan.total(name) for name in names}}


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
