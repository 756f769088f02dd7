"""One model bundle: a folder with a manifest, a model card and one safetensors file a part. Nothing is ever unpickled.

Whenever a bundle is opened, the sha256 of every part is compared with the manifest, and a part's bytes are compared
once more when its tensors are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from MeWMLib.core.errors import BundleError, MeWMError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.records import dump_json, from_plain, parse_json, read_json, to_plain
from MeWMLib.core.stored_weights import restored, stored
from MeWMLib.core.trained_on import Training

FORMAT = 1
#: Parts that every complete bundle has.
PARTS = ("autoencoder", "dynamics", "assistant", "survival")
#: Older bundles also hold a follow-up network, which nothing uses any more.
KNOWN_PARTS = (*PARTS, "followup")
MANIFEST, CARD = "manifest.json", "MODEL_CARD.md"
#: A name that is safe as the name of a file or folder.
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMEDY = "See `mewm bundle list`; get the bundle again with `mewm bundle import FILE.zip`"


@dataclass(frozen=True)
class Part:
    """One network of a bundle: its file, the checksum of that, and what rebuilds the network."""

    file: str
    sha256: str
    config: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What is written in manifest.json.

    Attributes:
        training: what the networks were trained on, which each case is compared with; None where it is not said.

    Raises:
        BundleError: a name that is not a plain one, an unknown part, or no checksum.
    """

    name: str
    format: int = FORMAT
    version: str = "1"
    description: str = ""
    licence: str = "Apache-2.0"
    parts: dict[str, Part] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    training: Training | None = None

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            self._refuse(f"its format is {self.format!r}, this MeWM reads format {FORMAT}")
        if not PLAIN_NAME.fullmatch(self.name):
            self._refuse(f"its name {self.name!r} is not a plain name")
        if not self.parts:
            self._refuse("it lists no parts")
        for name, part in self.parts.items():
            if name not in KNOWN_PARTS:
                self._refuse(f"it lists the unknown part {name!r}")
            if not PLAIN_NAME.fullmatch(part.file):
                self._refuse(f"the file of the part {name} is not a plain file name")
            if not _SHA256.fullmatch(part.sha256):
                self._refuse(f"the part {name} has no sha256")

    @staticmethod
    def _refuse(problem: str) -> None:
        raise BundleError(what=f"The manifest of the bundle is not valid: {problem}")


