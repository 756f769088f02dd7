"""Simulate, outline and score replicas on the treated patch; what no protocol changes is prepared once a patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.core.outcome import ReplicaScore
from MeWMLib.core.patient import Findings, Patient
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, TUMOUR
from MeWMLib.perception.findings import dice
from MeWMLib.perception.segmenter import is_out_of_memory
from MeWMLib.planning.search import Hint, SearchCancelled
from MeWMLib.survival.config import chosen_covariates
from MeWMLib.survival.network import Assessor
from MeWMLib.world.abreast import Abreast
from MeWMLib.world.on_scan import OnScan
from MeWMLib.world.patch import FloatArray, Labels, TreatedPatch
from MeWMLib.world.replicas import SimulatedReplica, simulation_key
from MeWMLib.world.response_prediction import predicted_responses, predicts_response, response_hint

#: The segmenter's view of a simulated lesion counts only if it finds the lesion before treatment at least this well
#: (Dice in the treated patch); else the outline stays and only what is inside of it is measured.
SEGMENTER_GATE = 0.5

Check = Callable[[int], None]
Trial = tuple[Protocol, int]


@dataclass(frozen=True, eq=False)
class PreparedPatient:
    """Everything about a patient that no protocol changes.

    Attributes:
        patch: the cube in which outcomes are simulated and scored.
        encoded: what the dynamics model made of it.
        before: sizes of all tumour in the patch.
        treated: sizes of the tumour that is treated.
        tokens: what the survival network makes of the patch before treatment.
        see: asks the segmenter for its labels (D, H, W) of the patch, which takes seconds; see `segmented_before`.
        on_scan: the tumour on the scan's own voxels, which every number that is told is brought to.
        kept: replicas that are not simulated again, by `simulation_key`.
    """

    patch: TreatedPatch
    encoded: Any
    before: Findings
    treated: Findings
    tokens: torch.Tensor
    see: Callable[[], Labels]
    on_scan: OnScan
    kept: dict[tuple[Any, ...], SimulatedReplica] = field(default_factory=dict)

    @property
    def untreated_ml(self) -> tuple[float, float]:
        """Viable and whole tumour in the patch that is not treated, and so stays."""
        if self.patch.untreated is None:
            return 0.0, 0.0
        all_, treated = self.before, self.treated
        return max(0.0, all_.viable_ml - treated.viable_ml), max(0.0, all_.tumour_ml - treated.tumour_ml)

    @property
    def outlined(self) -> Labels:
        """(D, H, W) the labels that the segmenter is held against."""
        return self.patch.labels

    @cached_property
    def segmented_before(self) -> Labels:
        """(D, H, W) the segmenter's labels of the patch."""
        return self.see()

    @property
    def segmenter_asked(self) -> bool:
        """True if the segmenter's labels are there without waiting for them."""
        return "segmented_before" in self.__dict__

    @cached_property
    def segmenter_dice(self) -> float:
        """How well the segmenter finds the tumour that was given."""
        found = (self.segmented_before == TUMOUR) & (self.outlined >= LIVER)
        return dice(found, self.outlined == TUMOUR)

    @property
    def segmenter_counts(self) -> bool:
        """True if the segmenter knows the lesion well enough to say what became of it."""
        return self.segmenter_dice >= SEGMENTER_GATE


