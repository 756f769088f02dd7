"""Panel Reader study: a case at a time in the slice views, real or simulated, how sure, next."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from MeWMLib.core.reader_study import CONFIDENCES, read_study
from MeWMPanels.panel import Panel, fill_combo, show_text
from MeWMPanels.reader_session import ReaderSession
from MeWMPanels.reader_views import ReaderViews

#: How often it is looked what is looked at.
LOOK_MS = 500


class ReaderPanel(Panel):
    """See the module's text. The key of the study is never read here; `mewm study score` scores the answers."""

    ui_name = "Reader"

    def setup(self):
        self.study = self.folder = self.session = None
        self._views, self._place = ReaderViews(self.front.views), ""
        self.sure = {n: getattr(self.ui, f"sure{n}Button") for n in CONFIDENCES}
        self.on_click(
            openButton=self._choose, beginButton=self._begin, nextButton=self._next, pauseButton=self._pause_or_go_on
        )
        for button in (self.ui.realButton, self.ui.simulatedButton, *self.sure.values()):
            button.clicked.connect(lambda *_args, button=button: self._chosen(button))
        self._timer = qt.QTimer()
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)

    def connect_parameters(self, parameters):
        """A closed scene ends the session; its file keeps what was answered."""
        super().connect_parameters(parameters)
        if parameters is None:
            self.end()

    def end(self):
        """Put the session away."""
        self._timer.stop()
        session, self.session = self.session, None
        self._views.close()
        if session is not None:
            session.close()
            self._give_back()

    def _give_back(self):
        """The views show again what they showed before the study."""
        front = self.front
        if front.parameters is not None and front.comparison is not None:
            front.show_views()
        elif front.parameters is not None and front.parameters.ct is not None:
            front.views.show_ct(front.parameters.ct)

    def open(self, folder):
        """Open the folder of a study."""
        self.end()
        self.study, self.folder = read_study(Path(folder)), Path(folder)
        readers = [(code, code) for code in self.study.readers]
        fill_combo(self.ui.readerBox, readers, self.study.readers[0])
        fill_combo(self.ui.sessionBox, [(n, str(n)) for n in range(1, len(self.study.sessions) + 1)], 1)
        self.refresh()

    def _choose(self):
        chosen = qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of the reader study"), "")
        if chosen:
            self.open(chosen)

    def _begin(self):
        self.end()
        boxes = self.ui.readerBox, self.ui.sessionBox
        reader, number = (box.itemData(box.currentIndex) for box in boxes)
        self.session = ReaderSession(self.folder, self.study, reader, int(number))
        self._show()

    def _show(self):
        """Show the case that is to be read, or the end."""
        self._uncheck()
        if self.session.case:
            self._show_case()
            self.session.show()
        else:
            self._timer.stop()
            self._views.close()
            self._give_back()
        self.refresh()

    def _show_case(self):
        self._views.show(self.session.volume(), f"Study case {self.session.count[1] + 1}")
        self._timer.start()

    def _uncheck(self):
        for button in (self.ui.realButton, self.ui.simulatedButton, *self.sure.values()):
            button.setAutoExclusive(False)
            button.setChecked(False)
            button.setAutoExclusive(True)

    def _chosen(self, button):
        if self.session is not None and self.session.running:
            self.session.note("click", button.name)
        self.refresh()

    @property
    def _given(self):
        """Whether the case is called real, and how sure; None where one of the two is missing."""
        sure = next((n for n, button in self.sure.items() if button.checked), None)
        told = self.ui.realButton.checked or self.ui.simulatedButton.checked
        return (self.ui.realButton.checked, sure) if told and sure else None

    def _next(self):
        if self._given is not None and self.session is not None and self.session.running:
            self.session.answer(*self._given)
            self._show()

    def _pause_or_go_on(self):
        if self.session.running:
            self._timer.stop()
            self.session.pause()
            self._views.put_away()
        else:
            self._show_case()
            self.session.go_on()
        self.refresh()

    def _look(self):
        """Keep what is looked at; another module, or another picture in the views, pauses."""
        if self.session is None or not self.session.running:
            return
        if not self.front.shown or not self._views.seen:
            self._pause_or_go_on()
            return
        place = self._views.place()
        if place != self._place:
            self._place = place
            self.session.note("looked at", place)

    def refresh(self):
        session = self.session
        reading = session is not None and bool(session.case)
        show_text(self.ui.studyLabel, self._about())
        show_text(self.ui.progressLabel, self._progress())
        no_study = "" if self.study is not None else _("Open the folder of a study first")
        not_read = "" if reading and session.running else _("No case is shown")
        missing = "" if self._given is not None else _("Say what it is and how sure you are")
        self.enable_each(
            openButton=self.front.busy,
            beginButton=self.front.busy or no_study,
            nextButton=not_read or missing,
            pauseButton="" if reading else _("No case is shown"),
        )
        for button in (self.ui.realButton, self.ui.simulatedButton, *self.sure.values()):
            button.setEnabled(not not_read)
        self.ui.pauseButton.setText(_("&Go on") if reading and not session.running else _("&Pause"))

    def _about(self):
        if self.study is None:
            return _(
                "A study is a folder that `mewm study make` wrote. Its pictures may be simulated; answers stay in that "
                "folder."
            )
        text = _("{title}. Cases: {cases}; sessions: {sessions}. Pictures may be simulated. Research use only.")
        return text.format(title=self.study.title, cases=len(self.study.cases), sessions=len(self.study.sessions))

    def _progress(self):
        if self.session is None:
            return ""
        total, done = self.session.count
        if not self.session.case:
            text = _("All {total} cases are answered. Give {file} to whoever runs the study.")
            return text.format(total=total, file=self.session.path.name)
        if not self.session.running:
            return _("Paused before case {n} of {total}.").format(n=done + 1, total=total)
        return _("Case {n} of {total}.").format(n=done + 1, total=total)
