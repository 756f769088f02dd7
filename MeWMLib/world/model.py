"""`WorldModel`: a bundle's five parts joined. The verbs of the method live in their rooms; here they meet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.core.patient import Clinical, Findings, Patient
from MeWMLib.core.plan import Candidate, Outcome, Plan, PlanSettings, Risk, TumourChange, replica_seeds
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import LabelMap, Provenance, Volume
from MeWMLib.dynamics.compose import compose
from MeWMLib.dynamics.model import DynamicsModel, EncodedPatch
from MeWMLib.perception import postprocess
from MeWMLib.perception.findings import dice, measure
from MeWMLib.perception.nnunet import NnUNetSegmenter
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.segmenter import Segmenter, is_out_of_memory
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import DEFAULT_BATCH, Batch
from MeWMLib.policy import guideline, rules
from MeWMLib.policy.choose import ChosenPolicy
from MeWMLib.survival.network import Assessor
from MeWMLib.world.exploration import ReplicaScore, SearchCancelled, explore, mean_change, mean_risk
from MeWMLib.world.machine import choose_device, chunk_size, versions
from MeWMLib.world.patch import TreatedPatch
from MeWMLib.world.replicas import SimulatedReplica, keep_best, simulation_key
from MeWMLib.world.response_prediction import predicted_responses, response_hint

#: The assistant's view of a simulated lesion counts only if it finds the lesion before treatment at least this well
#: (Dice in the treated patch); else the outline stays and only what lies in it is measured.
ASSISTANT_GATE = 0.5


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Everything about a patient that no protocol changes."""

    patch: TreatedPatch
    encoded: EncodedPatch
    before: Findings
    tokens: torch.Tensor
    assistant_before: NDArray[np.uint8]
    assistant_dice: float
    simulated: dict[tuple[Any, ...], SimulatedReplica] = field(default_factory=dict)

    @property
    def assistant_counts(self) -> bool:
        """True if the assistant knows the lesion well enough to say what became of it."""
        return self.assistant_dice >= ASSISTANT_GATE


