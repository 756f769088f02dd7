"""My protocol beside a ranked one: what differs, and a button for each action that takes it over and simulates."""

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.beside import swaps
from MeWMLib.core.plan_folder import SEARCHED
from MeWMLib.policy.rules import FORBIDDEN
from MeWMPanels import results
from MeWMPanels.panel import show_text
from MeWMPanels.tasks import rule_findings


class MineSection:
    """Part of the panel Outcome. My protocol is the one that is selected in the panel Actions.

    Args:
        front: the panels together.
        widget: the empty widget that the section fills.
    """

    def __init__(self, front, widget):
        self.front = front
        self._layout = qt.QVBoxLayout(widget)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.label = qt.QLabel()
        self.label.setObjectName("mineLabel")
        self.label.setWordWrap(True)
        self._layout.addWidget(self.label)
        #: The candidate of a search that was shown last: a simulation of my own must not take its place.
        self._first = self._shown = None
        self.buttons = []

    def forget(self):
        """The scene was closed."""
        self._first = None

    def refresh(self):
        """Show the difference between my protocol and the ranked one."""
        comparison, mine = self.front.comparison, self.front.actions.selected
        if self.front.comparison_outdated:
            self._first = None
        elif comparison is not None and comparison.document.kind == SEARCHED:
            ranks = {c.rank: c for c in comparison.candidates}
            self._first = ranks.get(self.front.shown_rank, self._first)
        first = self._first
        if first is None or mine is None or not mine[1].actions:
            self._build(None, ())
            show_text(self.label, "")
            return
        # one session has one territory: what was simulated is compared as it was given
        mine, known = (mine[0], mine[1].fed(first.protocol.territory)), self._known()
        found = known.get(mine[1])
        text = _("My protocol (panel Actions):") + f" {mine[0]}: {mine[1].text}. "
        if found is None:
            text += _("It is not simulated yet: tick it in the panel Simulation, or take an action over.")
        else:
            text += _(
                "Log-risk {mine:+.2f}, that of rank {rank} {first:+.2f}: mine minus rank {rank} {change:+.2f}."
            ).format(mine=found, first=first.risk.log_risk, rank=first.rank, change=found - first.risk.log_risk)
        show_text(self.label, text)
        self._build((mine, first.protocol, frozenset(known)), swaps(mine[1], first.protocol), known, found)

    def _rules(self, protocol):
        return rule_findings(protocol, self.front.parameters, outdated=self.front.findings_outdated)

    def _known(self):
        """Log-risk of every protocol that was simulated on the CT as it is now."""
        found = {}
        for comparison in results.all_comparisons(slicer.mrmlScene):
            if self.front.outdated(comparison):
                continue
            found |= {c.protocol: c.risk.log_risk for c in comparison.candidates}
            pair = comparison.document.beside
            if pair is not None:
                found |= {s.protocol: s.log_risk for s in pair.swaps if s.log_risk is not None}
                found[pair.mine.protocol] = pair.mine.risk.log_risk
        return found

    def _build(self, shown, possible, known=(), mine=None):
        """One button for each swap; they are made anew only where the swaps have changed."""
        if shown != self._shown:
            self._shown = shown
            for button in self.buttons:
                self._layout.removeWidget(button)
                button.hide()
                button.deleteLater()
            self.buttons = [self._button(n, swap, known, mine) for n, swap in enumerate(possible)]
        for button, swap in zip(self.buttons, possible, strict=True):
            forbidden = [f.reason for f in self._rules(swap.protocol) if f.severity == FORBIDDEN]
            reason = self.front.cannot_simulate or next(iter(forbidden), "")
            button.setEnabled(not reason)
            button.setToolTip(reason or _("Take this over into my protocol and simulate it"))

    def _button(self, number, swap, known, mine):
        text = _("Take over:") + f" {swap.text}"
        if mine is not None and swap.protocol in known:
            text += f"  ({known[swap.protocol] - mine:+.2f})"
        button = qt.QPushButton(text)
        button.setObjectName(f"swapButton{number}")
        button.clicked.connect(lambda *_args: self.front.guard(lambda: self._take_over(swap)))
        self._layout.addWidget(button)
        return button

    def _take_over(self, swap):
        protocol = swap.protocol.fed(None)  # the territory is that of the panel Segmentation
        self.front.tasks.simulate([(self.front.actions.change_selected(protocol), protocol)])
