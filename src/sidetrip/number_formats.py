"""Floating-point formats of stored tensors: exact reading, and rounding once, to nearest and ties to even.

numpy knows neither bfloat16 nor the formats of 8 bits, so their bits are formed here. A sum in double precision is
rounded to the stored format directly: via single precision it would be rounded twice.

References
----------
Formats of 8 bits: Micikevicius et al., "FP8 formats for deep learning". DOI 10.48550/arXiv.2209.05433.
Rounding to odd: Boldo, Melquiond, "When double rounding is odd", 2005.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_LOW_HALF = 0 if sys.byteorder == "little" else 1


@dataclass(frozen=True)
class FloatFormat:
    """A floating-point format as safetensors names it.

    Attributes
    ----------
    size : int
        Bytes of a number.
    overflow : float
        Largest magnitude that still rounds to a finite number.
    native : dtype, optional
        numpy's own type, if it has one.
    """

    size: int
    overflow: float
    native: np.dtype[Any] | None = None


FORMATS = {
    "F64": FloatFormat(8, float(np.finfo(np.float64).max), np.dtype("<f8")),
    "F32": FloatFormat(4, float(np.nextafter(2.0**128 - 2.0**103, 0.0)), np.dtype("<f4")),
    "F16": FloatFormat(2, float(np.nextafter(65520.0, 0.0)), np.dtype("<f2")),
    "BF16": FloatFormat(2, float(np.nextafter(2.0**128 - 2.0**119, 0.0))),
    "F8_E5M2": FloatFormat(1, float(np.nextafter(61440.0, 0.0))),
    "F8_E4M3": FloatFormat(1, 464.0),  # the last finite code is even, so the tie goes to it
}


def decoded(raw: NDArray[np.uint8], name: str) -> NDArray[Any]:
    """Numbers of a format as numbers of a type that numpy knows, exactly.

    Parameters
    ----------
    raw : ndarray of uint8, shape (n * size,)
        Bytes as they are stored, little-endian.
    name : str
        A key of `FORMATS`.

    Returns
    -------
    ndarray, shape (n,)
        float64, float32 or float16; a view of `raw` where numpy has the format.
    """
    native = FORMATS[name].native
    if native is not None:
        return raw.view(native)
    if name == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return _values_of_8_bits(name)[raw]


def encoded(values: Vector, name: str) -> NDArray[Any]:
    """Numbers in double precision rounded to a format, as they are to be stored.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        What is larger than `FloatFormat.overflow` becomes infinite, or not a number in F8_E4M3, which has no infinity.
    name : str
        A key of `FORMATS`.

    Returns
    -------
    ndarray, shape (n,)
        Numbers, or unsigned integers with their bits.
    """
    native = FORMATS[name].native
    if native is not None:
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(native)
    return _bfloat16(values) if name == "BF16" else _of_8_bits(values, name)


def _bfloat16(values: Vector) -> NDArray[np.uint16]:
    with np.errstate(over="ignore", under="ignore"):
        bits = values.astype(np.float32).view(np.uint32)
    # A second rounding errs only where the first one made a tie.
    ties = np.flatnonzero(bits.view(np.uint16)[_LOW_HALF::2] == 0x8000)
    bits[ties] = _rounded_to_odd(values[ties], np.float32, np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    unknown = np.isnan(values)
    if unknown.any():  # rounding could carry a NaN over into infinity or zero
        rounded[unknown] = 0x7FC0
    return rounded.astype("<u2")


def _rounded_to_odd(values: Vector, real: type[np.floating[Any]], unsigned: type[np.unsignedinteger[Any]]) -> Any:
    """Bits of a narrower type, cut off, with the last one set if anything was cut: a second rounding is then exact."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = values.astype(real)
    bits = narrow.view(unsigned)
    inexact = narrow != values
    bits -= inexact & (np.abs(narrow) > np.abs(values))
    bits |= inexact & ~np.isnan(values)
    return bits


@cache
def _values_of_8_bits(name: str) -> NDArray[np.float32]:
    """Values of all 256 codes."""
    mantissa_bits, bias = (3, 7) if name == "F8_E4M3" else (2, 15)
    code = np.arange(128)
    exponent, mantissa = code >> mantissa_bits, code & (2**mantissa_bits - 1)
    fraction = mantissa / 2**mantissa_bits + (exponent > 0)
    positive = np.ldexp(fraction, np.maximum(exponent, 1) - bias).astype(np.float32)
    if name == "F8_E4M3":
        positive[127] = np.nan
    else:
        positive[124:] = [np.inf, np.nan, np.nan, np.nan]
    return np.r_[positive, -positive]


@cache
def _thresholds_of_8_bits(name: str) -> Vector:
    """Entry i is the largest magnitude that rounds to code i rather than to code i + 1."""
    values = _values_of_8_bits(name).astype(np.float64)
    largest = int(np.nanargmax(np.where(np.isfinite(values[:128]), values[:128], np.nan)))
    finite = np.r_[values[: largest + 1], 2.0 * values[largest] - values[largest - 1]]
    middles = (finite[1:] + finite[:-1]) / 2.0
    middles[1::2] = np.nextafter(middles[1::2], 0.0)  # a tie goes to the even code
    return middles


@cache
def _codes_of_half_precision(name: str) -> NDArray[np.uint8]:
    """Code of each number in half precision, which has more than enough places for a second rounding."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)
    codes = np.searchsorted(_thresholds_of_8_bits(name), np.abs(values)).astype(np.uint8)
    codes[np.isnan(values)] = 0x7F
    codes |= np.where(np.signbit(values), np.uint8(0x80), np.uint8(0))
    return codes


def _of_8_bits(values: Vector, name: str) -> NDArray[np.uint8]:
    return _codes_of_half_precision(name)[_rounded_to_odd(values, np.float16, np.uint16)]
