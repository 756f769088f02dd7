"""The measures of a real pair, and the whole on a synthetic and on a real one."""

import json
import math

import matplotlib.image
import numpy as np
import pytest
import torch
from scipy import ndimage

from MeWMLib.core import io
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder, fit
from MeWMLib.lab.evaluation import real_pair
from MeWMLib.perception.registration import Registration

COARSE = Registration(spacing_mm=6.0, shrink=(2, 1), mesh_mm=90.0, levels=1, iterations=8, sampling=0.5)
GIVEN = Protocol.of(["Cisplatin", "Doxorubicin", "Mitomycin", "Lipiodol"])


def grid(origin: tuple[float, float, float] = (90.0, 75.0, -60.0)) -> Geometry:
    affine = np.diag([-3.0, -3.0, 4.0, 1.0])
    affine[:3, 3] = origin
    return Geometry((32, 50, 60), affine)


def scan(
    geometry: Geometry, move: tuple[float, float, float] = (0, 0, 0), oil: bool = False
) -> tuple[Volume, LabelMap]:
    """An elliptic trunk with a liver, spine and tumour, all moved by some mm of RAS."""
    ras = geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1))
    x, y, z = np.moveaxis(ras - np.array(move), -1, 0)
    hu = np.full(geometry.shape, -1000.0)
    hu[(x / 78) ** 2 + (y / 60) ** 2 < 1] = -90
    hu[(x / 66) ** 2 + (y / 50) ** 2 < 1] = 45
    liver = ((x - 22) / 38) ** 2 + ((y - 4) / 36) ** 2 + (z / 44) ** 2 < 1
    tumour = (x - 28) ** 2 + (y - 8) ** 2 + (z - 4) ** 2 < 17**2
    hu[liver] = 110
    hu[((x + 35) / 14) ** 2 + ((y - 15) / 20) ** 2 + ((z + 8) / 25) ** 2 < 1] = 180
    hu[x**2 + (y + 36) ** 2 < 12**2] = 320 + 60 * np.sin(z / 9)[x**2 + (y + 36) ** 2 < 12**2]
    hu[tumour] = 70
    if oil:
        hu[tumour & (z > 4)] = 450
    labels = np.where(tumour, 2, np.where(liver, 1, 0)).astype(np.uint8)
    hu = ndimage.gaussian_filter(hu, 0.6) + np.random.default_rng(int(oil)).normal(0, 6, hu.shape)
    return Volume(np.round(hu).astype(np.int16), geometry), LabelMap(labels, geometry)


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, LabelMap, Volume, np.ndarray]:
    """Before, labels, after (moved, on another grid), and the tumour's true outline after, on the grid before."""
    before, labels = scan(grid())
    after, _ = scan(grid((96.0, 70.0, -52.0)), move=(6, -8, 5), oil=True)
    return before, labels, after, labels.tumour


def _z(volume: Volume) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij"), -1)
    return volume.geometry.to_ras(index)[..., 2]


def test_psnr_and_error_are_inside_the_window_and_the_mask() -> None:
    truth = np.array([0.0, 100.0, 900.0, 50.0], np.float32)
    image = np.array([7.75, 100.0 - 7.75, 600.0, 999.0], np.float32)
    inside = np.array([True, True, False, False])
    assert real_pair.psnr(image, truth, inside) == pytest.approx(40.0, abs=1e-4)
    assert real_pair.mean_error(image, truth, np.array([True, True, True, False])) == pytest.approx(2 * 7.75 / 3)
    assert math.isnan(real_pair.psnr(image, truth, ~inside & inside))


def test_a_codec_is_measured_on_the_scan_after() -> None:
    rng = np.random.default_rng(0)
    before = (90 + 10 * rng.standard_normal((16, 16, 16))).astype(np.float32)
    after = before.copy()
    after[4:12, 4:12, 4:12] = 300 + 60 * rng.standard_normal((8, 8, 8))
    tumour = np.zeros(before.shape, bool)
    tumour[4:12, 4:12, 4:12] = True
    whole = fit(torch.from_numpy(rng.standard_normal((500, 64)).astype(np.float32)), 64)
    exact = real_pair.codec_figures(whole, before, after, tumour)
    assert exact["tumour_psnr_db"] > 60 and exact["tumour_mae_hu"] < 0.5
    poor = Autoencoder(4)  # a basis of zeros: every block becomes the mean, 60 HU
    figures = real_pair.codec_figures(poor, before, after, tumour)
    dense = tumour & (after >= 250)
    error = np.clip(after, -175, 600)[dense] - 60
    assert figures["lipiodol_psnr_db"] == pytest.approx(10 * np.log10(775**2 / (error**2).mean()), abs=1e-3)
    assert figures["tumour_residual_psnr_db"] < figures["tumour_psnr_db"] + 10
    assert figures["tumour_mae_hu"] == pytest.approx(real_pair.mean_error(before, after, tumour), rel=1e-4)


