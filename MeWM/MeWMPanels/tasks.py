"""What the buttons do: each task is a chain of steps on the job desk, from nodes to nodes."""

import itertools
import json
import shutil
import threading
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import MeWMError, ProtocolError
from MeWMLib.core.patient import Clinical
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs.job import Job
from MeWMLib.policy.rules import FORBIDDEN, check
from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels
from MeWMPanels import case_files, reports, results
from MeWMPanels.parameters import clinical_json


def rule_findings(protocol, parameters, complete=True):
    """What the clinical rules say to a protocol in this patient."""
    return check(protocol, Clinical.from_json(clinical_json(parameters.clinical)), complete)


class Tasks:
    """The tasks of a user.

    Args:
        desk: the job desk.
        parameters: called for the typed parameter node.
        on_candidates: called with the ranked candidates that an exploration has so far.
        on_comparison: called with a comparison that came into the scene.
        python: called for the Python that the report is made with.
    """

    def __init__(self, desk, parameters, on_candidates, on_comparison, python):
        self.python, self._stop_report = python, threading.Event()
        self.desk, self.parameters = desk, parameters
        self.on_candidates, self.on_comparison = on_candidates, on_comparison
        self._count = itertools.count(1)
        self._folder = None

    def segment(self):
        """Let the assistant find liver and tumour in the chosen CT, then measure."""
        held, ct_id = case_files.hold_ct(self.parameters()), self.parameters().ct.GetID()
        folder = self._open(_("Finding liver and tumour"))
        out, clinical = folder / "found.seg.nrrd", clinical_json(self.parameters().clinical)

        def write():
            volume = held.read()
            return volume, case_files.write_ct(volume, folder)

        def start(written):
            volume, path = written

            def read():
                labels = io.read_labels(out, volume.geometry)
                case = case_files.written_case(volume, labels, clinical, folder)
                return case, prepare_labels(labels)

            self.desk.run(self._job("segment", {"case": str(path)}, out=out), lambda _r: self.desk.aside(read, add))

        def add(found):
            case, prepared = found
            parameters = self.parameters()
            ct = slicer.mrmlScene.GetNodeByID(ct_id)
            name = f"{ct.GetName()} " if ct is not None else ""
            node = labels_to_segmentation(slicer.mrmlScene, prepared, _("Liver and tumour") + f" ({name}MeWM)", ct)
            parameters.segmentation = node
            parameters.liver_segment, parameters.tumour_segment = "liver", "tumour"
            self.desk.say(_("Liver and tumour were found. Look at the outlines before you trust what follows"))
            case_files.require_tumour(case.labels, node.GetName())
            self._measure(case)

        self.desk.aside(write, start)

    def measure(self):
        """Measure the lesions of the chosen segmentation and ask the policy for drugs and embolics."""
        held = case_files.HeldCase(self.parameters())
        folder = self._open(_("Measuring lesions"))
        self.desk.aside(lambda: held.write(folder), self._measure)

    def simulate(self, named):
        """Simulate protocols, one after the other, and show them side by side.

        Args:
            named: pairs of name and `Protocol`.

        Raises:
            ProtocolError: there is none, or one is not complete or forbidden.
        """
        parameters = self.parameters()
        if not named:
            raise ProtocolError(
                what=_("No protocol was chosen"), remedy=_("Tick one in the panel Simulation, or add one in Actions")
            )
        for name, protocol in named:
            forbidden = [f for f in rule_findings(protocol, parameters) if f.severity == FORBIDDEN]
            if forbidden:
                raise ProtocolError(
                    what=_("A protocol may not be given"),
                    given=f"{name}: {forbidden[0].reason} ({forbidden[0].source})",
                    remedy=_("Change it in the panel Actions, or take its tick away"),
                )
        held = case_files.HeldCase(parameters)
        source = _source(parameters)
        folder = self._open(_("Simulating"))
        pack = parameters.simulation
        settings = {"replicas": pack.replicas, "steps": pack.steps}
        left = list(enumerate(named, start=1))
        plans = []

        def next_one(case):
            if not left:
                self._finish(plans, case, source)
                return
            number, (name, protocol) = left.pop(0)
            out = folder / f"protocol-{number}"
            self.desk.say(f"{name}: {protocol.text}")
            job = self._job("simulate", {**case.inputs, "protocol": protocol.text}, out, settings, pack.seed)

            def keep(_result):
                plans.append(out)
                next_one(case)

            self.desk.run(job, keep)

        self.desk.aside(lambda: held.write(folder), next_one)

    def explore(self):
        """Search for the protocol with the lowest predicted risk; Cancel keeps the best so far."""
        parameters = self.parameters()
        held = case_files.HeldCase(parameters)
        source = _source(parameters)
        folder = self._open(_("Exploring protocols"))
        pack, out = parameters.exploration, folder / "plan"
        names = ("search", "beams", "drugs", "embolics", "drug_horizon", "embolic_horizon", "replicas", "keep")
        settings = {name: getattr(pack, name) for name in names} | {"steps": parameters.simulation.steps}
        self.on_candidates(())

        def on_event(event):
            if event.kind == "partial":
                self.on_candidates(results.candidates_in(out))

        def run(case):
            job = self._job("plan", {**case.inputs, "goal": pack.goal}, out, settings, parameters.simulation.seed)
            self.desk.run(job, lambda _result: self._finish([out], case, source), on_event)

        self.desk.aside(lambda: held.write(folder), run)

    def assess(self, then):
        """Judge the real post-treatment CT; `then` is called with the risk as JSON."""
        held, post = case_files.HeldCase(self.parameters()), case_files.hold_ct(_Post(self.parameters()))
        folder = self._open(_("Judging the CT after treatment"))

        def write():
            io.write_volume(post.read(), folder / "post.nrrd")
            return held.write(folder)

        def done(result):
            self.desk.end()
            then(result)

        def run(case):
            self.desk.run(self._job("assess", {**case.inputs, "post": str(folder / "post.nrrd")}), done)

        self.desk.aside(write, run)

    def report(self, comparison, folder, then):
        """Write the report of a comparison into a folder; `then` is called with the path of the report."""
        held = reports.HeldComparison(comparison)
        self.desk.begin(_("Writing the report"))
        work = self._new_folder()
        stop = self._stop_report = threading.Event()
        desk = self.desk

        def progress(fraction, message):
            desk.poller.post(self._tell, fraction, message)

        def write():
            return reports.write(held, work, folder, self.python(), progress, lambda: stop.is_set() or asked())

        def asked():
            return desk.state.cancelling

        def done(path):
            desk.say(_("The report was written:") + f" {path}")
            desk.end()
            then(path)

        desk.aside(write, done)

    def _tell(self, fraction, message):
        if self.desk.busy and not self.desk.state.cancelling:
            self.desk.state.fraction, self.desk.state.message = fraction, message
            self.desk.on_change()

    def stop(self):
        """The scene is being closed: nothing of a task goes on, and what is half made is taken away."""
        self._stop_report.set()
        self.desk.poller.drop_slices()

    def discard_files(self):
        """Remove the files of former tasks."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _open(self, title):
        self.desk.begin(title, jobs=True)
        return self._new_folder()

    def _new_folder(self):
        self._folder = Path(slicer.app.temporaryPath) / "mewm"
        folder = self._folder / f"task-{next(self._count)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _measure(self, case):
        pack = self.parameters().exploration
        settings = {"drugs": pack.drugs, "embolics": pack.embolics}

        def keep(result):
            parameters = self.parameters()
            parameters.findings = json.dumps(result["findings"])
            told = ("policy", "drugs", "embolics", "reasons", "sources")
            parameters.proposal = json.dumps({key: result[key] for key in told if key in result})
            self.desk.say(_("Done: the lesions are measured"))
            self.desk.end()

        self.desk.run(self._job("propose", {**case.inputs, "goal": pack.goal}, settings=settings), keep)

    def _finish(self, plans, case, source):
        def add(loaded):
            self.desk.slices(results.adding(slicer.mrmlScene, loaded, case.volume, case.labels, source), added)

        def added(comparison):
            if source.gone(slicer.mrmlScene):
                self.desk.say(_("The CT was deleted meanwhile: a copy of it was added beside the simulated volumes"))
            count = len(comparison.candidates)
            self.desk.say(_("Done:") + f" {count} " + (_("protocols") if count > 1 else _("protocol")))
            self.desk.end()
            # in a turn of its own, so that the window stays alive between the two
            self.desk.poller.later(lambda: self.on_comparison(comparison))

        self.desk.aside(lambda: results.read(plans, case.volume, case.labels), add)

    def _job(self, kind, inputs, out=None, settings=None, seed=0):
        computer = self.parameters().computer
        return Job(
            kind,
            inputs,
            out=str(out) if out is not None else None,
            seed=seed,
            device=computer.device,
            bundle=computer.bundle or None,
            settings=settings or {},
        )


def _source(parameters):
    segments = (parameters.liver_segment, parameters.tumour_segment)
    return results.Source(parameters.ct, parameters.segmentation, segments)


class _Post:
    """The parameters with the post-treatment CT in the place of the CT."""

    def __init__(self, parameters):
        self.ct, self.phase = parameters.post_ct, "unknown"


def protocols_of(text):
    """Read the protocols of the parameter node: pairs of name and `Protocol`; what cannot be read is left out."""
    found = []
    for entry in json.loads(text or "[]"):
        try:
            found.append((str(entry["name"]), Protocol.from_json(entry["actions"])))
        except (MeWMError, KeyError, TypeError):
            continue
    return found


def protocols_text(named):
    """The counterpart of `protocols_of`."""
    return json.dumps([{"name": name, "actions": protocol.to_json()} for name, protocol in named])
