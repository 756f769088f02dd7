"""The segmenter as a bundle of MONAI: what MONAI computes from the files is what our network computes."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from safetensors import safe_open

from MeWMLib.cohorts.synthetic.world import SyntheticPatient, whole_geometry
from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.errors import OutputError
from MeWMLib.core.io import read_labels, write_volume
from MeWMLib.core.structures import CT_WINDOW_HU
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.perception.findings import dice
from MeWMLib.perception.monai_bundle import AXES, INFERENCE, LABEL_WEIGHTS, METADATA, WEIGHTS, export_monai, main
from MeWMLib.perception.preprocess import isotropic_geometry, resample, to_source
from MeWMLib.perception.segmenter import Segmenter

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def exported(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of MONAI, with weights for MONAI Label."""
    out = tmp_path_factory.mktemp("monai") / "bundle"
    export_monai(tiny_bundle, out, for_label=True)
    return out


def segmenter(bundle: Bundle) -> Segmenter:
    return Segmenter.from_part(*bundle.part("assistant"), CPU)


def test_monai_builds_the_network_and_its_windows_from_the_files(tiny_bundle: Bundle, exported: Path) -> None:
    own = segmenter(tiny_bundle)
    parser = ConfigParser()
    parser.read_config(str(exported / INFERENCE))
    parser["bundle_root"], parser["device"] = str(exported), "$torch.device('cpu')"
    for step in range(3):
        parser.get_parsed_content(f"initialize#{step}")
    try:
        network = parser.get_parsed_content("network")
        ours, theirs = own.network.state_dict(), network.state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
        rng = np.random.default_rng(0)
        hu = rng.uniform(-300, 700, (40, 48, 44)).astype(np.float32)
        scale = parser.get_parsed_content("preprocessing#transforms#4")
        image = scale({"image": torch.from_numpy(hu)[None]})["image"]
        low, high = CT_WINDOW_HU
        assert np.allclose(np.asarray(image)[0], (np.clip(hu, low, high) - low) / (high - low) * 2 - 1, atol=1e-5)
        labels = parser.get_parsed_content("inferer")(image[None], network)[0].argmax(0).numpy()
    finally:
        torch.set_grad_enabled(True)
    # every window of ours, not the fewest: what both compute is the same
    found = own.segment_kept(hu)
    if set(found.logits) == set(range(len(found.windows.boxes))):
        assert (labels == found.labels).mean() > 0.99
    assert set(np.unique(labels)) <= {0, 1, 2}


def test_nothing_is_pickled_but_what_is_asked_for(tiny_bundle: Bundle, exported: Path, tmp_path: Path) -> None:
    told = export_monai(tiny_bundle, tmp_path / "plain")
    names = sorted(p.relative_to(tmp_path / "plain").as_posix() for p in (tmp_path / "plain").rglob("*") if p.is_file())
    assert names == sorted(told["files"]) and not any(name.endswith(".pt") for name in names)
    with safe_open(tmp_path / "plain" / WEIGHTS, "np") as file:
        assert len(file.keys()) > 10
    state = torch.load(exported / LABEL_WEIGHTS, weights_only=True)
    ours = segmenter(tiny_bundle).network.state_dict()
    assert state.keys() == ours.keys() and zipfile.is_zipfile(exported / LABEL_WEIGHTS)
    with pytest.raises(OutputError, match="not empty"):
        export_monai(tiny_bundle, exported)


def test_metadata_and_keys_are_those_that_monai_label_asks_for(exported: Path) -> None:
    """The keys that MONAI Label's bundle app reads (its `tasks/infer/bundle.py`): names of files, and entries."""
    config = json.loads((exported / INFERENCE).read_text(encoding="utf-8"))
    metadata = json.loads((exported / METADATA).read_text(encoding="utf-8"))
    assert {"bundle_root", "device", "network_def", "preprocessing", "postprocessing", "inferer"} <= config.keys()
    assert (exported / "models" / "model.pt").is_file()
    data = metadata["network_data_format"]
    (image, shape), (pred, classes) = (next(iter(data[side].items())) for side in ("inputs", "outputs"))
    # the keys of both are those of the transforms
    assert config["preprocessing"]["transforms"][0] == {"_target_": "LoadImaged", "keys": image}
    assert {one["keys"] for one in config["postprocessing"]["transforms"]} == {pred}
    assert classes["channel_def"] == {"0": "background", "1": "liver", "2": "tumour"}
    assert len(shape["spatial_shape"]) == 3 and isinstance(metadata["description"], str) and metadata["version"]
    required = {"version", "changelog", "monai_version", "pytorch_version", "numpy_version", "authors", "description"}
    assert required <= metadata.keys() and metadata["task"] and metadata["schema"].startswith("https://")


def test_the_command_writes_it_without_a_pickle(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny_bundle.path), "--out", str(tmp_path / "m")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"][0] == INFERENCE and (tmp_path / "m" / INFERENCE).is_file()
    assert main([str(tiny_bundle.path), "--out", str(tmp_path / "m")]) != 0
    assert AXES == "SPL"


@pytest.mark.slow
def test_monai_itself_gives_the_labels_of_our_network(tmp_path: Path) -> None:
    """`python -m monai.bundle run` on a NIfTI, with the released weights; MONAI needs two packages for it."""
    for package in ("fire", "nibabel"):
        pytest.importorskip(package, reason=f"MONAI's command needs it: pip install {package}")
    bundle = find_bundle(None, require=("assistant",))
    export_monai(bundle, tmp_path / "monai")
    ct = drawn_liver()
    write_volume(ct, tmp_path / "ct.nii.gz")
    words = ["--config_file", INFERENCE, "--bundle_root", ".", "--image", str(tmp_path / "ct.nii.gz")]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *words, "--output_dir", str(tmp_path / "out")],
        cwd=tmp_path / "monai", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = read_labels(tmp_path / "out" / "ct_seg.nii.gz", ct.geometry)
    own = segmenter(bundle)
    fine = isotropic_geometry(ct.geometry, own.config.spacing_mm)
    ours = to_source(LabelMap(own.segment(resample(ct.array, ct.geometry, fine)), fine), ct.geometry)
    assert dice(ours.liver, theirs.liver) > 0.95 and dice(ours.tumour, theirs.tumour) > 0.9


def drawn_liver() -> Volume:
    """A patient of the synthetic world, whom the released network knows the likes of, cropped about the liver."""
    geometry = whole_geometry((3.0, 2.0, 2.0))
    found = SyntheticPatient.draw(SPLITS["test"][1]).render(geometry, None)
    inside = np.argwhere(found.labels > 0)
    low = np.maximum(inside.min(0) - 12, 0)
    high = np.minimum(inside.max(0) + 13, found.labels.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = geometry.crop(tuple(int(n) for n in low), tuple(int(n) for n in high - low))  # type: ignore[arg-type]
    return Volume(np.ascontiguousarray(np.round(found.hu[box]).astype(np.int16)), part, "portal")
