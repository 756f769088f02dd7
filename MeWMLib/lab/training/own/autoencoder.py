"""The block codec on the patients of a cohort: principal components of their blocks, beside those of the start.

The codec is linear, so that its training is a mean and a covariance. Those of the start are known from its weights
(what it cannot represent is taken as nothing); the blocks of the cohort join them with a weight.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.cohorts.check import AUTOENCODER
from MeWMLib.cohorts.layout import CohortCase
from MeWMLib.cohorts.splits import TRAIN, VALIDATION
from MeWMLib.core.bundles import write_part
from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder, compand, to_blocks
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.map_bundle import take_over
from MeWMLib.lab.training.own.cohort import Own, Tell, start_part
from MeWMLib.lab.training.prepare import save_case
from MeWMLib.perception.preprocess import patch_geometry
from MeWMLib.world.patch import TreatedPatch

#: How much the cohort counts beside the start.
SHARE = 0.5
#: A codec that is worse than its start by more inside held-out tumours (dB) is not written.
WORSE_DB = 0.1
_BLOCK = 64
FILE = "autoencoder_moments.npz"


class Moments:
    """Number, sum and products of companded blocks (64,), in float64."""

    def __init__(self) -> None:
        self.count = 0.0
        self.sum = np.zeros(_BLOCK)
        self.products = np.zeros((_BLOCK, _BLOCK))
        self.done: list[str] = []

    @classmethod
    def read(cls, path: Path, of_run: str) -> Moments:
        """Go on from a file of the same run; otherwise begin.

        Raises:
            InputError: the file belongs to another run.
        """
        found = cls()
        if path.is_file():
            with np.load(path) as data:
                if str(data["of_run"]) != of_run:
                    raise InputError(
                        what="The blocks that were gathered belong to other patients or another start",
                        given=str(path),
                        remedy="Give another --work, or delete the file to begin anew",
                    )
                found.count, found.sum, found.products = float(data["count"]), data["sum"], data["products"]
                found.done = [str(name) for name in data["done"]]
        return found

    def write(self, path: Path, of_run: str) -> None:
        """Write them, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        done = np.array(self.done, dtype=np.str_)
        arrays = {"count": self.count, "sum": self.sum, "products": self.products, "done": done, "of_run": of_run}
        save_case(path, arrays)

    def add(self, name: str, blocks: NDArray[np.float64]) -> None:
        """Take in the blocks (M, 64) of a patient."""
        self.count += len(blocks)
        self.sum += blocks.sum(0)
        self.products += blocks.T @ blocks
        self.done.append(name)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(64,)."""
        return np.asarray(self.sum / self.count)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(64, 64)."""
        return np.asarray(self.products / self.count - np.outer(self.mean, self.mean))


def codec_of(moments: Moments, channels: int, start: Autoencoder | None) -> Autoencoder:
    """The codec of a mean and a covariance, those of the start counting as much as the cohort's (`SHARE`).

    Args:
        moments: of the cohort's blocks.
        channels: of the latent.
        start: codec to begin with, or None.
    """
    mean, covariance = moments.mean, moments.covariance
    if start is not None:
        basis, scale = (getattr(start, name).double().numpy() for name in ("basis", "scale"))
        before = start.mean.double().numpy()
        apart = np.outer(mean - before, mean - before)
        known = basis.T @ np.diag(scale**2) @ basis
        covariance = SHARE * covariance + (1 - SHARE) * known + SHARE * (1 - SHARE) * apart
        mean = SHARE * mean + (1 - SHARE) * before
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1][:channels]
    basis = vectors[:, order].T
    # the sign of a principal component is arbitrary: fixed, so that two fits agree
    basis = basis * np.sign(np.take_along_axis(basis, np.abs(basis).argmax(1)[:, None], 1))
    model = Autoencoder(channels)
    model.basis.copy_(torch.from_numpy(basis))
    model.mean.copy_(torch.from_numpy(mean))
    model.scale.copy_(torch.from_numpy(np.sqrt(np.maximum(values[order], 1e-8))))
    return model.eval()


def patches_of(case: CohortCase) -> list[TreatedPatch]:
    """The treated patch before treatment and, where it is outlined, that after it, each in its own scan.

    Raises:
        NoTumourError: no tumour is outlined before treatment.
    """
    pairs = [(case.before, case.before_labels), (case.after, case.after_labels)]
    found = []
    for n, (ct, labels) in enumerate(pairs):
        if ct is not None and labels is not None and (n == 0 or labels.tumour.any()):
            found.append(_patch(ct, labels))
    return found


