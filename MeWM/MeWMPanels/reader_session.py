"""One reader's session of a reader study: what is to be read next, the clock, and the file of answers.

No widget is known here. What is answered is in the file at once, so that a session goes on after Slicer was closed.
"""

import time
from pathlib import Path

from MeWMLib.core.reader_study import REAL, SIMULATED, StudyAnswer, StudyAnswers, read_answers, read_case, write_answers


class ReaderSession:
    """Begins a session, or goes on with it where its file is there already.

    Args:
        folder: of the study.
        study: from `read_study`.
        reader: a code of the study.
        number: of the session, from 1.

    Raises:
        StudyError: the file of answers is of another study, or was changed.
    """

    def __init__(self, folder, study, reader, number):
        self.study, self._folder = study, Path(folder)
        self.path = self._folder / f"answers_{study.id}_session{number}_{reader}.json"
        self._answers = StudyAnswers(study.id, number, reader, source="slicer")
        if self.path.exists():
            (self._answers,) = read_answers(self.path, study)
        self._answers = self._answers.with_event("began", detail=reader)
        self._spent, self._since = 0.0, None
        # a folder that cannot be written to is found before anything is read
        self._save()

    @property
    def left(self):
        """The cases that are still to be read, in the reader's own order."""
        return self._answers.left(self.study)

    @property
    def case(self):
        """The case that is to be read now, or "" at the end."""
        return next(iter(self.left), "")

    @property
    def count(self):
        """How many cases the session has, and how many of them are answered."""
        return len(self.study.order(self._answers.reader, self._answers.session)), len(self._answers.answers)

    @property
    def running(self):
        """True while the clock runs."""
        return self._since is not None

    @property
    def seconds(self):
        """For how long the case has been looked at."""
        return self._spent + (time.monotonic() - self._since if self.running else 0.0)

    def volume(self):
        """The image of the case."""
        return read_case(self._folder, self.study, self.case)

    def show(self):
        """The case is shown: its clock runs."""
        self._spent, self._since = 0.0, time.monotonic()
        self.note("shown")

    def note(self, what, detail=""):
        """Keep what the reader did."""
        self._answers = self._answers.with_event(what, self.case, detail)

    def pause(self):
        """The clock stands still."""
        self._spent, self._since = self.seconds, None
        self.note("paused")
        self._save()

    def go_on(self):
        """The clock runs again."""
        self._since = time.monotonic()
        self.note("went on")

    def answer(self, real, confidence):
        """Answer the case. It is in the file before the next one is shown; an answer is final."""
        word, at = REAL if real else SIMULATED, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        given = self._answers.with_answer(StudyAnswer(self.case, word, confidence, round(self.seconds, 1), at))
        write_answers(given, self.path)
        self._answers = given
        self._spent, self._since = 0.0, None

    def _save(self):
        write_answers(self._answers, self.path)

    def close(self):
        """What was clicked since the last answer is kept."""
        if self.running:
            self.pause()
        self._save()
