"""The panels together: what one changes, the others show. Holds the state of the window, never data of a patient."""

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.jobs.runner import worker_command
from MeWMLib.scene.origin import Origin
from MeWMPanels import case_files, lesion, results
from MeWMPanels.about import slicer_python
from MeWMPanels.actions import ActionsPanel
from MeWMPanels.editor import Edits, Guard
from MeWMPanels.exploration import ExplorationPanel
from MeWMPanels.fixes import fixes
from MeWMPanels.followed_ct import FollowedCT
from MeWMPanels.ink import WARNING, ink, restyle
from MeWMPanels.job_desk import JobDesk
from MeWMPanels.keys import Keys
from MeWMPanels.left import LeftPanel
from MeWMPanels.messages import Messages
from MeWMPanels.origin import Watch
from MeWMPanels.outcome import OutcomePanel
from MeWMPanels.patient import PatientPanel
from MeWMPanels.planning import PlanPanel
from MeWMPanels.progress import ProgressPanel
from MeWMPanels.reader import ReaderPanel
from MeWMPanels.segmentation import SegmentationPanel
from MeWMPanels.setup import SetupPanel
from MeWMPanels.simulation import SimulationPanel
from MeWMPanels.tasks import Tasks
from MeWMPanels.turns import Turns
from MeWMPanels.views import Views


