"""The segmenter, H_seg of the paper: liver and tumour on CT before and after treatment (DynUNet from MONAI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cc3d
import numpy as np
import torch
from monai.networks.nets.dynunet import DynUNet
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.bundle import rebuilding, require_sizes
from MeWMLib.core.errors import BundleError, CancelledError, GeometryMismatchError
from MeWMLib.core.precision import computes_bfloat16
from MeWMLib.core.records import from_plain, record_to_plain
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception import postprocess
from MeWMLib.perception.cpu_engine import choose
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.liver_finder import FinderConfig, LiverFinder, build_finder
from MeWMLib.perception.preprocess import body_box, isotropic_geometry, resample, to_source
from MeWMLib.perception.windows import AT_A_TIME, Box, KeptSegmentation, Sums, Windows, likeliest, predict

#: Called with the finished share.
Progress = Callable[[float], None]
#: True stops the work.
Cancelled = Callable[[], bool]
#: A piece of liver and tumour under this size, in ml, asks for no windows around it: it is no liver.
SPECK_ML = 5.0
#: DynUNet lists its layers a second time under this name; they are the same tensors.
_ALIASES = "skip_layers."
#: Names of the weights of the network that finds the liver begin with this.
_FINDER = "finder."
#: A count of batches that normalisation keeps in training; nothing depends on it.
_COUNTS = "num_batches_tracked"


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes and inference settings; they live in the bundle with the weights.

    Attributes:
        filters: channels at each resolution.
        spacing_mm: voxel size at which whole CTs are segmented.
        window: side of the sliding window in voxels.
        overlap: of neighbouring windows.
        finest: patches with voxels smaller than this share of `spacing_mm` are seen at half their resolution.
        finder: of the network that finds the liver on coarse voxels; None in bundles that have none.
    """

    filters: tuple[int, ...] = (16, 32, 64, 128, 128)
    spacing_mm: float = 1.6
    window: int = 64
    overlap: float = 0.5
    finest: float = 0.75
    finder: FinderConfig | None = None

    def __post_init__(self) -> None:
        sizes = {
            "filters": (1, 2048),
            "spacing_mm": (0.1, 20),
            "window": (8, 1024),
            "overlap": (0, 0.95),
            "finest": (0, 10),
        }
        require_sizes(self, sizes, "the segmenter")
        levels = len(self.filters)
        if not 3 <= levels <= 8 or self.window % 2 ** (levels - 1):
            raise BundleError(
                what="The configuration of the segmenter is not possible",
                given=f"{levels} levels, windows of {self.window} voxels",
                remedy="It has 3 to 8 levels, and a window can be halved at each; get the bundle again",
            )


def build(config: SegmenterConfig) -> DynUNet:
    """The network: one channel in (CT in -1..1), logits of background, liver and tumour out."""
    levels = len(config.filters)
    return DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=3,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=list(config.filters),
        norm_name=("INSTANCE", {"affine": True}),
        res_block=False,
    )


