"""`WorldModel`: a bundle's five parts joined. The verbs of the method live in their rooms; here they meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundle import Bundle
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.dosing import doses_for
from MeWMLib.core.errors import GeometryMismatchError, NoTumourError, TerritoryError
from MeWMLib.core.outcome import CrossCheck, Outcome, ReplicaScore, Risk, TumourChange
from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import DEFAULT_SETTINGS, TEMPLATES, Candidate, Plan, PlanSettings, replica_seeds
from MeWMLib.core.plan_folder import TreatmentSummary
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.questions import Question
from MeWMLib.core.volume import LabelMap, Provenance, Volume
from MeWMLib.perception.findings import measure
from MeWMLib.perception.neighbours import cleaned
from MeWMLib.perception.nnunet import NnUNetSegmenter
from MeWMLib.perception.phase import phase_of
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import DEFAULT_BATCH, Batch
from MeWMLib.planning.utility import score_of
from MeWMLib.policy import guideline, rules
from MeWMLib.policy.choose import ChosenPolicy
from MeWMLib.world.exploration import count_warnings, explore
from MeWMLib.world.machine import choose_device, versions
from MeWMLib.world.outcomes import expected_scan, simulator_of, written
from MeWMLib.world.patch import FloatArray, Labels, TreatedPatch
from MeWMLib.world.replicas import SimulatedReplica, keep_best, nearest_to_mean, simulation_key
from MeWMLib.world.treating import treating


class WorldModel:
    """Perception, policy, dynamics, survival and planning over one bundle on one device (arXiv 2506.02327).

    Example:
        >>> world = WorldModel.load()
        >>> patient = world.patient(read_ct("ct.nii.gz"))
        >>> world.simulate(patient, "Epirubicin + Lipiodol")
        >>> world.plan(patient)
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle = bundle
        self.comparison = Comparison.of_settings(bundle.manifest.settings)
        self.device = str(device)
        self.segmenter = Segmenter.from_part(*bundle.part("assistant"), device)
        self.assistant = NnUNetSegmenter.named(device) or self.segmenter
        self.simulator = simulator_of(bundle, self.assistant, device)

    @classmethod
    def load(cls, bundle: Bundle | Path | str | None = None, device: str = "auto") -> WorldModel:
        """Build the networks of a bundle.

        Args:
            bundle: a verified one, a name on the search path or a folder; None is the default bundle.
            device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda" or "mps".

        Raises:
            BundleError: there is no such bundle, or it is damaged.
            DeviceError: the device is not there.
        """
        return cls(bundle if isinstance(bundle, Bundle) else find_bundle(bundle), choose_device(device))

    def __repr__(self) -> str:
        return f"WorldModel({self.bundle.name}, {self.device})"

    def segment(
        self, ct: Volume, progress: Callable[[float], None] | None = None, cancelled: Callable[[], bool] | None = None,
        asked: list[Question] | None = None,
    ) -> LabelMap:  # fmt: skip
        """Liver and tumour of a whole CT, on its own grid; `asked` gets notes on what the rules removed."""
        return cleaned(ct, self.assistant.segment_ct(ct, progress, cancelled), asked)[0]

    def patient(
        self, ct: Volume, labels: LabelMap | None = None, clinical: Clinical | None = None, id: str = "patient"
    ) -> Patient:
        """Measure a patient.

        Args:
            ct: before treatment.
            labels: liver and tumour on its grid; segmented here where they are missing.
            clinical: what is known.
            id: opaque identifier, never a hospital id.

        Raises:
            NoTumourError: the labels hold no tumour.
        """
        labels = labels if labels is not None else self.segment(ct)
        if not labels.tumour.any():
            raise NoTumourError(
                what="There is no tumour in the labels",
                given=f"{labels.liver.sum() * labels.geometry.voxel_ml:.0f} ml of liver and no tumour",
                remedy="Give your own segmentation with --labels, with tumour as value 2",
            )
        return Patient(id, ct, labels, measure(ct, labels, phase=phase_of(ct)), clinical or Clinical())

    def propose(self, patient: Patient, goal: str = "", settings: PlanSettings = DEFAULT_SETTINGS) -> ActionSpace:
        """Candidate drugs and embolics by the offline guideline policy."""
        most = settings.drugs, settings.embolics
        return guideline.propose(patient.target_findings, patient.clinical, goal, *most, insists=patient.goal.insists)

    @staticmethod
    def policy(name: str) -> ChosenPolicy:
        """Another policy, to propose for a patient or to preview what it would send (see `policy.choose`)."""
        return ChosenPolicy(name)

    def simulate(
        self,
        patient: Patient,
        protocol: Protocol | str,
        seed: int | Sequence[int] = 0,
        settings: PlanSettings = DEFAULT_SETTINGS,
        *,
        replicas: int | None = None,
        compared: bool = True,
    ) -> list[Outcome]:
        """Simulated CT, labels and score after a protocol, one for each replica, on the grid of the patient's CT.

        Args:
            patient: before treatment.
            protocol: also as text, such as "Epirubicin + Lipiodol".
            seed: of the first replica, or the seed of each.
            settings: replicas, sampling steps and guidance.
            replicas: how many, in place of the settings' number; one alone shows what is expected.
            compared: judge the first replica by the segmenter too, which takes seconds.

        Raises:
            TerritoryError: the protocol's territory is another than that of the patient's session, or of a patient
                without a session cannot be placed in the liver (see `treating`).
        """
        protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        patient = self.in_session(patient, protocol)
        settings = settings if replicas is None else replace(settings, replicas=replicas)
        seeds = replica_seeds(seed, settings.replicas) if isinstance(seed, int) else tuple(seed)
        ready = self.simulator.prepare(patient)
        found = self.simulator.replicas(ready, [(protocol, one) for one in seeds], settings, compared=compared)
        nearest = nearest_to_mean(found)
        facts = self.bundle.name, self.bundle.sha256, versions()

        def outcome(n: int) -> Outcome:
            provenance = Provenance(protocol.text, seeds[n], *facts)
            return written(patient, ready, found[n], protocol, seeds[n], provenance, n == nearest)

        # what is prepared with the first is there for the others
        return [outcome(0), *self.simulator.abreast.each(outcome, range(1, len(found)))]

    def treating(self, patient: Patient, **choice: Any) -> Patient:
        """The patient with a session: which lesions are treated, and what is fed; see `world.treating.treating`."""
        return treating(patient, whole=self.simulator.whole, **choice)

    def expected(
        self, patient: Patient, protocol: Protocol | str, seed: int = 0, settings: PlanSettings = DEFAULT_SETTINGS
    ) -> Volume:
        """The expected CT after a protocol: the mean over its replicas, with the lowest expected squared error.

        It looks like no scan: noise is taken away, and Lipiodol is spread over where it may lie. Its replicas have the
        seeds of `simulate`.

        Raises:
            TerritoryError: as `simulate`.
            BundleError: the bundle's dynamics model is not one on coarse maps.
        """
        protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        patient = self.in_session(patient, protocol)
        seeds = replica_seeds(seed, settings.replicas)
        provenance = Provenance(protocol.text, seed, self.bundle.name, self.bundle.sha256, versions())
        return expected_scan(self.simulator, patient, protocol, seeds, settings, provenance)

    def in_session(self, patient: Patient, *protocols: Protocol) -> Patient:
        """The patient, with a session for the territory of the protocols where they have none."""
        for territory in {p.territory for p in protocols if p.territory is not None}:
            if patient.session is None:
                patient = self.treating(patient, territory=territory)
            elif (named := patient.session.territory) != territory:
                raise TerritoryError(
                    what="A session has one territory, and a protocol names another one",
                    given=f"{territory.text}; session: {named.text if named else 'none named'}",
                    remedy="Make a session for it with WorldModel.treating",
                )
        return patient

    def settled(self, settings: PlanSettings) -> PlanSettings:
        """The settings as the dynamics model takes them; see `Simulator.settled`."""
        return self.simulator.settled(settings)

    def on_patch(
        self, patient: Patient, protocols: Sequence[Protocol], seeds: Sequence[int], settings: PlanSettings
    ) -> tuple[TreatedPatch, list[SimulatedReplica]]:
        """Simulate and score N protocols with N seeds on the treated patch alone, without the full CT."""
        patient = self.in_session(patient, *protocols)
        ready = self.simulator.prepare(patient)
        trials = list(zip(protocols, seeds, strict=True))
        return ready.patch, self.simulator.replicas(ready, trials, settings, compared=False)

    def judge(
        self,
        patient: Patient,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        settings: PlanSettings,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Candidate]:
        """Simulate and score N protocols with the same seeds on the treated patch, as a search does.

        Raises:
            SearchCancelled: soon after `cancelled` says so.
            TerritoryError: as `simulate`.
        """
        patient = self.in_session(patient, *protocols)
        ready = self.simulator.prepare(patient)
        trials = [(p, s) for p in protocols for s in seeds]
        replicas = iter(self.simulator.replicas(ready, trials, settings, cancelled, drawn=False))
        return [self._candidate(patient, p, [next(replicas).score for _ in seeds]) for p in protocols]

    def treated_patch(self, patient: Patient) -> TreatedPatch:
        """The cube in which outcomes are simulated, measured and scored."""
        return self.simulator.prepare(patient).patch

    def judge_image(self, patient: Patient, hu: FloatArray, labels: Labels) -> ReplicaScore:
        """Score an image and labels (D, H, W) on the treated patch, wherever they come from."""
        return self.simulator.score(self.simulator.prepare(patient), hu, labels)

    def spread(self, outcomes: Sequence[Outcome]) -> Volume:
        """Standard deviation (HU, float32) over replicas of one protocol, on the grid of the CT."""
        first = outcomes[0].ct
        stack = np.stack([o.ct.array.astype(np.float32) for o in outcomes])
        return Volume(stack.std(0), first.geometry, first.phase, first.simulated)

    def assess(self, patient: Patient, outcomes: Sequence[Outcome]) -> Risk:
        """Risk of simulated outcomes of one protocol; each outcome is one replica."""
        return Risk.over([self._score_of(patient, outcome) for outcome in outcomes])

    def change(self, patient: Patient, outcome: Outcome) -> TumourChange:
        """What happened to the tumour in the treated patch."""
        return self._score_of(patient, outcome).change

    def candidate(self, patient: Patient, protocol: Protocol, outcomes: Sequence[Outcome]) -> Candidate:
        """A protocol by its replicas: risk, mean change of the tumour, and what the rules say."""
        return self._candidate(patient, protocol, [self._score_of(patient, outcome) for outcome in outcomes])

    def untreated(self, patient: Patient) -> float:
        """Log-risk of the patient if the tumour stayed as it is: what every protocol is held against."""
        return self.simulator.untreated(self.simulator.prepare(patient))

    def _candidate(self, patient: Patient, protocol: Protocol, scores: Sequence[ReplicaScore]) -> Candidate:
        known = _known_of(patient)
        return Candidate(
            protocol,
            replace(self.comparison.told(Risk.over(scores)), untreated=self.untreated(patient)),
            TumourChange.mean([s.change for s in scores]),
            rules.check(protocol, **known),
            unjudged=rules.unjudged(rules.explain(protocol, **known)),
            viable=CrossCheck.over(scores),
        )

    def assess_scan(self, patient: Patient, post_ct: Volume, post_labels: LabelMap | None = None) -> Risk:
        """Risk after a real treatment, from the CT after it.

        The CT must be in the patient space of the one before (registered); no registration is done here.

        Raises:
            GeometryMismatchError: the CT does not cover the treated patch.
        """
        grid = self.treated_patch(patient).geometry
        centre = grid.to_ras((np.array(grid.shape) - 1) / 2)
        index = post_ct.geometry.to_kji(centre)
        if (index < 0).any() or (index > np.array(post_ct.geometry.shape) - 1).any():
            raise GeometryMismatchError(
                what="The CT after treatment does not cover the lesion",
                given=f"{post_ct.geometry.describe()}, lesion at RAS ({', '.join(f'{c:.0f}' for c in centre)})",
                remedy="Register it to the CT before treatment first",
            )
        return Risk.over([self._score_image(patient, post_ct, post_labels)])

    def treatment_summary(self, patient: Patient, ask: bool = True) -> TreatmentSummary:
        """What is treated, and who draws the outline afterwards; without `ask` the segmenter's Dice only if known."""
        ready, session = self.simulator.prepare(patient), patient.session
        return TreatmentSummary(
            lesion=session.target if session else 1,
            lesions=len(patient.findings.lesions),
            share_of_tumour_percent=round(ready.on_scan.treated_percent, 1),
            patch_spacing_mm=round(ready.patch.spacing_mm, 4),
            assistant_dice_on_patch=round(ready.segmenter_dice, 4) if ask or ready.segmenter_asked else None,
            outline_after_by=self.simulator.outline_by(ready),
        )

    def plan(
        self,
        patient: Patient,
        space: ActionSpace | None = None,
        settings: PlanSettings = DEFAULT_SETTINGS,
        seed: int = 0,
        on_plan: Callable[[Plan, float], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        journal: Journal | None = None,
    ) -> Plan:
        """Search the protocol of lowest predicted risk, or of lowest utility where the settings have weights.

        Args:
            patient: before treatment.
            space: what a policy proposes; by default what `propose` does.
            settings: search, beams, horizons, replicas.
            seed: of the replicas; every protocol gets the same ones (common random numbers).
            on_plan: called with the best plan so far and the finished share after each batch.
            cancelled: asked between batches, sampling steps and networks.
            journal: of `journal_key`; what it holds is not simulated again.

        Raises:
            RuleError: the rules allow no protocol of this space.
        """
        space = space or self.propose(patient, settings=settings)
        ready = self.simulator.prepare(patient)
        seeds = replica_seeds(seed, settings.replicas)
        kept: dict[Protocol, list[SimulatedReplica]] = {}
        utility = score_of(settings, partial(count_warnings, **_known_of(patient)))

        def score(batches: Sequence[Batch]) -> Iterator[list[ReplicaScore]]:
            for batch in batches:
                trials = [(p, seeds[n]) for p, n in batch]
                replicas = self.simulator.replicas(ready, trials, settings, cancelled, drawn=False)
                keep_best(kept, batch, replicas, settings, utility)
                yield [r.score for r in replicas]

        untreated = self.untreated(patient)

        def told(best: Plan, share: float) -> None:
            if on_plan is not None:
                on_plan(best.against(untreated).compared(self.comparison), share)

        found = explore(
            space,
            settings,
            patient.clinical,
            score,
            journal,
            told,
            cancelled,
            hint=self.simulator.hint(ready, seeds, settings),
            dose=doses_for(patient.target_findings, patient.clinical) if settings.space == TEMPLATES else None,
            findings=patient.findings,
            goal=patient.goal,
            comparison=self.comparison,
        )
        for candidate in found.candidates[: settings.keep]:
            for replica, one in zip(kept.get(candidate.protocol, []), seeds, strict=False):
                ready.kept[simulation_key(candidate.protocol, one, settings)] = replica
        return found.against(untreated).compared(self.comparison)

    def journal_key(self, patient: Patient, space: ActionSpace, settings: PlanSettings, seed: int) -> dict[str, Any]:
        """What the numbers of a plan depend on: a journal of another key is of no use."""
        simulator = self.simulator
        return {
            "patch": hashlib.sha256(simulator.fingerprint(simulator.prepare(patient))).hexdigest(),
            "clinical": patient.clinical.to_json(),
            "goal": [list(patient.goal.ruled_out), [limit.text for limit in patient.goal.limits]],
            "space": [list(space.drugs), list(space.embolics)],
            "settings": asdict(settings),
            "seed": seed,
            "bundle": self.bundle.sha256,
            "device": self.device,
            "batch": DEFAULT_BATCH,
            "versions": versions(),
            "threads": torch.get_num_threads(),  # sums over another number differ in their last digits
        }

    def _score_of(self, patient: Patient, outcome: Outcome) -> ReplicaScore:
        """The score that an outcome carries; one from elsewhere is measured."""
        return outcome.score or self._score_image(patient, outcome.ct, outcome.labels)

    def _score_image(self, patient: Patient, ct: Volume, labels: LabelMap | None) -> ReplicaScore:
        ready = self.simulator.prepare(patient)
        grid = ready.patch.geometry
        hu = resample(ct.array, ct.geometry, grid).astype(np.float32)
        found: NDArray[np.uint8] = (
            self.simulator.labels_after(ready, hu[None])[0]
            if labels is None
            else resample(labels.array, labels.geometry, grid, "nearest", 0)
        )
        return self.simulator.score(ready, hu, found)


def _known_of(patient: Patient) -> dict[str, Any]:
    """What the clinical rules look at, by the names of their arguments."""
    return {"clinical": patient.clinical, "findings": patient.findings, "goal": patient.goal}
