"""A line of text in the corner of slice views: the mark SIMULATED, or the notice of a reader study.

The actors are our own: Slicer's data probe rewrites the corner annotation of a view at every move of the mouse.
"""

import slicer
import vtk


class CornerMarks:
    """One line of text in as many slice views as show what it speaks of.

    Args:
        text: what they say.
        colour: red, green, blue from 0 to 1.
    """

    def __init__(self, text, colour):
        self._text, self._colour, self._marks = text, colour, {}

    def show(self, wanted):
        """Show the text in the views that `wanted(name)` says yes to, and in no other."""
        manager = slicer.app.layoutManager()
        for name in dict.fromkeys((*manager.sliceViewNames(), *self._marks)):
            widget, on = manager.sliceWidget(name), wanted(name)
            if widget is None:
                continue
            view = widget.sliceView()
            if name not in self._marks:
                if not on:
                    continue
                renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
                self._marks[name] = (renderer, self._actor())
                renderer.AddViewProp(self._marks[name][1])
            self._marks[name][1].SetVisibility(on)
            view.scheduleRender()

    def remove(self):
        """Take the text out of all views."""
        for renderer, actor in self._marks.values():
            renderer.RemoveViewProp(actor)
        self._marks = {}

    def _actor(self):
        actor = vtk.vtkTextActor()
        actor.SetInput(self._text)
        actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
        actor.SetPosition(0.02, 0.93)
        style = actor.GetTextProperty()
        style.SetColor(*self._colour)
        style.SetBold(True)
        style.SetFontSize(14)
        return actor
