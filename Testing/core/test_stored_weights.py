"""Weights in 16 and 8 bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from MeWMLib.core.errors import BundleError
from MeWMLib.core.stored_weights import SCALE, SMALLEST, restored, stored

large = hnp.arrays(np.float32, (8, SMALLEST // 8), elements=st.floats(-60000, 60000, width=32))


@given(large)
def test_eight_bits_are_within_half_a_step_of_each_channel(weights):
    files = stored({"w": weights}, eight_bits=True)
    assert files["w"].dtype == np.int8 and files["w" + SCALE].dtype == np.float16
    back = restored(files)
    assert list(back) == ["w"] and back["w"].dtype == np.float32 and back["w"].shape == weights.shape
    # a channel's step is 1/127 of its largest weight; float16 rounds it by 1/2048, which 127 steps add up, and
    # has no numbers below 6e-8
    largest = np.abs(weights).max(1, keepdims=True).astype(np.float64)
    assert (np.abs(back["w"] - weights) <= largest * (0.5 / 127 + 1 / 2048) * 1.01 + 127 * 6e-8).all()


def test_eight_bits_twice_are_eight_bits_once():
    weights = np.random.default_rng(0).normal(size=(16, 4, 9, 9)).astype(np.float32)
    once = restored(stored({"w": weights}, eight_bits=True))
    np.testing.assert_array_equal(restored(stored(once, eight_bits=True))["w"], once["w"])


def test_small_flat_and_whole_numbers_are_stored_as_before():
    tensors = {
        "small": np.ones((8, 8), np.float32),
        "flat": np.ones(SMALLEST, np.float32),
        "steps": np.arange(SMALLEST),
    }
    files = stored(tensors, eight_bits=True)
    assert {name: array.dtype for name, array in files.items()} == {
        "small": np.float16, "flat": np.float16, "steps": np.int64,
    }  # fmt: skip
    for name, array in restored(files).items():
        np.testing.assert_array_equal(array, tensors[name])


def test_a_name_like_that_of_scales_is_refused():
    with pytest.raises(BundleError, match="ends with"):
        stored({"w" + SCALE: np.ones(2, np.float32)})


@pytest.mark.parametrize(
    "files",
    [
        {"w" + SCALE: np.ones(2, np.float16)},
        {"w": np.ones((2, 3), np.int8), "w" + SCALE: np.ones(3, np.float16)},
        {"w": np.ones((2, 3), np.float16), "w" + SCALE: np.ones(2, np.float16)},
    ],
    ids=["alone", "another length", "of 16 bits"],
)
def test_scales_that_fit_nothing_are_refused(files):
    with pytest.raises(BundleError, match="do not fit"):
        restored(files)
