"""A bundle's segmenter as a bundle of MONAI: `python -m monai.bundle run` segments a CT with it, MONAI Label serves it.

The layout is that of MONAI's bundle specification. What MONAI runs is the network alone, with its windows: the rules
that MeWM applies to the labels afterwards (`perception.postprocess`, `perception.neighbours`) and the network that
finds the liver are MeWM's own.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from MeWMLib.core.bundle import CARD, Bundle
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import OutputError, output_error
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.structures import BY_LABEL, CT_WINDOW_HU
from MeWMLib.core.terminal import run_with_summary
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig

#: Weights as safetensors, and as the pickled state that MONAI Label reads.
WEIGHTS, LABEL_WEIGHTS = "models/model.safetensors", "models/model.pt"
INFERENCE, METADATA = "configs/inference.json", "configs/metadata.json"
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
#: The network's axes: array index to superior, posterior and left.
AXES = "SPL"


def export_monai(bundle: Bundle, out: Path, for_label: bool = False) -> dict[str, Any]:
    """Write a bundle of MONAI.

    Args:
        bundle: with a segmenter.
        out: new or empty folder.
        for_label: also write `models/model.pt`, a pickled state dictionary, which MONAI Label asks for; MeWM reads no
            pickles, and `monai.bundle run` needs none.

    Returns:
        Names of the files, with the sha256 of the weights.

    Raises:
        BundleError: the bundle has no segmenter.
        OutputError: the folder holds something, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(what="The folder is not empty", given=str(out), remedy="Give a new folder with --out")
    segmenter = Segmenter.from_part(*bundle.part("assistant"), torch.device("cpu"))
    # MONAI's network lists some layers under two names; a strict reader asks for both
    state = {name: value.detach().clone().contiguous() for name, value in segmenter.network.state_dict().items()}
    try:
        (out / "models").mkdir(parents=True, exist_ok=True)
        content = save(state)
        with atomic_path(out / WEIGHTS) as part:
            part.write_bytes(content)
        if for_label:
            with atomic_path(out / LABEL_WEIGHTS) as part:
                torch.save(state, part)
        with atomic_path(out / "docs" / "README.md") as part:
            part.write_text(_readme(bundle), encoding="utf-8")
    except OSError as error:
        raise output_error(error, out) from error
    write_json(inference(segmenter.config), out / INFERENCE)
    write_json(metadata(bundle, segmenter.config), out / METADATA)
    files = [INFERENCE, METADATA, WEIGHTS, *([LABEL_WEIGHTS] if for_label else []), "docs/README.md"]
    return {"written": str(out), "files": files, "weights_sha256": hashlib.sha256(content).hexdigest()}


def inference(config: SegmenterConfig) -> dict[str, Any]:
    """`inference.json`: what MONAI runs, with the keys that MONAI Label asks for.

    On the command line `--image FILE` is the CT and `--output_dir DIR` where the labels go.
    """
    levels, (low, high) = len(config.filters), CT_WINDOW_HU
    return {
        "imports": ["$import os", "$import torch", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "image": "ct.nii.gz",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "DynUNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "kernel_size": [3] * levels,
            "strides": [1] + [2] * (levels - 1),
            "upsample_kernel_size": [2] * (levels - 1),
            "filters": list(config.filters),
            "norm_name": ["INSTANCE", {"affine": True}],
            "res_block": False,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": AXES},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [config.spacing_mm] * 3, "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged", "keys": "image", "a_min": low, "a_max": high, "b_min": -1.0,
                    "b_max": 1.0, "clip": True,
                },
            ],
        },
        "dataset": {"_target_": "Dataset", "data": "$[{'image': @image}]", "transform": "@preprocessing"},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [config.window] * 3,
            "sw_batch_size": 2,
            "overlap": config.overlap,
            "mode": "gaussian",
            "padding_mode": "replicate",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {
                    "_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image",
                    "nearest_interp": True, "to_tensor": True,
                },
                {
                    "_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "seg",
                    "output_dtype": "$torch.uint8", "resample": False, "separate_folder": False,
                },
            ],
        },
        "initialize": [
            "$torch.set_grad_enabled(False)",
            f"$@network.load_state_dict(load_file(os.path.join(@bundle_root, '{WEIGHTS}')))",
            "$@network.eval()",
        ],
        "run": [
            "$[@postprocessing({**item, 'pred': @inferer(item['image'][None].to(@device), @network)[0]}) "
            "for item in @dataset]"
        ],
    }  # fmt: skip


def metadata(bundle: Bundle, config: SegmenterConfig) -> dict[str, Any]:
    """`metadata.json`, in MONAI's schema."""
    classes = {"0": "background", **{str(label): one.name.lower() for label, one in BY_LABEL.items()}}
    side = config.window
    return {
        "schema": SCHEMA,
        "version": bundle.manifest.version,
        "changelog": {bundle.manifest.version: f"the segmenter of {bundle.name}, bundle sha256 {bundle.sha256}"},
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "optional_packages_version": {"nibabel": "5.0.0", "safetensors": "0.4.3"},
        "name": f"{bundle.name} segmenter",
        "task": "Segmentation of liver and tumour on CT before and after TACE",
        "description": bundle.manifest.description,
        "authors": "MeWM",
        "copyright": bundle.manifest.licence,
        "data_source": bundle.manifest.training.text if bundle.manifest.training else "",
        "data_type": "nibabel",
        "image_classes": "CT in HU",
        "label_classes": "0 background, 1 liver, 2 tumour",
        "pred_classes": "0 background, 1 liver, 2 tumour; the network alone, without the rules of MeWM",
        "eval_metrics": {},
        "intended_use": "Research use only",
        "references": [],
        "python_version": platform.python_version(),
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image", "format": "hounsfield", "modality": "CT", "num_channels": 1,
                    "spatial_shape": [side] * 3, "dtype": "float32", "value_range": [-1, 1], "is_patch_data": True,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image", "format": "segmentation", "num_channels": 3, "spatial_shape": [side] * 3,
                    "dtype": "float32", "value_range": [0, 1], "is_patch_data": True, "channel_def": classes,
                }
            },
        },
    }  # fmt: skip


def _readme(bundle: Bundle) -> str:
    card = bundle.path / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return (
        f"# The segmenter of {bundle.name} for MONAI\n\n"
        "    python -m monai.bundle run --config_file configs/inference.json --bundle_root . --image ct.nii.gz\n\n"
        f"Bundle sha256 {bundle.sha256}. Research use only.\n\n{text}"
    )


def main(argv: list[str] | None = None) -> int:
    """`mewm bundle export-monai`; what was written goes to standard output as JSON."""
    parser = argparse.ArgumentParser(prog="mewm bundle export-monai", description=__doc__)
    parser.add_argument("bundle", nargs="?", help="name or folder (default mewm-small)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder")
    parser.add_argument("--label", action="store_true", help="weights for MONAI Label too (a pickle)")
    parser.set_defaults(run=lambda args: export_monai(find_bundle(args.bundle, ("assistant",)), args.out, args.label))
    return run_with_summary(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
