"""The plan as a structured report (TID 1500): lesions before treatment, and what each simulated protocol leaves.

A lesion has the tracking UID of its segment; every group of measurements of an outcome names the protocol and says that
it is simulated. Segments are referred to by hand: highdicom's `from_segmentation` fails where there is only one.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.difference_words import apart_of
from MeWMLib.core.plan import Candidate
from MeWMLib.core.plan_document import PlanDocument
from MeWMLib.exchange import codes
from MeWMLib.exchange.attributes import short_text
from MeWMLib.exchange.fingerprint import MANUFACTURER, sign
from MeWMLib.exchange.measurements import After, Before
from MeWMLib.exchange.segments import complete, concept
from MeWMLib.exchange.study import Study
from MeWMLib.perception.response import SizeResponse
from MeWMLib.perception.response_lesions import MeasuredLesion

_TITLE = "MeWM plan: simulated outcomes after TACE"


@dataclass(frozen=True)
class SegmentReference:
    """Where a segment is: its object, its number, and the slices' series that it was drawn on."""

    sop_class: str
    sop: str
    number: int
    series: str


@dataclass(frozen=True, eq=False)
class OutcomeEntry:
    """One simulated outcome: its candidate, what was measured, and the segments of its lesions by their number."""

    candidate: Candidate
    after: After
    segments: dict[int, SegmentReference]
    title: str


def write_report(
    path: Path,
    study: Study,
    document: PlanDocument,
    before: Before,
    before_segments: dict[int, SegmentReference],
    tracking: dict[int, tuple[str, str]],
    outcomes: Sequence[OutcomeEntry],
    evidence: Sequence[Any],
    number: int,
) -> None:
    """Write the report.

    Args:
        path: the file.
        study: what it belongs to.
        document: the plan.
        before: lesions before treatment.
        before_segments: segment of each of them, by its number.
        tracking: id and UID of each lesion.
        outcomes: what was simulated.
        evidence: datasets (without pixels) of all images and segmentations that are referred to.
        number: SeriesNumber.
    """
    hd = package("highdicom")
    groups = [
        _lesion(one, before_segments[one.index], tracking[one.index], "before treatment", simulated=False)
        for one in before.lesions.lesions
        if one.index in before_segments
    ]
    for entry in outcomes:
        groups.append(_outcome(entry, document))
        for match in entry.after.matches:
            for n in match.after:
                mine = min(match.before) if match.before else None
                if mine is not None and mine in entry.segments:
                    one = entry.after.lesions.lesion(n)
                    groups.append(_lesion(one, entry.segments[mine], tracking[mine], entry.title, simulated=True))
    observer = hd.sr.ObserverContext(
        observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=hd.UID(), name="MeWM", manufacturer_name=MANUFACTURER, model_name=f"MeWM {MeWMLib.__version__}"
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=hd.sr.CodedConcept("77477000", "SCT", "CT"),
            imaging_measurements=groups,
            title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        )
        made = hd.sr.Comprehensive3DSR(
            evidence=list(evidence), content=report[0], series_instance_uid=hd.UID(), series_number=number,
            sop_instance_uid=hd.UID(), instance_number=1, manufacturer=MANUFACTURER, is_complete=True,
            series_description=short_text(f"SIMULATED {_TITLE}"), record_evidence=False,
        )  # fmt: skip
    complete(made, study)
    sign(made)
    made.save_as(path)


