"""One valid example of every kind of JSON that MeWM reads, made by the product itself, and what reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.cohorts import layout
from MeWMLib.core.bundle import open_bundle
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.outcome import ReplicaScore, Risk, TumourChange
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import Candidate, Contribution, Plan, PlanSettings, Pruned, RuleFinding, SearchStep
from MeWMLib.core.plan_folder import PLAN, BundleFacts, LabelsUsed, PlanDocument, PlanFolder, TreatmentSummary
from MeWMLib.core.protocol import ActionSpace, Protocol, agents_of
from MeWMLib.core.records import dump_json, parse_json
from MeWMLib.core.sealed import FILES
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.dynamics.model import denoiser_from_part
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.wire import FileEntry, read_upload_header, upload_header
from MeWMLib.lab.training.dynamics_settings import read_settings
from MeWMLib.lab.training.map_settings import MapTraining, read_map_settings
from MeWMLib.perception.nnunet import label_values
from MeWMLib.planning.journal import Journal
from MeWMLib.policy.baselines import FrequencyPrior
from MeWMLib.policy.llm import cache, endpoints, privacy
from MeWMLib.policy.llm.answers import read_administrations, read_proposal
from MeWMLib.policy.rules import RULES_PATH, check, load_rules
from MeWMLib.survival.network import Assessor

PROTOCOL = Protocol.parse("Epirubicin 30 mg + Lipiodol 10 ml (emulsion)")
CHANGE = TumourChange(10.0, 8.0, 9.0, 3.0, 1.5, 40.0, 30.0)
KEY = {"patient": "p", "seed": 3}


@dataclass(frozen=True)
class Kind:
    """A kind of file or message.

    Attributes:
        name: of the test.
        text: a valid example.
        read: reads the bytes of one, in a folder of its own; raises a `MeWMError` where it does not take it.
        strict: it must refuse what is no strict JSON; others pass over what they cannot read.
    """

    name: str
    text: str
    read: Callable[[bytes, Path], Any]
    strict: bool = True


def document() -> PlanDocument:
    """A plan that uses every field."""
    risk = Risk((0.1, -0.2), (0.0, 12.0, 24.0), (1.0, 0.7, 0.4), (0.1, 0.2))
    warning = RuleFinding("r", "warning", "because", "somebody")
    part = Contribution("Lipiodol", 0.3, -0.2)
    files = {"ct": "simulated_01.nrrd", "labels": "simulated_01.seg.nrrd", "sd": "simulated_01_sd.nrrd"}
    best = Candidate(PROTOCOL, risk, CHANGE, (warning,), files, 0.4, (part,))
    tree = (SearchStep(1, 0, Protocol(()), PROTOCOL, -0.05, True),)
    plan = Plan((best,), tree, "finished", 1, 2, 0, (Pruned(PROTOCOL, ("r",)),))
    lesion = Lesion(1, 9.0, 40.0, (1.0, 2.0, 3.0), 60.0, 9.0, 0.0, 0.1, 8.0, 38.0, 20.0, 90.0, 3.0, 5.0, "left")
    drugs, embolics = agents_of("drug")[:2], agents_of("embolic")[:2]
    space = ActionSpace(drugs, embolics, dict.fromkeys((*drugs, *embolics), "because"), "guideline", {drugs[0]: "s"})
    return PlanDocument(
        plan, "case-1", "control", Clinical(age_years=61, child_pugh_class="A", extrahepatic_spread=False), 20, "cpu",
        PlanSettings(), BundleFacts("small", "ab" * 32), {"mewm": "1"}, Findings(1500.0, 100.0, (lesion,)), space,
        LabelsUsed("expert", 0.9, None, "note"), TreatmentSummary(1, 1, 100.0), files={"pre": "pre.nrrd"},
    )  # fmt: skip


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    """A reader of bytes out of a reader of a file."""

    def run(data: bytes, folder: Path) -> Any:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return run


def _plan(path: Path) -> Any:
    folder = PlanFolder(path.parent)
    read = folder.read()
    for files, key in ((read.files, "pre"), *((c.files, key) for c in read.plan.candidates for key in c.files)):
        try:
            folder._file(files, key)
        except UnreadableFileError:
            continue
        raise AssertionError("a file that is not there was found")  # only a name outside of the folder can lead to one
    return dump_json(read.to_json()), repr(read.plan), [c.rank for c in read.plan.candidates]


def _journal(data: bytes, folder: Path) -> Any:
    """A journal whose lines carry right checksums, whatever they say."""
    path, last = folder / "journal.jsonl", ""
    header = dump_json({"format": "mewm-journal/1", "key": KEY}).encode()
    folder.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for body in (header, data.replace(b"\n", b" ")):
            last = hashlib.sha256(last.encode() + b"\n" + body).hexdigest()
            file.write(b'{"sha256":"%s","body":%s}\n' % (last.encode(), body))
    with Journal(path, KEY) as journal:
        known = journal.recall(((PROTOCOL, 0), (PROTOCOL, 1)))
    return [ReplicaScore.from_json(one) for one in known or ()]


def _rules(path: Path) -> Any:
    rules = load_rules(path)
    return [check(PROTOCOL, clinical, rules=rules) for clinical in (Clinical(), Clinical(age_years=70))]


def _prior(path: Path) -> Any:
    return FrequencyPrior.load(path)


def _stored(name: str, read: Callable[[], Any]) -> Callable[[bytes, Path], Any]:
    """A reader of a file in the user's folder."""
    return lambda data, _: _file(name, lambda path: read())(data, data_folder())


