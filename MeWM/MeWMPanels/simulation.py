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
        self.ui.simulationList.itemChanged.connect(self._ticked)
        self.on_click(simulateButton=lambda: self.front.tasks.simulate(self._chosen()))

    def _ticked(self, item):
        change = self._unticked.discard if item.checkState() == qt.Qt.Checked else self._unticked.add
        change(item.data(qt.Qt.UserRole))
        # the list is not built again here: it would take the item away from under its own signal
        self._show_button()

    def _listed(self):
        """Name, protocol and why it is forbidden, or ""."""
        outdated = self.front.findings_outdated
        for name, protocol in protocols_of(self.parameters.protocols):
            found = rule_findings(protocol, self.parameters, outdated=outdated)
            yield name, protocol, next((f.reason for f in found if f.severity == FORBIDDEN), "")

    def _chosen(self):
        return [(name, p) for name, p, forbidden in self._listed() if not forbidden and name not in self._unticked]

    def refresh(self):
        listed = self.ui.simulationList
        listed.blockSignals(True)
        listed.clear()
        for name, protocol, forbidden in self._listed():
            item = qt.QListWidgetItem(f"{name}:  {protocol.text or _('no agent yet')}")
            item.setData(qt.Qt.UserRole, name)
            item.setToolTip(forbidden)
            ticked = not forbidden and name not in self._unticked
            item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
            if forbidden:
                item.setFlags(qt.Qt.NoItemFlags)
            listed.addItem(item)
        listed.blockSignals(False)
        self._show_button()

    def _show_button(self):
        count = len(self._chosen())
        self.ui.simulateButton.setText(_("Simulate {n} protocols").format(n=count) if count > 1 else _("Simulate"))
        nothing = "" if count else _("Put a protocol together in the panel Actions first")
        self.enable_each(simulateButton=self.front.cannot_simulate or nothing)
