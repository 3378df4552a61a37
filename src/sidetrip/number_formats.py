"""Floating-point formats of stored tensors: exact reading, and rounding once, to nearest and ties to even.

A sum in double precision is rounded to the stored format directly. ml_dtypes, like torch, goes by way of single
precision and so rounds twice: what it is given here is in single precision already, rounded to odd, which makes the
second rounding exact. bfloat16, the upper half of single precision, needs numpy alone.

References
----------
Formats of 8 bits: Micikevicius et al., "FP8 formats for deep learning". DOI 10.48550/arXiv.2209.05433.
Rounding to odd: Boldo, Melquiond, "When double rounding is odd", 2005.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidetrip.files import FileError

Vector = NDArray[np.float64]

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E5M2": 1, "F8_E4M3": 1}  # bytes of a number, by safetensors' name
NATIVE = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
EIGHT_BITS = {"F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn"}


def decoded(raw: NDArray[np.uint8], name: str) -> NDArray[Any]:
    """Numbers of a format as numbers that numpy calculates with, exactly.

    Parameters
    ----------
    raw : ndarray of uint8, shape (n * size,)
        Bytes as they are stored, little-endian.
    name : str
        A key of `SIZES`.

    Returns
    -------
    ndarray, shape (n,)
        float64, float32 or float16; a view of `raw` where numpy has the format.
    """
    if name in NATIVE:
        return raw.view(NATIVE[name])
    if name == "BF16":
        bits = raw.view("<u2").astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return raw.view(_eight_bits(name)).astype(np.float32)


def encoded(values: Vector, name: str) -> NDArray[Any]:
    """Numbers in double precision rounded to a format, as they are to be stored.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite or infinite. What is too large becomes infinite, or not a number in F8_E4M3, which has no infinity.
    name : str
        A key of `SIZES`.

    Returns
    -------
    ndarray, shape (n,)
        Numbers, or unsigned integers with their bits.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if name in NATIVE:
            return values.astype(NATIVE[name])
        if name == "BF16":
            return _bfloat16(values)
        return _rounded_to_odd(values).view(np.float32).astype(_eight_bits(name))


def _eight_bits(name: str) -> np.dtype[Any]:
    try:
        import ml_dtypes  # for these types alone, which few snapshots have
    except ImportError as error:
        raise FileError(f"numbers of type {name} need the package ml_dtypes; run `pip install ml_dtypes`") from error
    return np.dtype(getattr(ml_dtypes, EIGHT_BITS[name]))


def _bfloat16(values: Vector) -> NDArray[np.uint16]:
    bits = _rounded_to_odd(values)
    bits += 0x7FFF + (bits >> 16 & 1)  # half of the last place that stays, or a little less where it is even
    return (bits >> 16).astype("<u2")


def _rounded_to_odd(values: Vector) -> NDArray[np.uint32]:
    """Bits in single precision, cut off, with the last one set if anything was cut."""
    single = values.astype(np.float32)
    bits = single.view(np.uint32)
    inexact = single != values
    bits -= inexact & (np.abs(single) > np.abs(values))
    bits |= inexact
    return bits
