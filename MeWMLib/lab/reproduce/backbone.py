"""A published feature network for FID and LPIPS, given as a TorchScript file; no such network comes with MeWM.

The file holds the network with its weights (`torch.jit.save`), so that nothing but torch is needed to run it. Beside it
`NAME.json` may say what it takes:

    {"name": "RadImageNet ResNet-50", "size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

`size` is the side that crops are resampled to (0: as they are), `mean` and `std` are taken off after the CT window
-175 to 600 HU was brought to 0 to 1 in three equal channels. The network returns a vector or a map of features for
each image, or a list of them, shallow to deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.records import from_plain, read_json
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.lab.reproduce.kept import file_checksum


@dataclass(frozen=True)
class _About:
    name: str
    size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


class PublishedFeatures:
    """A feature network from a file (see the module); a `FeatureNetwork` of `evaluation.perceptual`.

    Args:
        path: of the TorchScript file.

    Attributes:
        name: what the figures are reported with: name and checksum.

    Raises:
        UnreadableFileError: no TorchScript network, or a description that cannot be read.
        InputError: a network that does not return features for images of this size.
    """

    def __init__(self, path: Path) -> None:
        described = path.with_suffix(".json")
        self._about = _About(path.stem)
        if described.exists():
            data = read_json(described, "The description of the feature network", UnreadableFileError)
            self._about = from_plain(_About, data, "The description of the feature network")
        if len(self._about.mean) != 3 or len(self._about.std) != 3 or 0 in self._about.std:
            raise InputError(
                what="mean and std of a feature network are three numbers each, none of std 0",
                given=f"{self._about.mean}, {self._about.std}",
            )
        try:
            self._network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise UnreadableFileError(
                what="The feature network cannot be read",
                given=f"{path} ({str(error).splitlines()[0][:200]})",
                remedy="Give a TorchScript file, written by torch.jit.save",
            ) from error
        self.name = f"{self._about.name} (published, SHA-256 {file_checksum(path)[:12]})"
        self.layers(torch.zeros(2, 1, 64, 64))

    @torch.no_grad()
    def layers(self, images: Tensor) -> list[Tensor]:
        """HU (N, 1, H, W) to feature maps (N, C_l, H_l, W_l), shallow to deep.

        Raises:
            InputError: the network fails, or returns something else.
        """
        low, high = CT_WINDOW_HU
        x = ((images.float() - low) / (high - low)).clamp(0, 1).expand(-1, 3, -1, -1)
        if self._about.size:
            x = functional.interpolate(x, (self._about.size,) * 2, mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self._about.mean, self._about.std))
        try:
            found: Any = self._network((x - mean) / std)
        except RuntimeError as error:
            raise InputError(
                what="The feature network fails on a crop",
                given=str(error).strip().splitlines()[-1][:200],
                remedy="Say its size in the JSON file beside it",
            ) from error
        maps = list(found) if isinstance(found, Sequence) else [found]
        if not maps or not all(isinstance(m, Tensor) and m.ndim in (2, 4) and len(m) == len(images) for m in maps):
            raise InputError(
                what="The feature network returns no features for each image",
                given=str([tuple(getattr(m, "shape", ())) for m in maps])[:200],
                remedy="It must return (N, C), (N, C, H, W) or a list of them",
            )
        return [m.float() if m.ndim == 4 else m.float()[:, :, None, None] for m in maps]