@dataclass(frozen=True)
class Bundle:
    """A verified model bundle.

    Attributes:
        name: its name in the manifest.
        path: its folder.
        manifest: the manifest, checked.
    """

    name: str
    path: Path
    manifest: Manifest

    @property
    def sha256(self) -> str:
        """One checksum of the whole bundle: over the parts' checksums and configurations, and what the manifest says of
        their training, where it says it; not over texts or paths."""
        parts, training = self.manifest.parts.items(), self.manifest.training
        content: dict[str, Any] = {name: {"sha256": p.sha256, "config": p.config} for name, p in parts}
        if training is not None:
            content["training"] = to_plain(training)
            if not training.patient_marks:  # as before a bundle could name them
                del content["training"]["patient_marks"]
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def part_sha256(self) -> dict[str, str]:
        """Checksum of each part that is there, in the order of `KNOWN_PARTS`."""
        parts = self.manifest.parts
        return {name: parts[name].sha256 for name in KNOWN_PARTS if name in parts}

    def part(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a part's configuration and its tensors; float16 or int8 on disk, float32 here.

        Raises:
            BundleError: the bundle has no such part, or its file changed since the bundle was opened.
        """
        part = self.manifest.parts.get(name)
        if part is None:
            raise refusal(what=f"The bundle {self.name} has no part {name}", given=self.path)
        try:
            tensors = safetensors.numpy.load(_checked_bytes(self.path, name, part))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            what = f"The part {name} is not a safetensors file"
            raise refusal(what, given=f"{self.path} ({error})") from error
        return dict(part.config), restored(tensors)


def require_sizes(config: Any, limits: Mapping[str, tuple[float, float]], what: str) -> None:
    """Refuse a configuration before a network of its size is built.

    Args:
        config: a dataclass of numbers and tuples of numbers.
        limits: name of a field to the lowest and the highest value of it, or of each of its entries (64 at most).
        what: names it in an error.

    Raises:
        BundleError: a value beyond its limits.
    """
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        values = tuple(value) if isinstance(value, tuple | list) else (value,)
        if len(values) > 64 or not all(low <= one <= high for one in values):
            raise BundleError(
                what=f"The configuration of {what} is not possible",
                given=f"{name} = {value!r}"[:120],
                remedy=f"Values of {name} are from {low:g} to {high:g}; get the bundle again",
            )


@contextlib.contextmanager
def rebuilding(what: str, remedy: str) -> Iterator[None]:
    """Turn what torch raises where a configuration is no network, or the weights are not its own, into a `BundleError`.

    Args:
        what: the sentence of the error.
        remedy: what the user can do.

    Raises:
        BundleError: see above.
    """
    try:
        yield
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise BundleError(what, given=lines[-1].strip()[:200], remedy=remedy) from error


def refusal(what: str, given: object) -> BundleError:
    """The error of a bundle that cannot be used."""
    return BundleError(what, given=str(given), remedy=_REMEDY)


def open_bundle(folder: Path | str, require: Sequence[str] = PARTS) -> Bundle:
    """Open a folder as a bundle and verify the checksum of every part.

    Args:
        folder: the bundle's folder.
        require: parts that must be there; training opens bundles that are not yet complete.

    Raises:
        BundleError: no manifest, an unreadable one, a missing part or a wrong sha256.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    missing = [name for name in require if name not in manifest.parts]
    if missing:
        raise BundleError(
            what=f"The bundle {manifest.name} lacks " + ", ".join(missing),
            given=str(folder),
            remedy="Use a complete bundle, or train what is missing with `mewm train`",
        )
    for name, part in manifest.parts.items():
        _checked_bytes(folder, name, part)
    return Bundle(manifest.name, folder, manifest)


def write_part(
    folder: Path | str,
    part: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Any],
    *,
    bundle_name: str | None = None,
    eight_bits: bool = False,
    **texts: str,
) -> Bundle:
    """Store a trained part and enter it into the manifest, which is made where there is none.

    Args:
        folder: the bundle's folder.
        part: one of `KNOWN_PARTS`.
        config: what rebuilds the network, JSON-ready.
        tensors: name to array (or CPU tensor); floating-point ones are stored as float16.
        eight_bits: store most of them as int8 (`stored_weights.stored`), in half of the space.
        bundle_name: name of a new bundle; by default the folder's name.
        texts: "version", "description", "licence" of the manifest.

    Raises:
        BundleError: an unknown part, a config that is not JSON, weights that float16 cannot hold.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    if part not in KNOWN_PARTS:
        raise BundleError(what="Unknown part of a bundle", given=part, remedy="Use " + ", ".join(KNOWN_PARTS))
    unknown = sorted(set(texts) - {"version", "description", "licence"})
    if unknown:
        raise BundleError(what="Unknown text of a manifest", given=", ".join(unknown))
    content = safetensors.numpy.save(stored(tensors, eight_bits))
    entry = Part(
        f"{part}.safetensors",
        hashlib.sha256(content).hexdigest(),
        parse_json(dump_json(dict(config), BundleError), f"The config of {part}", BundleError),
    )
    former = _read_manifest(folder) if (folder / MANIFEST).is_file() else None
    parts = {**(former.parts if former else {}), part: entry}
    parts = {name: parts[name] for name in KNOWN_PARTS if name in parts}
    name = bundle_name or (former.name if former else folder.name)
    manifest = replace(former, name=name, parts=parts) if former else Manifest(name, parts=parts)
    manifest = replace(manifest, **texts)  # type: ignore[arg-type]
    for file, data in ((entry.file, content), (MANIFEST, _text_of(manifest))):
        with atomic_path(folder / file) as temporary:
            temporary.write_bytes(data)
    return open_bundle(folder, require=())


def write_training(folder: Path | str, training: Training) -> Bundle:
    """Write into the manifest of a bundle what it was trained on; what stood there is replaced.

    Raises:
        BundleError: the folder is no bundle.
        OutputError: it cannot be written.
    """
    folder = Path(folder)
    text = _text_of(replace(_read_manifest(folder), training=training))
    with atomic_path(folder / MANIFEST) as temporary:
        temporary.write_bytes(text)
    return open_bundle(folder, require=())


def _text_of(manifest: Manifest) -> bytes:
    """A manifest as it is written: the format first, as in every manifest so far, and nothing that is not said."""
    entries = to_plain(manifest)
    if manifest.training is None:
        del entries["training"]
    elif not manifest.training.patient_marks:
        del entries["training"]["patient_marks"]
    return (json.dumps({"format": FORMAT, **entries}, indent=2, ensure_ascii=False) + "\n").encode()


def _checked_bytes(folder: Path, name: str, part: Part) -> bytes:
    path = folder / part.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise refusal(what=f"The part {name} of the bundle cannot be read ({error.strerror})", given=path) from error
    found = hashlib.sha256(content).hexdigest()
    if found != part.sha256:
        what = f"The part {name} does not have the sha256 of the manifest: it is damaged or was changed"
        raise refusal(what, given=f"{path} with {found[:12]}..., expected {part.sha256[:12]}...")
    return content


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not path.exists():
        raise refusal(what="This is not a bundle: the folder has no manifest.json", given=folder)
    data = read_json(path, "The manifest of the bundle", BundleError, _REMEDY)
    try:
        return from_plain(Manifest, data, "the manifest", BundleError, strict=False)
    except MeWMError as error:
        what = error.what if "not valid" in error.what else f"The manifest of the bundle is not valid: {error.what}"
        raise refusal(what, given=path) from error
