"""What a former run of Slicer has left at work: take it up, cancel it, or leave it."""

import time
from functools import partial

from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError
from MeWMLib.jobs.wire import Address
from MeWMPanels import left_jobs, taking_up
from MeWMPanels.panel import Panel
from MeWMPanels.server_section import client_of
from MeWMPanels.words import job_title


class LeftPanel(Panel):
    """Hidden where there is no such job; of several the newest is shown."""

    ui_name = "Left"

    def setup(self):
        #: What the user has not decided on yet, and the ids of what was to be left.
        self.jobs, self._left = [], set()
        self.on_click(takeButton=self._take_up, dropButton=self._drop, leaveButton=self._leave)

    def look(self):
        """Look for such jobs, on a thread."""

        def done(found):
            self.jobs = [one for one in found if one.known.row.id not in self._left]
            self.front.refresh_soon(self)

        # a store of jobs that cannot be read offers nothing, and is no error of what the user does now
        self.front.desk.poller.run(partial(left_jobs.find, self.front.tasks.folders), done, lambda _error: None)

    def refresh(self):
        self.widget.setVisible(bool(self.jobs) and not self.front.desk.busy)
        if self.jobs:
            self.ui.leftLabel.setText(text_of(self.jobs[0]))

    def _take_up(self):
        left = self.jobs[0]
        left_jobs.require_free(left)
        self.front.tasks.follow(partial(taking_up.steps, self.front, left))
        self.jobs.remove(left)

    def _leave(self):
        self._left.add(self.jobs.pop(0).known.row.id)

    def _drop(self):
        left, desk = self.jobs[0], self.front.desk
        left_jobs.require_free(left)
        client = client_of(Address.parse(left.place)) if left.place else None
        desk.begin(_("Cancelling a job"))

        def done(_nothing):
            self.jobs = [one for one in self.jobs if one is not left]
            desk.say(_("The job was cancelled, and its files were removed"))
            desk.end()

        desk.aside(partial(left_jobs.drop, left, client, self.front.tasks.folders), done)


def text_of(left):
    """What the panel says of a job."""
    if left.place:
        text = _(
            "{what}: a job for {name}, begun {time}, was not followed to its end. It goes on at {server}, and its "
            "result can be fetched from there."
        )
    elif left.job.kind == "plan":
        text = _("{what}: a job for {name}, begun {time}, was cut off when Slicer ended. It can go on from there.")
    else:
        text = _("{what}: a job for {name}, begun {time}, was cut off when Slicer ended. It can be done again.")
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(left.known.row.created))
    return text.format(
        what=job_title(left.job.kind), name=left.about.get("ct", ""), time=begun, server=_host(left.place)
    )


def _host(place):
    try:
        return Address.parse(place).host if place else ""
    except MeWMError:
        return place
