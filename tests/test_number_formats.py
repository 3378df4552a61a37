"""Stored numbers are read exactly and rounded once, to nearest and ties to even."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidetrip.merge import DTYPES
from sidetrip.number_formats import SIZES, decoded, encoded

TORCH = {name: getattr(torch, dtype) for dtype, name in DTYPES.items()}


def stored(values, name):
    return np.ascontiguousarray(encoded(np.asarray(values, dtype=np.float64), name)).view(np.uint8)


def random_values(seed):
    """Of all magnitudes, exact in single precision."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    usual = (random.standard_normal(20_000) * 10.0 ** random.integers(-9, 6, 20_000)).astype(np.float32)
    edges = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 464, 448, 61439, 65519, 3.38e38, 1e-45, 2**-10, 2**-17])
    return np.r_[bits, usual, edges]


@pytest.mark.parametrize("name", [name for name, size in SIZES.items() if size < 4])
def test_every_code_is_read_as_torch_reads_it(name):
    size = SIZES[name]
    codes = np.arange(256**size, dtype=np.uint8 if size == 1 else np.uint16).view(np.uint8)
    expected = torch.from_numpy(codes.copy()).view(TORCH[name]).double().numpy()
    with np.errstate(invalid="ignore"):
        found = decoded(codes, name).astype(np.float64)
    np.testing.assert_array_equal(found, expected)
    finite = np.isfinite(expected)
    again = stored(expected[finite], name)
    assert again.tobytes() == codes.reshape(-1, size)[finite].tobytes()


@pytest.mark.parametrize("name", SIZES)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_single_precision_is_rounded_as_torch_rounds_it(name, seed):
    values = random_values(seed)
    # What is too large for F8_E4M3, which has no infinity, differs between versions of torch.
    values = values[np.abs(values) <= 464 if name == "F8_E4M3" else ~np.isnan(values)]
    expected = torch.from_numpy(values.copy()).to(TORCH[name]).double().numpy()
    with np.errstate(invalid="ignore"):
        found = decoded(stored(values, name), name).astype(np.float64)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found[found == 0]), np.signbit(expected[found == 0]))


@pytest.mark.parametrize("name", [name for name in SIZES if name != "F64"])
def test_double_precision_is_rounded_once(name):
    """Just off a tie, by less than single precision sees: rounding twice would go to the even neighbour."""
    size = SIZES[name]
    codes = (16 ** (2 * size - 1) * 3 + np.arange(20)).astype(f"<u{size}")
    values = decoded(codes.view(np.uint8), name).astype(np.float64)
    lower, upper = values[:-1], values[1:]
    middle = (lower + upper) / 2
    for off, expected in ((1 - 1e-13, lower), (1 + 1e-13, upper)):
        np.testing.assert_array_equal(decoded(stored(middle * off, name), name), expected)
        np.testing.assert_array_equal(decoded(stored(-middle * off, name), name), -expected)
    ties = decoded(stored(middle, name), name)
    np.testing.assert_array_equal(ties, np.where(codes[:-1] % 2 == 0, lower, upper))
