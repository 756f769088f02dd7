"""My protocol beside a ranked one: what differs, and a button for each action that takes it over and simulates."""

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.beside import swaps
from MeWMLib.core.difference_words import interval_of, number
from MeWMLib.core.plan_folder import SEARCHED
from MeWMLib.policy.rules import FORBIDDEN
from MeWMPanels import results
from MeWMPanels.node_texts import rule_findings
from MeWMPanels.panel import show_text
from MeWMPanels.words import sentences


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
        # how its plan relates predicted differences to true ones
        self._comparison = None
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
            self._comparison = comparison.document.plan.comparison
        first = self._first
        if first is None or mine is None or not mine[1].actions:
            self._build(None, ())
            show_text(self.label, "")
            return
        # one session has one territory: what was simulated is compared as it was given
        mine, known = (mine[0], mine[1].fed(first.protocol.territory)), self._known()
        found = known.get(mine[1])
        told = _("It is not simulated yet: tick it in the panel Simulation, or take an action over.")
        if found is not None:
            told = _against(found, first, self._comparison)
        name = _("My protocol (panel Actions): {name}: {protocol}.").format(name=mine[0], protocol=mine[1].text)
        show_text(self.label, sentences(name, told))
        possible = swaps(mine[1], first.protocol)
        moved = {} if found is None else self._moved(mine[1], found, possible, known)
        self._build((mine, first.protocol, frozenset(moved.items())), possible, moved)

    def _rules(self, protocol):
        return rule_findings(protocol, self.front.parameters, outdated=self.front.findings_outdated)

    def _known(self):
        """Risk of every protocol that was simulated on the CT as it is now."""
        found = {}
        for document in self._documents():
            found |= {c.protocol: c.risk for c in document.plan.candidates}
            if document.beside is not None:
                found[document.beside.mine.protocol] = document.beside.mine.risk
        return found

    def _documents(self):
        """Of every comparison in the scene that still holds."""
        every = results.all_comparisons(slicer.mrmlScene)
        return [one.document for one in every if not self.front.outdated(one)]

    def _moved(self, mine, risk, possible, known):
        """What each swap does to my protocol, by the protocol that it leads to, where its spread is known too."""
        found = {}
        for document in self._documents():
            pair = document.beside
            if pair is not None and pair.mine.protocol == mine:
                found |= {one.protocol: one.difference for one in pair.swaps if one.difference is not None}
        if self._comparison is not None:
            simulated = [one.protocol for one in possible if one.protocol in known]
            found |= {one: self._comparison.difference(known[one], risk) for one in simulated}
        return found

    def _build(self, shown, possible, moved=()):
        """One button for each swap; they are made anew only where the swaps have changed."""
        if shown != self._shown:
            self._shown = shown
            for button in self.buttons:
                self._layout.removeWidget(button)
                button.hide()
                button.deleteLater()
            self.buttons = [self._button(n, swap, moved) for n, swap in enumerate(possible)]
        for button, swap in zip(self.buttons, possible, strict=True):
            forbidden = [f.reason for f in self._rules(swap.protocol) if f.severity == FORBIDDEN]
            reason = self.front.cannot_simulate or next(iter(forbidden), "")
            button.setEnabled(not reason)
            button.setToolTip(reason or _("Take this over into my protocol and simulate it"))

    def _button(self, place, swap, moved):
        change = _change(moved[swap.protocol]) if swap.protocol in moved else ""
        # the digit is its key
        text = _("&{number}  Take over: {swap}").format(number=place + 1, swap=swap.text)
        button = qt.QPushButton(f"{text}  ({change})" if change else text)
        button.setAccessibleName(_("Take over: {swap}").format(swap=swap.text))
        button.setObjectName(f"swapButton{place}")
        button.clicked.connect(lambda *_args: self.front.guard(lambda: self._take_over(swap)))
        self._layout.addWidget(button)
        return button

    def _take_over(self, swap):
        protocol = swap.protocol.fed(None)  # the territory is that of the panel Segmentation
        self.front.tasks.simulate([(self.front.actions.change_selected(protocol), protocol)])


def _against(mine, first, comparison):
    """My risk against that of a ranked protocol: the difference, its interval, and whether it can be told apart."""
    change = number(mine.log_risk - first.risk.log_risk)
    if comparison is None:
        return _("Mine minus rank {rank}: {change} log-risk; its spread is not known.").format(
            rank=first.rank, change=change
        )
    one = comparison.difference(mine, first.risk)
    told = _("Mine minus rank {rank}: {change} log-risk (95 % interval {interval}; lower is better).").format(
        rank=first.rank, change=change, interval=interval_of(one)
    )
    if one.better > 0.5:
        sure = _("Mine is truly better with a probability of {percent:.0f} %.").format(percent=100 * one.better)
    else:
        sure = _("Rank {rank} is truly better with a probability of {percent:.0f} %.").format(
            rank=first.rank, percent=100 * (1 - one.better)
        )
    apart = _("The two are told apart.") if one.told_apart else _("The two CANNOT BE TOLD APART.")
    return sentences(told, sure, apart)


def _change(one):
    """What a swap does, short enough for a button."""
    if not one.told_apart:
        return _("{change}, cannot be told apart").format(change=number(one.change))
    return _("{change}, 95 % interval {interval}").format(change=number(one.change), interval=interval_of(one))
