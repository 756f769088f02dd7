"""An nnU-Net as the assistant: labels by name, safe reading, and the same labels as nnunetv2's own predictor."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MeWMLib.core.errors import DependencyError, InputError, LabelError, UnreadableFileError
from MeWMLib.core.io import read_volume
from MeWMLib.perception.nnunet import NnUNetSegmenter, label_values, read_checkpoint

CPU = torch.device("cpu")


def dataset(folder: Path, labels: object, channels: object = None) -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps({"labels": labels, "channel_names": channels or {"0": "CT"}}))
    return path


def test_labels_are_known_by_their_names(tmp_path) -> None:
    table = label_values(dataset(tmp_path, {"background": 0, "Tumor": 1, "liver": 2}))
    assert table[:3].tolist() == [0, 2, 1]
    # names of public data sets (MSD Task03, LiTS, AMOS, FLARE), and nnU-Net's own word
    many = (
        "background",
        "liver",
        "cancer",
        "spleen",
        "right kidney",
        "arota",
        "postcava",
        "RAG",
        "gall bladder",
        "ignore",
    )
    table = label_values(dataset(tmp_path, {name: value for value, name in enumerate(many)}))
    assert table[: len(many)].tolist() == [0, 1, 2] + [0] * 7


@pytest.mark.parametrize(
    ("labels", "channels", "error"),
    [
        ({"background": 0, "liver": 1, "spleen": 2}, None, LabelError),
        ({"background": 0, "liver": 1}, None, LabelError),
        ({"0": "background", "1": "liver", "2": "tumour"}, None, InputError),
        ({"background": 0, "liver": 1, "ignore": 2}, None, LabelError),  # no tumour
        ({"background": 0, "whole": [1, 2], "tumour": 2}, None, InputError),
        ({"background": 0, "liver": 1, "tumour": 2}, {"0": "CT", "1": "PET"}, InputError),
        (None, None, UnreadableFileError),
    ],
)
def test_models_of_something_else_are_refused(tmp_path, labels, channels, error) -> None:
    with pytest.raises(error):
        label_values(dataset(tmp_path, labels, channels))


def test_a_folder_without_a_result_is_refused(tmp_path) -> None:
    with pytest.raises(UnreadableFileError, match=r"plans\.json"):
        NnUNetSegmenter.open(tmp_path, CPU)


def test_without_nnunet_it_is_said_how_to_get_it(tmp_path, monkeypatch) -> None:
    dataset(tmp_path, {"background": 0, "liver": 1, "tumour": 2})
    (tmp_path / "plans.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "nnunetv2", None)
    monkeypatch.setitem(sys.modules, "nnunetv2.inference.predict_from_raw_data", None)
    with pytest.raises(DependencyError, match=r"\[nnunet\]"):
        NnUNetSegmenter.open(tmp_path, CPU)


class Malice:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_checkpoint_runs_no_code(tmp_path) -> None:
    good = {
        "network_weights": {"w": torch.ones(2)},
        "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres"},
        "_best_ema": np.float64(0.5),
    }
    torch.save(good, tmp_path / "good.pth")
    assert torch.equal(read_checkpoint(tmp_path / "good.pth")["network_weights"]["w"], torch.ones(2))
    torch.save(good | {"more": Malice(tmp_path / "made")}, tmp_path / "bad.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(good["trainer_name"]))
    torch.save({"state": 1}, tmp_path / "other.pth")
    for name in ("bad.pth", "old.pth", "other.pth", "absent.pth"):
        with pytest.raises(UnreadableFileError, match="cannot be read"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "made").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folder with a tiny nnU-Net, really trained for some steps by nnunetv2."""
    pytest.importorskip("nnunetv2", reason='the optional extra is not installed: pip install "mewm[nnunet]"')
    folder = tmp_path_factory.mktemp("nnunet")
    script = Path(__file__).with_name("nnunet_training.py")
    run = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.mark.slow
# nnunetv2 warns about its own folders, which only training needs, and about things of its dependencies
@pytest.mark.filterwarnings("ignore")
def test_labels_equal_those_of_nnunets_own_predictor(trained, capfd) -> None:
    result = Path((trained / "result.txt").read_text())
    segmenter = NnUNetSegmenter.open(result, CPU)
    ct = read_volume(trained / "case_0000.nii.gz")
    capfd.readouterr()
    found = segmenter.segment_ct(ct)
    assert capfd.readouterr().out == ""  # the worker's events go there
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(trained / "theirs.nii.gz")))
    assert set(np.unique(theirs)) > {0}
    np.testing.assert_array_equal(found.array, theirs)
    patches = segmenter.segment_patches(np.full((2, 32, 32, 32), -80, np.float32), 1.5)
    assert patches.shape == (2, 32, 32, 32) and patches.dtype == np.uint8
    (result / "fold_0" / "checkpoint_final.pth").rename(result / "fold_0" / "kept.pth")
    with pytest.raises(UnreadableFileError, match="no trained fold"):
        NnUNetSegmenter.open(result, CPU)
