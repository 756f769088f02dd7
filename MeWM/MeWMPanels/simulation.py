"""Panel Simulation: which protocols, how many replicas, which seed."""

import qt
from slicer.i18n import tr as _

from MeWMLib.policy.rules import FORBIDDEN
from MeWMPanels.panel import Panel
from MeWMPanels.tasks import protocols_of, rule_findings


class SimulationPanel(Panel):
    """See the module's text. A protocol that a rule forbids cannot be ticked."""

    ui_name = "Simulation"

    def setup(self):
        self._unticked = set()
        self.ui.simulationList.setMaximumHeight(110)
        self.ui.simulationList.itemChanged.connect(self._ticked)
        self.ui.simulateButton.clicked.connect(lambda *_args: self.front.guard(self._simulate))

    def _ticked(self, item):
        name = item.data(qt.Qt.UserRole)
        if item.checkState() == qt.Qt.Checked:
            self._unticked.discard(name)
        else:
            self._unticked.add(name)
        # the list is not built again here: it would take the item away from under its own signal
        self._show_button()

    def _chosen(self):
        return [
            (name, protocol)
            for name, protocol in protocols_of(self.parameters.protocols)
            if name not in self._unticked and not self._reason(protocol)
        ]

    def _reason(self, protocol):
        forbidden = [f for f in rule_findings(protocol, self.parameters) if f.severity == FORBIDDEN]
        return forbidden[0].reason if forbidden else ""

    def _simulate(self):
        self.front.tasks.simulate(self._chosen())

    def refresh(self):
        listed = self.ui.simulationList
        listed.blockSignals(True)
        listed.clear()
        for name, protocol in protocols_of(self.parameters.protocols):
            reason = self._reason(protocol)
            item = qt.QListWidgetItem(f"{name}:  {protocol.text or _('no agent yet')}")
            item.setData(qt.Qt.UserRole, name)
            item.setToolTip(reason)
            ticked = not reason and name not in self._unticked
            item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
            if reason:
                item.setFlags(qt.Qt.NoItemFlags)
            listed.addItem(item)
        listed.blockSignals(False)
        self._show_button()

    def _show_button(self):
        chosen = self._chosen()
        self.ui.simulateButton.setText(_("Simulate") + (f" {len(chosen)} " + _("protocols") if len(chosen) > 1 else ""))
        reason = _("A job is running") if self.front.desk.busy else self.front.missing_for_simulation()
        if not reason and not chosen:
            reason = _("Put a protocol together in the panel Actions first")
        self.enable(self.ui.simulateButton, reason)