def test_the_whole_on_a_synthetic_pair(pair, tmp_path) -> None:
    before, labels, after, _ = pair
    steps = []
    rows = real_pair.evaluate_real_pair(
        find_bundle(), before, labels, after, GIVEN, tmp_path, 1, 0, COARSE, lambda name, share: steps.append(name)
    )
    assert set(rows) == {"real_post", "mewm", "copy_pre", "codec"} and steps[0] == "registration"
    assert {f["n"] for figures in rows.values() for f in figures.values()} == {1}
    true_ml = float((labels.tumour & (_z(before) > 4)).sum()) * before.geometry.voxel_ml
    assert rows["real_post"]["lipiodol_ml"]["mean"] == pytest.approx(true_ml, rel=0.2)
    copy = rows["copy_pre"]
    assert copy["lipiodol_ml"]["mean"] == 0
    assert copy["lipiodol_volume_error"]["mean"] == rows["real_post"]["lipiodol_ml"]["mean"]
    assert copy["tumour_mae_hu"]["mean"] > 60  # half of the tumour rose by 380 HU
    assert rows["codec"]["tumour_mae_hu"]["mean"] < 0.5 * copy["tumour_mae_hu"]["mean"]
    quality = json.loads((tmp_path / "registration.json").read_text())
    assert quality["tumour_covered"] == 1 and quality["body_dice_after"] > 0.95
    picture = matplotlib.image.imread(tmp_path / "real_pair.png")[..., :3]
    yellow = np.abs(picture - np.array([1.0, 0.83, 0.0])).max(-1) < 0.12
    columns = [yellow[:, part].any() for part in np.array_split(np.arange(picture.shape[1]), 4)]
    assert columns == [False, True, False, True]  # before, simulated, real, difference


def test_scans_that_do_not_fit_are_refused(pair, tmp_path) -> None:
    before, labels, after, _ = pair
    thin = Volume(after.array[20:22], after.geometry.crop((20, 0, 0), (2, 50, 60)))
    fast = Registration(spacing_mm=8.0, shrink=(1,), levels=0, iterations=1, sampling=0.3)
    with pytest.raises(GeometryMismatchError, match="cover|could not be registered"):
        real_pair.evaluate_real_pair(find_bundle(), before, labels, thin, GIVEN, tmp_path, 1, 0, fast)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real_data
@pytest.mark.slow
def test_hcc_009_before_and_after_treatment(shared_data, tmp_path) -> None:
    folder = shared_data / "hcc009_1p5mm"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    before = io.read_volume(folder / "HCC_009_pre_portal_1p5mm.nii.gz")
    after = io.read_volume(folder / "HCC_009_post_portal_1p5mm.nii.gz")
    values = io.parse_label_values("1=liver,2=tumour,3=liver,4=background")
    path = folder / "HCC_009_pre_portal_seg4_APPROX_1p5mm.nii.gz"
    labels = io.read_labels(path, before.geometry, values=values)
    # the tumour's box with 40 mm around it
    where = np.argwhere(labels.tumour)
    low = np.maximum(where.min(0) - [16, 27, 27], 0)
    high = np.minimum(where.max(0) + [17, 28, 28], labels.array.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    geometry = before.geometry.crop(tuple(int(v) for v in low), tuple(int(v) for v in high - low))
    before, labels = Volume(before.array[box], geometry), LabelMap(labels.array[box], geometry)
    coarse = Registration(spacing_mm=6.0, shrink=(2, 1), levels=0, iterations=15)
    rows = real_pair.evaluate_real_pair(find_bundle(), before, labels, after, GIVEN, tmp_path, 1, 0, coarse)
    quality = json.loads((tmp_path / "registration.json").read_text())
    assert quality["abdomen_correlation_after"] > quality["abdomen_correlation_before"] + 0.2
    assert quality["liver_mae_hu_after"] < quality["liver_mae_hu_before"]
    assert rows["real_post"]["lipiodol_ml"]["mean"] > 30  # it is full of Lipiodol
    assert rows["copy_pre"]["lipiodol_ml"]["mean"] < 5
    assert rows["codec"]["tumour_mae_hu"]["mean"] < rows["copy_pre"]["tumour_mae_hu"]["mean"]
    assert np.isfinite(rows["mewm"]["tumour_mae_hu"]["mean"])
