"""`mewm train bundle`: a bundle of parts that were trained in others, each stored in 16 or 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MeWMLib.core.bundles import PARTS, find_bundle, write_part
from MeWMLib.core.errors import BundleError


def assemble(
    bundle: Path,
    sources: Mapping[str, Path],
    eight_bits: Sequence[str] = (),
    **texts: str,
) -> dict[str, float]:
    """Copy parts of other bundles into one.

    Weights that were stored in 8 bits before are rounded only once: what is read of them is the same again.

    Args:
        bundle: folder that is written to; a new bundle or one that is there, whose other parts stay.
        sources: name of a part to the bundle that it is taken from.
        eight_bits: the parts whose weights are stored as int8 (`core.stored_weights`).
        texts: of the manifest (`write_part`).

    Returns:
        Size of each part that was written (MB).

    Raises:
        BundleError: an unknown part, a source without it, or parts in 8 bits that are not written.
        OutputError: the folder cannot be written.
    """
    unknown = [name for name in (*sources, *eight_bits) if name not in PARTS]
    if unknown or set(eight_bits) - set(sources):
        raise BundleError(
            what="These parts cannot be put into a bundle",
            given=", ".join(unknown or sorted(set(eight_bits) - set(sources))),
            remedy=f"Name parts that are taken from a bundle, out of {', '.join(PARTS)}",
        )
    opened = {name: find_bundle(path.resolve(), require=(name,)).part(name) for name, path in sources.items()}
    sizes = {}
    for name, (config, tensors) in opened.items():
        written = write_part(bundle, name, config, tensors, eight_bits=name in eight_bits, **texts)
        sizes[name] = (bundle / written.manifest.parts[name].file).stat().st_size / 1e6
    return sizes


def named_sources(words: Sequence[str]) -> dict[str, Path]:
    """PART=FOLDER words of the command line as `assemble` takes them.

    Raises:
        BundleError: a word of another form, or a part that is named twice.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, sign, folder = word.partition("=")
        if not sign or not folder or name in found:
            raise BundleError(
                what="This does not say which part is taken from where, or says it twice",
                given=word,
                remedy="Give each part once, as in dynamics=FOLDER",
            )
        found[name] = Path(folder)
    return found
