"""The user's model bundles: where they are looked for, listed, imported and deleted."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from MeWMLib.core.bundle import CARD, MANIFEST, PARTS, PLAIN_NAME, Bundle, open_bundle, refusal, write_part
from MeWMLib.core.errors import BundleError, output_error
from MeWMLib.core.folders import data_folder

__all__ = [
    "CARD", "DEFAULT_BUNDLE", "MANIFEST", "PARTS", "Bundle", "delete_bundle", "find_bundle", "import_bundle",
    "list_bundles", "open_bundle", "search_path", "user_bundles", "write_part",
]  # fmt: skip
DEFAULT_BUNDLE = "mewm-small"
#: More than this in an archive is not a model bundle but a mistake or an attack (bytes, unpacked).
MAX_ARCHIVE_BYTES = 8 * 1024**3
_COMPANIONS = (CARD, "LICENSE.txt", "LICENSE", "NOTICE.txt")


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


def import_bundle(source: Path | str) -> Bundle:
    """Copy a bundle, a .zip archive or a folder, into the user's data folder once it is verified.

    Only the manifest, the parts it lists and the model card are taken; other files of the archive are left out.

    Raises:
        BundleError: not a bundle, a wrong sha256, an unsafe archive, or a bundle of that name is there already.
        OutputError: the user's data folder cannot be written.
    """
    source, home = Path(source), user_bundles()
    try:
        home.mkdir(parents=True, exist_ok=True)
        # beside the target, on its file system, so that the last step is one rename
        work = tempfile.TemporaryDirectory(dir=home, prefix=".import-", ignore_cleanup_errors=True)
    except OSError as error:
        raise output_error(error, home) from error
    with work:
        folder = source if source.is_dir() else _unpack(source, Path(work.name) / "unpacked")
        bundle = open_bundle(folder)
        target, staged = home / bundle.name, Path(work.name) / bundle.name
        if target.exists():
            raise BundleError(
                what=f"A bundle called {bundle.name} is already there",
                given=str(target),
                remedy=f"Delete it first with `mewm bundle delete {bundle.name}`",
            )
        try:
            staged.mkdir()
            for name in (MANIFEST, *(p.file for p in bundle.manifest.parts.values()), *_COMPANIONS):
                if (folder / name).is_file():
                    shutil.copyfile(folder / name, staged / name)
            open_bundle(staged)
            staged.rename(target)
        except OSError as error:
            raise output_error(error, target) from error
    return open_bundle(target)


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
        raise refusal(what="The archive must hold one manifest.json", given=f"{archive} with {len(manifests)}")
    return manifests[0].parent


def delete_bundle(name: str) -> Path:
    """Delete a bundle of the user's data folder; those that came with MeWM stay.

    Raises:
        BundleError: there is no such bundle in the user's data folder.
    """
    folder = user_bundles() / name
    if not PLAIN_NAME.fullmatch(name) or not (folder / MANIFEST).is_file():
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
