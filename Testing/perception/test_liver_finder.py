"""The liver on coarse voxels: means of blocks, the box around what is found, and the part of a bundle that holds it."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from MeWMLib.core.bundles import find_bundle, write_part
from MeWMLib.core.errors import BundleError
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.liver_finder import (
    MARGIN_MM,
    FinderConfig,
    LiverFinder,
    block_means,
    build_finder,
    coarse_scan,
)
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

CPU = torch.device("cpu")
SMALL = SegmenterConfig(filters=(4, 4, 4, 8, 8), spacing_mm=2.0, window=32, overlap=0.5)
#: Grids of one field of view: as networks have it, thick slices from the feet, oblique.
COS, SIN = np.cos(np.radians(12)), np.sin(np.radians(12))
TURN = np.array([[COS, -SIN, 0], [SIN, COS, 0], [0, 0, 1]])
GRIDS = {
    "fine": np.diag([-1.5, -1.5, 1.5]),
    "thick, other way round": np.diag([0.8, -0.8, -5.0]),
    "oblique": TURN @ np.diag([-1.2, -1.2, 2.5]),
}


class Bright(torch.nn.Module):
    """A stand-in network: liver above 50 HU."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 20 * (image - normalise(torch.tensor(50.0)))


def scan(name: str) -> tuple[Volume, np.ndarray, np.ndarray]:
    """A ball of 100 HU, 50 mm in radius, and a smaller one elsewhere in water; voxels of the ball, and its middle."""
    matrix = GRIDS[name]
    spacing = np.linalg.norm(matrix, axis=0)
    i, j, k = (int(np.ceil(240 / s)) for s in spacing)
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = -matrix @ (np.array([i, j, k]) - 1) / 2
    grid = Geometry((k, j, i), affine)
    places = grid.to_ras(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1).reshape(-1, 3))
    middle = np.array([20.0, -10.0, 15.0])
    ball = (np.linalg.norm(places - middle, axis=1) < 50).reshape(grid.shape)
    other = (np.linalg.norm(places - (-75, 60, -70), axis=1) < 20).reshape(grid.shape)
    hu = np.where(ball | other, 100, 0).astype(np.int16)
    return Volume(hu, grid), ball, middle


@pytest.mark.parametrize("name", GRIDS)
def test_the_box_holds_the_liver_with_its_margin_on_every_grid(name) -> None:
    ct, ball, _ = scan(name)
    finder = LiverFinder(FinderConfig(), Bright(), CPU)  # type: ignore[arg-type]
    box = finder.box(ct)
    assert box is not None
    outside = ball.copy()
    outside[box] = False
    assert not outside.any()
    near = ndimage.find_objects(ball.astype(np.uint8))[0]
    for side, tight, size, spacing in zip(box, near, ct.array.shape, ct.geometry.spacing, strict=True):
        for edge in (tight.start - side.start, side.stop - tight.stop):
            reach = edge * spacing
            # an oblique box is that of a box along the axes
            assert reach < MARGIN_MM + (45 if name == "oblique" else 12) + spacing
            assert reach > MARGIN_MM - 8 or 0 in (side.start, size - side.stop)
    bare = finder.box(ct, 0.0)
    assert bare is not None and all(b.start >= a.start and b.stop <= a.stop for a, b in zip(box, bare, strict=True))


def test_nothing_bright_is_no_liver_and_neither_is_a_speck() -> None:
    finder = LiverFinder(FinderConfig(), Bright(), CPU)  # type: ignore[arg-type]
    ct, _, _ = scan("fine")
    assert finder.box(ct.with_array(np.zeros_like(ct.array))) is None
    speck = np.zeros_like(ct.array)
    speck[60:80, 60:80, 60:80] = 100  # 27 ml
    assert finder.box(ct.with_array(speck)) is None


@pytest.mark.parametrize("name", GRIDS)
def test_a_coarse_scan_keeps_means_and_places(name) -> None:
    ct, ball, middle = scan(name)
    grid, hu = coarse_scan(ct, 5.0)
    assert hu.shape == grid.shape and grid.spacing == pytest.approx((5.0,) * 3)
    large = np.linalg.norm(grid.to_ras(np.argwhere(hu > 50)) - middle, axis=1) < 60
    found = grid.to_ras(np.argwhere(hu > 50)[large])
    assert found.mean(0) == pytest.approx(middle, abs=1.5)
    assert large.sum() * grid.voxel_ml == pytest.approx(ball.sum() * ct.geometry.voxel_ml, rel=0.06)


def test_block_means_leave_the_rest_out() -> None:
    values = np.arange(5 * 4 * 7).reshape(5, 4, 7)
    means = block_means(values, (2, 4, 3))
    assert means.shape == (2, 1, 2) and means[1, 0, 1] == values[2:4, :, 3:6].mean()


def test_a_bundle_holds_the_network_and_older_ones_do_without(tmp_path) -> None:
    torch.manual_seed(1)
    sizes = FinderConfig((4, 8, 8))
    network = build_finder(sizes)
    network.train()(torch.randn(2, 1, 16, 16, 16))  # its normalisation has seen something
    whole = Segmenter(SMALL, build(SMALL), CPU, LiverFinder(sizes, network, CPU))
    write_part(tmp_path / "new", "assistant", whole.part_config(), whole.tensors())
    again = Segmenter.from_part(*find_bundle(tmp_path / "new", ("assistant",)).part("assistant"), CPU)
    assert again.finder is not None and again.finder.config == sizes
    hu = np.random.default_rng(0).normal(60, 90, (18, 21, 30))
    assert np.allclose(again.finder.probability(hu), whole.finder.probability(hu), atol=0.01)  # type: ignore[union-attr]
    assert again.finder.probability(hu).shape == hu.shape
    plain = Segmenter(SMALL, build(SMALL), CPU)
    assert "finder" not in plain.part_config() and not [k for k in plain.tensors() if k.startswith("finder")]
    assert Segmenter.from_part(plain.part_config(), plain.tensors(), CPU).finder is None


def test_weights_that_do_not_fit_are_refused() -> None:
    sizes = FinderConfig((4, 8, 8))
    whole = Segmenter(SMALL, build(SMALL), CPU, LiverFinder(sizes, build_finder(sizes), CPU))
    tensors = whole.tensors()
    lacking = {k: v for k, v in tensors.items() if k != next(n for n in tensors if n.startswith("finder"))}
    with pytest.raises(BundleError, match="finds the liver"):
        Segmenter.from_part(whole.part_config(), lacking, CPU)
    config = whole.part_config()
    config["finder"] = {"filters": [4, 8, 16], "spacing_mm": 5.0}
    with pytest.raises(BundleError, match="finds the liver"):
        Segmenter.from_part(config, tensors, CPU)
    for filters in ((4, 8), (4,) * 7, (0, 4, 4)):
        with pytest.raises(BundleError, match="finds the liver"):
            FinderConfig(filters)


def test_the_default_network_is_small() -> None:
    assert sum(w.numel() for w in build_finder(FinderConfig()).parameters()) < 300_000
