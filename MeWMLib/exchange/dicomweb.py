"""A PACS over DICOMweb: searched (QIDO-RS), fetched (WADO-RS), stored (STOW-RS) with dicomweb-client.

Every address is made from the one that the user gave; a RetrieveURL of an answer may lack the port or name a machine
that only the PACS knows. An answer of success may hold failures: each object is looked for in what the PACS says of it.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import requests

from MeWMLib.core.dicom.packages import package
from MeWMLib.core.errors import PacsError, PacsRefusedError, PacsUnreachableError, optional_packages
from MeWMLib.exchange.address import PacsAddress
from MeWMLib.exchange.pacs import FAILED, PASSWORD, SENT, TOKEN, Instance, Outgoing, Status, credentials_of

#: Bytes of the files that are stored by one request.
_BATCH = 32 << 20
#: Seconds to connect, and between two pieces of an answer.
_TIMEOUT = (10.0, 120.0)
#: Objects that one page of a search lists.
_PAGE = 1000
_CHECK = "Check the address, and that the DICOMweb service runs there"
_AGAIN = "The same command goes on with what is missing"
#: Why an object was refused, by the code of PS3.4 CC.2.3 and PS3.18 I.2.
_REASONS = {
    0x0110: "processing failure", 0x0122: "its SOP class is not supported", 0x0124: "not authorised",
    0xA700: "out of resources, such as a full disk", 0xA900: "it does not match its SOP class",
    0xC000: "it cannot be understood", 0xC122: "its transfer syntax is not supported",
}  # fmt: skip


def reason_of(code: int) -> str:
    """Why an object was refused, in words."""
    families = {0xA700: 0xFF00, 0xA900: 0xFF00, 0xC000: 0xF000}
    text = _REASONS.get(code) or next((_REASONS[k] for k, mask in families.items() if code & mask == k), "refused")
    return f"{text} (status {code:04X})"


class DicomWeb:
    """The client of one DICOMweb service."""

    def __init__(self, address: PacsAddress) -> None:
        with optional_packages("A PACS over DICOMweb", "pacs"):
            from dicomweb_client import DICOMwebClient
        self._address = address
        session = requests.Session()
        # credentials of another program for the same machine (.netrc) are not ours to send
        found = credentials_of(address.place)
        session.auth = _Auth(found.token, found.user, found.password)
        session.request = _with_timeout(session.request)  # type: ignore[method-assign]
        self._client = DICOMwebClient(address.place, session=session)
        self._client.set_http_retry_params(retry=False)

    def instances(self, study: str, series: str = "") -> list[Instance]:
        pydicom = package("pydicom")
        found: list[Instance] = []
        with self._asking():
            while True:
                page = self._client.search_for_instances(
                    study, series or None, limit=_PAGE, offset=len(found), fields=["SOPClassUID", "Modality"]
                )
                for entry in page:
                    data = pydicom.Dataset.from_json(entry)
                    found.append(
                        Instance(
                            str(data.SeriesInstanceUID),
                            str(data.SOPInstanceUID),
                            str(data.get("SOPClassUID", "")),
                            str(data.get("Modality", "")),
                        )
                    )
                if len(page) < _PAGE:
                    return list({one.sop: one for one in found}.values())

    def fetch(self, study: str, wanted: Sequence[Instance]) -> Iterator[Any]:
        for one in wanted:
            with self._asking():
                # in the syntax in which it is stored: nothing is decoded and encoded again
                kinds = (("application/dicom", "*"),)
                data = self._client.retrieve_instance(study, one.series, one.sop, media_types=kinds)
            yield data

    def store(self, files: Iterable[Outgoing], done: Callable[[Status], None]) -> None:
        for batch in _batches(files):
            for status in self._store(batch):
                done(status)

    def _store(self, batch: list[Outgoing]) -> list[Status]:
        pydicom = package("pydicom")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = [pydicom.dcmread(one.path) for one in batch]
        for one in data:
            one.preamble = one.preamble or b"\0" * 128
        try:
            with self._asking():
                answer = self._client.store_instances(data, batch[0].study)
        except PacsRefusedError as error:
            if isinstance(error.__cause__, requests.HTTPError) and _is_about_objects(error.__cause__):
                return [Status(one.sop, one.path.name, FAILED, error.what) for one in batch]
            raise
        stored = {str(i.ReferencedSOPInstanceUID) for i in answer.get("ReferencedSOPSequence") or ()}
        refused = {
            str(i.ReferencedSOPInstanceUID): reason_of(int(i.get("FailureReason") or 0))
            for i in answer.get("FailedSOPSequence") or ()
        }
        statuses = []
        for one in batch:
            if one.sop in stored and one.sop not in refused:
                statuses.append(Status(one.sop, one.path.name, SENT))
            else:
                why = refused.get(one.sop, "the PACS answered and did not say that it has stored it")
                statuses.append(Status(one.sop, one.path.name, FAILED, why))
        return statuses

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn every foreign error into one of ours."""
        try:
            yield
        except requests.HTTPError as error:
            raise self._refused(error) from error
        except requests.exceptions.SSLError as error:
            raise PacsError(
                what="The certificate of the PACS is not trusted, or it does not speak HTTPS",
                given=self._address.place,
                remedy="Name the file of its authority in REQUESTS_CA_BUNDLE, or write http:// if it speaks that",
            ) from error
        except requests.Timeout as error:
            raise PacsUnreachableError(
                what="The PACS does not answer in time", given=self._address.place, remedy=f"{_CHECK}. {_AGAIN}"
            ) from error
        except requests.exceptions.InvalidJSONError as error:  # a RequestException too
            raise self._no_dicomweb(error) from error
        except (requests.RequestException, OSError) as error:
            refused = "refused" in str(error)
            raise PacsUnreachableError(
                what=f"The PACS {'is unreachable: nothing answers there' if refused else 'cannot be reached any more'}",
                given=self._address.place,
                remedy=_CHECK if refused else f"{_CHECK}. {_AGAIN}",
            ) from error
        except PacsError:
            raise
        except Exception as error:  # what is no DICOM makes dicomweb-client and pydicom raise many kinds
            raise self._no_dicomweb(error) from error

    def _no_dicomweb(self, error: Exception) -> PacsError:
        return PacsError(
            what="The answer is not DICOMweb",
            given=f"{self._address.place} ({type(error).__name__})",
            remedy="Check the address: it ends where /studies would follow",
        )

    def _refused(self, error: requests.HTTPError) -> PacsError:
        code = error.response.status_code if error.response is not None else 0
        place = f"{self._address.place}, status {code}"
        if code in (401, 403):
            return PacsRefusedError(
                what="The PACS does not let us in", given=place, remedy=f"Check {TOKEN}, or the user and {PASSWORD}"
            )
        if code == 404:
            return PacsError(what="The PACS does not know the address or the study", given=place, remedy=_CHECK)
        if code in (502, 503, 504):
            return PacsUnreachableError(what="The PACS is not ready", given=place, remedy=f"Try again later. {_AGAIN}")
        if code == 507:
            return PacsRefusedError(
                what="The disk of the PACS is full", given=place, remedy=f"Ask who runs it. {_AGAIN}"
            )
        return PacsRefusedError(what="The PACS refuses the request", given=place, remedy=f"Ask who runs it. {_AGAIN}")


def _is_about_objects(error: requests.HTTPError) -> bool:
    """True for an answer that is about what was sent: conflict, a type that is not supported, too large."""
    return error.response is not None and error.response.status_code in (400, 409, 413, 415, 422)


def _batches(files: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    batch: list[Outgoing] = []
    for one in files:
        if batch and (sum(b.bytes for b in batch) + one.bytes > _BATCH or batch[0].study != one.study):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


class _Auth(requests.auth.AuthBase):
    """Puts the credentials into every request; without any, nothing."""

    def __init__(self, token: str, user: str, password: str) -> None:
        self._token = token
        self._basic = requests.auth.HTTPBasicAuth(user, password) if user and not token else None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        elif self._basic is not None:
            self._basic(request)
        return request


def _with_timeout(request: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any, **more: Any) -> Any:
        more["timeout"] = more.get("timeout") or _TIMEOUT
        return request(*args, **more)

    return asked
