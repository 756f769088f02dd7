"""Everything about one patient of a cohort: read, simulate, search, measure, keep."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts.layout import Cohort, CohortCase
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import GeometryMismatchError, MeWMError, NoTumourError
from MeWMLib.core.io import write_labels
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.metrics import jsonable
from MeWMLib.lab.evaluation.plan_tables import TrueRisk
from MeWMLib.lab.reports import let_networks_read_reports
from MeWMLib.lab.reproduce.features import ImageFeatures, clinical_numbers, procedure_numbers
from MeWMLib.lab.reproduce.hand_made import fitted
from MeWMLib.lab.reproduce.images import Simulations, measure_images
from MeWMLib.lab.reproduce.kept import Kept
from MeWMLib.lab.reproduce.members import ORGANS, Member
from MeWMLib.lab.reproduce.organs import without_outside
from MeWMLib.lab.reproduce.searched import choices
from MeWMLib.lab.reproduce.settings import ReproduceSettings
from MeWMLib.lab.reproduce.truth import AfterScan, after_scan
from MeWMLib.lab.synthetic.write import fingerprint
from MeWMLib.perception.preprocess import patch_geometry
from MeWMLib.world.model import WorldModel

PICTURE = "patient.png"
#: Labels of a patient whom the segmenter outlined.
LABELS = "labels.seg.nrrd"


def kept_of(settings: ReproduceSettings, member: Member) -> Kept:
    """Where a patient's numbers are kept."""
    return Kept(settings.out / "patients" / member.id, member.key)


class MeasurePatient:
    """The networks of one run; called with a member of the cohort."""

    def __init__(self, settings: ReproduceSettings) -> None:
        let_networks_read_reports()
        self._settings = settings
        self._cohort = Cohort.read(settings.cohort)
        self._world = WorldModel.load(find_bundle(settings.bundle))
        self._others = {name: WorldModel.load(find_bundle(bundle)) for name, bundle in settings.others}
        self._hand_made = fitted(settings.out, settings.fitted_on) if settings.baselines else {}
        manifest = self._cohort.manifest
        # tumours that are planted in a real scan are not those of the patient with the same seed
        drawn = self._cohort.synthetic and not manifest.get("planted")
        self._same_world = drawn and manifest.get("world_sha256") == fingerprint()

    def __call__(self, member: Member) -> float:
        """Measure a patient and keep the numbers; seconds that it took."""
        begin = time.perf_counter()
        kept = kept_of(self._settings, member)
        kept.folder.mkdir(parents=True, exist_ok=True)
        result: dict[str, Any] = {"id": member.id, "failures": []}
        arrays: dict[str, Any] = {}
        pictures: dict[str, Path] = {}
        try:
            self._measure(member, kept.folder, result, arrays, pictures)
        except MeWMError as error:
            # one patient who cannot be measured must not end the run of the others
            result["failures"].append({"what": "nothing of this patient was measured", "why": str(error)})
        result["seconds"] = time.perf_counter() - begin
        kept.write(jsonable(result), arrays, pictures)
        return float(result["seconds"])

    def _measure(
        self, member: Member, folder: Path, result: dict[str, Any], arrays: dict[str, Any], pictures: dict[str, Path]
    ) -> None:
        case = self._cohort.case(member.id)
        labels, result["outlined"] = self._labels(case, folder.name)
        patient = self._world.patient(case.before, labels, member.clinical, member.id)
        result["findings"] = to_plain(patient.findings)
        if result["outlined"] != "file":
            pictures[LABELS] = folder / LABELS
            write_labels(labels, folder / LABELS)
        result["features"] = {
            "clinical": clinical_numbers(member.clinical),
            "procedure": procedure_numbers(member.protocol if member.recorded else None, member.weeks),
        }
        features = ImageFeatures(labels)
        result["features"]["before"] = features.of(case.before.array, case.before.geometry)
        after = self._after(member, case, patient, result)
        if after is not None:
            result["features"]["scan_after"] = features.of(after.hu, case.before.geometry)
            real = Volume(after.hu, case.before.geometry, case.after.phase if case.after else case.before.phase)
            result["log_risk_real"] = self._world.assess_scan(patient, real).log_risk
        result["log_risk_untreated"] = self._world.untreated(patient)
        if member.protocol is not None:
            self._simulate(member, patient, after, features, folder, result, arrays)
            pictures[PICTURE] = folder / PICTURE
        if self._settings.planning:
            truth = self._truth(member, labels)
            result["planning"] = choices(
                self._world, self._others, patient, self._settings, member.weeks, member.assisted, truth
            )

    def _labels(self, case: CohortCase, patient: str) -> tuple[LabelMap, str]:
        """Labels before treatment, and where they come from."""
        if case.before_labels is not None and case.before_labels.tumour.any():
            return case.before_labels, "file"
        labels = self._world.segment(case.before)
        source = "segmenter"
        organs = self._cohort.folder / patient / ORGANS
        if organs.exists():
            labels, removed = without_outside(labels, organs)
            source += f", {removed:.1f} ml of tumour outside of the other segmenter's liver removed"
        if not labels.tumour.any():
            raise NoTumourError(
                what="The labels hold no tumour, and the segmenter finds none",
                given=patient,
                remedy="Outline the tumour before treatment",
            )
        return labels, source

    def _after(self, member: Member, case: CohortCase, patient: Patient, result: dict[str, Any]) -> AfterScan | None:
        if case.after is None:
            return None
        try:
            found = after_scan(case.before, patient.labels, case.after, member.registered)
        except GeometryMismatchError as error:
            result["failures"].append({"what": "not held against the scan after", "why": str(error)})
            return None
        result["registration"] = found.quality
        return found

    def _simulate(
        self,
        member: Member,
        patient: Patient,
        after: AfterScan | None,
        features: ImageFeatures,
        folder: Path,
        result: dict[str, Any],
        arrays: dict[str, Any],
    ) -> None:
        """What was given: scans, their figures, and the risk after it."""
        settings, protocol = self._settings, member.protocol
        assert protocol is not None
        plan = PlanSettings(replicas=settings.replicas, steps=settings.steps)
        plan = plan if member.weeks is None else replace(plan, weeks=member.weeks)
        made = Simulations(self._world, self._others, patient, protocol, plan, settings.seed, self._hand_made)
        measured = measure_images(made, patient, after, folder / PICTURE, self._cohort.synthetic)
        result["simulated"] = protocol.text
        result["generation"] = measured.values
        arrays |= measured.crops
        each = [features.of(one.ct.array, one.ct.geometry) for one in measured.outcomes]
        result["features"]["virtual"] = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        scores = [one.score for one in measured.outcomes if one.score is not None]
        result["log_risk_virtual"] = float(np.mean([s.log_risk for s in scores]))
        months = np.asarray(scores[0].months)
        survival = np.mean([s.survival for s in scores], axis=0)
        result["curve"] = {"months": months.tolist(), "survival": survival.tolist()}

    def _truth(self, member: Member, labels: LabelMap) -> TrueRisk | None:
        """The world's law for a synthetic patient of this very world."""
        if not self._same_world or member.row.seed is None:
            return None
        return TrueRisk(SyntheticPatient.draw(member.row.seed), patch_geometry(labels))