class WorldModel:
    """Perception, policy, dynamics, survival and planning over one bundle on one device."""

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle = bundle
        self.device = str(device)
        self.segmenter = Segmenter.from_part(*bundle.part("assistant"), device)
        self.assistant = NnUNetSegmenter.named(device) or self.segmenter
        self._dynamics = DynamicsModel.from_parts(bundle.part("autoencoder"), bundle.part("dynamics"), device)
        self._assessor = Assessor(*bundle.part("survival"), device)
        self._prepare = lru_cache(maxsize=2)(self._prepare_once)
        #: Simulations that go through the networks together; halved where the memory runs out.
        self.chunk = chunk_size(device)

    @classmethod
    def load(cls, bundle: Bundle, device: str = "auto") -> WorldModel:
        """Build the networks of a bundle.

        Args:
            bundle: verified.
            device: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda" or "mps".

        Raises:
            DeviceError: the device is not there.
        """
        return cls(bundle, choose_device(device))

    def segment(
        self,
        ct: Volume,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> LabelMap:
        """Liver and tumour of a whole CT, on its own grid."""
        return postprocess.clean(self.assistant.segment_ct(ct, progress, cancelled))

    def patient(self, id: str, ct: Volume, labels: LabelMap, clinical: Clinical | None = None) -> Patient:
        """Measure a patient.

        Raises:
            NoTumourError: the labels hold no tumour.
        """
        if not labels.tumour.any():
            raise NoTumourError(
                what="There is no tumour in the labels",
                given=f"{labels.liver.sum() * labels.geometry.voxel_ml:.0f} ml of liver and no tumour",
                remedy="Give your own segmentation with --labels, with tumour as value 2",
            )
        return Patient(id, ct, labels, measure(ct, labels), clinical or Clinical())

    def propose(self, patient: Patient, goal: str, settings: PlanSettings) -> ActionSpace:
        """Candidate drugs and embolics by the offline guideline policy."""
        return guideline.propose(patient.findings, patient.clinical, goal, settings.drugs, settings.embolics)

    @staticmethod
    def policy(name: str) -> ChosenPolicy:
        """Another policy, to propose for a patient or to preview what it would send (see `policy.choose`)."""
        return ChosenPolicy(name)

    def simulate(
        self, patient: Patient, protocol: Protocol, seeds: Sequence[int], settings: PlanSettings
    ) -> list[Outcome]:
        """Simulated CT and labels after a protocol, one for each seed, on the grid of the patient's CT."""
        ready = self._prepare(patient)
        return [
            self._outcome(patient, ready, judged, protocol, seed)
            for judged, seed in zip(self._judge(ready, [protocol] * len(seeds), seeds, settings), seeds, strict=True)
        ]

    def on_patch(
        self, patient: Patient, protocols: Sequence[Protocol], seeds: Sequence[int], settings: PlanSettings
    ) -> tuple[TreatedPatch, list[SimulatedReplica]]:
        """Simulate and judge N protocols with N seeds on the treated patch alone, without the full CT."""
        ready = self._prepare(patient)
        return ready.patch, self._judge(ready, protocols, seeds, settings)

    def treated_patch(self, patient: Patient) -> TreatedPatch:
        """The cube in which outcomes are simulated, measured and judged."""
        return self._prepare(patient).patch

    def judge_image(self, patient: Patient, hu: NDArray[np.float32], labels: NDArray[np.uint8]) -> ReplicaScore:
        """Judge an image and labels (D, H, W) on the treated patch, wherever they come from."""
        return self._score(self._prepare(patient), hu, labels).verdict

    def spread(self, outcomes: Sequence[Outcome]) -> Volume:
        """Standard deviation (HU, float32) over replicas of one protocol, on the grid of the CT."""
        first = outcomes[0].ct
        stack = np.stack([o.ct.array.astype(np.float32) for o in outcomes])
        return Volume(stack.std(0), first.geometry, first.phase, first.simulated)

    def assess(self, patient: Patient, outcomes: Sequence[Outcome]) -> Risk:
        """Risk of simulated outcomes of one protocol; each outcome is one replica."""
        ready = self._prepare(patient)
        judged = [self._score(ready, *self._on_patch(ready, o.ct, o.labels), viable_ml=o.viable_ml) for o in outcomes]
        return mean_risk([j.verdict for j in judged])

    def assess_scan(self, patient: Patient, post_ct: Volume, post_labels: LabelMap | None = None) -> Risk:
        """Risk after a real treatment, from the CT after it.

        The CT must lie in the patient space of the one before (registered); no registration is done here.

        Raises:
            GeometryMismatchError: the CT does not cover the treated patch.
        """
        ready = self._prepare(patient)
        centre = ready.patch.geometry.to_ras((np.array(ready.patch.geometry.shape) - 1) / 2)
        index = post_ct.geometry.to_kji(centre)
        if (index < 0).any() or (index > np.array(post_ct.geometry.shape) - 1).any():
            raise GeometryMismatchError(
                what="The CT after treatment does not cover the lesion",
                given=f"{post_ct.geometry.describe()}, lesion at RAS ({', '.join(f'{c:.0f}' for c in centre)})",
                remedy="Register it to the CT before treatment first",
            )
        hu, labels = self._on_patch(ready, post_ct, post_labels)
        return mean_risk([self._score(ready, hu, labels).verdict])

    def change(self, patient: Patient, outcome: Outcome) -> TumourChange:
        """What happened to the tumour in the treated patch."""
        ready = self._prepare(patient)
        seen = self._on_patch(ready, outcome.ct, outcome.labels)
        return self._score(ready, *seen, viable_ml=outcome.viable_ml).change

    def candidate(self, patient: Patient, protocol: Protocol, outcomes: Sequence[Outcome]) -> Candidate:
        """Judge a protocol by its replicas: risk, mean change of the tumour, and what the rules say."""
        changes = [self.change(patient, outcome) for outcome in outcomes]
        warnings = rules.check(protocol, patient.clinical)
        return Candidate(protocol, self.assess(patient, outcomes), mean_change(changes), warnings)

    def treated(self, patient: Patient) -> dict[str, Any]:
        """Target lesion, share of all tumour in the patch, its voxel size, and who draws the outline afterwards."""
        ready = self._prepare(patient)
        return {
            "lesion": 1,
            "lesions": len(patient.findings.lesions),
            "share_of_tumour_percent": ready.patch.share_of_tumour(patient),
            "patch_spacing_mm": round(ready.patch.spacing_mm, 4),
            "assistant_dice_on_patch": round(ready.assistant_dice, 4),
            "outline_after_by": self._outline_by(ready),
        }

    def plan(
        self,
        patient: Patient,
        space: ActionSpace,
        settings: PlanSettings,
        seed: int,
        on_plan: Callable[[Plan, float], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        journal: Journal | None = None,
    ) -> Plan:
        """Search the protocol of lowest predicted risk.

        Args:
            patient: before treatment.
            space: what the policy proposes.
            settings: search, beams, horizons, replicas.
            seed: of the replicas; every protocol gets the same ones (common random numbers).
            on_plan: called with the best plan so far and the finished share after each batch.
            cancelled: asked between batches, sampling steps and networks.
            journal: of `journal_key`; what it holds is not simulated again.

        Raises:
            RuleError: the rules allow no protocol of this space.
        """
        ready = self._prepare(patient)
        seeds = replica_seeds(seed, settings.replicas)
        volumes: dict[Protocol, list[SimulatedReplica]] = {}

        def judge(batches: Sequence[Batch]) -> Iterator[list[ReplicaScore]]:
            for batch in batches:
                trials = [(p, seeds[n]) for p, n in batch]
                judged = self._judge(ready, [p for p, _ in trials], [s for _, s in trials], settings, cancelled)
                keep_best(volumes, batch, judged, settings)
                yield [j.verdict for j in judged]

        hint = response_hint(self._dynamics, ready.encoded, ready.before, seeds, settings)
        found = explore(space, settings, patient.clinical, judge, journal, on_plan, cancelled, hint=hint)
        for candidate in found.candidates[: settings.keep]:
            for judged, one in zip(volumes.get(candidate.protocol, []), seeds, strict=False):
                ready.simulated[simulation_key(candidate.protocol, one, settings)] = judged
        return found

    def journal_key(self, patient: Patient, space: ActionSpace, settings: PlanSettings, seed: int) -> dict[str, Any]:
        """What the numbers of a plan depend on: a journal of another key is of no use."""
        ready = self._prepare(patient)
        digest = hashlib.sha256(ready.patch.hu.tobytes() + ready.patch.labels.tobytes()).hexdigest()
        return {
            "patch": digest,
            "clinical": patient.clinical.to_json(),
            "space": [list(space.drugs), list(space.embolics)],
            "settings": asdict(settings),
            "seed": seed,
            "bundle": self.bundle.sha256,
            "device": self.device,
            "batch": DEFAULT_BATCH,
            "versions": versions(),
        }

    def _prepare_once(self, patient: Patient) -> _Prepared:
        patch = TreatedPatch.of(patient)
        found = self.assistant.segment_patches(patch.hu[None], patch.spacing_mm)[0]
        return _Prepared(
            patch=patch,
            encoded=self._dynamics.encode(patch.hu, patch.labels, patch.spacing_mm),
            before=patch.findings(patch.hu, patch.labels),
            tokens=self._assessor.encode(patch.views(patch.hu, patch.labels)),
            assistant_before=found,
            assistant_dice=dice((found == 2) & (patch.labels >= 1), patch.labels == 2),
        )

    def _judge(
        self,
        ready: _Prepared,
        protocols: Sequence[Protocol],
        seeds: Sequence[int],
        settings: PlanSettings,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[SimulatedReplica]:
        """Simulate, segment and score one replica for each protocol and seed.

        Raises:
            SearchCancelled: in the middle of it, soon after `cancelled` says so.
        """

        def check(_: int = 0) -> None:
            if cancelled():
                raise SearchCancelled

        keys = [simulation_key(p, s, settings) for p, s in zip(protocols, seeds, strict=True)]
        found = {k: ready.simulated[k] for k in keys if k in ready.simulated}
        todo = list({k: (p, s) for k, p, s in zip(keys, protocols, seeds, strict=True) if k not in found}.items())
        while todo:
            # a chunk is always full: on a CPU a lone 3D convolution takes a slow path, and other neighbours or none
            # must not change a bit
            part = todo[: self.chunk]
            trials = [trial for _, trial in part]
            full = [*trials, *[trials[-1]] * (self.chunk - len(trials))]
            try:
                judged = self._judge_chunk(ready, full, len(trials), settings, check)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.chunk == 1:
                    raise
                judged = []  # tried again outside of the handler: the traceback of the error holds what did not fit
            if not judged:
                self.chunk //= 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            found |= {key: one for (key, _), one in zip(part, judged, strict=True)}
            todo = todo[len(part) :]
        return [found[k] for k in keys]

    def _judge_chunk(
        self,
        ready: _Prepared,
        trials: Sequence[tuple[Protocol, int]],
        count: int,
        settings: PlanSettings,
        check: Callable[[int], None],
    ) -> list[SimulatedReplica]:
        """Judge the first `count` trials of a chunk."""
        check(0)
        changes = self._dynamics.simulate(
            ready.encoded, [p for p, _ in trials], [s for _, s in trials], settings.steps, settings.guidance,
            on_step=check, spread=settings.spread,
        )  # fmt: skip
        # The simulation knows how far it let the tumour shrink and die; whoever looks at the image guesses it.
        told = predicted_responses(self._dynamics, ready.encoded, ready.before, trials, settings)
        check(0)
        if not told:
            images = np.stack([ready.patch.simulated(c) for c in changes])
            parts = zip(images[:count], self._labels_after(ready, images), changes, strict=False)
            return [self._score(ready, *part) for part in parts]
        patch, judged = ready.patch, []
        for drawn, t in zip(changes[:count], told, strict=False):
            change = patch.fill_shrunken_rim(drawn, t.ratio)
            labels = patch.scale_tumour(t.ratio)
            judged.append(self._score(ready, patch.simulated(change), labels, change, t.viable_ml))
        return judged

    def _outline_by(self, ready: _Prepared) -> str:
        if self._dynamics.tells_response:
            return "simulated response"
        return "assistant" if ready.assistant_counts else "outline before treatment"

    def _labels_after(self, ready: _Prepared, images: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        """Labels of patches (N, D, H, W) by the assistant."""
        if not ready.assistant_counts:
            return [ready.patch.labels_after(None, None) for _ in images]
        found = self.assistant.segment_patches(images, ready.patch.spacing_mm)
        return [ready.patch.labels_after(ready.assistant_before, after) for after in found]

    def _score(
        self,
        ready: _Prepared,
        hu: NDArray[np.float32],
        labels: NDArray[np.uint8],
        change_hu: NDArray[np.float32] | None = None,
        viable_ml: float | None = None,
    ) -> SimulatedReplica:
        patch = ready.patch
        change = patch.change(ready.before, patch.findings(hu, labels))
        change = change if viable_ml is None else replace(change, viable_ml_after=viable_ml)
        risk, *found = self._assessor.judge(ready.tokens, patch.views(hu, labels), patch.covariates(change))
        months, survival, members = (tuple(float(x) for x in values) for values in found)
        change_hu = hu - patch.hu if change_hu is None else change_hu
        return SimulatedReplica(change_hu, labels, change, risk, months, survival, members, viable_ml)

    def _on_patch(
        self, ready: _Prepared, ct: Volume, labels: LabelMap | None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        grid = ready.patch.geometry
        hu = resample(ct.array, ct.geometry, grid).astype(np.float32)
        if labels is None:
            return hu, self._labels_after(ready, hu[None])[0]
        return hu, resample(labels.array, labels.geometry, grid, "nearest", 0)

    def _outcome(
        self, patient: Patient, ready: _Prepared, judged: SimulatedReplica, protocol: Protocol, seed: int
    ) -> Outcome:
        provenance = Provenance(protocol.text, seed, self.bundle.name, self.bundle.sha256, versions())
        grid = ready.patch.geometry
        ct = compose(patient.ct, patient.labels, judged.change_hu, grid, provenance)
        # Labels change only where the patch's own did: elsewhere every voxel of the user's segmentation stays.
        after = resample(judged.labels, grid, patient.ct.geometry, "nearest", 255)
        before = resample(ready.patch.labels, grid, patient.ct.geometry, "nearest", 255)
        changed = (after != before) & (after != 255) & (patient.labels.array >= 1)
        labels = patient.labels.with_array(np.where(changed, after, patient.labels.array).astype(np.uint8))
        return Outcome(ct, labels, protocol, seed, judged.viable_ml)
