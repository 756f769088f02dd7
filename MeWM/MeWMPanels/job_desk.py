"""One job at a time, in a worker process or on a server: started, watched, cancelled, ended; the window never waits."""

import time
from dataclasses import dataclass, field

import qt
from slicer.i18n import tr as _

from MeWMLib.core.errors import CancelledError, InputError, MeWMError
from MeWMLib.jobs.job import Event
from MeWMLib.jobs.warm import WarmWorker
from MeWMPanels.background import Poller
from MeWMPanels.words import stage_title

LOG_LINES = 400
#: A worker that no job has needed for so long is ended, for its memory.
UNUSED_MS = 15 * 60 * 1000


@dataclass
class State:
    """What the progress area shows."""

    title: str = ""
    message: str = ""
    #: The last one that told of progress.
    event: Event = Event("progress")
    cancelling: bool = False
    log: list = field(default_factory=list)


class JobDesk:
    """Runs the steps of one task, one after the other: files are written, workers run, results are read.

    Args:
        command: what starts a worker; the path of the job file is appended.
        on_change: called whenever `state` or `busy` changed.
        on_error: called with an error that ended a task.
    """

    def __init__(self, command, on_change, on_error):
        self.command = command
        #: Makes the runner of a job; the panel Setup replaces it by a remote one when a server was chosen.
        self.make_runner = lambda: self.warm.runner()
        #: The worker stays between jobs, with the networks loaded, until the scene is closed or nobody needs it.
        self.warm = WarmWorker(lambda: self.command())
        self._unused = qt.QTimer()
        self._unused.setSingleShot(True)
        self._unused.setInterval(UNUSED_MS)
        self._unused.timeout.connect(self.end_worker)
        #: Called before a task that needs a runner begins; it may ask the user and raises to refuse.
        self.before_jobs = lambda: None
        self.on_change, self.on_error = on_change, on_error
        #: Called when a task has failed or was stopped: a job of it may go on elsewhere.
        self.after_failure = lambda: None
        #: Called where a job tells how far it is, and nothing else has changed.
        self.on_progress = on_change
        self.state = State()
        self.poller = Poller()
        self._runner = None
        #: Counts tasks, so that whatever arrives of a task that is over is dropped.
        self._number = 0
        self.busy = False
        #: True while `beside` has a thread at work, and what it does next.
        self._looking, self._look_next = False, None

    def begin(self, title, jobs=False):
        """Open a task.

        Args:
            title: what the progress area says.
            jobs: the task will `run` jobs.

        Raises:
            InputError: another one is running.
            ConsentError: the jobs would go to a server, and the user did not agree.
        """
        if self.busy:
            raise InputError(
                what=_("Another job is running"),
                given=self.state.title,
                remedy=_("Wait for it to finish, or press Cancel"),
            )
        if jobs:
            self.before_jobs()
        self._number += 1
        self._unused.stop()
        self.busy, self.state = True, State(title=title, message=title)
        self.on_change()

    def retitle(self, title):
        """The task goes on with something else."""
        state = self.state
        state.title = title
        if not state.cancelling:
            state.message, state.event = title, Event("progress")
        self.say(title)
        self.on_change()

    def end(self):
        """Close the task."""
        self.busy = False
        self._unused.start()
        self.on_change()

    def end_worker(self):
        """End the worker that waits for a job: its memory is free again, and the next job starts another."""
        self._unused.stop()
        self.warm.close()
        self.on_change()

    def follow(self, steps):
        """Open a task, do its steps one after the other, then close it.

        Args:
            steps: a generator that calls `begin` before its first step; each step that it yields is a function that is
                called with what to do next, such as `partial(desk.aside, work)`, and it is sent what the step gives.
        """

        def next_step(result=None):
            try:
                step = steps.send(result)
            except StopIteration:
                self.end()
            else:
                step(next_step)

        # what comes before the first step may fail: it is the caller's, for the task may not be open yet
        next(steps)(next_step)

    def aside(self, work, then):
        """Call `work()` on a thread and `then(result)` on Qt's thread, as a step of the task."""
        self.poller.run(work, *self._ends(then))

    def beside(self, work, then):
        """Call `work()` on a thread and `then(result)` on Qt's thread, while the steps of the task go on.

        One thread is at work at a time, and of what is asked for meanwhile only the newest is done. Nothing is called
        once the task is over; an error is a line of the log.
        """
        if not self.busy:
            return
        self._look_next = (self._number, work, then)
        if not self._looking:
            self._look()

    def _look(self):
        if self._look_next is None:
            return
        (number, work, then), self._look_next = self._look_next, None
        self._looking = True

        def ending(end):
            def call(value):
                self._looking = False
                if self._is_on(number):
                    end(value)
                self._look()

            return call

        self.poller.run(work, ending(then), ending(lambda error: self.say(str(error))))

    def slices(self, steps, then):
        """Run a generator, one step in each turn of Qt's loop, as a step of the task; `then` gets what it returns."""
        number = self._number
        self.poller.slices(steps, lambda: self._is_on(number), *self._ends(then))

    def run(self, job, then, on_event=None, runner=None, about=None):
        """Run a job as a step of the task; `then(result)` is called with the data of its result.

        Args:
            job: what to do; None for a `runner` whose command needs no job file.
            then: called on Qt's thread.
            on_event: called with every event, on Qt's thread.
            runner: runs it, instead of the desk's own.
            about: what it takes to take the job up after Slicer was killed, as JSON.
        """
        number = self._number
        if self.state.cancelling:
            self._fail(CancelledError(what=_("The job was stopped")))
            return
        runner = self._runner = runner or self.make_runner()
        if about is not None:
            runner.describe(about)
        kind = job.kind if job is not None else ""
        poller = self.poller

        def on_runner_event(event):
            poller.post(self._on_event, number, event, kind, on_event)

        def start_and_wait():
            # starting writes files and a record, killing and joining may take seconds: not on Qt's thread
            with runner:
                if self._is_on(number):
                    runner.start(job, on_runner_event)
                # what was pressed before there was a process
                if not self._is_on(number):
                    raise CancelledError(what=_("The job was stopped"))
                if self.state.cancelling:
                    runner.cancel()
                return runner.wait()

        def ending(end):
            def call(value):
                if self._runner is runner:
                    self._runner = None
                end(value)

            return call

        poller.run(start_and_wait, *map(ending, self._ends(then)))

    def cancel(self):
        """Ask the worker to stop and to keep what it has."""
        if not self.busy or self.state.cancelling:
            return
        self.state.cancelling = True
        self.state.message = _("Stopping; the best so far is being saved")
        if self._runner is not None:
            self._runner.cancel()
        self.on_change()

    def abandon(self):
        """End the worker with its whole process tree now, at work or not; nothing of a task is reported any more."""
        if self._runner is not None:
            self._runner.kill()
            self._runner = None
        self._number += 1
        if self.busy:
            self.end()
        self.end_worker()

    @property
    def pid(self):
        """Process id of the worker, or None, also where it runs on a server."""
        return self._runner.pid if self._runner is not None else None

    def say(self, message):
        """Write a line into the log."""
        self.state.log.append(f"{time.strftime('%H:%M:%S')}  {message}")
        del self.state.log[:-LOG_LINES]

    def _is_on(self, number):
        return self.busy and number == self._number

    def _ends(self, then):
        """What ends a step: a function for its result and one for an error; both are mute once the task is over."""
        number = self._number

        def done(result):
            if self._is_on(number):
                try:
                    then(result)
                except Exception as error:
                    self._fail(error)

        def failed(error):
            if self._is_on(number):
                self._fail(error)

        return done, failed

    def _fail(self, error):
        self.say(str(error))
        self.end()
        # a user who pressed Cancel knows it
        if not (isinstance(error, CancelledError) and self.state.cancelling):
            self.on_error(error)
        self.after_failure()

    def _on_event(self, number, event, kind, on_event):
        if not self._is_on(number):
            return
        state = self.state
        if event.kind == "progress":
            new, state.event = event.stage != state.event.stage, event
            if not state.cancelling:
                state.message = event.message or stage_title(kind, event.stage)
            if new and event.message:
                self.say(event.message)
        elif event.kind in ("log", "partial") and event.message:
            self.say(event.message)
        if on_event is not None:
            try:
                on_event(event)
            except MeWMError as error:
                self.say(str(error))
        self.on_progress()
