"""Panel Setup: computer or server, device, model, packages, privacy. It is built also where packages are missing."""

import slicer
from slicer.i18n import tr as _

from MeWMPanels import about, install
from MeWMPanels.background import Poller
from MeWMPanels.panel import Panel, chosen_file, fill_combo
from MeWMPanels.server_section import ServerSection


class SetupPanel(Panel):
    """See the module's text."""

    ui_name = "Setup"

    def setup(self):
        self.on_choice(bundleBox=lambda name: setattr(self.parameters.computer, "bundle", name or ""))
        self.on_click(importButton=self._import_bundle, removeButton=self._remove_bundle, installButton=self.install)
        self.on_click(checkButton=self._check, copyButton=self._copy)
        self._found = None
        #: Models and missing packages, which are looked for on the disk.
        self._there = None
        # without a desk, that is where packages are missing, there is no poller yet
        self._poller = self.front.desk.poller if self.front.desk is not None else Poller()
        self.server = ServerSection(self)
        if self.front.desk is not None:
            self.server.attach(self.front.desk, self.front.messages)

    def _import_bundle(self):
        path = chosen_file(self.widget, _("Import model"), _("Model bundle (*.zip)"))
        if not path:
            return
        from MeWMLib.core import bundles

        desk = self.front.desk
        desk.begin(_("Importing a model"))

        def done(bundle):
            desk.say(_("Imported: {name}").format(name=bundle.name))
            self.parameters.computer.bundle = bundle.name
            desk.end()

        # on a thread: checking its checksums takes a moment
        desk.aside(lambda: bundles.import_bundle(path), done)

    def _remove_bundle(self):
        from MeWMLib.core import bundles

        name = self.parameters.computer.bundle
        if slicer.util.confirmOkCancelDisplay(_("Delete the model {name}?").format(name=name), "MeWM"):
            bundles.delete_bundle(name)
            self.parameters.computer.bundle = ""

    def _check(self):
        """Ask the worker's Python what there is."""
        self.ui.systemLabel.setText(_("Asking the Python of the worker..."))

        def done(found):
            self._found = found
            self.refresh()

        self._poller.run(lambda: about.ask(about.slicer_python()), done, self.front.messages.show)

    def _copy(self):
        """Copy everything that a bug report needs."""
        slicer.app.clipboard().setText("\n".join(about.lines(self._found, self.front.messages.cause)))

    def install(self):
        """Ask, then install what is missing; errors as `install.install`."""
        names = install.missing_for_worker()
        text = _("These packages will be installed into Slicer's Python:\n\n{names}")
        if slicer.util.confirmOkCancelDisplay(text.format(names="\n".join(names)), "MeWM"):
            install.install(names, slicer.app.temporaryPath, self.ui.wheelhouseEdit.text.strip())
            self.front.after_install()

    def refresh(self):
        ui, away = self.ui, self.server.chosen
        chosen = self.parameters.computer.bundle if self.parameters is not None else ""
        busy = _("A job is running") if self.front.desk is not None and self.front.desk.busy else ""
        if self._there is None or not busy:
            # nothing is installed or imported while a job runs
            self._there = (*self._bundles(), install.missing_for_worker())
        found, imported, lacking = self._there
        info, names = self.server.info if away else None, found
        if away:
            # the models of a server are known once it was tested
            names = [name for name, _sha256 in info.bundles] if info else []
        pairs = [("", _("default")), *((name, name) for name in names)]
        if chosen and chosen not in names:
            unknown = away and info is None
            pairs.append((chosen, chosen if unknown else _("{name} (missing)").format(name=chosen)))
        fill_combo(ui.bundleBox, pairs, chosen)
        ui.bundleLabel.setText(_("No model is installed. Press Import model... and choose a bundle."))
        ui.bundleLabel.setVisible(not found and not away)
        self.server.refresh()
        ui.packagesLabel.setText(
            _("Missing packages: {names}").format(names=", ".join(lacking))
            if lacking
            else _("All packages are installed.")
        )
        if self._found is not None:
            ui.systemLabel.setText("\n".join(about.lines(self._found, self.front.messages.cause)))
        remote = _("A server's models are managed on the server") if away else ""
        self.enable_each(
            removeButton=remote or ("" if chosen in imported else _("Choose a model that you imported")),
            installButton=busy or ("" if lacking else _("Nothing is missing")),
            importButton=busy or remote,
        )

    @staticmethod
    def _bundles():
        """Names of all models on this computer, and of those that the user imported."""
        if install.missing(install.FOR_PANELS):
            return [], []
        from MeWMLib.core import bundles

        own, found = bundles.user_bundles().resolve(), bundles.list_bundles()
        return [name for name, _path in found], [name for name, path in found if own in path.resolve().parents]
