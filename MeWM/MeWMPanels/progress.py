"""The area below the panels: what is being done, how far, how long still, how much memory, the log, Cancel."""

from slicer.i18n import tr as _

from MeWMPanels.panel import Panel


class ProgressPanel(Panel):
    """Hidden until the first job."""

    ui_name = "Progress"

    def setup(self):
        self.ui.cancelButton.clicked.connect(lambda *_args: self.front.desk.cancel())
        self.ui.logText.setMaximumHeight(120)
        self.on_click(workerButton=lambda: self.front.desk.end_worker())

    def refresh(self):
        desk, ui = self.front.desk, self.ui
        state, event = desk.state, desk.state.event
        self.widget.setVisible(desk.busy or bool(state.log))
        ui.progressBar.setVisible(desk.busy)
        ui.cancelButton.setVisible(desk.busy)
        ui.cancelButton.setEnabled(not state.cancelling)
        ui.progressBar.setValue(round(1000 * (event.fraction or 0.0)))
        if desk.busy:
            parts = [state.message or state.title]
            if event.eta_s is not None and event.fraction != 1.0:
                parts.append(time_left(event.eta_s))
            if event.memory_mb is not None:
                parts.append(f"{event.memory_mb / 1024:.1f} GB")
            ui.progressLabel.setText("  \N{MIDDLE DOT}  ".join(parts))
        else:
            ui.progressLabel.setText(state.log[-1].partition("  ")[2] if state.log else "")
        self._show_worker()
        text = "\n".join(state.log)
        if ui.logText.toPlainText() != text:
            ui.logText.setPlainText(text)
            bar = ui.logText.verticalScrollBar()
            bar.setValue(bar.maximum)

    def _show_worker(self):
        """What a worker that stays costs, and how to end it."""
        ui, desk = self.ui, self.front.desk
        memory = 0.0 if desk.busy else desk.warm.memory_mb
        for widget in (ui.workerLabel, ui.workerButton):
            widget.setVisible(memory > 0)
        if memory > 0:
            text = _("The worker stays ready for this scene and keeps {memory:.1f} GB.")
            ui.workerLabel.setText(text.format(memory=memory / 1024))


def time_left(seconds):
    """The time that is left in words, rounded as a person would."""
    if seconds < 90:
        return _("about {n} s left").format(n=max(1, round(seconds)))
    return _("about {n} min left").format(n=round(seconds / 60))
