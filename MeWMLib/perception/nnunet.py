"""A result folder of nnU-Net v2 as the segmenter (optional extra `nnunet`).

The folder is what nnU-Net writes, `DatasetNNN_NAME/TRAINER__PLANS__CONFIGURATION` with `plans.json`, `dataset.json`
and `fold_*/checkpoint_final.pth`. Preprocessing, windows and resampling are nnU-Net's own; mirroring is off, as for the
bundle's network. A checkpoint is a pickle, and pickles can run code: it is read with torch's `weights_only`, which
refuses everything but tensors, numbers and the NumPy scalars that nnU-Net logs.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.errors import (
    CancelledError,
    DependencyError,
    InputError,
    LabelError,
    UnreadableFileError,
    install_command,
)
from MeWMLib.core.records import read_json
from MeWMLib.core.structures import meaning_of
from MeWMLib.core.volume import TUMOUR, LabelMap, Volume

CHECKPOINT = "checkpoint_final.pth"
#: Environment variable that names a result folder, which then replaces the bundle's segmenter.
VARIABLE = "MEWM_ASSISTANT"


class NnUNetSegmenter:
    """An nnU-Net in inference, with those methods of `Segmenter` that MeWM uses."""

    def __init__(self, predictor: Any, values: NDArray[np.uint8]) -> None:
        self._predictor, self._values = predictor, values

    @classmethod
    def named(cls, device: torch.device) -> NnUNetSegmenter | None:
        """The network of the folder that the environment names (`VARIABLE`); None where it names none."""
        folder = os.environ.get(VARIABLE, "")
        return cls.open(Path(folder), device) if folder else None

    @classmethod
    def open(cls, folder: Path, device: torch.device, overlap: float = 0.5) -> NnUNetSegmenter:
        """Load all folds of a result folder.

        Args:
            folder: with `plans.json` and `dataset.json`.
            device: of the network.
            overlap: of neighbouring windows.

        Raises:
            DependencyError: nnunetv2 is not installed.
            UnreadableFileError: no such folder, or a file in it is missing or damaged.
            LabelError: labels that are neither liver nor tumour.
            InputError: more than one input channel, or a cascade.
        """
        if not (folder / "plans.json").is_file() or not (folder / "dataset.json").is_file():
            raise UnreadableFileError(
                what="This folder is not an nnU-Net result: plans.json or dataset.json is missing",
                given=str(folder),
                remedy="Give the folder TRAINER__PLANS__CONFIGURATION inside nnUNet_results/DatasetNNN_NAME",
            )
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # standard output belongs to the worker's events
                from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        except ImportError as error:
            raise DependencyError(
                what="The package nnunetv2 is needed to use an nnU-Net",
                given=str(error),
                remedy=f"Install it with {install_command('nnunet')}",
            ) from error
        values = label_values(folder / "dataset.json")
        checkpoints = sorted(folder.glob(f"fold_*/{CHECKPOINT}"))
        if not checkpoints:
            raise UnreadableFileError(
                what="The nnU-Net result contains no trained fold", given=f"{folder} without fold_*/{CHECKPOINT}"
            )
        with contextlib.redirect_stdout(io.StringIO()):
            predictor = nnUNetPredictor(
                tile_step_size=1 - overlap,
                use_mirroring=False,
                perform_everything_on_device=False,  # the sum over windows stays in the main memory
                device=device,
                allow_tqdm=False,
            )
            _initialise(predictor, folder, [read_checkpoint(p) for p in checkpoints])
        return cls(predictor, values)

    def segment_ct(
        self,
        ct: Volume,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> LabelMap:
        """Segment a whole CT on its own grid, as nnU-Net does with the file.

        Raises:
            CancelledError: `cancelled` said so before the network began; nnU-Net itself cannot be stopped.
        """
        if cancelled is not None and cancelled():
            raise CancelledError(what="The segmentation was stopped")
        found = self._predict(ct.array.astype(np.float32), ct.geometry.spacing)
        if progress is not None:
            progress(1.0)
        return LabelMap(found, ct.geometry)

    def segment_patches(self, hu: NDArray[np.float32], spacing_mm: float) -> NDArray[np.uint8]:
        """Segment patches (N, D, H, W) with cubic voxels."""
        return np.stack([self._predict(patch, (spacing_mm,) * 3) for patch in hu])

    def _predict(self, hu: NDArray[np.float32], spacing: tuple[float, ...]) -> NDArray[np.uint8]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = self._predictor.predict_single_npy_array(hu[None], {"spacing": [float(s) for s in spacing]})
        return np.asarray(self._values[np.asarray(found, np.uint8)])


def label_values(dataset: Path) -> NDArray[np.uint8]:
    """Value of nnU-Net's label to ours, as a table, from the names in `dataset.json`.

    Raises:
        UnreadableFileError: it cannot be read as JSON.
        LabelError: a name of which it is not sure what it means, or no tumour at all.
        InputError: regions instead of labels, or several input channels.
    """
    content = read_json(dataset, "dataset.json of the nnU-Net", require={"labels": dict, "channel_names": dict})
    labels, channels = content["labels"], content["channel_names"]
    if len(channels) != 1:
        given = ", ".join(map(str, channels.values()))
        raise InputError(what="The nnU-Net needs several images of each patient", given=given)
    table = np.zeros(256, np.uint8)
    for name, value in labels.items():
        if name == "ignore":  # nnU-Net's own word for what was not annotated in training; it is never predicted
            continue
        if isinstance(value, str) and name.isdecimal():
            raise InputError(
                what="dataset.json is written as for nnU-Net 1",
                given=f"{name}: {value}",
                remedy='Write names before values, as nnU-Net 2 does: {"background": 0, "liver": 1, "tumour": 2}',
            )
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError(what="The nnU-Net has regions instead of labels", given=f"{name}: {value}")
        if not 0 <= value < len(table):
            raise LabelError(what="A label of the nnU-Net has a value that is not possible", given=f"{name}: {value}")
        meaning = meaning_of(name)
        if meaning.label is None:
            raise LabelError(
                what="It is not sure whether a label of the nnU-Net is liver, tumour or neither",
                given=f"{name}: {meaning.why}" if meaning.why else name,
                remedy="Use a model with the labels background, liver and tumour, or name its label so in dataset.json",
            )
        table[value] = meaning.label
    if TUMOUR not in table:
        raise LabelError(what="The nnU-Net has no label for tumour", given=", ".join(labels))
    return table


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of nnU-Net, without running any code from it.

    Raises:
        UnreadableFileError: damaged, or it holds objects that are not allowed.
    """
    from numpy._core.multiarray import scalar  # where NumPy's pickles of single numbers point to

    numbers = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    try:
        with torch.serialization.safe_globals([scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *numbers]):
            state = torch.load(path, map_location="cpu", weights_only=True)
        state["network_weights"], state["trainer_name"], state["init_args"]["configuration"]
    except Exception as error:  # torch raises many kinds for a damaged file
        raise UnreadableFileError(
            what="A checkpoint of the nnU-Net cannot be read, or holds more than weights",
            given=f"{path}: {str(error).splitlines()[0][:200]}",
            remedy="Save it again with nnunetv2 2.2 or newer",
        ) from error
    return dict(state)


def _initialise(predictor: Any, folder: Path, states: list[dict[str, Any]]) -> None:
    """Build the network as nnU-Net does, with weights that were read safely."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    dataset = read_json(folder / "dataset.json", "dataset.json of the nnU-Net")
    plans = PlansManager(read_json(folder / "plans.json", "plans.json of the nnU-Net"))
    first = states[0]
    configuration = plans.get_configuration(first["init_args"]["configuration"])
    if configuration.previous_stage_name is not None:
        raise InputError(
            what="A cascade of nnU-Nets cannot be used",
            given=str(first["init_args"]["configuration"]),
            remedy="Give the result of 3d_fullres or 3d_lowres",
        )
    trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
    network = trainer.build_network_architecture(
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    predictor.manual_initialization(
        network,
        plans,
        configuration,
        [s["network_weights"] for s in states],
        dataset,
        first["trainer_name"],
        first.get("inference_allowed_mirroring_axes"),
    )
    network.load_state_dict(first["network_weights"])
