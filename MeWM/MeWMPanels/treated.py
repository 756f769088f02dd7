"""Part of the panel Segmentation: what the treated artery feeds, by name, by a click on segments, or painted."""

from functools import partial

import qt
from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError
from MeWMLib.core.territory import SEGMENTS, WHOLE, Territory, known_parts, part_of
from MeWMPanels.case_files import NoSegmentationError
from MeWMPanels.editor import open_editor
from MeWMPanels.node_texts import ticked_lesions
from MeWMPanels.panel import fill_combo
from MeWMPanels.words import sentences

LOBES = ("right lobe", "left lobe")
_FED_COLOUR = (0.35, 0.75, 0.55)


def territory_text(segments):
    """Segments of the liver as a user would write them: a lobe or the whole liver by its name, "" for none."""
    for name in (WHOLE, *LOBES):
        if segments == part_of(name).segments:
            return name
    listed = [name for name in SEGMENTS if name in segments]
    return "segments " + ", ".join(listed) if listed else ""


class TreatedSection:
    """Territory, painted region, and the sentence that says what will be treated.

    Args:
        panel: the panel Segmentation.
    """

    def __init__(self, panel):
        self._panel = panel
        ui = self._ui = panel.ui
        ui.territoryBox.addItems(["", *known_parts()])
        ui.territoryBox.currentTextChanged.connect(lambda *_args: self._choose(ui.territoryBox.currentText))
        panel.on_choice(fedBox=self._choose_painted)
        panel.on_click(paintButton=self._paint)
        #: A button for each lobe and each segment.
        self.buttons = {}
        titles = {LOBES[0]: _("Ri&ght lobe"), LOBES[1]: _("Le&ft lobe"), "4a": "4&a", "4b": "4&b"}
        for names, widget in ((LOBES, ui.lobeWidget), (SEGMENTS, ui.segmentWidget)):
            row = qt.QHBoxLayout(widget)
            row.setContentsMargins(0, 0, 0, 0)
            row.setSpacing(2)
            for name in names:
                self.buttons[name] = self._button(name, titles.get(name, f"&{name}"))
                row.addWidget(self.buttons[name])
        ui.segmentsLabel.setBuddy(self.buttons[SEGMENTS[0]])

    def _button(self, name, text):
        button = qt.QPushButton(text)
        button.setObjectName("fed_" + name.replace(" ", "_"))
        button.setCheckable(True)
        button.setMinimumWidth(24)
        button.setToolTip(_("Fed by the treated artery: {part}. Click to add it or to take it out").format(part=name))
        button.setAccessibleName(button.toolTip)
        button.clicked.connect(partial(self._toggle, name))
        return button

    @property
    def _parameters(self):
        return self._panel.parameters

    def _segments(self):
        """The segments that are fed as far as they are named."""
        text = self._parameters.territory.strip()
        try:
            return (Territory.parse(text).segments or frozenset()) if text else frozenset()
        except MeWMError:
            return frozenset()

    def _toggle(self, name, *_checked):
        now, clicked = self._segments(), frozenset([name]) if name in SEGMENTS else part_of(name).segments
        self._choose(territory_text(now - clicked if clicked <= now else now | clicked))
        self._show_territory()

    def _choose(self, text):
        self._parameters.territory = text
        self._show_buttons()
        self.show_text()

    def _choose_painted(self, segment):
        self._parameters.fed_segment = segment or ""
        self.show_text()

    def _paint(self):
        """Open the Segment Editor on the segment of what is fed; it is made where there is none.

        Raises:
            NoSegmentationError: there is no segmentation to paint in.
            LabelError: it is a simulated one.
        """
        parameters = self._parameters
        node = parameters.segmentation
        if node is None:
            raise NoSegmentationError(
                what=_("There is no segmentation yet"),
                remedy=_("Press Find liver and tumour first, or choose a segmentation"),
            )

        def ready():
            if not parameters.fed_segment:
                parameters.fed_segment = node.GetSegmentation().AddEmptySegment("", _("Fed region"), list(_FED_COLOUR))
            return parameters.fed_segment

        open_editor(node, parameters.ct, ready)

    def refresh(self, segments):
        """Show the state; `segments` are ids and names of the segmentation."""
        parameters, ui = self._parameters, self._ui
        own = (parameters.liver_segment, parameters.tumour_segment)
        painted = [("", _("none")), *((i, name) for i, name in segments if i not in own)]
        if parameters.fed_segment not in dict(painted):
            parameters.fed_segment = ""
        fill_combo(ui.fedBox, painted, parameters.fed_segment)
        self._panel.enable_each(paintButton="" if parameters.segmentation is not None else _("Segment the liver first"))
        self._show_territory()

    def _show_territory(self):
        box = self._ui.territoryBox
        if box.currentText != self._parameters.territory:
            box.blockSignals(True)
            box.setCurrentText(self._parameters.territory)
            box.blockSignals(False)
        self._show_buttons()
        self.show_text()

    def _show_buttons(self):
        fed = self._segments()
        for name, button in self.buttons.items():
            button.setChecked((frozenset([name]) if name in SEGMENTS else part_of(name).segments) <= fed)

    def show_text(self):
        """Say what will be treated, or why the territory cannot be used."""
        parameters = self._parameters
        ticked = ticked_lesions(parameters)
        text = _("Nothing is ticked: all tumour is treated.")
        if ticked and self._panel.front.findings_outdated:
            text = _("The ticks are for lesions that were measured before something changed: measure again.")
        elif ticked:
            numbers = ", ".join(map(str, ticked))
            text = _("Treated: lesion {numbers}.")
            text = text.format(numbers=numbers)
        self._ui.treatedLabel.setText(self._with_territory(text))

    def _with_territory(self, text):
        parameters = self._parameters
        try:
            territory = Territory.parse(parameters.territory) if parameters.territory.strip() else None
        except MeWMError as error:
            return f"{error.what}: {error.given}."
        if parameters.fed_segment:
            return sentences(text, _("Fed is the painted region alone."))
        if territory is None:
            return text
        border = ""
        if territory.unknown or territory.is_painted:
            border = _("Paint what it feeds, and choose that segment below.")
        elif not territory.is_whole:
            border = _("The borders of segments are approximate.")
        return sentences(text, _("Fed: {territory}.").format(territory=territory.described), border)
