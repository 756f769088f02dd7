"""The assistant in inference: windows, body box, patches, and its bundle part."""

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from MeWMLib.core.errors import BundleError, CancelledError, GeometryMismatchError
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.preprocess import body_box
from MeWMLib.perception.segmenter import SPECK_ML, Segmenter, SegmenterConfig, build
from MeWMLib.perception.windows import Windows, likeliest

SMALL = SegmenterConfig(filters=(4, 4, 4, 8, 8), spacing_mm=2.0, window=32, overlap=0.5)


@pytest.fixture(autouse=True)
def torch_alone(monkeypatch) -> None:
    """Engines have tests of their own (test_cpu_engine.py); stand-in networks of these tests are for torch only."""
    monkeypatch.setenv("MEWM_CPU_ENGINE", "torch")
    monkeypatch.setenv("MEWM_PRECISION", "float32")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEWM_PRECISION", "float32")
        return Segmenter(SMALL, build(SMALL), torch.device("cpu"))


class Threshold(torch.nn.Module):
    """A stand-in network: tumour above 200 HU, liver above 0 HU; it looks at single voxels."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        edges = [normalise(torch.tensor(hu)) for hu in (0.0, 200.0)]
        liver, tumour = (image > edge for edge in edges)
        return torch.cat([~liver, liver & ~tumour, tumour], 1).float() * 10


def test_the_window_is_mapped_to_one() -> None:
    assert normalise(torch.tensor([-500.0, -175.0, 212.5, 600.0, 2000.0])).tolist() == [-1, -1, 0, 1, 1]


def test_sliding_windows_give_every_voxel_its_label() -> None:
    rng = np.random.default_rng(0)
    hu = rng.normal(80, 120, (40, 50, 36)).astype(np.float32)
    seen: list[float] = []
    found = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment(hu, seen.append)  # type: ignore[arg-type]
    assert np.array_equal(found, np.where(hu > 200, 2, np.where(hu > 0, 1, 0)))
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0)


class Unsure(Threshold):
    """As `Threshold`, but between 200 and 300 HU tumour is hardly more likely than liver."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = super().forward(image)
        between = (logits[:, 2] > 0) & (image[:, 0] < normalise(torch.tensor(300.0)))
        logits[:, 1] += between * 9.5
        return logits


def test_probability_is_the_softmax_of_what_the_windows_agree_on() -> None:
    hu = body((40, 50, 36))
    hu[10:20, 10:20, 10:20] = 250
    kept = Segmenter(SMALL, Unsure(), torch.device("cpu")).segment_kept(hu)  # type: ignore[arg-type]
    found = kept.tumour_probability()
    assert found.shape == hu.shape and ((found > 0.5) == (kept.labels == 2)).all()
    # two logits of 10 and 9.5, and one of 0
    assert found[10:20, 10:20, 10:20] == pytest.approx(1 / (1 + np.exp(-0.5) + np.exp(-10)), abs=1e-3)
    air = np.full((64, 64, 64), -1000, np.float32)
    air[20:40, 24:48, 8:40] = 400
    kept = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment_kept(air)  # type: ignore[arg-type]
    assert ((kept.tumour_probability() > 0.5) == (air == 400)).all() and not kept.tumour_probability()[0].any()


def test_lesions_of_a_ct_of_which_it_is_not_sure_are_liver() -> None:
    hu = np.full((40, 48, 48), -1000, np.int16)
    hu[4:36, 4:44, 4:44] = 100
    hu[10:18, 10:18, 10:18], hu[22:30, 22:30, 22:30] = 250, 400
    ct = Volume(hu, Geometry(hu.shape, np.diag([-2.0, -2.0, 2.0, 1.0])))
    found = Segmenter(SMALL, Unsure(), torch.device("cpu")).segment_ct(ct)  # type: ignore[arg-type]
    assert np.array_equal(found.array, np.where(hu == 400, 2, hu > 0))
    sure = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment_ct(ct)  # type: ignore[arg-type]
    assert np.array_equal(sure.array, np.where(hu >= 250, 2, hu > 0))


def test_air_around_the_body_is_left_out_of_the_windows() -> None:
    hu = np.full((64, 64, 64), -1000, np.float32)
    hu[20:40, 24:48, 8:40] = 60
    hu[60:63, 2:4, 2:4] = 60  # a part of the table
    box = body_box(hu)
    assert [(s.start, s.stop) for s in box] == [(16, 44), (20, 52), (4, 44)]
    assert body_box(np.full((8, 8, 8), -1000.0)) == (slice(0, 8),) * 3
    found = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment(hu)  # type: ignore[arg-type]
    assert (found[20:40, 24:48, 8:40] == 1).all() and found.sum() == 20 * 24 * 32


