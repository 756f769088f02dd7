"""Panel Actions: named protocols with doses, checked against the clinical rules at every change."""

import json
import re
from html import escape

import qt
from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.protocol import Action, Protocol, vocabulary
from MeWMLib.policy.rules import FORBIDDEN
from MeWMPanels.panel import Panel
from MeWMPanels.tasks import protocols_of, protocols_text, rule_findings

_TITLES = ("Agent", "Dose", "Usual range", "Route", "Suggested")
_NAME, _DOSE, _RANGE, _ROUTE, _HINT = range(5)
_RED, _AMBER, _GREEN = "#b3261e", "#8a5a00", "#1b6e33"
_ADDRESS = re.compile(r"https://[^\s;|<>\"]+")


class ActionsPanel(Panel):
    """See the module's text. The protocol that is edited is the selected one of the list."""

    ui_name = "Actions"

    def setup(self):
        ui = self.ui
        self._agents = list(vocabulary().values())
        self._doses, self._routes = [], []
        self._filling = False
        self._build_table()
        ui.protocolList.setMaximumHeight(110)
        ui.newButton.clicked.connect(lambda *_args: self.add(self._free_name(_("Protocol")), Protocol(())))
        ui.copyButton.clicked.connect(lambda *_args: self._copy())
        ui.deleteButton.clicked.connect(lambda *_args: self._delete())
        ui.suggestButton.clicked.connect(lambda *_args: self.front.guard(self._suggest))
        ui.protocolList.currentRowChanged.connect(lambda *_args: self._chosen())
        ui.nameEdit.editingFinished.connect(self._edited)
        ui.agentTable.itemChanged.connect(lambda *_args: self._edited())
        ui.agentTable.itemSelectionChanged.connect(lambda *_args: self._show_reasons())
        ui.reasonView.setOpenExternalLinks(True)
        ui.reasonView.setFixedHeight(130)

    def _build_table(self):
        table = self.ui.agentTable
        table.setColumnCount(len(_TITLES))
        table.setHorizontalHeaderLabels([_(t) for t in _TITLES])
        table.verticalHeader().setVisible(False)
        table.setRowCount(len(self._agents))
        table.setMinimumHeight(300)
        for row, known in enumerate(self._agents):
            name = qt.QTableWidgetItem(known.name)
            name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsSelectable)
            name.setCheckState(qt.Qt.Unchecked)
            name.setToolTip(f"{known.kind}, {known.agent_class}")
            table.setItem(row, _NAME, name)
            usual = qt.QTableWidgetItem(f"{known.dose_low:g} - {known.dose_high:g} {known.dose_unit}")
            usual.setToolTip(known.source)
            table.setItem(row, _RANGE, usual)
            table.setItem(row, _HINT, qt.QTableWidgetItem(""))
            dose = qt.QDoubleSpinBox()
            dose.setRange(0.0, 9999.0)
            dose.setDecimals(1)
            dose.setSpecialValueText(_("not stated"))
            dose.setSuffix(f" {known.dose_unit}")
            dose.valueChanged.connect(lambda *_args: self._edited())
            table.setCellWidget(row, _DOSE, dose)
            route = qt.QComboBox()
            route.addItems(["-", *known.routes])
            route.currentIndexChanged.connect(lambda *_args: self._edited())
            table.setCellWidget(row, _ROUTE, route)
            # kept here too: Qt owns them, and Python must not let go of their links
            self._doses.append(dose)
            self._routes.append(route)
        table.resizeColumnsToContents()
        table.horizontalHeader().setStretchLastSection(True)

    def _chosen(self):
        """Another protocol was selected: show what it holds."""
        self.refresh()
        ticked = [n for n in range(len(self._agents)) if self._doses[n].enabled]
        self.ui.agentTable.scrollToItem(self.ui.agentTable.item(ticked[0] if ticked else 0, _NAME))

    @property
    def named(self):
        """All protocols: pairs of name and `Protocol`."""
        return protocols_of(self.parameters.protocols)

    def add(self, name, protocol):
        """Add a protocol and select it."""
        self._store([*self.named, (name, protocol)], len(self.named))

    def _store(self, named, row):
        self.parameters.protocols = protocols_text(named)
        self.refresh()
        self.ui.protocolList.setCurrentRow(min(row, len(named) - 1))
        self.refresh()

    def _free_name(self, stem):
        taken = {name for name, _protocol in self.named}
        number = 1
        while f"{stem} {number}" in taken:
            number += 1
        return f"{stem} {number}"

    def _copy(self):
        row = self.ui.protocolList.currentRow
        name, protocol = self.named[row]
        self.add(self._free_name(name), protocol)

    def _delete(self):
        row, named = self.ui.protocolList.currentRow, self.named
        self._store([*named[:row], *named[row + 1 :]], max(0, row - 1))

    def _suggest(self):
        proposal = json.loads(self.parameters.proposal)
        protocol = Protocol.of([proposal["drugs"][0], proposal["embolics"][0]])
        self.add(self._free_name(_("Suggested")), protocol)

    def _edited(self):
        """Read the table back into the selected protocol."""
        row = self.ui.protocolList.currentRow
        if self._filling or row < 0:
            return
        actions = []
        for n, known in enumerate(self._agents):
            if self.ui.agentTable.item(n, _NAME).checkState() == qt.Qt.Checked:
                dose, route = self._doses[n].value, self._routes[n].currentText
                actions.append(Action(known.name, dose or None, None if route == "-" else route))
        named = self.named
        named[row] = (self.ui.nameEdit.text.strip() or named[row][0], Protocol(tuple(actions)))
        self.parameters.protocols = protocols_text(named)
        self.refresh()

    def refresh(self):
        named, ui = self.named, self.ui
        row = ui.protocolList.currentRow
        self._filling = True
        try:
            ui.protocolList.blockSignals(True)
            while ui.protocolList.count > len(named):
                ui.protocolList.takeItem(ui.protocolList.count - 1)
            for n, (name, protocol) in enumerate(named):
                if n >= ui.protocolList.count:
                    ui.protocolList.addItem("")
                ui.protocolList.item(n).setText(f"{name}:  {protocol.text or _('no agent yet')}")
            row = min(max(row, 0), len(named) - 1)
            ui.protocolList.setCurrentRow(row)
            ui.protocolList.blockSignals(False)
            chosen = named[row] if named else None
            self._show(chosen)
            self._show_hints()
        finally:
            self._filling = False
        for button in (ui.copyButton, ui.deleteButton):
            self.enable(button, "" if chosen else _("There is no protocol yet"))
        self.enable(ui.suggestButton, "" if self.parameters.proposal else _("Measure lesions first (Segmentation)"))
        ui.nameEdit.setEnabled(chosen is not None)
        ui.agentTable.setEnabled(chosen is not None)
        ui.ruleLabel.setText(self._rules(chosen))

    def _show(self, chosen):
        if not self.ui.nameEdit.hasFocus() or chosen is None:
            self.ui.nameEdit.setText(chosen[0] if chosen else "")
        actions = {a.agent: a for a in chosen[1].actions} if chosen else {}
        for n, known in enumerate(self._agents):
            action = actions.get(known.name)
            item = self.ui.agentTable.item(n, _NAME)
            item.setCheckState(qt.Qt.Checked if action else qt.Qt.Unchecked)
            self._doses[n].setEnabled(action is not None)
            self._routes[n].setEnabled(action is not None)
            self._doses[n].setValue(action.dose or 0.0 if action else 0.0)
            route = action.route if action and action.route else "-"
            self._routes[n].setCurrentIndex(self._routes[n].findText(route))

    def _show_hints(self):
        proposal = json.loads(self.parameters.proposal) if self.parameters.proposal else {}
        ranked = {name: n for kind in ("drugs", "embolics") for n, name in enumerate(proposal.get(kind, []), start=1)}
        for n, known in enumerate(self._agents):
            item = self.ui.agentTable.item(n, _HINT)
            item.setText(f"{ranked[known.name]}. {known.kind}" if known.name in ranked else "")
            item.setToolTip(proposal.get("reasons", {}).get(known.name, ""))
        self._show_reasons()

    def _show_reasons(self):
        """Why each agent is suggested and where that stands; the agent of the selected row comes first."""
        proposal = json.loads(self.parameters.proposal) if self.parameters.proposal else {}
        self.ui.reasonView.setVisible(bool(proposal))
        if not proposal:
            return
        selected = self.ui.agentTable.currentRow()
        first = self._agents[selected].name if selected >= 0 else ""
        kinds = ("drugs", "embolics")
        suggested = [(n, kind, name) for kind in kinds for n, name in enumerate(proposal[kind], start=1)]
        suggested.sort(key=lambda entry: entry[2] != first)
        lines = [_("Suggested by:") + f" {escape(proposal['policy'])}"]
        for n, kind, name in suggested:
            reason = escape(proposal["reasons"].get(name, "").removeprefix(f"{name}: "))
            source = _linked(proposal.get("sources", {}).get(name, ""))
            word = _("drug") if kind == "drugs" else _("embolic")
            lines.append(f"<b>{name}</b> ({n}. {word}): {reason}" + (f" [{source}]" if source else ""))
        self.ui.reasonView.setHtml("<br>".join(lines))

    def _rules(self, chosen):
        if chosen is None:
            return _("Press New to put a protocol together.")
        try:
            found = rule_findings(chosen[1], self.parameters)
        except MeWMError as error:
            return f'<span style="color:{_RED}">{escape(str(error))}</span>'
        if not found:
            return f'<span style="color:{_GREEN}">' + _("No rule speaks against this protocol.") + "</span>"
        lines = []
        for finding in found:
            forbidden = finding.severity == FORBIDDEN
            colour, word = (_RED, _("Not allowed")) if forbidden else (_AMBER, _("Warning"))
            lines.append(
                f'<span style="color:{colour}"><b>{word}:</b> {escape(finding.reason)}</span>'
                f' <span style="color:#666">[{_linked(finding.source)}]</span>'
            )
        return "<br>".join(lines)


def _linked(source):
    """A source as HTML, its addresses as links."""
    return _ADDRESS.sub(lambda match: f'<a href="{match[0]}">{match[0]}</a>', escape(source, quote=False))