def _lesion(one: MeasuredLesion, where: SegmentReference, tracking: tuple[str, str], when: str, simulated: bool) -> Any:
    """Measurements of one lesion in one image."""
    hd = package("highdicom")
    values = [
        (codes.LONGEST, one.diameter_mm, codes.MILLIMETRE),
        (codes.VOLUME, one.volume_ml, codes.MILLILITRE),
        (codes.VIABLE_LONGEST, one.viable_diameter_mm, codes.MILLIMETRE),
        (codes.VIABLE_VOLUME, one.viable_ml, codes.MILLILITRE),
        (codes.NECROTIC_VOLUME, one.necrotic_ml, codes.MILLILITRE),
        (codes.LIPIODOL_VOLUME, one.lipiodol_ml, codes.MILLILITRE),
    ]
    segment = hd.sr.ReferencedSegment(
        where.sop_class, where.sop, where.number,
        source_series=hd.sr.SourceSeriesForSegmentation(where.series),
    )  # fmt: skip
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=tracking[1], identifier=tracking[0]),
        referenced_segment=segment,
        finding_type=concept(codes.TUMOUR),
        finding_sites=[hd.sr.FindingSite(concept(codes.LIVER))],
        session=short_text(f"SIMULATED, {when}" if simulated else when),
        measurements=[_measured(name, value, unit) for name, value, unit in values if value is not None],
    )


def _outcome(entry: OutcomeEntry, document: PlanDocument) -> Any:
    """The protocol, its risk with all that is known of its spread, how it stands to rank 1, and the response."""
    hd = package("highdicom")
    risk = entry.candidate.risk
    low, high = risk.interval
    values = [
        (codes.LOG_RISK, risk.log_risk, codes.ONE),
        (codes.LOG_RISK_LOW, low, codes.ONE),
        (codes.LOG_RISK_HIGH, high, codes.ONE),
        (codes.HAZARD_RATIO, risk.hazard_ratio, codes.ONE),
    ]
    if (ends := risk.total_interval) is not None:
        values += [
            (codes.LOG_RISK_95_LOW, ends[0], codes.ONE),
            (codes.LOG_RISK_95_HIGH, ends[1], codes.ONE),
            (codes.HAZARD_95_LOW, math.exp(ends[0]), codes.ONE),
            (codes.HAZARD_95_HIGH, math.exp(ends[1]), codes.ONE),
        ]
    agents = [(codes.AGENT, _agent(action.agent)) for action in entry.candidate.protocol.actions]
    judged = [
        (_criterion(one), codes.RESPONSES.get(one.category or "", codes.NOT_JUDGED))
        for one in (entry.after.recist, entry.after.mrecist)
    ]
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=short_text(entry.title)),
        finding_type=concept(codes.SIMULATED),
        finding_sites=[hd.sr.FindingSite(concept(codes.LIVER))],
        session=short_text(f"SIMULATED, {entry.title}"),
        measurements=[_measured(name, value, unit) for name, value, unit in values],
        qualitative_evaluations=[
            hd.sr.QualitativeEvaluation(concept(name), concept(value)) for name, value in (*agents, *judged)
        ],
    )
    text = hd.sr.TextContentItem(
        name=concept(codes.PROTOCOL), value=entry.candidate.protocol.text,
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )  # fmt: skip
    group[0].ContentSequence.append(text)
    told = [
        f"{said}: {'; '.join(one.reasons)}"
        for one, said in ((entry.after.recist, "RECIST 1.1"), (entry.after.mrecist, "mRECIST"))
        if one.reasons
    ]
    if apart := apart_of(document).get(entry.candidate.rank):
        told.append(f"Predicted risk: {apart}")
    for comment in told:
        group[0].ContentSequence.append(
            hd.sr.TextContentItem(
                name=hd.sr.CodedConcept("121106", "DCM", "Comment"),
                value=comment,
                relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
            )
        )
    return group


def _agent(name: str) -> codes.Code:
    return codes.AGENTS.get(name) or codes.Code(name.lower().replace(" ", "-")[:16], "99MEWM", name)


def _criterion(one: SizeResponse) -> codes.Code:
    return codes.RECIST_ONE if one.criterion == "RECIST 1.1" else codes.MRECIST


def _measured(name: codes.Code, value: float, unit: codes.Code) -> Any:
    return package("highdicom").sr.Measurement(name=concept(name), value=float(f"{value:.6g}"), unit=concept(unit))
