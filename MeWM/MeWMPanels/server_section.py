"""The part of the panel Setup that is about a server: address, token file, consent, Test connection, remote runner.

The address is saved with the scene. The consent and the path of the token file belong to this installation (QSettings),
and the token itself is read where it is needed and kept nowhere.
"""

import hashlib

import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import ConsentError, MeWMError
from MeWMLib.jobs.wire import Address
from MeWMPanels.messages import as_mewm_error, in_words_of_panels
from MeWMPanels.panel import chosen_file
from MeWMPanels.words import sentences

SERVER = "server"


class ServerSection:
    """See the module's text.

    Args:
        panel: the panel Setup, whose widgets these are.
    """

    def __init__(self, panel):
        self.panel, self.ui = panel, panel.ui
        #: What the server said about itself, by its address.
        self.infos = {}
        self._texts = {}
        self._testing = ""
        panel.on_click(testButton=self.test, withdrawButton=self._withdraw, tokenButton=self._browse)
        self.ui.tokenEdit.editingFinished.connect(self._keep_token_file)
        # without the packages of the panels there are no jobs yet
        self.ui.placeBox.setEnabled(panel.front.desk is not None)

    def attach(self, desk, messages):
        """Let the jobs of a desk go where the user wants them."""
        self._local_runner = desk.make_runner
        desk.make_runner, desk.before_jobs = self.make_runner, self.require_consent
        to_setup = (_("Open Setup"), lambda: self.panel.front.open_panel("setup"))
        messages.fixes |= {"ServerError": to_setup, "WorkerKilledError": messages.fixes.get("DeviceError", to_setup)}

    @property
    def chosen(self):
        """True if jobs go to a server."""
        parameters = self.panel.parameters
        return parameters is not None and parameters.computer.place == SERVER

    def address(self):
        """The address that was typed in.

        Raises:
            InputError: there is none, or it is not an address.
        """
        return Address.parse(self.panel.parameters.computer.server)

    def _known_address(self):
        try:
            return self.address()
        except MeWMError:
            return None

    @property
    def info(self):
        """What the chosen server said when it was tested, or None."""
        address = self._known_address()
        return self.infos.get(address.url) if address is not None else None

    def require_consent(self):
        """Ask before anything goes to a server for the first time.

        Raises:
            InputError: there is no address.
            ConsentError: the user did not agree.
        """
        if self.chosen:
            self.agree(self.address())

    def agree(self, address):
        """Ask where the user has not agreed to this address yet.

        Raises:
            ConsentError: the user did not agree.
        """
        if has_consent(address):
            return
        if not slicer.util.confirmOkCancelDisplay(consent_text(address), "MeWM"):
            raise ConsentError(
                what=_("Nothing was sent: you did not agree"),
                given=address.url,
                remedy=_("Choose this computer in Setup, or agree when you are asked again"),
            )
        _keep("consent", address, address.url)

    def make_runner(self):
        """The runner of a job.

        Raises:
            ConsentError: the address changed since the user agreed.
        """
        if not self.chosen:
            return self._local_runner()
        from MeWMLib.jobs.remote import RemoteRunner

        address = self.address()
        if not has_consent(address):
            raise ConsentError(
                what=_("Nothing was sent: the address of the server has changed"),
                given=address.url,
                remedy=_("Start the job again"),
            )
        return RemoteRunner(client_of(address))

    def test(self):
        """Ask the server for its version on a thread and show the answer, or the precise error.

        Raises:
            InputError: there is no address.
            ConsentError: the user did not agree.
        """
        self.require_consent()
        address = self.address()
        client = client_of(address)
        self._testing = address.url
        self._texts[address.url] = _("Asking the server...")

        def answered(info):
            self.infos[address.url] = info
            self._show(address, info_text(info))

        def failed(error):
            self.infos.pop(address.url, None)
            self._show(address, error_text(error))

        self.panel.front.desk.poller.run(client.version, answered, failed)
        self.panel.refresh()

    def _show(self, address, text):
        self._texts[address.url] = text
        if self._testing == address.url:
            self._testing = ""
        if self.panel.parameters is not None:
            self.panel.refresh()

    def _withdraw(self):
        slicer.app.userSettings().remove(_key("consent", self.address()))
        self.panel.refresh()

    def _browse(self):
        path = chosen_file(self.panel.widget, _("Token file"))
        if path:
            self.ui.tokenEdit.setText(path)
            self._keep_token_file()

    def _keep_token_file(self):
        address = self._known_address()
        if address is not None:
            _keep("token_file", address, self.ui.tokenEdit.text.strip())

    def refresh(self):
        """Show the state."""
        ui, address = self.ui, self._known_address() if self.chosen else None
        ui.serverWidget.setVisible(self.chosen)
        if not self.chosen:
            ui.privacyLabel.setText(_("Privacy: everything is computed on this computer. MeWM sends nothing."))
            return
        ui.privacyLabel.setText(privacy_text(address))
        known = address is not None
        ui.tokenEdit.setEnabled(known)
        ui.tokenButton.setEnabled(known)
        if not ui.tokenEdit.hasFocus():
            ui.tokenEdit.setText(_setting("token_file", address) if known else "")
        tested = (self._texts.get(address.url) if known else "") or _("Not tested yet.")
        ui.serverLabel.setText(tested if known else _("Type in the address of a server."))
        agreed = known and has_consent(address)
        self.panel.enable(ui.withdrawButton, "" if agreed else _("You have not agreed that images go to this address"))
        reason = "" if known else _("Type in the address of a server")
        self.panel.enable(ui.testButton, _("The server is being asked") if self._testing else reason)