def _patient(path: Path) -> Any:
    return layout.finished_row(path.parent.parent, path.parent.name), layout.read_patient(path.parent.parent, "p")


def _score() -> ReplicaScore:
    return ReplicaScore(0.25, (0.0, 12.0), (1.0, 0.5), CHANGE, (0.1, 0.2), 3.0, None)


def kinds(tiny_bundle: Any, small_bundle: Path) -> list[Kind]:
    """All kinds.

    Args:
        tiny_bundle, small_bundle: of the fixtures of these names.
    """
    job = Job("assess", {"case": "ct.nrrd", "post": "post.nrrd", "goal": "g"}, "assess.json", 7, bundle="small")
    files = (FileEntry("ct.nrrd", 5, "ab" * 32), FileEntry("post.nrrd", 0, "cd" * 32))
    event = Event("result", "plan", 0.5, 3.0, 100.0, "done", {"risk": [0.1], "case": "x"})
    row = layout.PatientRow("p", PROTOCOL.text, 12.0, True, "portal", has_after=False)
    drugs, embolics = agents_of("drug"), agents_of("embolic")
    answer = {"drugs": [{"agent": drugs[0], "reason": "r"}, drugs[1]], "embolics": [{"agent": embolics[0]}]}
    given = {"administrations": [{"agent": "Lipiodol", "dose": 10, "route": "emulsion"}], "attenuation_level": 2}
    settings = {"steps": 10, "widths": [32, 64], "precision": "auto", "start": None, "average": 0.9}
    nnunet = {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2}, "numTraining": 3,
        "file_ending": ".nii.gz",
    }  # fmt: skip
    config, tensors = tiny_bundle.part("dynamics")
    codec, codec_tensors = tiny_bundle.part("autoencoder")
    survival, survival_tensors = tiny_bundle.part("survival")
    assistant, assistant_tensors = tiny_bundle.part("assistant")
    one_endpoint = {"name": "mine", "url": "https://x.example/v1", "model": "m", "timeout_s": 3.0, "images": True}

    def segmenter(data: bytes, _: Path) -> Any:
        import torch

        from MeWMLib.perception.segmenter import Segmenter

        return Segmenter.from_part(parse_json(data, require={}), assistant_tensors, torch.device("cpu"))

    def part(read: Callable[..., Any], tensors: Any) -> Callable[[bytes, Path], Any]:
        return lambda data, _: read(parse_json(data, require={}), tensors)

    def manifest(path: Path) -> Any:
        for file in small_bundle.glob("*.safetensors"):
            (path.parent / file.name).write_bytes(file.read_bytes())
        bundle = open_bundle(path.parent)
        return bundle.sha256, [bundle.part(name) for name in bundle.part_sha256]

    return [
        Kind("job", job.to_json(), lambda data, _: Job.from_json(data)),
        Kind("job file", job.to_json(), _file("job.json", Job.load)),
        Kind("event", event.to_json(), lambda data, _: Event.from_json(data)),
        Kind("upload", upload_header(job, files).decode().strip(), lambda data, _: read_upload_header(data)),
        # as earlier versions wrote it: since then a checksum refuses all damage before anything else is looked at
        Kind("plan", json.dumps({k: v for k, v in document().to_json().items() if k != FILES}), _file(PLAN, _plan)),
        Kind("manifest", (small_bundle / "manifest.json").read_text(encoding="utf-8"),
             _file("manifest.json", manifest)),
        Kind("dynamics part", json.dumps(config), part(denoiser_from_part, tensors)),
        Kind("codec part", json.dumps(codec), part(Autoencoder.from_part, codec_tensors)),
        Kind("survival part", json.dumps(survival), part(Assessor, survival_tensors)),
        Kind("segmenter part", json.dumps(assistant), segmenter),
        Kind("rules", RULES_PATH.read_text(encoding="utf-8"), _file("rules.json", _rules)),
        Kind("clinical", json.dumps(document().clinical.to_json()), _file("clinical.json", Clinical.load)),
        Kind("prior", json.dumps({"format": "mewm-frequency-prior/1", "regimens": [[PROTOCOL.text, 3]]}),
             _file("prior.json", _prior)),
        Kind("cohort", json.dumps({"format": layout.FORMAT, "complete": True, "synthetic": False, "left_out": []}),
             _file("cohort.json", lambda path: layout.read_manifest(path.parent))),
        Kind("nnU-Net", json.dumps(nnunet), _file("dataset.json", lambda path: np.asarray(label_values(path)))),
        Kind("training", json.dumps(settings), _file("settings.json", read_settings)),
        Kind("map training", json.dumps({"steps": 10, "widths": [8, 16], "precision": "auto", "average": 0.9}),
             _file("settings.json", lambda path: read_map_settings(path, MapTraining, {}))),
        Kind("endpoints", json.dumps({"endpoints": [one_endpoint]}),
             _stored(endpoints.ENDPOINTS_FILE, endpoints.known_endpoints)),
        Kind("consents", json.dumps({"agreed": {"https://x.example m": "2026-01-01"}}),
             _stored(privacy.CONSENT_FILE, privacy.consents)),
        # what is passed over where it cannot be read
        Kind("journal", dump_json({"trials": [[PROTOCOL.text, 0], [PROTOCOL.text, 1]], "results": [_score()] * 2}),
             _journal, strict=False),
        Kind("patient", json.dumps({"row": row.cells(), "clinical": {}}),
             _file("p/patient.json", _patient), strict=False),
        Kind("answer", json.dumps({"format": cache.FORMAT, "content": "c", "usage": {}}),
             _stored(f"{cache.ANSWERS}/k.json", lambda: cache.stored("k")), strict=False),
        Kind("audit", json.dumps({"time": "t", "endpoint": "e", "bytes": 1, "outcome": "o"}),
             _stored(privacy.AUDIT_FILE, privacy.read_audit), strict=False),
        Kind("proposal", json.dumps(answer),
             lambda data, _: read_proposal(data.decode("utf-8", "replace"), drugs, embolics, (5, 4)), strict=False),
        Kind("report", json.dumps(given),
             lambda data, _: read_administrations(data.decode("utf-8", "replace")), strict=False),
    ]  # fmt: skip