def test_cancel_stops_between_windows(segmenter: Segmenter) -> None:
    with pytest.raises(CancelledError):
        segmenter.segment(np.zeros((70, 40, 40), np.float32), cancelled=lambda: True)


def test_patches_much_finer_than_the_network_are_pooled(segmenter: Segmenter) -> None:
    hu = np.random.default_rng(1).normal(80, 60, (2, 64, 64, 64)).astype(np.float32)
    fine, coarse = segmenter.segment_patches(hu, 1.0), segmenter.segment_patches(hu, 2.0)
    assert fine.shape == coarse.shape == hu.shape and fine.dtype == np.uint8
    exact = Segmenter(SMALL, Threshold(), torch.device("cpu"))  # type: ignore[arg-type]
    block = np.full((1, 64, 64, 64), -100, np.float32)
    block[:, 16:48, 16:48, 16:48] = 300
    assert (exact.segment_patches(block, 1.0)[0, 18:46, 18:46, 18:46] == 2).all()
    assert np.array_equal(exact.segment_patches(block, 2.0)[0] == 2, block[0] > 200)


def test_a_bundle_part_holds_each_weight_once_and_rebuilds_the_network(segmenter: Segmenter) -> None:
    tensors = segmenter.tensors()
    count = sum(t.size for t in tensors.values())
    assert count == sum(p.numel() for p in segmenter.network.parameters())
    again = Segmenter.from_part(segmenter.part_config(), tensors, torch.device("cpu"))
    image = torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(segmenter.network(image), again.network(image))
    assert again.config == SMALL


def test_weights_of_another_network_are_refused(segmenter: Segmenter) -> None:
    tensors = segmenter.tensors()
    tensors.pop(sorted(tensors)[0])
    with pytest.raises(BundleError, match="do not fit"):
        Segmenter.from_part(segmenter.part_config(), tensors, torch.device("cpu"))


def body(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(80, 60, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(50, 40, 61), (20, 50, 40)])
def test_sliding_windows_agree_with_monais(segmenter: Segmenter, shape: tuple[int, int, int]) -> None:
    hu = body(shape)
    image = normalise(torch.from_numpy(hu))[None, None]
    with torch.inference_mode():
        logits = sliding_window_inference(
            image, (32,) * 3, 2, segmenter.network, 0.5, mode="gaussian", padding_mode="replicate"
        )
    theirs = logits[0].argmax(0).numpy()
    ours = segmenter.segment(hu)
    assert len(np.unique(ours)) > 1
    # logits are kept as float16: a tie may fall the other way
    assert (ours != theirs).mean() < 1e-3


def test_a_second_run_over_what_changed_equals_a_full_run(segmenter: Segmenter) -> None:
    hu = body((64, 48, 80))
    kept = segmenter.segment_kept(hu)
    changed = hu.copy()
    changed[5:12, 2:14, 66:78] += 150
    part = segmenter.segment_again(kept, changed)
    whole = segmenter.segment_kept(changed)
    assert np.array_equal(part.labels, whole.labels)
    assert (part.labels != kept.labels).any()
    assert 0 < part.computed < 0.4 * whole.computed == 0.4 * len(whole.windows.boxes)
    # and once more from there, back to where it began
    back = segmenter.segment_again(part, hu)
    assert np.array_equal(back.labels, kept.labels) and back.computed == part.computed
    same = segmenter.segment_again(kept, hu.copy())
    assert same.computed == 0 and np.array_equal(same.labels, kept.labels)


@pytest.mark.parametrize("at", [(40, 60, 70), (4, 5, 6), (70, 100, 100), (31, 63, 32)])
def test_only_windows_about_the_liver_are_computed_and_its_labels_are_those_of_all(at: tuple[int, int, int]) -> None:
    hu = np.full((96, 128, 128), -60.0, np.float32)
    k, j, i = at
    hu[k : k + 20, j : j + 24, i : i + 20] = 90  # 77 ml, cut by the border of the scan in some
    hu[k + 6 : k + 12, j + 6 : j + 12, i + 6 : i + 12] = 300
    segmenter = Segmenter(SMALL, Threshold(), torch.device("cpu"))  # type: ignore[arg-type]
    kept = segmenter.segment_kept(hu)
    assert np.array_equal(kept.labels, np.where(hu > 200, 2, (hu > 0).astype(np.uint8)))
    cover, whole = kept.windows.cover(), len(kept.windows.boxes)
    liver = kept.windows.touched(kept.labels > 0)
    assert set(kept.logits) == set(cover) | set(liver) and kept.computed == len(kept.logits) < 0.45 * whole


