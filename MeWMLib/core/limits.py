"""How large an image may be before anything of it is unpacked: a small file can declare more than memory holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from MeWMLib.core.errors import InputError

#: Bytes of voxels, in the file's own type, above which an image is refused unless the user raises the limit.
DEFAULT_MAX_VOXEL_BYTES = 2 * 2**30
#: Environment variable of the limit in GiB; the command line's option `--max-gib` sets it for its worker processes.
ENVIRONMENT = "MEWM_MAX_GIB"


def max_voxel_bytes() -> int:
    """The limit in force.

    Raises:
        InputError: the environment variable is not a number above zero.
    """
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return DEFAULT_MAX_VOXEL_BYTES
    try:
        limit = float(text)
    except ValueError:
        limit = float("nan")
    if not 0 < limit < 2**20:
        raise InputError(
            what=f"--max-gib or {ENVIRONMENT} must be a number of GiB above 0",
            given=repr(text),
            remedy="Write a number such as 4",
        )
    return int(limit * 2**30)


@contextlib.contextmanager
def limit_of(gib: str | None) -> Iterator[None]:
    """Put another limit in force for the block, in this process and in the workers that it starts.

    Args:
        gib: GiB as typed; None leaves the limit as it is.

    Raises:
        InputError: not a number above zero.
    """
    before = os.environ.get(ENVIRONMENT)
    if gib is not None:
        os.environ[ENVIRONMENT] = gib.strip() or "?"
    try:
        max_voxel_bytes()
        yield
    finally:
        if before is not None:
            os.environ[ENVIRONMENT] = before
        else:
            os.environ.pop(ENVIRONMENT, None)


def require_declared_size(voxel_bytes: int, given: str) -> None:
    """Refuse an image by what its header declares, before memory is taken for it.

    Args:
        voxel_bytes: bytes of all voxels in the file's own type.
        given: names the file in the error.

    Raises:
        InputError: it is above the limit.
    """
    limit = max_voxel_bytes()
    if voxel_bytes > limit:
        raise InputError(
            what="The image declares more voxels than are read by default",
            given=f"{given}: {voxel_bytes / 2**30:.2f} GiB of voxels, the limit is {limit / 2**30:g} GiB",
            remedy="Crop it to the liver, or raise the limit with --max-gib (or MEWM_MAX_GIB)",
        )