def _setting(what, address):
    """What this installation keeps about an address, "" if nothing."""
    return str(slicer.app.userSettings().value(_key(what, address)) or "")


def _keep(what, address, text):
    slicer.app.userSettings().setValue(_key(what, address), text)


def _key(what, address):
    # an address holds slashes, which QSettings takes for groups
    return f"MeWM/server/{what}/{hashlib.sha256(address.url.encode()).hexdigest()[:24]}"


def has_consent(address):
    """True if the user of this installation has agreed that images go to this address."""
    return _setting("consent", address) == address.url


def client_of(address):
    """A client of this server; its token is looked for when it is needed, on the thread that needs it."""
    from MeWMLib.jobs import server_token
    from MeWMLib.jobs.remote_http import ServerClient

    file = _setting("token_file", address)
    return ServerClient(address, lambda: server_token.find(address.url, file))


def consent_text(address):
    """What the user agrees to."""
    lines = [
        _("Send images to this server?"),
        address.url,
        _(
            "What leaves this computer when you start a job: the voxels and the grid of the CT, the segmentation, "
            "clinical data without dates, the goal as you typed it, and the settings of the job."
        ),
        _("What does not: names, ids, dates, DICOM headers, paths of files."),
        _("The server removes the data when the job is done. You are asked once for each address."),
    ]
    if address.is_open:
        lines.insert(2, _("The connection is NOT encrypted: anyone in between can read the images and the token."))
    return "\n\n".join(lines)


def privacy_text(address):
    """The line about privacy when a server is chosen."""
    if address is None:
        return _("Privacy: nothing is sent until you enter an address.")
    text = _("Privacy: jobs send the voxels of the CT, the segmentation, clinical data, goal and settings to {url}.")
    return sentences(text.format(url=address.url), _("The connection is not encrypted.") if address.is_open else "")


def info_text(info):
    """What a server says about itself, for people."""
    models = ", ".join(f"{name} ({sha256[:8]})" for name, sha256 in info.bundles) or _("none")
    lines = (
        _("Connected. MeWM {version}").format(version=info.mewm),
        _("Device: {name}").format(name=info.device),
        _("Models: {names}").format(names=models),
        _("Jobs running: {n} / {most}").format(n=info.jobs, most=info.max_jobs),
    )
    return "\n".join(lines)


def error_text(error):
    """A failed test, for people."""
    ours = as_mewm_error(error)
    return ".\n".join(in_words_of_panels(text) for text in (ours.what, ours.given, ours.remedy) if text) + "."
