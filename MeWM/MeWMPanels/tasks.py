"""What the buttons do: each task is a chain of steps on the job desk, from nodes to nodes."""

import json
from functools import partial, wraps

import slicer
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import ProtocolError
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.runner import LocalRunner
from MeWMLib.jobs.table import kind_of
from MeWMLib.policy.rules import FORBIDDEN
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels
from MeWMPanels import case_files, reports, results
from MeWMPanels.left_jobs import APP
from MeWMPanels.node_texts import rule_findings
from MeWMPanels.origin import Judged, OutdatedError, times
from MeWMPanels.parameters import clinical_json
from MeWMPanels.session_folders import SessionFolders
from MeWMPanels.words import job_title


def _task(method):
    """A task: it takes hold of nodes and opens the task at once; what it yields are steps that the desk follows."""

    @wraps(method)
    def start(self, *arguments, accepting=()):
        self.accepting, self._again = accepting, partial(start, self, *arguments)
        self.note = {}
        self.desk.follow(method(self, *arguments))

    return start


class Tasks:
    """The tasks of a user, each written as the steps that are done one after the other.

    Args:
        desk: the job desk.
        parameters: called for the typed parameter node.
        on_candidates: called with the ranked candidates that an exploration has so far.
        on_comparison: called with a comparison that came into the scene.
        python: called for the Python that the report is made with.
        watch: the `origin.Watch`.
    """

    def __init__(self, desk, parameters, on_candidates, on_comparison, python, watch):
        self.desk, self.parameters, self.python, self.watch = desk, parameters, python, watch
        self.on_candidates, self.on_comparison = on_candidates, on_comparison
        self.folders = SessionFolders(lambda: slicer.app.temporaryPath)
        #: What it takes to take up a job of this task after Slicer was killed (`taking_up`), as JSON.
        self.note = {}
        #: Inputs of a job by which the user goes on where it stopped; and what a task is started again with.
        self.accepting, self._again = (), None

    def accept_and_repeat(self, name):
        """Start the last task again, and go on where it stopped.

        Args:
            name: the input that says so: "accept_labels", "accept_registration" (they are right although
                they look wrong) or "allow_forbidden" (although TACE is contraindicated).
        """
        if self._again is not None:
            self._again(accepting=(*self.accepting, name))

    @_task
    def follow(self, begin):
        """Start a task that another file describes; `begin(tasks)` is the generator of its steps."""
        return begin(self)

    @_task
    def segment(self):
        """Find liver and tumour in the chosen CT, then measure."""
        return self.segmenting(self._open)

    def segmenting(self, opened):
        """The steps of `segment`; `opened(kind)` opens the task, or goes on with one, and gives a folder for it."""
        held, ct_id = case_files.hold_ct(self.parameters()), self.parameters().ct.GetID()
        folder, clinical = opened("segment"), clinical_json(self.parameters().clinical)
        goal = self.parameters().exploration.goal
        out = folder / "found.seg.nrrd"

        def write():
            volume = held.read()
            return volume, case_files.write_ct(volume, folder), Origin.of(volume).to_text()

        volume, path, self.note["origin"] = yield partial(self.desk.aside, write)
        yield self._job("segment", {"case": str(path)}, out)
        again = self.measure if opened == self._open else self._again
        yield from self.outlined(out, volume, ct_id, (clinical, goal), again)

    def outlined(self, out, volume, ct_id, told, again):
        """The steps after liver and tumour were found: they come into the scene, and the lesions are measured.

        Args:
            out: file of the labels that the job has written.
            volume: the CT.
            ct_id: of its node.
            told: clinical data and goal, which the proposal goes by.
            again: what the task is started again with from here on.
        """

        def read():
            labels = io.read_labels(out, volume.geometry)
            return case_files.written_case(volume, labels, told[0], out.parent, told[1]), prepare_labels(labels)

        case, prepared = yield partial(self.desk.aside, read)
        parameters = self.parameters()
        ct = slicer.mrmlScene.GetNodeByID(ct_id)
        if parameters.ct is not ct:
            self.desk.say(_("Another CT was chosen meanwhile: its liver and tumour were not looked for"))
            return
        name = f"{ct.GetName()} " if ct is not None else ""
        name = _("Liver and tumour ({name}MeWM)").format(name=name)
        node = labels_to_segmentation(slicer.mrmlScene, prepared, name, ct)
        parameters.segmentation = node
        parameters.liver_segment, parameters.tumour_segment = "liver", "tumour"
        self.desk.say(_("Liver and tumour were found. Look at the outlines before you trust what follows"))
        self._again = again
        case_files.require_tumour(case.labels, node.GetName())
        yield from self._measure(case, times(parameters))

    @_task
    def measure(self):
        """Measure the lesions of the chosen segmentation and ask the policy for drugs and embolics."""
        return self.measuring(self._open)

    def measuring(self, opened):
        """The steps of `measure`; `opened` as for `segmenting`."""
        held, seen = case_files.HeldCase(self.parameters()), times(self.parameters())
        folder = opened("propose")

        case = yield partial(self.desk.aside, partial(held.write, folder))
        yield from self._measure(case, seen)

    @_task
    def simulate(self, named):
        """Simulate protocols, one after the other, and show them side by side.

        Args:
            named: pairs of name and `Protocol`.

        Raises:
            ProtocolError: there is none, or one is not complete or forbidden.
        """
        return self.simulating(named, self._open)

    def simulating(self, named, opened):
        """The steps of `simulate`; `opened` as for `segmenting`."""
        parameters = self.parameters()
        if not named:
            raise ProtocolError(
                what=_("No protocol was chosen"), remedy=_("Tick one in the panel Simulation, or add one in Actions")
            )
        for name, protocol in named:
            forbidden = [f for f in self._rules(protocol, parameters) if f.severity == FORBIDDEN]
            if forbidden:
                raise ProtocolError(
                    what=_("The clinical rules forbid a protocol"),
                    given=f"{name}: {forbidden[0].reason} ({forbidden[0].source})",
                    remedy=_("Change it in the panel Actions, or untick it"),
                )
        self._require_targets(parameters)
        held, source = case_files.HeldCase(parameters), _source(parameters)
        folder, pack = opened("simulate"), parameters.simulation

        case = yield partial(self.desk.aside, partial(held.write, folder))
        source.origin = case.origin
        self.note["origin"] = case.origin.to_text()
        plans, texts = [], [[name, protocol.text] for name, protocol in named]
        for number, (name, text) in enumerate(texts, start=1):
            plans.append(folder / f"protocol-{number}")
            self.desk.say(f"{name}: {text}")
            self.note |= {"named": texts, "number": number}
            yield self._job("simulate", {**case.inputs, **case.session, "protocol": text}, plans[-1], pack)
        yield from self.show(plans, case, source)

    @_task
    def explore(self, mine=None):
        """Search for the protocol with the lowest predicted risk; Cancel keeps the best so far.

        Args:
            mine: a protocol of the user that is simulated beside the first one, or None.
        """
        parameters = self.parameters()
        self._require_targets(parameters)
        held, source = case_files.HeldCase(parameters), _source(parameters)
        folder = self._open("plan")
        pack, out = parameters.exploration, folder / "plan"
        self.on_candidates(())

        case = yield partial(self.desk.aside, partial(held.write, folder))
        source.origin = case.origin
        self.note["origin"] = case.origin.to_text()
        inputs = {**case.inputs, **case.session, **self._goal(), **({"mine": mine.text} if mine is not None else {})}
        yield self._job("plan", inputs, out, pack, parameters.simulation, on_event=partial(self.tell_candidates, out))
        yield from self.tell_all_candidates(out)
        yield from self.show([out], case, source)

    def tell_candidates(self, out, event):
        """Pass on what an exploration has so far."""
        if event.kind == "partial":
            self.look_for_candidates(out)

    def look_for_candidates(self, out):
        """Read the candidates that a search has written so far, on a thread, and pass them on."""
        self.desk.beside(partial(results.candidates_in, out), self.on_candidates)

    def tell_all_candidates(self, out):
        """Steps: pass on what a search that is over has written; what was looked for meanwhile may be older."""
        self.on_candidates((yield partial(self.desk.aside, partial(results.candidates_in, out))))

    @_task
    def assess(self, then):
        """Register, measure and judge the real post-treatment CT.

        Args:
            then: called with the result as JSON, and an `origin.Judged` that tells whether it still holds.
        """
        judged = Judged(self.parameters())
        held, post = case_files.HeldCase(self.parameters()), case_files.hold_ct(_Post(self.parameters()))
        folder = self._open("assess")

        def write():
            io.write_volume(post.read(), folder / "post.nrrd", packed=False)
            return held.write(folder)

        case = yield partial(self.desk.aside, write)
        judged.origin = case.origin
        self.note["origin"] = case.origin.to_text()
        then((yield self._job("assess", {**case.inputs, "post": str(folder / "post.nrrd")})), judged)

    @_task
    def report(self, comparison, folder, then):
        """Write the report of a comparison into a folder; `then` is called with the path of the report."""
        held = reports.HeldComparison(comparison)
        self.desk.begin(_("Writing the report"))
        work = self.new_folder()

        yield partial(self.desk.aside, partial(held.write, work))
        # on this computer, wherever jobs run, and ended at once by Cancel: nothing of it is worth keeping
        runner = LocalRunner(reports.command(self.python(), work), grace_s=0.0)
        yield partial(self.desk.run, None, runner=runner)
        path = yield partial(self.desk.aside, partial(reports.keep, work, folder))
        self.desk.say(_("The report was written: {path}").format(path=path))
        then(path)

    def _goal(self):
        """The goal, and whether its reading was confirmed in the panel."""
        pack = self.parameters().exploration
        return {"goal": pack.goal, "accept_goal": bool(pack.goal) and pack.accepted_goal == pack.goal}

    def stop(self):
        """The scene is being closed: what is half made in it is taken away."""
        self.desk.poller.drop_slices()

    def discard_files(self):
        """Remove the files of former tasks."""
        self.folders.discard()

    def go_on(self, kind):
        """What `segmenting` and the others are given where the task is open already."""
        self.desk.retitle(job_title(kind))
        return self._noted_folder()

    def accept(self, name):
        """Let the jobs that follow in this task go on where they would ask this; names as in `accept_and_repeat`."""
        self.accepting = (*self.accepting, name)

    def _open(self, kind):
        self.desk.begin(job_title(kind), jobs=True)
        return self._noted_folder()

    def new_folder(self):
        """A folder for the files of one task; all are removed when the scene is closed."""
        return self.folders.new()

    def _noted_folder(self):
        self.note["ct"] = self.parameters().ct.GetName()
        return self.new_folder()

    def _rules(self, protocol, parameters):
        outdated = self.watch.reasons(parameters, Origin.from_text(parameters.origin))
        return rule_findings(protocol, parameters, outdated=" ".join(outdated))

    def _require_targets(self, parameters):
        """Refuse ticks that are numbers of other lesions than those that are there now."""
        outdated = self.watch.reasons(parameters, Origin.from_text(parameters.origin))
        if parameters.targets and outdated:
            raise OutdatedError(
                what=_("The lesions that are ticked were measured before something changed"),
                given=" ".join(outdated),
                remedy=_("Press Measure lesions in the panel Segmentation, then tick again what is to be treated"),
            )

    def _measure(self, case, seen):
        """Steps: measure the lesions of a case and keep what is proposed; `seen` are the `times` of what was read."""
        self.note["origin"] = case.origin.to_text()
        pack = self.parameters().exploration
        # measuring does not rely on the goal; the panel Exploration asks before a search does
        result = yield self._job("propose", {**case.inputs, "goal": pack.goal, "accept_goal": True}, None, pack)
        self.keep(result, case, seen)

    def keep(self, result, case, seen):
        """Keep what a job has measured and proposed, unless another CT was chosen meanwhile."""
        parameters = self.parameters()
        if times(parameters)[:1] != seen[:1]:
            self.desk.say(_("Another CT was chosen meanwhile: the findings are not kept"))
            return
        parameters.origin = case.origin.to_text()
        self.watch.know(seen, case.origin)
        parameters.findings = json.dumps({**result["findings"], "questions": result.get("questions", [])})
        parameters.targets = ""  # the numbers were those of other lesions
        told = ("policy", "drugs", "embolics", "reasons", "sources")
        parameters.proposal = json.dumps({key: result[key] for key in told if key in result})
        self.desk.say(_("Done: the lesions are measured"))

    def show(self, plans, case, source):
        """Steps: read the results and add a comparison to the scene."""
        loaded = yield partial(self.desk.aside, lambda: results.read(plans, case.volume, case.labels))
        adding = results.adding(slicer.mrmlScene, loaded, case.volume, case.labels, source)
        comparison = yield partial(self.desk.slices, adding)
        if source.gone(slicer.mrmlScene):
            self.desk.say(_("The CT was deleted in the meantime: a copy was added beside the simulated volumes"))
        count = len(comparison.candidates)
        self.desk.say(_("Done: {n} protocols").format(n=count) if count > 1 else _("Done: 1 protocol"))
        # in a turn of its own, so that the window stays alive between the two
        self.desk.poller.later(lambda: self.on_comparison(comparison))

    def _job(self, kind, inputs, out=None, *packs, on_event=None):
        """A step that runs a job; its settings are those of its kind that the packs hold, the first one counts."""
        computer = self.parameters().computer
        settings = {}
        for pack in packs:
            names = [name for name in kind_of(kind).settings if name not in settings and hasattr(pack, name)]
            settings |= {name: getattr(pack, name) for name in names}
        known = {entry.name for entry in kind_of(kind).inputs}
        inputs = {**inputs, **{name: True for name in self.accepting if name in known}}
        job = Job(
            kind,
            inputs,
            out=str(out) if out is not None else None,
            seed=next((pack.seed for pack in packs if hasattr(pack, "seed")), 0),
            device=computer.device,
            bundle=computer.bundle or None,
            settings=settings,
        )
        return partial(self.desk.run, job, on_event=on_event, about={"app": APP, **self.note})


def _source(parameters):
    segments = (parameters.liver_segment, parameters.tumour_segment)
    return results.Source(parameters.ct, parameters.segmentation, segments)


class _Post:
    """The parameters with the post-treatment CT instead of the CT."""

    def __init__(self, parameters):
        self.ct, self.phase = parameters.post_ct, "unknown"
