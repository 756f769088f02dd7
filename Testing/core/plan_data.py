"""The folder of a small plan, as a worker and the scene process write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import Candidate, Plan, PlanSettings
from MeWMLib.core.plan_folder import BundleFacts, LabelsUsed, PlanDocument, PlanFolder, TreatmentSummary
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume

GRID = Geometry((6, 8, 9), np.diag([-1.5, -1.5, 3.0, 1.0]))


def document(**changes) -> PlanDocument:
    space = ActionSpace(("Cisplatin",), ("Lipiodol",), {"Cisplatin": "ä reason", "Lipiodol": "another"}, "guideline")
    fields = {
        "plan": Plan((), (), "finished", 1), "case": "case", "goal": "", "clinical": Clinical(), "seed": 3,
        "device": "cpu", "settings": PlanSettings(), "bundle": BundleFacts("b", "ab" * 32), "versions": {"mewm": "1"},
        "findings": Findings(1000.0, 100.0, ()), "policy": space, "labels": LabelsUsed("user"),
        "treated": TreatmentSummary(1, 1, 100.0),
    }  # fmt: skip
    return PlanDocument(**(fields | changes))


def write_folder(path: Path) -> PlanFolder:
    """As a worker and the scene process write it."""
    rng = np.random.default_rng(0)
    ct = Volume(rng.integers(-1000, 1000, GRID.shape).astype(np.int16), GRID)
    labels = LabelMap(rng.integers(0, 3, GRID.shape).astype(np.uint8), GRID)
    folder = PlanFolder(path)
    files = folder.write_before(ct, labels)
    folder.write(document(files=files))
    protocol = Protocol.parse("Cisplatin 60 mg + Lipiodol 10 ml")
    mark = Provenance(protocol.text, 3, "b", "ab" * 32, {"mewm": "1"})
    sd = Volume(rng.random(GRID.shape).astype(np.float32), GRID)
    tumour = labels.tumour
    tissue = {"Viable tumour": tumour & (ct.array > 0), "Necrosis": tumour & (ct.array <= 0), "Lipiodol": None}
    kept = folder.write_kept(1, ct.with_array(ct.array, mark), labels, sd, tissue)
    change = TumourChange(48.2, 44.0, 45.1, 9.0, 20.1, 51.0, 49.0)
    candidate = Candidate(protocol, Risk((0.1, 0.2), (0.0, 6.0), (1.0, 0.9)), change, (), kept)
    folder.write(document(files=files, plan=Plan((candidate,), (), "finished", 1)))
    folder.write_run({"stages_s": {"plan": 1.5}, "peak_memory_mb": 100})
    (path / "pictures").mkdir()
    for name in ("report.html", "scene.mrb", "pictures/axial.png"):
        (path / name).write_bytes(rng.bytes(300))
    folder.record_made(["report.html", "scene.mrb", "pictures/axial.png"])
    return folder
