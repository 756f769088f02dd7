"""One error tree. Every message says what was wrong, what was given and what to do."""

from __future__ import annotations

import contextlib
import errno
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_REGISTRY: dict[str, type[MeWMError]] = {}


class MeWMError(Exception):
    """Base of all errors that MeWM raises on purpose.

    Args:
        what: what was wrong, as one sentence without a full stop.
        given: what was found instead (a value, a path), or "".
        remedy: what the user can do, as one sentence without a full stop.
    """

    exit_code = 2

    def __init__(self, what: str, *, given: str = "", remedy: str = "") -> None:
        self.what, self.given, self.remedy = what, given, remedy
        super().__init__(what, given, remedy)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _REGISTRY[cls.__name__] = cls

    def __str__(self) -> str:
        listed = "\n" in self.given
        parts = [_closed(self.what)]
        if self.given:
            parts.append(f"Given: {self.given if listed else _closed(self.given)}")
        if self.remedy:
            parts.append(_closed(self.remedy))
        # what follows a list begins a line, as what is listed does
        return ("\n" if listed else " ").join(parts)

    def to_json(self) -> dict[str, str]:
        """Return a JSON-ready form that `error_from_json` turns back into the same type."""
        return {"type": type(self).__name__, "what": self.what, "given": self.given, "remedy": self.remedy}


def _closed(text: str) -> str:
    """The text with a full stop, unless it ends with a mark of its own, such as that of a question."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


_REGISTRY["MeWMError"] = MeWMError


class InputError(MeWMError):
    """Something that the user gave cannot be used."""


class UnreadableFileError(InputError):
    """A file is missing, truncated or of a format that cannot be read."""


class SeriesError(InputError):
    """A DICOM folder does not hold exactly one usable series."""


class NotCTError(InputError):
    """The image is not a CT: wrong modality, number of dimensions, channels or range of values."""


class GeometryError(InputError):
    """A grid is not usable: zero or absurd spacing, shear, empty shape."""


class GeometryMismatchError(GeometryError):
    """Two images that must share one grid do not."""


class RegistrationError(GeometryMismatchError):
    """Two scans could not be brought together well enough to compare them, and the user has not accepted that."""


class LabelError(InputError):
    """A label map holds other values than 0 background, 1 liver, 2 tumour."""


class LabelQuestionError(LabelError):
    """Labels or a scan look wrong, and the user has not confirmed them."""


class TargetQuestionError(LabelQuestionError):
    """Several lesions may be the target, and the user has not said which."""


class TargetError(InputError):
    """A target that is not understood, or a lesion that there is not."""


class NoTumourError(InputError):
    """There is no tumour to treat."""


class UnknownAgentError(InputError):
    """A drug or embolic agent that the vocabulary does not hold."""


class ProtocolError(InputError):
    """A protocol that is not possible: empty, the same agent twice, a dose that is not a dose."""


class TerritoryError(ProtocolError):
    """A territory that is not known, or whose place in the liver nobody can tell."""


class ClinicalDataError(InputError):
    """Clinical data that cannot be read: unknown field, wrong type, impossible value."""


class PlanSettingsError(InputError):
    """A setting of the plan that is not possible."""


class OutcomeError(MeWMError):
    """A simulated outcome that is not marked as simulated."""


class RuleError(InputError):
    """The clinical rules leave no protocol to choose from."""


class ForbiddenProtocolError(RuleError):
    """The clinical rules forbid a protocol that the user named."""


class ContraindicatedError(RuleError):
    """TACE is contraindicated in this patient, whatever is given."""


class GoalQuestionError(InputError):
    """A treatment goal holds something that must be answered before anything relies on it."""


class PolicyError(RuleError):
    """A policy that is unknown, or that has nothing to propose."""


class SurvivalDataError(InputError):
    """Survival data that cannot be used: negative times, no events, shapes that do not fit."""


class SampleError(InputError):
    """A sample case that is unknown or cannot be fetched."""


class CohortError(InputError):
    """A cohort folder that is missing, unfinished, of another kind, or lacks the patient."""


class StudyError(InputError):
    """A reader study, its key or its answers cannot be used, or do not belong together."""


class BundleError(MeWMError):
    """A model bundle is missing, unreadable or does not have the checksum of its manifest."""


class DeviceError(MeWMError):
    """The compute device that was asked for does not exist or has no memory left."""


class OutOfMemoryError(DeviceError):
    """The graphics card or the computer has no memory left; the worker said so itself."""


class OutputError(MeWMError):
    """A result cannot be written: disk full, read-only folder, a file in the way."""


class DependencyError(MeWMError):
    """An optional package that this task needs is not installed."""

    exit_code = 3


class CancelledError(MeWMError):
    """The user stopped the job; what was finished until then is kept."""

    exit_code = 130


class WorkerError(MeWMError):
    """The worker process ended without a result."""

    exit_code = 1


class WorkerKilledError(WorkerError):
    """The worker was killed from outside, most likely by the system because the memory ran out."""


class ServerError(MeWMError):
    """A MeWM server refused something, lost the job, is not trusted, or speaks another protocol."""


class ServerUnreachableError(ServerError):
    """The server does not answer at its address or in time, or the connection was lost and did not come back."""


class ServerTokenError(ServerError):
    """There is no token for the server, or it does not know the token (401)."""


class NotAServerError(ServerError):
    """Something answers at the address, but it is not a MeWM server."""


class ServerBusyError(ServerError):
    """The server already has as many jobs as it accepts (503), or the user has as many as one may."""


class ServerLockedError(ServerError):
    """Too many wrong tokens came from this address; it has to wait (429)."""


class ServerSlowError(ServerError):
    """A request did not come to its end in time (408)."""


class UploadOffsetError(ServerError):
    """A piece of an upload does not begin where the server's file ends (409)."""


