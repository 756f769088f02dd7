"""Bundles: verified whenever they are opened, and nothing outside their folder is ever touched."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import bundles
from MeWMLib.core.errors import BundleError, OutputError


def _zip(folder: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in folder.iterdir():
            zipped.write(file, inside + file.name)
    return archive


def _edit(folder: Path, **changes) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_part_comes_back_as_it_was_written(tmp_path):
    weight = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    tensors = {"w": weight, "transposed": weight.T, "steps": np.array(7), "scalar": np.float32(0.5)}
    bundle = bundles.write_part(tmp_path / "b", "dynamics", {"width": 8}, tensors, bundle_name="tiny", licence="MIT")
    config, back = bundle.part("dynamics")
    assert (bundle.name, bundle.manifest.licence, config) == ("tiny", "MIT", {"width": 8})
    np.testing.assert_allclose(back["w"], weight, atol=1e-3)
    np.testing.assert_array_equal(back["transposed"], back["w"].T)
    assert back["w"].dtype == np.float32 and back["steps"].dtype == np.int64
    assert back["steps"].shape == back["scalar"].shape == ()
    assert (tmp_path / "b" / "dynamics.safetensors").stat().st_size < weight.nbytes * 2 + 400, "stored as float16"


def test_writing_one_part_keeps_the_others(small_bundle):
    before = bundles.open_bundle(small_bundle)
    after = bundles.write_part(small_bundle, "survival", {"width": 9}, {"weight": np.zeros(2)})
    assert after.part_sha256["dynamics"] == before.part_sha256["dynamics"]
    assert after.sha256 != before.sha256
    assert not [p.name for p in small_bundle.iterdir() if p.name.startswith(".")]


def test_the_bundle_checksum_is_over_parts_and_configs_only(small_bundle):
    bundle = bundles.open_bundle(small_bundle)
    parts = bundle.manifest.parts
    content = {n: {"config": p.config, "sha256": p.sha256} for n, p in parts.items()}
    expected = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert bundle.sha256 == expected
    _edit(small_bundle, description="another text")
    assert bundles.open_bundle(small_bundle).sha256 == expected


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e6])
def test_weights_that_float16_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(BundleError, match="float16"):
        bundles.write_part(tmp_path / "b", "dynamics", {}, {"w": np.array([value], dtype=np.float32)})
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("part", "config", "texts"),
    [("tumour", {}, {}), ("dynamics", {"f": len}, {}), ("dynamics", {"x": np.nan}, {}), ("dynamics", {}, {"a": "b"})],
)
def test_write_part_refuses_what_the_manifest_cannot_say(tmp_path, part, config, texts):
    with pytest.raises(BundleError):
        bundles.write_part(tmp_path / "b", part, config, {}, **texts)


def test_a_damaged_part_is_refused_when_opened(small_bundle):
    file = small_bundle / "assistant.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match="assistant does not have the sha256") as caught:
        bundles.find_bundle()
    assert caught.value.remedy and caught.value.exit_code == 2


def test_a_part_that_changes_after_opening_is_refused(small_bundle):
    bundle = bundles.open_bundle(small_bundle)
    (small_bundle / "dynamics.safetensors").write_bytes(b"other")
    with pytest.raises(BundleError, match="sha256"):
        bundle.part("dynamics")


def test_a_part_that_is_no_safetensors_is_refused_even_with_the_right_checksum(small_bundle):
    content = b"\x80\x04pickle"
    (small_bundle / "dynamics.safetensors").write_bytes(content)
    manifest = json.loads((small_bundle / "manifest.json").read_text())
    manifest["parts"]["dynamics"]["sha256"] = hashlib.sha256(content).hexdigest()
    _edit(small_bundle, **manifest)
    with pytest.raises(BundleError, match="not a safetensors"):
        bundles.find_bundle().part("dynamics")


def test_a_missing_file_and_a_missing_part_are_named(small_bundle, tmp_path):
    (small_bundle / "survival.safetensors").unlink()
    with pytest.raises(BundleError, match="survival"):
        bundles.find_bundle()
    partial = bundles.write_part(tmp_path / "partial", "autoencoder", {}, {"w": np.zeros(1)})
    with pytest.raises(BundleError, match="lacks dynamics, assistant, survival"):
        bundles.find_bundle(partial.path)
    assert bundles.find_bundle(partial.path, require=("autoencoder",)).name == "partial"
    with pytest.raises(BundleError, match="no part dynamics"):
        partial.part("dynamics")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"name": "../evil"},
        {"parts": {}},
        {"parts": []},
        {"settings": []},
        {"parts": {"brain": {"file": "a", "sha256": "0" * 64, "config": {}}}},
        {"parts": {"dynamics": {"file": "../a", "sha256": "0" * 64, "config": {}}}},
        {"parts": {"dynamics": {"file": "a", "sha256": "0", "config": {}}}},
        {"parts": {"dynamics": {"file": "a", "sha256": "0" * 64}}},
    ],
)
def test_a_wrong_manifest_is_refused(small_bundle, changes):
    _edit(small_bundle, **changes)
    with pytest.raises(BundleError, match="not valid"):
        bundles.open_bundle(small_bundle)


def test_an_unreadable_manifest_is_refused(small_bundle):
    (small_bundle / "manifest.json").write_bytes(b"\xff{")
    with pytest.raises(BundleError, match="cannot be read"):
        bundles.find_bundle()


def test_an_unknown_name_says_where_was_looked(small_bundle):
    with pytest.raises(BundleError, match="No model bundle is called nonesuch") as caught:
        bundles.find_bundle("nonesuch")
    assert str(small_bundle.parent) in caught.value.given


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        bundles.find_bundle(tmp_path)


@pytest.mark.parametrize("inside", ["", "mewm-small/"])
@pytest.mark.parametrize("packed", [True, False])
def test_import_list_delete(small_bundle, tmp_path, monkeypatch, inside, packed):
    monkeypatch.delenv("MEWM_BUNDLES")
    _edit(small_bundle, name="mine")
    (small_bundle / "MODEL_CARD.md").write_text("card")
    (small_bundle / "evil.pkl").write_bytes(b"x")
    source = _zip(small_bundle, tmp_path / "b.zip", inside) if packed else small_bundle
    bundle = bundles.import_bundle(source)
    assert bundle.path == bundles.user_bundles() / "mine"
    assert ("mine", bundle.path) in bundles.list_bundles()
    assert (bundle.path / "MODEL_CARD.md").is_file() and not (bundle.path / "evil.pkl").exists()
    assert [p.name for p in bundles.user_bundles().iterdir()] == ["mine"], "no work folder is left"
    assert bundles.find_bundle("mine").sha256 == bundle.sha256
    with pytest.raises(BundleError, match="already there"):
        bundles.import_bundle(source)
    assert bundles.delete_bundle("mine") == bundle.path
    assert not bundle.path.exists() and small_bundle.exists()


@pytest.mark.parametrize(
    "member", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "C:\\x", "..\\outside.txt"]
)
def test_an_archive_that_reaches_outside_is_refused(small_bundle, tmp_path, member):
    archive = _zip(small_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr(member, "x")
    with pytest.raises(BundleError, match="not safe"):
        bundles.import_bundle(archive)
    assert list(bundles.user_bundles().iterdir()) == []


def test_a_link_in_an_archive_is_refused(small_bundle, tmp_path):
    archive = _zip(small_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(archive, "a") as zipped:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(BundleError, match="not safe"):
        bundles.import_bundle(archive)


def test_bad_archives_leave_nothing(small_bundle, tmp_path, monkeypatch):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK no zip")
    (small_bundle / "dynamics.safetensors").write_bytes(b"damaged")
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    for source in (broken, tmp_path / "absent.zip", empty, _zip(small_bundle, tmp_path / "b.zip")):
        with pytest.raises(BundleError):
            bundles.import_bundle(source)
    monkeypatch.setattr(bundles, "MAX_ARCHIVE_BYTES", 10)
    with pytest.raises(BundleError, match="too large"):
        bundles.import_bundle(tmp_path / "b.zip")
    assert list(bundles.user_bundles().iterdir()) == []


@pytest.mark.parametrize("name", ["mewm-small", "..", "../x", "", "nonesuch"])
def test_only_imported_bundles_can_be_deleted(small_bundle, name):
    with pytest.raises(BundleError, match="Your data folder has no bundle"):
        bundles.delete_bundle(name)
    assert small_bundle.exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        bundles.write_part(tmp_path / "file" / "b", "dynamics", {}, {})


def test_the_bundle_of_the_repository_is_small_and_described(repository):
    folder = repository / "Resources" / "Bundles" / bundles.DEFAULT_BUNDLE
    bundle = bundles.open_bundle(folder)
    assert sum(f.stat().st_size for f in folder.iterdir()) <= 16 * 1024**2
    assert (folder / bundles.CARD).is_file() and bundle.manifest.licence and bundle.manifest.description
