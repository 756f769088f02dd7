"""Model bundles: a folder with a manifest, a model card and one safetensors file a part. Nothing is ever unpickled.

A bundle is found by name on a search path or given as a folder; whenever one is opened, the sha256 of every part is
compared with the manifest, and a part's bytes are compared once more when its tensors are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from MeWMLib.core.errors import BundleError, output_error
from MeWMLib.core.folders import data_folder

FORMAT = 1
#: Parts that every complete bundle has; a follow-up network is welcome.
PARTS = ("autoencoder", "dynamics", "assistant", "survival")
KNOWN_PARTS, DEFAULT_BUNDLE = (*PARTS, "followup"), "mewm-small"
MANIFEST, CARD = "manifest.json", "MODEL_CARD.md"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COMPANIONS = (CARD, "LICENSE.txt", "LICENSE", "NOTICE.txt")
#: More than this in an archive is no model bundle but a mistake or an attack (bytes, unpacked).
MAX_ARCHIVE_BYTES = 8 * 1024**3
_REMEDY = "See `mewm bundle list`; get the bundle again with `mewm bundle import FILE.zip`"


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
    manifest: dict[str, Any]

    @property
    def sha256(self) -> str:
        """One checksum of the whole bundle: over the parts' checksums and configurations, not over texts or paths."""
        parts = self.manifest["parts"]
        content = {name: {"sha256": p["sha256"], "config": p["config"]} for name, p in parts.items()}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def part_sha256(self) -> dict[str, str]:
        """Checksum of each part that is there, in the order of `KNOWN_PARTS`."""
        parts = self.manifest["parts"]
        return {name: str(parts[name]["sha256"]) for name in KNOWN_PARTS if name in parts}

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that belong to all parts together."""
        return dict(self.manifest.get("settings", {}))

    def part(self, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a part's configuration and its tensors; float16 on disk, float32 here.

        Raises:
            BundleError: the bundle has no such part, or its file changed since the bundle was opened.
        """
        entry = self.manifest["parts"].get(name)
        if entry is None:
            raise _refusal(what=f"The bundle {self.name} has no part {name}", given=self.path)
        try:
            tensors = safetensors.numpy.load(_checked_bytes(self.path, name, entry))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _refusal(what=f"The part {name} is no safetensors file", given=f"{self.path} ({error})") from error
        return dict(entry["config"]), {
            key: value.astype(np.float32) if value.dtype == np.float16 else value for key, value in tensors.items()
        }


def _refusal(what: str, given: object) -> BundleError:
    return BundleError(what, given=str(given), remedy=_REMEDY)


