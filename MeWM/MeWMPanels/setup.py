"""Panel Setup: computer or server, device, model, packages, privacy. It is built also where packages are missing."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from MeWMPanels import install
from MeWMPanels.panel import Panel, fill_combo
from MeWMPanels.server_section import ServerSection


class SetupPanel(Panel):
    """See the module's text."""

    ui_name = "Setup"

    def setup(self):
        ui = self.ui
        ui.bundleBox.currentIndexChanged.connect(lambda *_args: self._choose_bundle())
        ui.importButton.clicked.connect(lambda *_args: self._browse_bundle())
        ui.removeButton.clicked.connect(lambda *_args: self.front.guard(self._remove_bundle))
        ui.installButton.clicked.connect(lambda *_args: self.front.guard(self.install))
        self.server = ServerSection(self)
        if self.front.desk is not None:
            self.server.attach(self.front.desk, self.front.messages)

    def _bundles(self):
        if install.missing(install.FOR_PANELS):
            return []
        from MeWMLib.core import bundles

        return bundles.list_bundles()

    def _choose_bundle(self):
        self.parameters.computer.bundle = self.ui.bundleBox.itemData(self.ui.bundleBox.currentIndex) or ""

    def _browse_bundle(self):
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Import model"), "", _("Model bundle") + " (*.zip)")
        # PySide answers with the chosen filter too, PythonQt with the path alone
        path = path if isinstance(path, str) else path[0]
        if path:
            self.front.guard(lambda: self.import_bundle(path))

    def import_bundle(self, path):
        """Import a bundle on a thread: its checksums take a moment."""
        from MeWMLib.core import bundles

        desk = self.front.desk
        desk.begin(_("Importing a model"))

        def done(bundle):
            desk.say(_("Imported:") + f" {bundle.name}")
            self.parameters.computer.bundle = bundle.name
            desk.end()

        desk.aside(lambda: bundles.import_bundle(path), done)

    def _remove_bundle(self):
        from MeWMLib.core import bundles

        name = self.parameters.computer.bundle
        if slicer.util.confirmOkCancelDisplay(_("Delete this model?") + f" {name}", "MeWM"):
            bundles.delete_bundle(name)
            self.parameters.computer.bundle = ""
        self.refresh()

    def install(self):
        """Ask, then install what is missing.

        Raises:
            DependencyError: it did not go through.
        """
        names = install.missing_for_worker()
        text = _("These packages will be installed into Slicer's Python:") + "\n\n" + "\n".join(names)
        if not slicer.util.confirmOkCancelDisplay(text, "MeWM"):
            return
        install.install(names, slicer.app.temporaryPath, self.ui.wheelhouseEdit.text.strip())
        self.front.after_install()

    def refresh(self):
        ui = self.ui
        found = self._bundles()
        chosen = self.parameters.computer.bundle if self.parameters is not None else ""
        away = self.server.chosen
        # the models of a server are known once it was tested
        info = self.server.info if away else None
        there = [name for name, _sha256 in info.bundles] if info else []
        names = there if away else [name for name, _path in found]
        pairs = [("", _("default")), *((name, name) for name in names)]
        if chosen and chosen not in names:
            missing = info is not None or not away
            pairs.append((chosen, f"{chosen} " + _("(missing)") if missing else chosen))
        fill_combo(ui.bundleBox, pairs, chosen)
        if not found:
            ui.bundleLabel.setText(_("No model is installed. Press Import model... and choose a bundle."))
        ui.bundleLabel.setVisible(not found and not away)
        imported = [name for name, path in found if self._is_users(path)]
        self.server.refresh()
        reason = _("The models of a server are kept there") if away else ""
        self.enable(ui.removeButton, reason or ("" if chosen in imported else _("Choose a model that you imported")))
        names = install.missing_for_worker()
        ui.packagesLabel.setText(
            _("Missing packages:") + " " + ", ".join(names) if names else _("All packages are installed.")
        )
        busy = self.front.desk is not None and self.front.desk.busy
        self.enable(ui.installButton, "" if names and not busy else _("Nothing is missing"))
        self.enable(ui.importButton, _("A job is running") if busy else reason)

    @staticmethod
    def _is_users(path):
        from MeWMLib.core import bundles

        return bundles.user_bundles().resolve() in Path(path).resolve().parents