def _patch(ct: Volume, labels: LabelMap) -> TreatedPatch:
    return TreatedPatch.at(patch_geometry(labels), ct, labels)


def _image(patch: TreatedPatch) -> torch.Tensor:
    return torch.from_numpy(np.asarray(patch.hu, np.float32))[None, None]


def blocks_of(patches: list[TreatedPatch], rng: np.random.Generator) -> NDArray[np.float64]:
    """Companded blocks (M, 64): all that touch tumour, and as many others."""
    chosen = []
    for patch in patches:
        blocks = to_blocks(compand(_image(patch))).reshape(-1, _BLOCK).double().numpy()
        tumour = to_blocks(torch.from_numpy((patch.labels == 2).astype(np.float32))[None, None])
        touches = tumour.reshape(-1, _BLOCK).amax(1).numpy() > 0
        chosen += [blocks[touches], blocks[rng.integers(0, len(blocks), int(touches.sum()))]]
    return np.concatenate(chosen)


def psnr(model: Autoencoder, patches: list[TreatedPatch]) -> float:
    """Peak signal to noise (dB, 775 HU) of images that went through the codec, inside the tumours; NaN without any."""
    low, high = CT_WINDOW_HU
    errors = []
    with torch.inference_mode():
        for patch in patches:
            image = _image(patch)
            square = (model.decode(model.encode(image)) - image.clamp(low, high)).square()[0, 0].numpy()
            errors.append(square[patch.labels == 2])
    wrong = np.concatenate(errors) if errors else np.zeros(0)
    return float(10 * np.log10((high - low) ** 2 / wrong.mean())) if wrong.size else float("nan")


@kept_torch_state()
def train_autoencoder(
    own: Own, bundle: Path, work: Path, channels: int | None = None, seed: int = 0, tell: Tell | None = None
) -> dict[str, Any]:
    """Fit the codec on the training side and write it as the part of a bundle.

    What was gathered of each patient is kept in `work`, so that a stopped run goes on to the same codec.

    Args:
        own: the cohort.
        bundle: that is written to; a new one takes over the other parts of the start.
        work: folder of the run.
        channels: of the latent; those of the start, or 16, if left out.
        seed: of the choice of blocks beside tumour.
        tell: progress.

    Returns:
        `tumour_psnr_db` on the validation side and `start_psnr_db` of the start there (NaN without patients there),
        `patients`, `blocks`.

    Raises:
        InputError: blocks of another run in `work`, a codec that is worse than its start, or nobody who can be read.
        BundleError: the start has no codec.
    """
    part = start_part(own, "autoencoder")
    start = None if part is None else Autoencoder.from_part(*part)
    wanted = channels or (start.channels if start is not None else 16)
    of_run = str(own.of_run(seed=seed))
    moments = Moments.read(work / FILE, of_run)
    for row, case in own.cases(TRAIN, tell):
        if row.id in moments.done:
            continue
        try:
            blocks = blocks_of(patches_of(case), np.random.default_rng([seed, len(moments.done)]))
        except MeWMError as error:
            own.leave_out(row.id, error)
            continue
        moments.add(row.id, blocks)
        moments.write(work / FILE, of_run)
    if not moments.count:
        raise InputError(what="No patient could be used to fit the codec", given=str(own.cohort.folder))
    model = codec_of(moments, wanted, start)
    held_out: list[TreatedPatch] = []
    for row, case in own.cases(VALIDATION, tell):
        try:
            held_out += patches_of(case)
        except MeWMError as error:
            own.leave_out(row.id, error)
    figures = {
        "tumour_psnr_db": psnr(model, held_out),
        "start_psnr_db": psnr(start, held_out) if start is not None else float("nan"),
        "patients": float(len(moments.done)),
        "blocks": moments.count,
    }
    if figures["tumour_psnr_db"] < figures["start_psnr_db"] - WORSE_DB:
        raise InputError(
            what="The codec is worse than its start inside held-out tumours, and is not written",
            given=f"{figures['tumour_psnr_db']:.1f} dB, start {figures['start_psnr_db']:.1f} dB",
            remedy="Keep the start's, give more patients, or more with --channels",
        )
    if own.start is not None:
        take_over(own.start, bundle, AUTOENCODER)
    write_part(bundle, "autoencoder", model.part_config(), model.tensors())
    own.finish(bundle, work, own.ids(TRAIN), own.ids(VALIDATION), figures)
    return figures
