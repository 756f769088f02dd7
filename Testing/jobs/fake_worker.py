"""A worker with a small world in place of the networks; run as a script it takes a job file as the real one does.

The environment variable MEWM_FAKE chooses a mishap: "slow" (0.2 s a protocol), "brisk" (0.05 s), "slow segment" (1 s),
"stubborn" (never looks at cancel), "noisy" (prints), "crash", "kill", "oom", "memory".
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.errors import NoTumourError
from MeWMLib.core.outcome import Outcome, Risk, TumourChange
from MeWMLib.core.patient import Findings, Lesion, Patient
from MeWMLib.core.plan import Candidate, Plan, SearchStep, replica_seeds
from MeWMLib.core.plan_folder import TreatmentSummary
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume
from MeWMLib.jobs import worker
from MeWMLib.jobs.task import Engine
from MeWMLib.planning.search import SearchCancelled
from MeWMLib.policy.rules import check
from MeWMLib.world.abreast import Abreast
from MeWMLib.world.treating import treating

SHAPE = (12, 14, 16)
GEOMETRY = Geometry(SHAPE, np.diag([-1.5, -1.5, 2.0, 1.0]))


def small_ct() -> Volume:
    """A liver of 60 HU with a tumour of 90 HU."""
    array = np.full(SHAPE, -500, dtype=np.int16)
    array[2:10, 2:12, 2:14] = 60
    array[4:8, 5:9, 6:11] = 90
    return Volume(array, GEOMETRY)


def small_labels() -> LabelMap:
    """The true labels of `small_ct`."""
    array = small_ct().array
    return LabelMap(((array >= 60).astype(np.uint8) + (array >= 90)).astype(np.uint8), GEOMETRY)


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class FakeWorld:
    """The interface of `MeWMLib.world.model.WorldModel` over arithmetic."""

    device = "cpu"
    simulator = SimpleNamespace(whole=False, abreast=Abreast(1))
    comparison = Comparison()

    def __init__(self, bundle: Bundle, mishap: str = "") -> None:
        self.bundle, self.mishap = bundle, mishap
        self.simulated: list[tuple[str, int]] = []
        self.known: tuple[Volume, LabelMap] | None = None

    def segment(self, ct, progress=None, cancelled=None, asked=None):
        progress(0.5)
        if self.mishap == "slow segment":
            time.sleep(1.0)
        if self.known is not None and ct.geometry.same_as(self.known[0].geometry):
            if not np.array_equal(ct.array, self.known[0].array):
                return self.known[1]  # a scan after treatment: everything is where it was
        labels = ((ct.array >= 50).astype(np.uint8) + (ct.array >= 85)).astype(np.uint8)
        labels[4, 5:9, 6:11] = 1  # one slice of the tumour is missed
        return LabelMap(labels, ct.geometry)

    def patient(self, ct, labels, clinical, id):
        if not labels.tumour.any():
            raise NoTumourError(what="No tumour was found")
        self.known = (ct, labels)
        ml = float(labels.tumour.sum()) * labels.geometry.voxel_ml
        lesion = Lesion(1, ml, 10.0, (0.0, 0.0, 0.0), 90.0, 1.0, 0.0, 0.0, ml)
        return Patient(id, ct, labels, Findings(5.0, 60.0, (lesion,)), clinical)

    def treating(self, patient, **choice):
        return treating(patient, **choice)

    def settled(self, settings):
        return settings

    def propose(self, patient, goal, settings):
        drugs, embolics = ("Epirubicin", "Cisplatin", "Idarubicin"), ("Lipiodol", "PVA")
        drugs, embolics = drugs[: settings.drugs], embolics[: settings.embolics]
        chosen = (*drugs, *embolics)
        sources = {name: f"Note of {name}; Some et al., https://doi.org/10.1000/{name.lower()}" for name in chosen}
        return ActionSpace(drugs, embolics, dict.fromkeys(chosen, "because"), "fake", sources)

    def simulate(self, patient, protocol, seed, settings, compared=True):
        seeds = replica_seeds(seed, settings.replicas) if isinstance(seed, int) else seed
        if self.mishap == "crash":
            raise ZeroDivisionError("a mistake in the code")
        if self.mishap == "oom":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        if self.mishap == "memory":
            raise MemoryError
        if self.mishap == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mishap == "noisy":
            print("a library prints", flush=True)
            os.system("echo a C library prints")
        if self.mishap in ("slow", "stubborn", "brisk"):
            time.sleep(0.05 if self.mishap == "brisk" else 0.2)
        outcomes = []
        for seed in seeds:
            self.simulated.append((protocol.text, seed))
            array = patient.ct.array.copy()
            array[patient.labels.tumour] = 30 * len(protocol.text) % 400 + seed
            mark = Provenance(protocol.text, seed, self.bundle.name, self.bundle.sha256)
            ct = patient.ct.with_array(array, mark)
            outcomes.append(Outcome(ct, patient.labels, protocol, seed))
        return outcomes

    def spread(self, outcomes):
        array = np.stack([o.ct.array for o in outcomes]).std(0).astype(np.float32)
        return Volume(array, outcomes[0].ct.geometry, simulated=outcomes[0].ct.simulated)

    def assess(self, patient, outcomes):
        risks = tuple(float(o.ct.array[patient.labels.tumour].mean()) / -100.0 for o in outcomes)
        return Risk(risks, (0.0, 12.0, 24.0), (1.0, 0.7, 0.4))

    def assess_scan(self, patient, post_ct, post_labels):
        return Risk((0.25, 0.75), (0.0, 12.0), (1.0, 0.7))

    def change(self, patient, outcome):
        return TumourChange(2.0, 1.0, 2.0, 0.5, 0.25, 10.0, 8.0)

    def candidate(self, patient, protocol, outcomes):
        warnings = check(protocol, patient.clinical)
        risk = self.comparison.told(self.assess(patient, outcomes))
        return Candidate(protocol, risk, self.change(patient, outcomes[0]), warnings)

    def judge(self, patient, protocols, seeds, settings, cancelled):
        if cancelled():
            raise SearchCancelled
        return [self.candidate(patient, p, self.simulate(patient, p, seeds, settings)) for p in protocols]

    def treatment_summary(self, patient, ask=True):
        return TreatmentSummary(1, 1, 100.0)

    def journal_key(self, patient, space, settings, seed):
        return {"patient": patient.id, "seed": seed}

    def plan(self, patient, space, settings, seed, on_plan, cancelled, journal):
        protocols = [Protocol.of((d, e)) for d in space.drugs for e in space.embolics]
        found: list[Candidate] = []
        tree: list[SearchStep] = []
        stopped_by = "finished"
        for n, protocol in enumerate(protocols):
            if cancelled() and self.mishap != "stubborn":
                stopped_by = "cancelled"
                break
            outcomes = self.simulate(patient, protocol, seed, settings)
            risk = self.assess(patient, outcomes)
            found.append(Candidate(protocol, risk, self.change(patient, outcomes[0])))
            found.sort(key=lambda c: (c.risk.log_risk, c.protocol.text))
            tree.append(SearchStep(1, 0, Protocol(()), protocol, risk.log_risk, True))
            best = Plan(tuple(found), tuple(tree), "finished", len(found)).compared(self.comparison)
            on_plan(best, (n + 1) / len(protocols))
        return Plan(tuple(found), tuple(tree), stopped_by, len(found)).compared(self.comparison)


def sample(name: str, report):
    """The only sample of this small world."""
    report.log("Be kind.", notice=True)
    return SimpleNamespace(name=name, ct=small_ct(), labels=small_labels(), terms="Be kind.", title="A sample")


def engine(mishap: str = "", **changes) -> Engine:
    """The worker's edges over the small world; the world that was made is `engine.load_world.made[-1]`."""
    made: list[FakeWorld] = []

    def load_world(bundle, device):
        made.append(FakeWorld(bundle, mishap))
        return made[-1]

    load_world.made = made
    whole = Engine(load_world, lambda: {"mewm": "0"}, load_sample=sample)
    return dataclasses.replace(whole, **changes)


if __name__ == "__main__":
    sys.exit(worker.main(engine=engine(os.environ.get("MEWM_FAKE", ""))))
