"""Panel Actions: named protocols with doses, checked against the clinical rules at every change."""

import itertools
import re
from html import escape

import qt
from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.protocol import Action, Protocol, vocabulary
from MeWMLib.core.records import parse_json
from MeWMLib.core.unjudged import unjudged_in_words
from MeWMLib.policy.rules import FORBIDDEN, NOTE, TOUCHED, unjudged
from MeWMPanels.ink import BAD, GOOD, QUIET, WARNING, inked
from MeWMPanels.node_texts import explained, protocols_of, protocols_text, read_rules
from MeWMPanels.panel import Panel, fill_table

#: Kinds of agents in a proposal.
_KINDS = ("drugs", "embolics")
_NAME, _DOSE, _RANGE, _ROUTE, _HINT = range(5)
_ADDRESS = re.compile(r"https://[^\s;|<>\"]+")


class ActionsPanel(Panel):
    """See the module's text. The selected protocol of the list is the one that is edited."""

    ui_name = "Actions"

    def setup(self):
        # what is wrong with these files is said where a rule is asked for
        self.front.desk.poller.run(read_rules, lambda _nothing: None, lambda _error: None)
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
        rows = [(a.name, "", f"{a.dose_low:g} - {a.dose_high:g} {a.dose_unit}", "", "") for a in self._agents]
        titles = (_("Agent"), _("Dose"), _("Usual range"), _("Route"), _("Suggested"))
        fill_table(table, titles, rows, widest=_NAME)
        table.setMinimumHeight(300)
        for row, known in enumerate(self._agents):
            name = table.item(row, _NAME)
            name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsSelectable)
            name.setCheckState(qt.Qt.Unchecked)
            name.setToolTip(f"{known.kind}, {known.agent_class}")
            table.item(row, _RANGE).setToolTip(known.source)
            dose = qt.QDoubleSpinBox()
            dose.setRange(0.0, 9999.0)
            dose.setDecimals(1)
            dose.setSpecialValueText(_("not stated"))
            dose.setSuffix(f" {known.dose_unit}")
            dose.setAccessibleName(_("Dose of {agent}").format(agent=known.name))
            dose.valueChanged.connect(lambda *_args: self._edited())
            table.setCellWidget(row, _DOSE, dose)
            route = qt.QComboBox()
            route.addItems(["-", *known.routes])
            route.setAccessibleName(_("Route of {agent}").format(agent=known.name))
            route.currentIndexChanged.connect(lambda *_args: self._edited())
            table.setCellWidget(row, _ROUTE, route)
            # kept here too: Qt owns the widgets, but Python must keep their connections
            self._doses.append(dose)
            self._routes.append(route)

    def _chosen(self):
        """Another protocol was selected: show what it holds."""
        self.refresh()
        ticked = [n for n in range(len(self._agents)) if self._doses[n].enabled]
        self.ui.agentTable.scrollToItem(self.ui.agentTable.item(ticked[0] if ticked else 0, _NAME))

    @property
    def _proposal(self):
        """What the policy suggested, or nothing yet."""
        return parse_json(self.parameters.proposal or "{}", "The proposal in the scene")

    @property
    def named(self):
        """All protocols: pairs of name and `Protocol`."""
        return protocols_of(self.parameters.protocols)

    @property
    def selected(self):
        """Name and protocol that are selected, or None."""
        named, row = self.named, self.ui.protocolList.currentRow
        return named[row] if 0 <= row < len(named) else None

    def change_selected(self, protocol):
        """Put another protocol in the place of the selected one; returns its name."""
        named, row = self.named, self.ui.protocolList.currentRow
        named[row] = (named[row][0], protocol)
        self._store(named, row)
        return named[row][0]

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
        return next(name for n in itertools.count(1) if (name := f"{stem} {n}") not in taken)

    def _copy(self):
        row = self.ui.protocolList.currentRow
        name, protocol = self.named[row]
        self.add(self._free_name(name), protocol)

    def _delete(self):
        row, named = self.ui.protocolList.currentRow, self.named
        self._store([*named[:row], *named[row + 1 :]], max(0, row - 1))

    def _suggest(self):
        # the button is disabled where it is outdated; nothing but a press in the same turn comes here
        if self.front.proposal_outdated:
            return
        best = [self._proposal[kind][0] for kind in _KINDS]
        self.add(self._free_name(_("Suggested")), Protocol.of(best))

    def _edited(self):
        """Put what the table says into the selected protocol."""
        row = self.ui.protocolList.currentRow
        if self._filling or row < 0:
            return
        actions = []
        for n, (known, dose, route) in enumerate(zip(self._agents, self._doses, self._routes, strict=True)):
            if self.ui.agentTable.item(n, _NAME).checkState() == qt.Qt.Checked:
                given = None if route.currentText == "-" else route.currentText
                actions.append(Action(known.name, dose.value or None, given))
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
            ui.protocolList.clear()
            for name, protocol in named:
                ui.protocolList.addItem(line_of(name, protocol))
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
        measure = _("Measure lesions first (Segmentation)")
        outdated = self.front.proposal_outdated
        if self.parameters.proposal and outdated:
            measure = _("Outdated: {reason} Press Measure lesions.").format(reason=outdated)
        self.enable(ui.suggestButton, "" if self.parameters.proposal and not outdated else measure)
        ui.nameEdit.setEnabled(chosen is not None)
        ui.agentTable.setEnabled(chosen is not None)
        ui.ruleLabel.setText(self._rules(chosen))

    def _show(self, chosen):
        """Show a pair of name and protocol in the widgets, or None."""
        name, protocol = chosen or ("", Protocol(()))
        if not self.ui.nameEdit.hasFocus() or chosen is None:
            self.ui.nameEdit.setText(name)
        actions = {a.agent: a for a in protocol.actions}
        for n, (known, dose, route) in enumerate(zip(self._agents, self._doses, self._routes, strict=True)):
            action = actions.get(known.name)
            self.ui.agentTable.item(n, _NAME).setCheckState(qt.Qt.Checked if action else qt.Qt.Unchecked)
            dose.setEnabled(action is not None)
            route.setEnabled(action is not None)
            dose.setValue((action and action.dose) or 0.0)
            route.setCurrentIndex(route.findText((action and action.route) or "-"))

    def _show_hints(self):
        proposal = {} if self.front.proposal_outdated else self._proposal
        words = {"drugs": _("drug {n}"), "embolics": _("embolic {n}")}
        ranked = {name: words[kind].format(n=n) for n, kind, name in _suggested(proposal)}
        for n, known in enumerate(self._agents):
            item = self.ui.agentTable.item(n, _HINT)
            item.setText(ranked.get(known.name, ""))
            item.setToolTip(proposal.get("reasons", {}).get(known.name, ""))
        self._show_reasons()

    def _show_reasons(self):
        """Why each agent is suggested and who says so; the agent of the selected row comes first."""
        proposal = self._proposal
        self.ui.reasonView.setVisible(bool(proposal))
        if not proposal:
            return
        outdated = self.front.proposal_outdated
        if outdated:
            text = _("Outdated: {reason} Press Measure lesions.").format(reason=outdated)
            self.ui.reasonView.setHtml(inked(WARNING, escape(text)))
            return
        selected = self.ui.agentTable.currentRow()
        first = self._agents[selected].name if selected >= 0 else ""
        lines = [_("Suggested by: {policy}").format(policy=escape(proposal["policy"]))]
        for n, kind, name in sorted(_suggested(proposal), key=lambda entry: entry[2] != first):
            reason = escape(proposal["reasons"].get(name, "").removeprefix(f"{name}: "))
            source = _linked(proposal.get("sources", {}).get(name, ""))
            line = (
                _("<b>{name}</b> (drug {n}): {reason}")
                if kind == "drugs"
                else _("<b>{name}</b> (embolic {n}): {reason}")
            )
            lines.append(line.format(name=name, n=n, reason=reason) + (f" [{source}]" if source else ""))
        self.ui.reasonView.setHtml("<br>".join(lines))

    def _rules(self, chosen):
        if chosen is None:
            return _("Press New to make a protocol.")
        try:
            answers = explained(chosen[1], self.parameters, outdated=self.front.findings_outdated)
        except MeWMError as error:
            return inked(BAD, escape(str(error)))
        found, missing = [e for e in answers if e.state == TOUCHED], unjudged(answers)
        if not found and not missing:
            return inked(GOOD, _("No rule objects to this protocol; all were asked."))
        lines = []
        kinds = {
            FORBIDDEN: (BAD, _("<b>Not allowed:</b> {reason}")),
            NOTE: (QUIET, _("<b>Note:</b> {reason}")),
        }
        for finding in found:
            kind, text = kinds.get(finding.severity, (WARNING, _("<b>Warning:</b> {reason}")))
            reason = inked(kind, text.format(reason=escape(finding.reason)))
            lines.append(reason + " " + inked(QUIET, f"[{_linked(finding.source)}]"))
        if missing:
            text = _("<b>Cannot be judged:</b> {missing}").format(missing=escape(unjudged_in_words(missing)))
            lines.append(inked(WARNING, text))
        return "<br>".join(lines)


def line_of(name, protocol):
    """A named protocol as a line of a list."""
    text = protocol.text
    return f"{name}:  {text}" if text else _("{name}:  no agent yet").format(name=name)


def _suggested(proposal):
    """Rank, kind and name of each agent of a proposal."""
    return [(n, kind, name) for kind in _KINDS for n, name in enumerate(proposal.get(kind, []), start=1)]


def _linked(source):
    """A source as HTML, its addresses as links."""
    return _ADDRESS.sub(lambda match: f'<a href="{match[0]}">{match[0]}</a>', escape(source, quote=False))