class Front:
    """Builds the panels and keeps them in step; each is an attribute, `patient` to `progress`.

    Args:
        layout: where the panels go.
        resource: gives the full path of a file in the module's Resources.
    """

    def __init__(self, layout, resource):
        self.resource = resource
        self.parameters = self.comparison = self._observed = self._shown_settings = None
        self.shown_rank = 0
        self._shown, self._refreshing = True, False
        #: What starts a worker, and what loads a sample; tests give their own.
        self.command = lambda: worker_command(slicer_python())
        self.load_sample = load_sample
        self.messages = Messages(fixes(self))
        self.desk = JobDesk(lambda: self.command(), self.refresh_soon, self.messages.show)
        self.views = Views(self.desk.poller)
        self.watch = Watch(self.desk.poller, self.refresh_soon, case_files.HeldCase)
        self._edits = Edits(lambda: self.refresh_soon() if self.shown else None)
        self._guard = Guard(self.desk.poller.later, self.messages.show)
        self._ct, self.keys = FollowedCT(self), Keys(self)
        #: The step that is next; its panel unfolds when it becomes that.
        self._next = ""
        self._turns = Turns(self.desk.poller, self._follow, self._unfold_next)
        self._build(layout)
        # while a job runs, most of what it tells changes nothing elsewhere
        self.desk.on_progress = lambda: self.refresh_soon(self.progress)
        self.desk.after_failure = self.left.look
        self.tasks = Tasks(
            self.desk,
            lambda: self.parameters,
            self.exploration.show_candidates,
            self._arrived,
            slicer_python,
            self.watch,
        )

    def _build(self, layout):
        self._banner = qt.QLabel(
            _(
                "<b>Research use only.</b> Simulated volumes are not scans, predicted risks are not a prognosis, and a "
                "ranked protocol is not a treatment recommendation."
            )
        )
        self._banner.setWordWrap(True)
        layout.addWidget(self._banner)
        self.left, self.planning = LeftPanel(self), PlanPanel(self)
        layout.addWidget(self.left.widget)
        layout.addWidget(self.planning.widget)
        self.patient, self.segmentation, self.actions = PatientPanel(self), SegmentationPanel(self), ActionsPanel(self)
        self.simulation, self.exploration = SimulationPanel(self), ExplorationPanel(self)
        self.outcome, self.setup, self.progress = OutcomePanel(self), SetupPanel(self), ProgressPanel(self)
        self.reader = ReaderPanel(self)
        titles = {
            self.patient: _("1. Patient"),
            self.segmentation: _("2. Segmentation"),
            self.actions: _("3. Actions"),
            self.simulation: _("4. Simulation"),
            self.exploration: _("5. Exploration"),
            self.outcome: _("6. Outcome"),
            self.reader: _("Reader study"),
            self.setup: _("Setup"),
        }
        self.panels, self.folds = [*titles, self.progress, self.planning, self.left], {}
        # a turn of its own for the part of a panel that takes as long as the rest of it
        self._parts = [*self.panels, self.outcome.mine]
        for panel, title in titles.items():
            fold = self.folds[panel.ui_name.lower()] = fold_around(panel.widget, title, panel is self.patient)
            layout.addWidget(fold)
        layout.addWidget(self.progress.widget)
        layout.addStretch(1)

    @property
    def shown(self):
        """False while another module is shown; what changes meanwhile is looked at when this one is shown again."""
        return self._shown

    @shown.setter
    def shown(self, on):
        self._shown = on
        self.keys.listen(on)

    def plan(self):
        """What the button on top does: from the CT to the first overlay."""
        self.planning.start()

    def plan_for(self, node):
        """The same for a CT or a segmentation that was clicked elsewhere; None is what is chosen here."""
        if node is not None and not self.desk.busy:
            self.planning.choose(node)
        self.plan()

    def follow_ct(self):
        """Another CT may have been chosen: put away what belongs to the former one, at once."""
        self._ct.follow()

    @property
    def next_step(self):
        """The panel of what is to be done next."""
        parameters = self.parameters
        if parameters.ct is None:
            return "patient"
        if parameters.segmentation is None or not parameters.findings or self.findings_outdated:
            return "segmentation"
        if self.comparison is not None and not self.comparison_outdated:
            return "outcome"
        return "simulation" if any(protocol.actions for _name, protocol in self.actions.named) else "actions"

    def _unfold_next(self):
        """Unfold what is next, once; while a job runs, nothing moves. What the user has folded stays so."""
        if self.desk.busy or not self.shown:
            return
        step = self.next_step
        if step != self._next:
            self._next = step
            self.open_panel(step)

    def open_panel(self, name):
        """Unfold a panel."""
        self.folds[name].collapsed = False

    def guard(self, function):
        """Call what a button does; an error becomes the one dialog, and no job is left half started."""
        was_busy = self.desk.busy
        try:
            function()
        except Exception as error:
            if self.desk.busy and not was_busy:
                self.desk.end()
            self.messages.show(error)
        self.refresh_soon()

    def set_parameters(self, parameters):
        """Show another parameter node, or none (the scene is being closed)."""
        if self._observed is not None:
            former, tag = self._observed
            former.RemoveObserver(tag)
            self._observed = None
        for panel in self.panels:
            panel.connect_parameters(parameters)
        self.parameters = parameters
        self.watch.forget()
        self._edits.follow(parameters.segmentation if parameters is not None else None)
        self._ct.begin(parameters.ct if parameters is not None else None)
        found = []
        if parameters is not None:
            self._observed = (parameters, parameters.AddObserver("ModifiedEvent", self._modified))
            found = results.all_comparisons(slicer.mrmlScene)
            self._choose_nodes_of(found)
        self.open_newest(found)
        self.refresh()

    def _choose_nodes_of(self, found):
        """Choose the CT and segments of the newest plan where no CT is chosen: in a scene of the command line."""
        parameters = self.parameters
        newest = found[-1] if found else None
        if newest is None or parameters.ct is not None or newest.ct is None:
            return
        self._ct.begin(newest.ct)
        parameters.ct, parameters.segmentation = newest.ct, newest.labels
        parameters.liver_segment, parameters.tumour_segment = newest.segments
        parameters.phase = newest.ct.GetAttribute("MeWM.Phase") or "unknown"

    def open_newest(self, found):
        """Show the newest comparison of the CT that is chosen, or the newest one where none is."""
        ct = self.parameters.ct if self.parameters is not None else None
        mine = [one for one in found if ct is None or one.ct is ct]
        if mine:
            self.open_comparison(mine[-1])
        self.exploration.show_candidates(mine[-1].candidates if mine else ())

    @property
    def findings_outdated(self):
        """Why the findings are those of something else, as one text, or ""."""
        origin = Origin.from_text(self.parameters.origin)
        return " ".join(self.watch.reasons(self.parameters, origin))

    @property
    def proposal_outdated(self):
        """Why the proposal is outdated, as one text, or ""."""
        origin = Origin.from_text(self.parameters.origin)
        return " ".join(self.watch.reasons(self.parameters, origin, clinical=True, goal=True))

    @property
    def comparison_outdated(self):
        """Why the comparison that is shown is outdated, as one text, or ""."""
        return self.outdated(self.comparison) if self.comparison is not None else ""

    def outdated(self, comparison):
        """Why a comparison is outdated, as one text, or ""."""
        if self.parameters.ct is None:
            return ""
        if comparison.ct is None:
            return _("Its CT was deleted.")
        if comparison.ct is not self.parameters.ct:
            return _("It was simulated on another CT: {name}.").format(name=comparison.ct.GetName())
        origin = comparison.origin
        return " ".join(self.watch.reasons(self.parameters, origin, clinical=True)) if origin is not None else ""

    def _modified(self, *_args):
        if not self.shown:
            return
        self._ct.follow()
        self.refresh_soon()
        # only when it is about the views: otherwise what a user chose in a slice view by hand stays
        if self._view_settings() != self._shown_settings:
            self.show_views()

    def _view_settings(self):
        pack = self.parameters.view
        return pack.fade, pack.outlines, pack.surfaces, pack.map, pack.layout

    def refresh_soon(self, *panels):
        """Show the state in some panels, or in all, when Qt has time for it; many changes make one refresh."""
        self._turns.add(panels or self._parts)

    @property
    def settled(self):
        """True if all panels show the state as it is."""
        return self._turns.settled

    def _follow(self):
        """What every refresh begins with; False where there is nothing to show."""
        if self.parameters is None:
            return False
        restyle(self._banner, f"color: {ink(WARNING)}; padding: 6px;")
        self._ct.follow()
        self._edits.follow(self.parameters.segmentation)
        return True

    def refresh(self):
        """Show the state in all panels at once."""
        if self._refreshing or self.parameters is None:
            return
        self._refreshing = True
        self._turns.clear()
        try:
            self._follow()
            for part in self._parts:
                part.refresh()
            self._unfold_next()
        finally:
            self._refreshing = False

    #: Called when packages were installed.
    after_install = refresh

    @property
    def busy(self):
        """Why no job can be started now, or ""."""
        return _("A job is running") if self.desk.busy else ""

    @property
    def cannot_simulate(self):
        """Why nothing can be simulated now, or ""."""
        no_ct = "" if self.parameters.ct is not None else _("Choose a CT in the panel Patient first")
        no_labels = _("Find liver and tumour in the panel Segmentation first")
        return self.busy or no_ct or ("" if self.parameters.segmentation is not None else no_labels)

    def _arrived(self, comparison):
        ct = self.parameters.ct
        if ct is not None and comparison.ct is not ct and not comparison.copied:
            self.desk.say(_("Another CT was chosen meanwhile: the result is in the scene and in the panel Outcome"))
            self.refresh_soon()
            return
        self.open_comparison(comparison)
        self.exploration.show_candidates(comparison.candidates)
        self.open_panel("outcome")
        self.go_to_lesion()

    def open_comparison(self, comparison):
        """Show a comparison, at the rank that its nodes show."""
        self.comparison = comparison
        self.show_rank(comparison.shown_rank or 1)

    def show_rank(self, rank):
        """Show one protocol of the comparison: its numbers, and its volume if the scene has it."""
        if self.comparison is None:
            return
        self.shown_rank = rank
        self.comparison.show_rank(rank)
        self._renew_difference(self.comparison)
        self.show_views()
        self.refresh_soon()

    def _renew_difference(self, comparison):
        """Compute the difference of another rank on a thread; until it is there none is shown."""
        work, rank = comparison.difference_work(), comparison.shown_rank
        if work is None:
            return

        def done(made):
            comparison.set_difference(made, rank)
            if self.comparison is comparison:
                self.show_views()

        self.desk.poller.run(work, done, self.messages.show)

    def show_views(self):
        """Show the comparison as the view settings say."""
        if self.comparison is not None and self.comparison.ct is not None and self.parameters is not None:
            self._shown_settings = self._view_settings()
            self.views.show(self.comparison, self.parameters.view)

    def go_to_lesion(self):
        """Move the views to the lesion."""
        centre = lesion.centre_of(self)
        if centre is not None:
            self.views.to_lesion(centre)

    def scene_closes(self):
        """End the job with all its processes and let go of every node."""
        self.tasks.stop()
        self.desk.abandon()
        self.tasks.discard_files()
        self.messages.close()
        self.views.close()
        self.views.leave()
        self.outcome.forget()
        self.comparison, self.shown_rank = None, 0
        self.set_parameters(None)

    def leave_scene(self):
        """Take away what a closed scene keeps of MeWM: nodes that there may be only one of survive its end."""
        scene = slicer.mrmlScene
        for node in [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]:
            if (node.GetSingletonTag() or "").partition("-")[0] == "MeWM" and node.GetScene() is scene:
                scene.RemoveNode(node)

    def close(self):
        """The module is unloaded, or Slicer ends."""
        self.scene_closes()
        self._guard.close()
        self.keys.close()
        self.desk.poller.stop()
        self._turns.clear()


def fold_around(widget, title, open_at_first):
    """A collapsible section with a widget in it."""
    fold = ctk.ctkCollapsibleButton()
    fold.text = title
    layout = qt.QVBoxLayout(fold)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(widget)
    widget.layout().setContentsMargins(0, 4, 0, 4)
    fold.collapsed = not open_at_first
    return fold
