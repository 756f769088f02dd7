"""Encoded patients in memory, from which `mewm train dynamics --model latent` draws its batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import EMBOLIC, Protocol, agent
from MeWMLib.dynamics.attenuation import expected_level
from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.dynamics.model import treated_window
from MeWMLib.lab.reports import WORDINGS, Encode, embed_reports, protocols_of

KEYS = ("before", "changes", "attenuated", "masks", "actions", "levels", "responses", "spacing")
#: What the response head learns from.
NOTED = ("appearance", "noted_actions", "noted_responses")
#: Edge of the crop, in blocks, on which the U-Net trains; what a tumour is, is read from its whole window.
CROP = 16


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Some arrays of one encoded patient (`prepare.encode_case`), by name."""
    with np.load(path) as data:
        return {name: data[name] for name in names}


def _stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows of like keys as float32 tensors with one more axis in front."""
    return {k: torch.from_numpy(np.stack([row[k] for row in rows]).astype(np.float32)) for k in rows[0]}


class LatentCohort:
    """Encoded patients in memory; `refresh` takes in files that were written since.

    Args:
        folder: of one split.
        ten_hu: of the codec (`Autoencoder.ten_hu`).
        fate: weights of the maps of order and place; see `dynamics.maps.tumour_maps`.
    """

    def __init__(self, folder: Path, ten_hu: float = 1.0, fate: Sequence[float] = ()) -> None:
        self.folder, self.ten_hu, self.fate = folder, ten_hu, tuple(fate)
        self._files: set[Path] = set()
        self.patients: list[dict[str, NDArray[Any]]] = []
        self.refresh()
        if not self.patients:
            raise InputError(
                what="No encoded patients to train on", given=str(folder), remedy="Run `mewm train cohort` first"
            )

    def refresh(self) -> None:
        """Load new files."""
        for path in sorted(set(self.folder.glob("*.npz")) - self._files):
            arrays = read_arrays(path, (*KEYS, *NOTED))
            window = treated_window(arrays["masks"][0])
            maps = tumour_maps(arrays["before"][0], arrays["masks"], self.ten_hu, self.fate)
            arrays["masks"] = maps.astype(np.float16)
            for key in ("before", "changes", "attenuated", "masks"):
                arrays[key] = np.ascontiguousarray(arrays[key][(..., *window)])
            self.patients.append(arrays)
            self._files.add(path)

    def change_scale(self, patients: int = 100) -> tuple[float, ...]:
        """Standard deviation of each latent channel's change in the blocks of tumours."""
        values = []
        for p in self.patients[:patients]:
            tumour = p["masks"][0] > 0.5
            if tumour.any():
                values.append(
                    p["changes"][:, :, tumour].astype(np.float32).transpose(1, 0, 2).reshape(p["changes"].shape[1], -1)
                )
        return tuple(float(v) for v in np.concatenate(values, 1).std(1).clip(1e-3))

    def occlusion(self, agents: Sequence[str]) -> dict[str, float]:
        """Share of the flow that each embolic stops on average, from the levels where it was the only one."""
        found: dict[str, list[float]] = {}
        for p in self.patients:
            for actions, level in zip(p["actions"], p["levels"], strict=True):
                given = [a for n, a in enumerate(agents) if actions[n, 0] > 0 and agent(a).kind == EMBOLIC]
                if len(given) == 1:
                    found.setdefault(given[0], []).append((float(level) - 0.5) / 4)
        return {name: round(float(np.mean(shares)), 4) for name, shares in sorted(found.items())}

    def note_reports(self, agents: Sequence[str], encode: Encode) -> None:
        """Note the embedding of an operation report of each protocol, each in its own wording."""
        for n, p in enumerate(self.patients):
            if "reports" not in p:
                protocols = protocols_of(p["actions"], agents)
                wordings = np.random.default_rng(n).integers(WORDINGS, size=len(protocols))
                p["reports"] = embed_reports(protocols, encode, [int(w) for w in wordings])

    def batch(self, size: int, rng: np.random.Generator, pairs: int = 4) -> dict[str, Tensor]:
        """A random batch: `pairs` patients with several protocols each.

        All patients of a batch have a window of one size, that of the patient who is drawn first. Half of the levels
        are those that the report states, half those expected of the embolics, as at the time of planning.
        """
        rows: list[dict[str, Any]] = []
        whole: list[dict[str, Any]] = []
        shape = None
        while len(rows) < size:
            p = self.patients[int(rng.integers(len(self.patients)))]
            shape = shape or p["before"].shape
            if p["before"].shape != shape:
                continue
            each = min(-(-size // pairs), size - len(rows))
            crop = _crop(p["masks"][0], rng)
            for which in rng.permutation(len(p["changes"]))[:each]:
                level = int(p["levels"][which])
                if level and rng.random() < 0.5:
                    level = int(p["expected"][which]) if "expected" in p else level
                before = p["before"][crop]
                row = {
                    "before": before,
                    "change": p["changes"][which][crop],
                    "attenuated": p["attenuated"][level - 1][crop] if level else np.zeros_like(before),
                    "masks": p["masks"][crop],
                    "spacing": p["spacing"],
                    "pair": len(whole),
                }
                rows.append(row | {k: p[k][which] for k in ("actions", "responses", "reports") if k in p})
            chosen = rng.permutation(len(p["noted_actions"]))[:24]
            noted = {k: p[k][chosen] for k in NOTED[1:]}
            whole.append(noted | {
                "appearance": p["appearance"], "whole_before": p["before"], "whole_masks": p["masks"],
            })  # fmt: skip
        out = _stacked(rows) | _stacked(whole)
        out["attenuated"] += out["before"]
        return out

    def expect(self, agents: Sequence[str], occlusion: Mapping[str, float]) -> None:
        """Note the level that is expected of each protocol (attenuation.expected_level)."""
        for p in self.patients:
            if "expected" not in p:
                names = [[a for n, a in enumerate(agents) if row[n, 0] > 0] for row in p["actions"]]
                p["expected"] = np.array([expected_level(Protocol.of(given), occlusion) for given in names])


def _crop(tumour_share: NDArray[Any], rng: np.random.Generator) -> tuple[slice, ...]:
    """A cube of `CROP` blocks around a random block of the tumour, or the whole window if that is no larger."""
    size = np.array(tumour_share.shape)
    if (size <= CROP).all():
        return (slice(None),) * 4
    touched = np.argwhere(tumour_share > 0)
    middle = touched[int(rng.integers(len(touched)))] if len(touched) else size // 2
    start = np.clip(middle - rng.integers(4, CROP - 3, 3), 0, size - CROP)
    return (slice(None), *(slice(int(n), int(n) + CROP) for n in start))