def _checked_bytes(folder: Path, name: str, entry: dict[str, Any]) -> bytes:
    path = folder / str(entry["file"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refusal(what=f"The part {name} of the bundle cannot be read ({error.strerror})", given=path) from error
    found = hashlib.sha256(content).hexdigest()
    if found != entry["sha256"]:
        what = f"The part {name} does not have the sha256 of the manifest: it is damaged or was changed"
        raise _refusal(what, given=f"{path} with {found[:12]}..., expected {entry['sha256'][:12]}...")
    return content


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _refusal(what="There is no bundle here: the folder has no manifest.json", given=folder) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _refusal(what="The manifest of the bundle cannot be read", given=f"{path} ({error})") from error
    problem = _manifest_problem(manifest)
    if problem:
        raise _refusal(what=f"The manifest of the bundle is not valid: {problem}", given=path)
    assert isinstance(manifest, dict)
    return manifest


def _manifest_problem(manifest: Any) -> str:
    """Say what is wrong with a manifest, or ""."""
    if not isinstance(manifest, dict):
        return "it is no JSON object"
    if manifest.get("format") != FORMAT:
        return f"its format is {manifest.get('format')!r}, this MeWM reads format {FORMAT}"
    if not isinstance(manifest.get("name"), str) or not _NAME.fullmatch(manifest["name"]):
        return f"its name {manifest.get('name')!r} is no plain name"
    if not isinstance(manifest.get("settings", {}), dict):
        return "its settings are no JSON object"
    parts = manifest.get("parts")
    if not isinstance(parts, dict) or not parts:
        return "it lists no parts"
    for name, entry in parts.items():
        if name not in KNOWN_PARTS:
            return f"it lists the unknown part {name!r}"
        if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
            return f"the part {name} has no config"
        if not isinstance(entry.get("file"), str) or not _NAME.fullmatch(entry["file"]):
            return f"the file of the part {name} is no plain file name"
        if not re.fullmatch(r"[0-9a-f]{64}", str(entry.get("sha256"))):
            return f"the part {name} has no sha256"
    return ""


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
    missing = [name for name in require if name not in manifest["parts"]]
    if missing:
        raise BundleError(
            what=f"The bundle {manifest['name']} lacks " + ", ".join(missing),
            given=str(folder),
            remedy="Use a complete bundle, or train what is missing with `mewm train`",
        )
    for name, entry in manifest["parts"].items():
        _checked_bytes(folder, name, entry)
    return Bundle(manifest["name"], folder, manifest)


def user_bundles() -> Path:
    """The user's own folder of bundles, where `import_bundle` puts them."""
    return data_folder() / "bundles"


def search_path() -> list[Path]:
    """Folders that are looked through for bundles, first match wins."""
    named = [Path(p) for p in os.environ.get("MEWM_BUNDLES", "").split(os.pathsep) if p]
    package = Path(__file__).resolve().parents[1]
    return [*named, user_bundles(), package / "Resources" / "Bundles", package.parent / "Resources" / "Bundles"]


def find_bundle(name_or_path: str | Path | None = None, require: Sequence[str] = PARTS) -> Bundle:
    """Find and verify a bundle: a folder, a name on the search path, or the default one.

    Raises:
        BundleError: not found, or refused by `open_bundle`.
    """
    text = str(name_or_path or DEFAULT_BUNDLE)
    if name_or_path is not None and (Path(text).name != text or (Path(text) / MANIFEST).is_file()):
        return open_bundle(Path(text), require)
    for folder in search_path():
        if (folder / text / MANIFEST).is_file():
            return open_bundle(folder / text, require)
    raise BundleError(
        what=f"No model bundle is called {text}",
        given="looked in " + ", ".join(str(p) for p in search_path()),
        remedy="Import one with `mewm bundle import FILE.zip`, or give its folder with --bundle",
    )


def list_bundles() -> list[tuple[str, Path]]:
    """Names and folders of all bundles on the search path; unverified. A shadowed bundle is not listed."""
    found: dict[str, Path] = {}
    for folder in search_path():
        for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
            if not manifest.parent.name.startswith("."):
                found.setdefault(manifest.parent.name, manifest.parent)
    return sorted(found.items())


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or absent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            # mkstemp makes files that only their owner reads; a bundle is to be read by everybody
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise output_error(error, path) from error


def _stored(name: str, tensor: Any) -> NDArray[Any]:
    """Return the array as it is stored: floats as float16, in C order (safetensors would scramble other strides)."""
    array = np.array(tensor, order="C")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise BundleError(
            what="A weight is not finite or does not fit into float16", given=name, remedy="Look at the training run"
        )
    return half


def write_part(
    folder: Path | str,
    part: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Any],
    *,
    bundle_name: str | None = None,
    **texts: str,
) -> Bundle:
    """Store a trained part and enter it into the manifest, which is made where there is none.

    Args:
        folder: the bundle's folder.
        part: one of `KNOWN_PARTS`.
        config: what rebuilds the network, JSON-ready.
        tensors: name to array (or CPU tensor); floating-point ones are stored as float16.
        bundle_name: name of a new bundle; by default the folder's name.
        texts: "version", "description", "licence" of the manifest.

    Raises:
        BundleError: an unknown part, a config that is no JSON, weights that float16 cannot hold.
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    if part not in KNOWN_PARTS:
        raise BundleError(what="Unknown part of a bundle", given=part, remedy="Use " + ", ".join(KNOWN_PARTS))
    unknown = sorted(set(texts) - {"version", "description", "licence"})
    if unknown:
        raise BundleError(what="Unknown text of a manifest", given=", ".join(unknown))
    if (folder / MANIFEST).is_file():
        manifest = _read_manifest(folder)
    else:
        manifest = {"format": FORMAT, "name": bundle_name or folder.name, "version": "1"}
        manifest |= {"description": "", "licence": "Apache-2.0", "parts": {}, "settings": {}}
    if bundle_name is not None:
        manifest["name"] = bundle_name
    manifest |= texts
    content = safetensors.numpy.save({name: _stored(name, tensor) for name, tensor in tensors.items()})
    file = f"{part}.safetensors"
    try:
        plain = json.loads(json.dumps(dict(config), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise BundleError(what=f"The config of {part} is no JSON", given=str(error)) from error
    manifest["parts"][part] = {"file": file, "sha256": hashlib.sha256(content).hexdigest(), "config": plain}
    manifest["parts"] = {name: manifest["parts"][name] for name in KNOWN_PARTS if name in manifest["parts"]}
    problem = _manifest_problem(manifest)
    if problem:
        raise BundleError(what=f"The manifest would not be valid: {problem}", given=str(folder))
    _write(folder / file, content)
    _write(folder / MANIFEST, (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode())
    return open_bundle(folder, require=())


def import_bundle(source: Path | str) -> Bundle:
    """Copy a bundle, a .zip archive or a folder, into the user's data folder once it is verified.

    Only the manifest, the parts it lists and the model card are taken; other files of the archive are left out.

    Raises:
        BundleError: no bundle, a wrong sha256, an unsafe archive, or a bundle of that name is there already.
        OutputError: the user's data folder cannot be written.
    """
    source = Path(source)
    home = user_bundles()
    with _work_folder(home) as work:
        folder = source if source.is_dir() else _unpack(source, work / "unpacked")
        bundle = open_bundle(folder)
        target = home / bundle.name
        if target.exists():
            raise BundleError(
                what=f"A bundle called {bundle.name} is already there",
                given=str(target),
                remedy=f"Delete it first with `mewm bundle delete {bundle.name}`",
            )
        staged = work / bundle.name
        names = [MANIFEST, *(p["file"] for p in bundle.manifest["parts"].values()), *_COMPANIONS]
        try:
            staged.mkdir()
            for name in names:
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, staged / name)
            open_bundle(staged)
            staged.rename(target)
        except OSError as error:
            raise output_error(error, target) from error
    return open_bundle(target)


@contextmanager
def _work_folder(home: Path) -> Iterator[Path]:
    """A folder beside the target, on its file system, so that the last step is one rename."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=home, prefix=".import-"))
    except OSError as error:
        raise output_error(error, home) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack a .zip and return the folder in it that holds the manifest."""
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = zipped.infolist()
            for member in members:
                parts = re.split(r"[\\/]", member.filename)
                link = stat.S_ISLNK(member.external_attr >> 16)
                if link or ".." in parts or parts[0] == "" or ":" in parts[0]:
                    raise BundleError(
                        what="The archive is not safe: a member would be written outside of its folder",
                        given=f"{archive}: {member.filename}",
                        remedy="Do not use this archive",
                    )
            if sum(m.file_size for m in members) > MAX_ARCHIVE_BYTES:
                raise BundleError(what="The archive is too large for a model bundle", given=str(archive))
            zipped.extractall(folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            what="The archive cannot be read", given=f"{archive} ({error})", remedy="Give a .zip file or a folder"
        ) from error
    except FileNotFoundError as error:
        raise BundleError(what="There is no such file", given=str(archive), remedy="Give a .zip or a folder") from error
    except OSError as error:
        raise output_error(error, folder) from error
    manifests = sorted(folder.rglob(MANIFEST))
    if len(manifests) != 1:
        raise _refusal(what="The archive must hold one manifest.json", given=f"{archive} with {len(manifests)}")
    return manifests[0].parent


def delete_bundle(name: str) -> Path:
    """Delete a bundle of the user's data folder; those that came with MeWM stay.

    Raises:
        BundleError: there is no such bundle in the user's data folder.
    """
    folder = user_bundles() / name
    if not _NAME.fullmatch(name) or not (folder / MANIFEST).is_file():
        raise BundleError(
            what=f"Your data folder has no bundle called {name}",
            given=str(user_bundles()),
            remedy="Only imported bundles can be deleted; see `mewm bundle list`",
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise output_error(error, folder) from error
    return folder
