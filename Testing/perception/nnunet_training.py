"""Train a very small nnU-Net in a process of its own: `python nnunet_training.py FOLDER`.

nnunetv2 reads its folders from the environment when it is imported, so this cannot be done inside of a test. Data: 4
cubes with a bright ball (tumour) in a grey one (liver). Prints the result folder; nnunetv2's own prediction of
FOLDER/case_0000.nii.gz, without mirroring, lies in FOLDER/theirs.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def case(seed: int) -> tuple[sitk.Image, sitk.Image]:
    """A CT and its labels, 40 x 44 x 48 voxels of 2 x 1.5 x 1.5 mm."""
    rng = np.random.default_rng(seed)
    place = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip((40, 44, 48), (2, 1.5, 1.5), strict=True)), indexing="ij")
    )
    centre = np.array([40, 33, 36]) + rng.uniform(-5, 5, 3)
    distance = np.linalg.norm(place - centre[:, None, None, None], axis=0)
    labels = (distance < 26).astype(np.uint8) + (distance < 11)
    hu = np.choose(labels, [-80.0, 100.0, 300.0]) + rng.normal(0, 10, labels.shape)
    out = []
    for array in (np.round(hu).astype(np.int16), labels.astype(np.uint8)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.5, 1.5, 2.0))
        out.append(image)
    return out[0], out[1]


def main(folder: Path) -> None:
    """Write the data, plan, preprocess, train a few steps, predict."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ["nnUNet_n_proc_DA"] = "1"
    os.environ["nnUNet_compile"] = "f"
    data = folder / "raw" / "Dataset901_Tiny"
    for part in ("imagesTr", "labelsTr"):
        (data / part).mkdir(parents=True)
    for n in range(5):
        hu, labels = case(n)
        sitk.WriteImage(hu, str(data / "imagesTr" / f"c{n}_0000.nii.gz"))
        sitk.WriteImage(labels, str(data / "labelsTr" / f"c{n}.nii.gz"))
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumor": 2}, "numTraining": 5}
    (data / "dataset.json").write_text(json.dumps(about | {"file_ending": ".nii.gz"}))
    sitk.WriteImage(case(9)[0], str(folder / "case_0000.nii.gz"))

    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(1)
    extract_fingerprints([901], num_processes=1, check_dataset_integrity=False)
    identifier = plan_experiments([901])
    plans_file = folder / "preprocessed" / "Dataset901_Tiny" / "nnUNetPlans.json"
    plans = json.loads(plans_file.read_text())
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [min(8, n) for n in network["features_per_stage"]]
    plans["configurations"]["3d_fullres"]["patch_size"] = [32, 32, 32]
    network |= {key: network[key][:3] for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage")}
    network["n_stages"], network["n_conv_per_stage_decoder"] = 3, [1, 1]
    plans_file.write_text(json.dumps(plans))
    preprocess([901], configurations=("3d_fullres",), num_processes=(1,))
    os.environ["nnUNet_n_proc_DA"] = "0"  # no processes for augmentation; planning wants one
    dataset = json.loads((folder / "preprocessed" / "Dataset901_Tiny" / "dataset.json").read_text())
    plans["continue_training"] = False  # as its own command does
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 1, 12, 1
    trainer.initial_lr = 0.05
    trainer.run_training()
    result = Path(trainer.output_folder_base)
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(result), (0,))
    predictor.predict_from_files_sequential([[str(folder / "case_0000.nii.gz")]], [str(folder / "theirs")])
    (folder / "result.txt").write_text(str(result))
    assert identifier


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(Path(sys.argv[1]))
