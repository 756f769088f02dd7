"""The CT that is chosen: with another one, what belongs to the former one is put away."""

import slicer
from slicer.i18n import tr as _

from MeWMPanels import results
from MeWMPanels.parameters import clinical_json, forget_clinical, forget_findings


class FollowedCT:
    """Notices that another CT was chosen.

    Args:
        front: the panels together.
    """

    def __init__(self, front):
        self.front = front
        #: Ids of the CT that is chosen and of the last one that was: between two of them there may be none.
        self._now = self._last = None

    def begin(self, ct):
        """Another scene: its CT, or none, is no change."""
        self._now = self._last = ct.GetID() if ct is not None else None

    def follow(self):
        """Put away what belongs to a former CT, and ask whether the clinical data belong to the new one."""
        front = self.front
        ct = front.parameters.ct
        now = ct.GetID() if ct is not None else None
        if not front.shown or now == self._now:
            return
        self._now = now
        forget_findings(front.parameters)
        if now is None:
            return
        last, self._last = self._last, now
        if last in (None, now):
            return
        front.outcome.forget()
        front.comparison, front.shown_rank = None, 0
        front.views.show_ct(ct)
        front.open_newest(results.all_comparisons(slicer.mrmlScene))
        front.parameters.phase = ct.GetAttribute("MeWM.Phase") or "unknown"
        front.parameters.post_ct = None
        if clinical_json(front.parameters.clinical) or front.parameters.exploration.goal.strip():
            # not here, in the middle of a change of the node: a dialog lets everything else go on
            front.desk.poller.later(self._ask)

    def _ask(self):
        parameters = self.front.parameters
        if parameters is None:
            return
        text = _(
            "Another CT was chosen. The clinical data and the goal were given for the former one. Do they belong to "
            "the patient of this CT too? No clears them."
        )
        if not slicer.util.confirmYesNoDisplay(text, windowTitle="MeWM"):
            forget_clinical(parameters.clinical)
            parameters.exploration.goal = parameters.exploration.accepted_goal = ""
