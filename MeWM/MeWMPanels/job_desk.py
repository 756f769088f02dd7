"""One job at a time, in a worker process or on a server: started, watched, cancelled, ended; the window never waits."""

import threading
import time
from dataclasses import dataclass, field

from slicer.i18n import tr as _

from MeWMLib.core.errors import CancelledError, InputError, MeWMError
from MeWMLib.jobs.runner import LocalRunner
from MeWMPanels.background import Poller

LOG_LINES = 400


@dataclass
class State:
    """What the progress area shows."""

    title: str = ""
    stage: str = ""
    fraction: float = 0.0
    eta_s: float | None = None
    memory_mb: float | None = None
    message: str = ""
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
        #: Makes the runner of a job; the panel Setup puts a remote one in its place when a server was chosen.
        self.make_runner = lambda: LocalRunner(self.command())
        #: Called before a task that needs a runner begins; it may ask the user and raises to refuse.
        self.before_jobs = lambda: None
        self.on_change, self.on_error = on_change, on_error
        self.state = State()
        self.poller = Poller()
        self._runner = None
        #: Counts tasks: what a task that is over still sends is dropped by it.
        self._number = 0
        self.busy = False

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
                remedy=_("Wait for its end, or press Cancel"),
            )
        if jobs:
            self.before_jobs()
        self._number += 1
        self.busy, self.state = True, State(title=title, message=title)
        self.on_change()

    def end(self):
        """Close the task."""
        self.busy = False
        self.on_change()

    def aside(self, work, then):
        """Call `work()` on a thread and `then(result)` on Qt's thread, as a step of the task."""
        number = self._number

        def on_done(result):
            if self._is_on(number):
                self._guarded(then, result)

        def on_failed(error):
            if self._is_on(number):
                self._fail(error)

        self.poller.run(work, on_done, on_failed)

    def slices(self, steps, then):
        """Run a generator, one step in each turn of Qt's loop, as a step of the task; `then` gets what it returns."""
        number = self._number
        self.poller.slices(steps, lambda: self._is_on(number), lambda value: self._guarded(then, value), self._fail)

    def run(self, job, then, on_event=None):
        """Run a job in a worker as a step of the task; `then(result)` is called with the data of its result."""
        number = self._number
        if self.state.cancelling:
            self._fail(CancelledError(what=_("The job was stopped")))
            return
        runner = self._runner = self.make_runner()
        poller = self.poller
        runner.start(job, lambda event: poller.post(self._on_event, number, event, on_event))

        def wait():
            # killing and joining may take seconds, so it is done here and not on Qt's thread
            with runner:
                return runner.wait()

        poller.expect()

        def finished(result, error):
            poller.done()
            if self._runner is runner:
                self._runner = None
            if not self._is_on(number):
                return
            if error is not None:
                self._fail(error)
            else:
                self._guarded(then, result)

        def target():
            try:
                result = wait()
            except Exception as error:
                poller.post(finished, None, error)
            else:
                poller.post(finished, result, None)

        threading.Thread(target=target, name="mewm-job", daemon=True).start()

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
        """End the worker with its whole process tree now; nothing of the task is reported any more."""
        if self._runner is not None:
            self._runner.kill()
            self._runner = None
        self._number += 1
        if self.busy:
            self.end()

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

    def _guarded(self, then, result):
        try:
            then(result)
        except Exception as error:
            self._fail(error)

    def _fail(self, error):
        self.say(str(error))
        self.end()
        # who pressed Cancel knows it
        if not (isinstance(error, CancelledError) and self.state.cancelling):
            self.on_error(error)

    def _on_event(self, number, event, on_event):
        if not self._is_on(number):
            return
        state = self.state
        if event.kind == "progress":
            new = event.stage != state.stage
            state.stage, state.fraction = event.stage, event.fraction or 0.0
            state.eta_s, state.memory_mb = event.eta_s, event.memory_mb
            if not state.cancelling:
                state.message = event.message
            if new and event.message:
                self.say(event.message)
        elif event.kind in ("log", "partial") and event.message:
            self.say(event.message)
        if on_event is not None:
            try:
                on_event(event)
            except MeWMError as error:
                self.say(str(error))
        self.on_change()
