"""Opaque ids of patients. A name or a hospital number never leaves the reader.

In public collections the id of the collection (such as HCC_009) is opaque already. Elsewhere an id is
`p` and the first 16 hex digits of HMAC-SHA256(key, text), where the text is the name of the patient's folder and the
PatientID of its headers. The key is 32 random bytes in the user's own data folder, or in a file that the user names; it
is never stored in a cohort. So a patient has the same id in every import with one key, and without the key it cannot be
found out by trying names.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from MeWMLib.core.errors import InputError, output_error
from MeWMLib.core.folders import data_folder
from MeWMLib.core.io import atomic_path

#: Key of public collections, where nothing has to be hidden: their fingerprints are the same everywhere.
PUBLIC_KEY = b"public"
_PUBLIC_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: The public patient who is for judging only, whatever a list says: by name, or by the name of a file.
_JUDGED = re.compile(r"hcc[ _-]?009(?![0-9])", re.IGNORECASE)
_MARK_DIGITS = 16


@dataclass(frozen=True)
class Identity:
    """Turns what identifies a patient into an opaque id.

    Attributes:
        key: of the hash.
        public: ids of a public collection are kept.
    """

    key: bytes
    public: bool = False

    def patient(self, folder: str, patient_id: str) -> str:
        """Opaque id of the patient whose files lie in `folder` and say `patient_id`.

        Raises:
            InputError: a public collection whose PatientID is not a plain word.
        """
        if not self.public:
            return "p" + self.digest(f"{folder}\0{patient_id}")[:16]
        if not _PUBLIC_ID.fullmatch(patient_id):
            raise InputError(
                what="The PatientID is empty or not a plain word, as a public collection has it",
                remedy="Import with --layout folder, which makes opaque ids",
            )
        return patient_id

    def digest(self, text: str) -> str:
        """Keyed hash (64 hex digits) of a text."""
        return hmac.new(self.key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def is_judged(*names: str) -> bool:
    """Whether a name, or the name of a file, is that of the public patient who is never trained on."""
    return any(_JUDGED.search(name) is not None for name in names)


def patient_mark(person: str) -> str:
    """What a bundle notes of a patient it was trained on: 16 hex digits, the same for one id in every cohort.

    Case and the signs between words do not count, so that `hcc-011` is `HCC_011`. The mark hides nothing that could be
    guessed: an id has to be opaque already.
    """
    plain = re.sub(r"[ _.-]+", "", person.casefold())
    return Identity(PUBLIC_KEY).digest(f"trained on\0{plain}")[:_MARK_DIGITS]


def default_key_file() -> Path:
    """Where the key is stored unless the user names another file."""
    return data_folder() / "cohort.key"


def load_key(file: Path | None = None) -> bytes:
    """Read the key of opaque ids; the default one is made when it is first needed.

    Args:
        file: a file of at least 16 bytes; None is `default_key_file`.

    Raises:
        InputError: the file is missing, too short or cannot be read.
        OutputError: a new key cannot be written.
    """
    path = file or default_key_file()
    try:
        if file is None and not path.exists():
            key = secrets.token_hex(32).encode()
            with atomic_path(path) as temporary:
                temporary.write_bytes(key)
                with contextlib.suppress(OSError):
                    temporary.chmod(0o600)
            return key
        key = path.read_bytes().strip()
    except OSError as error:
        if file is None:
            raise output_error(error, path) from error
        raise InputError(
            what=f"The file of the key cannot be read ({error.strerror})", given=str(path), remedy="Check --key-file"
        ) from error
    if len(key) < 16:
        raise InputError(
            what="The key of the opaque ids is too short",
            given=f"{path}, {len(key)} bytes",
            remedy="Use 16 bytes or more",
        )
    return key