class Simulator:
    """Simulates replicas in chunks, several through the networks together.

    Args:
        dynamics: draws the patch after treatment (`DynamicsModel`, or `MapModel` in `MapSimulator`).
        assessor: the survival network.
        segmenter: outlines the tumour after treatment where no response is predicted.
        chunk: how many replicas go through the networks together; halved where the memory runs out.
        beside: how many chunks are at work at a time; one where the memory runs out.
    """

    #: Lesions are simulated whole, and territories are known.
    whole = False

    def __init__(self, dynamics: Any, assessor: Assessor, segmenter: Any, chunk: int, beside: int = 1) -> None:
        self.dynamics, self.assessor, self.segmenter, self.chunk = dynamics, assessor, segmenter, chunk
        self.abreast = Abreast(beside)
        self.prepare = lru_cache(maxsize=2)(self._prepare)
        self.untreated = lru_cache(maxsize=2)(self._untreated)

    def _prepare(self, patient: Patient) -> PreparedPatient:
        patch = TreatedPatch.of(patient)
        before = patch.findings(patch.hu, patch.labels)
        return PreparedPatient(
            patch=patch,
            encoded=self.dynamics.encode(patch.hu, patch.treated_labels, patch.spacing_mm),
            before=before,
            treated=before if patch.untreated is None else patch.findings(patch.hu, patch.treated_labels),
            tokens=self.assessor.encode(patch.views(patch.hu, patch.labels)),
            see=lambda: self.segmenter.segment_patches(patch.hu[None], patch.spacing_mm)[0],
            on_scan=OnScan.of(patient, patch.geometry),
        )

    def settled(self, settings: PlanSettings) -> PlanSettings:
        """The settings as this dynamics model takes them, for what is written about a run.

        One on a cube has no choice of `judge`: the risk goes by the response that it predicts, or by the image if it
        predicts none.

        Raises:
            PlanSettingsError: settings that are for a model on coarse maps alone.
        """
        usual = PlanSettings()
        if settings.weeks != usual.weeks or settings.judge == ASSISTANT:
            raise PlanSettingsError(
                what="The dynamics model of this bundle works on a cube: it takes no weeks, and no assistant as judge",
                given=f"weeks {settings.weeks:g}, judge {settings.judge}",
                remedy="Leave these settings out, or use a bundle with a model on coarse maps",
            )
        return replace(settings, judge=MODEL if predicts_response(self.dynamics, settings) else IMAGE)

    def replicas(
        self,
        ready: PreparedPatient,
        trials: Sequence[Trial],
        settings: PlanSettings,
        cancelled: Callable[[], bool] = lambda: False,
        drawn: bool = True,
        compared: bool = True,
    ) -> list[SimulatedReplica]:
        """Simulate and score one replica for each protocol and seed.

        Without `drawn` a simulator that can score a replica without drawing it leaves the drawing out; without
        `compared` none is judged by the segmenter beside the judge that is asked for, which takes seconds.

        Raises:
            SearchCancelled: in the middle of it, soon after `cancelled` says so.
        """

        def check(_: int) -> None:
            if cancelled():
                raise SearchCancelled

        keys = [simulation_key(protocol, seed, settings) for protocol, seed in trials]
        found = {k: ready.kept[k] for k in keys if k in ready.kept and (ready.kept[k].drawn or not drawn)}
        todo = list({k: trial for k, trial in zip(keys, trials, strict=True) if k not in found}.items())
        # one replica of a protocol tells how far its risk depends on the judge: the segmenter takes seconds for each
        first = {protocol: seed for protocol, seed in reversed(trials)}

        def made(part: Sequence[tuple[tuple[Any, ...], Trial]]) -> list[SimulatedReplica]:
            # a chunk is always full: on a CPU a lone 3D convolution takes a slow path, and other neighbours or none
            # must not change a bit
            wanted = [trial for _, trial in part]
            full = [*wanted, *[wanted[-1]] * (self.chunk - len(wanted))]
            asked = [compared and first[protocol] == seed for protocol, seed in wanted]
            # one that a search has judged without drawing it is not judged again
            known = [ready.kept.get(simulation_key(*trial, settings)) for trial in full]
            return self._chunk(ready, full, asked, settings, check, drawn, known)

        while todo:
            parts = [todo[n : n + self.chunk] for n in range(0, len(todo), self.chunk)]
            parts = parts if self.abreast.count > 1 else parts[:1]
            rows: list[list[SimulatedReplica]] = []
            try:
                rows = self.abreast.each(made, parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or (self.chunk == 1 and self.abreast.count == 1):
                    raise
                # tried again outside of the handler: the traceback of the error holds what did not fit
            if not rows:
                self.abreast, self.chunk = Abreast(1), self.chunk if self.abreast.count > 1 else self.chunk // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            for part, row in zip(parts, rows, strict=True):
                found |= {key: one for (key, _), one in zip(part, row, strict=True)}
            todo = todo[sum(map(len, parts)) :]
        return [found[k] for k in keys]

    def draw(
        self,
        ready: PreparedPatient,
        trials: Sequence[Trial],
        settings: PlanSettings,
        cancelled: Callable[[], bool] = lambda: False,
        compared: bool = True,
    ) -> None:
        """Draw replicas as `replicas` does, and keep them for whoever asks for them next."""
        found = self.replicas(ready, trials, settings, cancelled, compared=compared)
        ready.kept.update((simulation_key(*trial, settings), one) for trial, one in zip(trials, found, strict=True))

    def _chunk(
        self,
        ready: PreparedPatient,
        trials: Sequence[Trial],
        asked: Sequence[bool],
        settings: PlanSettings,
        check: Check,
        drawn: bool,
        known: Sequence[SimulatedReplica | None] = (),
    ) -> list[SimulatedReplica]:
        """Simulate all trials of a chunk together, and score the first, as many as `asked` has.

        `asked` says of each whether all judges are asked of it, where there are several; `known` holds what a search
        has kept of each without drawing it.
        """
        check(0)
        patch, count = ready.patch, len(asked)
        changes = self.dynamics.simulate(
            ready.encoded, [p for p, _ in trials], [s for _, s in trials], settings.steps, settings.guidance,
            on_step=check, spread=settings.spread,
        )  # fmt: skip
        # The simulation knows how far it let the tumour shrink and die; measuring the image only guesses it.
        responses = predicted_responses(
            self.dynamics, ready.encoded, ready.treated, trials, settings, ready.untreated_ml[0]
        )
        check(0)
        if responses is None:
            images = np.stack([patch.simulated(c) for c in changes])
            parts = zip(changes[:count], self.labels_after(ready, images), strict=False)
            return [self._replica(ready, change, labels, None) for change, labels in parts]
        return [
            self._replica(ready, patch.fill_shrunken_rim(c, r.ratio), patch.scale_tumour(r.ratio), r.viable_ml)
            for c, r in zip(changes[:count], responses, strict=False)
        ]

    def _replica(
        self, ready: PreparedPatient, change_hu: FloatArray, labels: Labels, viable_ml: float | None
    ) -> SimulatedReplica:
        return SimulatedReplica(
            change_hu, labels, self.score(ready, ready.patch.simulated(change_hu), labels, viable_ml)
        )

    def score(
        self, ready: PreparedPatient, hu: FloatArray, labels: Labels, predicted_viable_ml: float | None = None
    ) -> ReplicaScore:
        """Measure and score an image and labels (D, H, W) on the treated patch, wherever they come from.

        The survival network is told the volumes on its own voxels; the score tells those of the scan (`OnScan`).
        """
        patch = ready.patch
        measured = patch.change(ready.before, patch.findings(hu, labels))
        predicted = predicted_viable_ml
        change = measured if predicted is None else replace(measured, viable_ml_after=predicted)
        late = chosen_covariates(self.assessor.config.covariates, patch.covariates(change))
        risk, *found = self.assessor.judge(ready.tokens, patch.views(hu, labels), late)
        months, survival, members = (tuple(float(x) for x in values) for values in found)
        score = ReplicaScore(risk, months, survival, change, members, predicted, measured.viable_ml_after)
        return ready.on_scan.brought(score)

    def _untreated(self, ready: PreparedPatient) -> float:
        """Log-risk of a patient whose tumour stays as it is."""
        return self.score(ready, ready.patch.hu, ready.patch.labels).log_risk

    def hint(self, ready: PreparedPatient, seeds: Sequence[int], settings: PlanSettings) -> Hint | None:
        """What is known of protocols before they are simulated (`response_hint`); None where nothing is."""
        return response_hint(self.dynamics, ready.encoded, ready.treated, seeds, settings, ready.untreated_ml)

    def fingerprint(self, ready: PreparedPatient) -> bytes:
        """What of a patient a simulation depends on."""
        return ready.patch.hu.tobytes() + ready.patch.treated_labels.tobytes()

    def outline_by(self, ready: PreparedPatient) -> str:
        """Who draws the outline of the tumour after treatment."""
        if self.dynamics.tells_response:
            return "simulated response"
        return "assistant" if ready.segmenter_counts else "outline before treatment"

    def labels_after(self, ready: PreparedPatient, images: NDArray[np.float32]) -> list[Labels]:
        """Labels of patches (N, D, H, W), by what the segmenter sees differently if it knows the lesion."""
        if not ready.segmenter_counts:
            return [ready.patch.labels_after(None, None) for _ in images]
        found = self.segmenter.segment_patches(images, ready.patch.spacing_mm)
        return [ready.patch.labels_after(ready.segmented_before, after) for after in found]