class Segmenter:
    """The network in inference.

    Attributes:
        finder: finds the liver on coarse voxels; None where the bundle has no network for it.
        mixed: whether it computes in bfloat16, as hardware does that multiplies in it.
    """

    def __init__(
        self, config: SegmenterConfig, network: DynUNet, device: torch.device, finder: LiverFinder | None = None
    ) -> None:
        self.config = config
        self.finder = finder
        self.network = network.to(device).eval()
        self.device = device
        self.mixed = computes_bfloat16(device)
        self._speck = max(1, round(SPECK_ML * 1000 / config.spacing_mm**3))
        self._engines: dict[int, Callable[[Tensor], Tensor] | None] = {}  # by side of a window; None is the network

    @classmethod
    def from_part(cls, config: dict[str, Any], tensors: dict[str, NDArray[Any]], device: torch.device) -> Segmenter:
        """Rebuild from a bundle part."""
        remedy = "Import the bundle again"
        settings = from_plain(SegmenterConfig, config, "the segmenter of this bundle", BundleError, remedy)
        own = {k: v for k, v in tensors.items() if not k.startswith(_FINDER)}
        network = _filled(partial(build, settings), own, "the segmenter")
        coarse = {k.removeprefix(_FINDER): v for k, v in tensors.items() if k.startswith(_FINDER)}
        finder = None
        if settings.finder is not None or coarse:
            sizes = settings.finder or FinderConfig()
            found = _filled(partial(build_finder, sizes), coarse, "the network that finds the liver")
            finder = LiverFinder(sizes, found, device)
        return cls(settings, network, device, finder)

    def part_config(self) -> dict[str, Any]:
        """Config for a bundle; without a network that finds the liver it is one that older versions read."""
        config = record_to_plain(replace(self.config, finder=self.finder.config if self.finder else None))
        return {name: value for name, value in config.items() if value is not None}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """State for a bundle, each weight once."""
        coarse = {} if self.finder is None else _weights(self.finder.network)
        return _weights(self.network) | {_FINDER + k: v for k, v in coarse.items()}

    def segment(
        self,
        hu: NDArray[Any],
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> NDArray[np.uint8]:
        """Segment a CT on the network's grid by sliding windows with Gaussian weights.

        The fewest windows that cover the body are computed first, and then those that touch liver or tumour, until no
        more of either is found: the time grows with the liver, not with the scan.

        Args:
            hu: (D, H, W) at `config.spacing_mm`, axes superior, posterior, left.
            progress: called with the finished share.
            cancelled: asked before each pair of windows.

        Returns:
            Labels (D, H, W).

        Raises:
            CancelledError: `cancelled` said so.
        """
        return self.segment_kept(hu, progress, cancelled).labels

    def segment_ct(
        self,
        ct: Volume,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> LabelMap:
        """Segment a whole CT on its own grid; see `segment`. Lesions of which the network is not sure become liver.

        Raises:
            CancelledError: `cancelled` said so.
        """
        grid = isotropic_geometry(ct.geometry, self.config.spacing_mm)
        kept = self.segment_kept(resample(ct.array, ct.geometry, grid), progress, cancelled)
        found = LabelMap(kept.labels, grid)
        if found.tumour.any():
            found = postprocess.without_doubtful(found, kept.tumour_probability())
        return to_source(found, ct.geometry)

    @torch.inference_mode()
    def segment_kept(
        self, hu: NDArray[Any], progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> KeptSegmentation:
        """As `segment`, and keep what `segment_again` needs: 5 MB of memory for each window of 96^3.

        Raises:
            CancelledError: `cancelled` said so.
        """
        return self._computed(hu, body_box(hu), {}, progress, cancelled)

    @torch.inference_mode()
    def segment_again(
        self,
        kept: KeptSegmentation,
        hu: NDArray[Any],
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> KeptSegmentation:
        """Segment a CT that differs only in part from one that was segmented before, as after a simulation.

        Only windows that hold a changed voxel go through the network; the labels equal those of a full run. Differences
        beyond the CT window are not a change.

        Args:
            kept: of the CT before.
            hu: (D, H, W), same grid.
            progress, cancelled: as in `segment`.

        Raises:
            GeometryMismatchError: another grid.
            CancelledError: `cancelled` said so.
        """
        if hu.shape != kept.labels.shape:
            raise GeometryMismatchError(
                what="A CT on another grid cannot be segmented in part",
                given=f"{hu.shape}, before {kept.labels.shape}",
                remedy="Segment it as a whole",
            )
        box = body_box(hu)
        if box != kept.box:
            return self.segment_kept(hu, progress, cancelled)
        changed = normalise(torch.from_numpy(np.asarray(hu[box], np.float32))) != kept.image
        touched = set(kept.windows.touched(changed.numpy()))
        if not touched:
            return replace(kept, computed=0)
        known = {n: one for n, one in kept.logits.items() if n not in touched}
        return self._computed(hu, box, known, progress, cancelled)

    def _computed(
        self,
        hu: NDArray[Any],
        box: Box,
        known: dict[int, Tensor],
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> KeptSegmentation:
        """Labels of a CT, where the logits of some windows are known."""
        image = normalise(torch.from_numpy(np.asarray(hu[box], np.float32)))
        windows = Windows.over(image.shape, self.config.window, self.config.overlap)
        padded, sums, logits = windows.pad(image), Sums(windows, 3), dict(known)
        added: set[int] = set()
        wanted, together = windows.cover(), AT_A_TIME
        told = 0.0

        def tell(done: int, whole: int) -> None:
            nonlocal told
            told = max(told, done / whole)  # how many windows there will be is known better after each round
            if progress is not None:
                progress(told)

        while wanted:
            new = [n for n in wanted if n not in logits]
            # of the first round nobody knows yet how many will follow
            whole = len(windows.boxes) if not added else len(logits) + len(new)
            found, together = self._predict(
                windows, padded, new, together, partial(tell, whole=whole), len(logits), cancelled
            )
            logits |= found
            sums.add({n: logits[n] for n in wanted})
            added |= set(wanted)
            there = cc3d.dust(sums.labels() > 0, threshold=self._speck, connectivity=26)
            wanted = [n for n, one in enumerate(windows.boxes) if n not in added and there[one].any()]
        if progress is not None:
            progress(1.0)
        labels = np.zeros(hu.shape, np.uint8)
        place, inside = windows.inner(windows.whole)
        labels[box][place] = sums.labels()[inside]
        return KeptSegmentation(labels, box, image, windows, sums, logits, len(logits) - len(known))

    def _predict(
        self,
        windows: Windows,
        image: Tensor,
        numbers: Sequence[int],
        together: int,
        tell: Callable[[int], None],
        before: int,
        cancelled: Cancelled | None,
    ) -> tuple[dict[int, Tensor], int]:
        """Logits of windows, and how many may go through the network together, which is one where memory ran out.

        `tell` is called with how many are done, those `before` included.
        """

        def before_each(done: int) -> None:
            if cancelled is not None and cancelled():
                raise CancelledError(what="The segmentation was stopped")
            tell(before + done)

        def infer(at_a_time: int, network: Callable[[Tensor], Tensor]) -> dict[int, Tensor]:
            return predict(windows, image, numbers, network, self.device, at_a_time, before_each)

        logits: dict[int, Tensor] = {}
        try:
            if windows.side not in self._engines:  # chosen for the whole image, and kept for parts of it
                chosen = choose(self.network, self.device, AT_A_TIME, windows.side, len(windows.boxes), self.mixed)
                self._engines[windows.side] = None if chosen is self.network else chosen
            if together == AT_A_TIME:
                logits = infer(AT_A_TIME, self._engines[windows.side] or self._logits)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            together = 1
        # outside the handler: the traceback of the error keeps what did not fit alive
        if together < AT_A_TIME:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            logits = infer(1, self._logits)
        return logits, together

    def _logits(self, images: Tensor) -> Tensor:
        """The network by torch, in the precision that the device computes fast."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            return self.network(images).float()

    @torch.inference_mode()
    def segment_patches(self, hu: NDArray[np.float32], spacing_mm: float) -> NDArray[np.uint8]:
        """Segment whole patches in one pass each.

        Args:
            hu: (N, D, H, W) on one grid, sizes divisible by 32.
            spacing_mm: of that grid. Where it is much finer than the network's own, pairs of voxels are merged, and the
                logits are brought back to the patch's grid.

        Returns:
            Labels (N, D, H, W).
        """
        parts = [self._patch_pair(hu[n : n + AT_A_TIME], spacing_mm) for n in range(0, len(hu), AT_A_TIME)]
        return np.concatenate(parts) if parts else np.zeros(hu.shape, np.uint8)

    def _patch_pair(self, hu: NDArray[np.float32], spacing_mm: float) -> NDArray[np.uint8]:
        """Labels of one or two patches."""
        images = normalise(torch.from_numpy(hu))[:, None].to(self.device)
        if spacing_mm > self.config.finest * self.config.spacing_mm:
            logits = self._logits(images)
        else:
            coarse = self._logits(torch.nn.functional.avg_pool3d(images, 2))  # (N, 3, D/2, H/2, W/2)
            logits = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="trilinear")
        return np.stack([likeliest(one) for one in logits])


def _weights(network: DynUNet) -> dict[str, NDArray[Any]]:
    state = network.state_dict()
    return {
        k: v.detach().cpu().numpy()
        for k, v in state.items()
        if not k.startswith(_ALIASES) and not k.endswith(_COUNTS)
    }  # fmt: skip


def _filled(make: Callable[[], DynUNet], tensors: dict[str, NDArray[Any]], name: str) -> DynUNet:
    """A network with the weights of a bundle.

    Raises:
        BundleError: they do not fit.
    """
    what, remedy = f"The weights of {name} do not fit its configuration", "Import the bundle again"
    # the initial weights are replaced; drawing them must leave no trace
    with rebuilding(what, remedy), torch.random.fork_rng(devices=[]):
        network = make()
        state = {k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in tensors.items()}
        loaded = network.load_state_dict(state, strict=False)
    lacking = [k for k in loaded.missing_keys if not k.startswith(_ALIASES) and not k.endswith(_COUNTS)]
    if lacking or loaded.unexpected_keys:
        raise BundleError(what=what, given=", ".join([*lacking, *loaded.unexpected_keys][:3]), remedy=remedy)
    return network


def is_out_of_memory(error: BaseException) -> bool:
    """True for every way in which torch and Python report that memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )
