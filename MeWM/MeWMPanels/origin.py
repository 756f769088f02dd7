"""What a result was computed from, and whether that is still so.

Findings, proposals and comparisons carry an `Origin`, also in a saved scene: checksums of the CT and of liver and
tumour on its grid, and the clinical data and goal that counted. A checksum takes a moment, so a thread computes it, and
only where a modification time says that there may be something new: saving or reading a scene changes those as well.
"""

import json

import vtk
from slicer.i18n import tr as _

from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.scene.origin import Origin
from MeWMPanels.parameters import clinical_json


class OutdatedError(InputError):
    """What was measured belongs to another CT, or to another segmentation of it."""


def origin_of(volume, labels, clinical, goal):
    """The origin of a result, computed on a thread."""
    return Origin.of(volume, labels, clinical_text(clinical), goal)


def clinical_text(clinical):
    """Clinical data as a text that is the same for the same data."""
    return json.dumps(clinical, sort_keys=True)


class Watch:
    """Tells what is outdated; asks a thread where a modification time has changed.

    Args:
        poller: runs what computes checksums.
        changed: called when more is known.
        hold: takes hold of the chosen nodes, as `case_files.HeldCase` does.
    """

    def __init__(self, poller, changed, hold):
        self._poller, self._changed, self._hold = poller, changed, hold
        self.forget()

    def forget(self):
        """Another scene: modification times of the former one say nothing."""
        self._seen = self._now = self._asked = None

    def know(self, seen, origin):
        """What a task has read is known without asking: the `times` when it took hold, and what it computed."""
        self._know(seen, origin)

    def _know(self, seen, origin):
        self._seen, self._now, self._asked = seen, origin, None

    def reasons(self, parameters, origin, *, clinical=False, goal=False):
        """Why a result is outdated, as sentences; none where it is not, or where nothing says so.

        Args:
            parameters: the typed parameter node.
            origin: of the result.
            clinical: the clinical data count for it.
            goal: the goal counts for it.
        """
        found = []
        if origin.ct:
            found += self._voxels(parameters, origin)
        if clinical and origin.clinical and origin.clinical != clinical_text(clinical_json(parameters.clinical)):
            found.append(_("The clinical data are others now."))
        if goal and origin.clinical and origin.goal != parameters.exploration.goal.strip():
            found.append(_("The goal is another one now."))
        return found

    def _voxels(self, parameters, origin):
        now = times(parameters)
        if now != self._seen:
            self._ask(parameters, now)
            # a scene that was just read is believed until its voxels are compared; what changes under the user's hands
            # is not
            return [] if self._seen is None else [_("The CT or its segmentation has changed since.")]
        if self._now is None:
            return [_("The CT or its segmentation cannot be used any more.")]
        if not self._now.same_ct(origin):
            return [_("It belongs to another CT, or the CT has changed since.")]
        return [_("The segmentation has changed since.")] if self._now.labels != origin.labels else []

    def _ask(self, parameters, now):
        if self._asked == now:
            return
        self._asked = now
        try:
            held = self._hold(parameters)
        except MeWMError:
            self._know(now, None)
            return

        def done(origin):
            if self._asked == now:
                self._know(now, origin)
                self._changed()

        self._poller.run(lambda: Origin.of(*held.read()), done, lambda _error: done(None))


class Judged:
    """What the judgement of a CT after treatment was made of; it lives as long as its scene is open.

    Args:
        parameters: the typed parameter node, as it is when the job begins.

    Attributes:
        origin: of CT, segmentation and clinical data; known when the task has read them.
    """

    def __init__(self, parameters):
        self._after, self.origin = _times_of(parameters.post_ct), Origin()

    def reasons(self, watch, parameters):
        """Why it is outdated, as sentences; none where it is not."""
        found = watch.reasons(parameters, self.origin, clinical=True)
        if _times_of(parameters.post_ct) != self._after:
            found.append(_("The CT after treatment is another one now, or has changed since."))
        return found


def _times_of(ct):
    """Id, grid and modification time of a volume; nothing for none."""
    if ct is None:
        return ()
    image, matrix = ct.GetImageData(), vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(matrix)
    scalars = image.GetPointData().GetScalars() if image is not None else None
    cells = tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4))
    return ct.GetID(), ct.GetTransformNodeID(), cells, scalars.GetMTime() if scalars is not None else 0


def times(parameters):
    """Ids, grids and modification times of the voxels that are chosen; equal as long as nothing has changed."""
    node, found = parameters.segmentation, [*_times_of(parameters.ct)]
    if node is not None:
        found += [node.GetID(), node.GetTransformNodeID()]
        for segment_id in (parameters.liver_segment, parameters.tumour_segment):
            segment = node.GetSegmentation().GetSegment(segment_id) if segment_id else None
            image = segment.GetRepresentation("Binary labelmap") if segment is not None else None
            found += [segment_id, image.GetMTime() if image is not None else 0]
    return tuple(found)
