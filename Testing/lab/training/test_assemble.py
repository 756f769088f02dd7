"""`mewm train bundle`."""

import json
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError
from MeWMLib.lab.training import __main__ as program
from MeWMLib.lab.training.assemble import assemble, named_sources

WEIGHTS = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Two bundles of which each holds one part."""
    for name in ("dynamics", "survival"):
        write_part(tmp_path / name, name, {"of": name}, {"w": WEIGHTS})
    return {name: tmp_path / name for name in ("dynamics", "survival")}


def test_parts_of_several_bundles_become_one(sources, tmp_path, capsys):
    words = [f"{name}={path}" for name, path in sources.items()]
    into = tmp_path / "new"
    arguments = ["bundle", "--bundle", into, "--take", *words, "--eight-bits", "dynamics", "--version", "7"]
    assert program.main([str(word) for word in arguments]) == 0
    told = json.loads(capsys.readouterr().out)
    made = find_bundle(into, require=("dynamics", "survival"))
    assert made.manifest.version == "7"
    files = {name: into / part.file for name, part in made.manifest.parts.items()}
    assert told == {name: pytest.approx(file.stat().st_size / 1e6) for name, file in files.items()}
    assert told["dynamics"] < 0.6 * told["survival"]
    for name, atol in (("dynamics", 0.02), ("survival", 2e-3)):
        config, tensors = made.part(name)
        assert config == {"of": name}
        np.testing.assert_allclose(tensors["w"], WEIGHTS, atol=atol)


@pytest.mark.parametrize(
    ("words", "eight"), [(["stomach=x"], ()), (["dynamics=x"], ("survival",)), (["dynamics=x"], ("stomach",))]
)
def test_parts_that_cannot_be_put_there_are_refused(tmp_path, words, eight):
    with pytest.raises(BundleError, match="cannot be put"):
        assemble(tmp_path / "new", named_sources(words), eight)
    assert not (tmp_path / "new").exists()


def test_a_source_without_the_part_is_refused(sources, tmp_path):
    with pytest.raises(BundleError, match="lacks assistant"):
        assemble(tmp_path / "new", {"assistant": sources["dynamics"]})


@pytest.mark.parametrize("words", [["dynamics"], ["dynamics="], ["dynamics=a", "dynamics=b"]])
def test_words_that_say_no_part_are_refused(words):
    with pytest.raises(BundleError, match="which part"):
        named_sources(words)