class OutdatedError(InputError):
    """What somebody changes was changed elsewhere meanwhile."""


class UnknownJobError(ServerError):
    """The server does not know the job: it was removed, or the server was restarted."""


class UploadTooLargeError(ServerError):
    """The files are larger than the server accepts."""


class ConsentError(ServerError):
    """The user has not agreed to send images to this server; nothing was sent."""


class PacsError(MeWMError):
    """A PACS cannot do what was asked, or what it holds is not what was sent or asked for."""


class PacsUnreachableError(PacsError):
    """The PACS does not answer at its address or in time, or the connection was cut."""


class PacsRefusedError(PacsError):
    """The PACS refuses: credentials, a class of objects, or single objects."""


class EndpointError(MeWMError):
    """A chat endpoint of a language model that is unknown, badly described, or that failed."""


class EndpointKeyError(EndpointError):
    """There is no key for the endpoint, or it does not accept the key (401, 403)."""


class EndpointConsentError(EndpointError):
    """The user has not agreed to send data to this endpoint; nothing was sent."""


class EndpointUnreachableError(EndpointError):
    """The endpoint does not answer at its address, or the connection was cut."""


class EndpointTimeoutError(EndpointUnreachableError):
    """The endpoint did not answer in time."""


class EndpointBusyError(EndpointError):
    """The endpoint is busy (429), even after several tries."""


class EndpointAnswerError(EndpointError):
    """The answer of the endpoint cannot be used: too long, not JSON, not the schema, not the vocabulary."""


class PrivacyError(EndpointError):
    """Something that looks like a person, an id or a date was about to be sent; nothing was sent."""


def error_from_json(data: Mapping[str, Any]) -> MeWMError:
    """Return the error that `MeWMError.to_json` described; unknown types become a `WorkerError`."""
    texts = {key: str(data[key]) for key in ("type", "what", "given", "remedy") if key in data}
    cls = _REGISTRY.get(texts.pop("type", ""), WorkerError)
    return cls(**{"what": "Unknown error", **texts})


def install_command(extra: str) -> str:
    """The command that installs an extra of MeWM, by how MeWM itself is there.

    No index has a distribution of that name for a copy of the source: pip is given the copy itself.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f'{_pip(checkout)} install -e ".[{extra}]" in the folder {checkout}'
    return f'{_pip()} install "mewm[{extra}]"'


def _pip(folder: Path | None = None) -> str:
    """The pip of this environment, as it is typed in a folder: a bare pip may be that of another Python."""
    here = Path(sys.prefix)
    found = next((one for one in (here / "bin" / "pip", here / "Scripts" / "pip.exe") if one.is_file()), None)
    if sys.prefix == sys.base_prefix or found is None:
        return "pip"
    return shlex.quote(str(found.relative_to(folder) if folder and found.is_relative_to(folder) else found))


@contextlib.contextmanager
def optional_packages(what: str, extra: str) -> Iterator[None]:
    """Turn a failed import in the block into an error that says what to install.

    Args:
        what: what the packages are for, such as "The quality page".
        extra: the extra of MeWM that brings them.

    Raises:
        DependencyError: a package is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise DependencyError(
            what=f"{what} needs the packages of the extra `{extra}`",
            given=str(error),
            remedy=f"Install them: {install_command(extra)}",
        ) from error


def output_error(error: OSError, path: Path) -> OutputError:
    """Translate an operating-system error on writing `path`: the one place where that is done."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            "The disk is full",
            given=str(path),
            remedy="Free some space or give another folder with --out; nothing half-written was left",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            "No permission to write the result there", given=str(path), remedy="Give a folder you can write"
        )
    return OutputError(
        f"The result could not be written ({error.strerror})", given=str(path), remedy="Give another folder with --out"
    )