def test_a_liver_that_reaches_on_is_followed_and_a_speck_is_not() -> None:
    def windows_of(shape: tuple[int, int, int]) -> tuple[int, int]:
        hu = np.full((64, 64, 192), -60.0, np.float32)
        hu[20:28, 20:28, 8 : 8 + shape[2]] = 90
        kept = Segmenter(SMALL, Threshold(), torch.device("cpu")).segment_kept(hu)  # type: ignore[arg-type]
        assert (kept.labels == (hu > 0)).all()
        return len(kept.logits), len(kept.windows.cover())

    speck = int(SPECK_ML * 1000 / SMALL.spacing_mm**3 / 64) - 1
    assert windows_of((8, 8, speck)) == (16 + 8, 16 + 8)  # 2 x 2 windows across, 6 along
    found, cover = windows_of((8, 8, 100))
    assert found > cover


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("shape", [(32, 32, 32), (33, 64, 65), (20, 100, 31), (97, 40, 161)])
def test_the_cover_holds_every_voxel_and_no_window_can_be_spared(shape: tuple[int, int, int], side: int) -> None:
    windows = Windows.over(shape, side, 0.5)
    times = np.zeros(windows.padded, int)
    for n in windows.cover():
        times[windows.boxes[n]] += 1
    assert times.min() == 1
    for n in windows.cover():
        assert times[windows.boxes[n]].min() == 1  # some voxel would be left without it


def test_where_the_processor_multiplies_in_bfloat16_labels_are_about_those_of_float32(monkeypatch) -> None:
    torch.manual_seed(0)
    network, hu = build(SMALL), body((40, 50, 61))
    exact = Segmenter(SMALL, network, torch.device("cpu"))
    monkeypatch.setattr("MeWMLib.perception.segmenter.computes_bfloat16", lambda _: True)
    fast = Segmenter(SMALL, network, torch.device("cpu"))
    assert fast.mixed and not exact.mixed
    one, two = exact.segment(hu), fast.segment(hu)
    assert 0 < (one != two).mean() < 0.03  # labels of random weights on noise
    patch = body((64, 64, 64))[None]
    assert 0 < (exact.segment_patches(patch, 2.0) != fast.segment_patches(patch, 2.0)).mean() < 0.03


def test_only_windows_at_the_change_are_computed() -> None:
    segmenter = Segmenter(SMALL, Threshold(), torch.device("cpu"))  # type: ignore[arg-type]
    hu = body((64, 48, 80))
    kept = segmenter.segment_kept(hu)
    changed = hu.copy()
    changed[0, 0, 0] += 100  # a corner lies in one window only
    assert segmenter.segment_again(kept, changed).computed == 1
    beyond = np.where(hu > 150, 700, hu).astype(np.float32)
    first = segmenter.segment_kept(beyond)
    assert segmenter.segment_again(first, np.where(beyond > 600, 3000, beyond)).computed == 0


def test_another_body_is_segmented_as_a_whole_and_another_grid_refused(segmenter: Segmenter) -> None:
    hu = np.full((64, 64, 64), -1000, np.float32)
    hu[20:40, 20:40, 20:40] = 60
    kept = segmenter.segment_kept(hu)
    hu[20:40, 20:40, 20:60] = 60
    again = segmenter.segment_again(kept, hu)
    assert np.array_equal(again.labels, segmenter.segment(hu))
    with pytest.raises(GeometryMismatchError, match="another grid"):
        segmenter.segment_again(kept, hu[1:])


def test_the_likeliest_class_is_what_argmax_says_also_where_several_are_equal() -> None:
    logits = torch.from_numpy(np.random.default_rng(3).integers(-2, 3, (4, 9, 8, 7)).astype(np.float32))
    before = logits.clone()
    assert np.array_equal(likeliest(logits), before.argmax(0).numpy())
    assert likeliest(logits).dtype == np.uint8 and logits.equal(before)


def test_a_lone_patch_has_the_labels_that_it_has_beside_another(monkeypatch) -> None:
    monkeypatch.setenv("MEWM_PRECISION", "auto")
    torch.manual_seed(1)
    one = Segmenter(SMALL, build(SMALL), torch.device("cpu"))
    hu = np.random.default_rng(1).normal(60, 80, (2, 32, 32, 32)).astype(np.float32)
    alone = np.concatenate([one.segment_patches(hu[n : n + 1], 2.0) for n in range(2)])
    assert (alone == one.segment_patches(hu, 2.0)).mean() > 0.999
