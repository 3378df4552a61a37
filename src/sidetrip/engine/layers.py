"""Layers that compute what torch's own do, where those fail: in a derivative, or in their determinism on GPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu6
from torch.nn.modules.utils import _pair

from sidetrip.engine.convolution import PointwiseConvolution, use_safe_convolutions


class Hardsigmoid(nn.Hardsigmoid):
    """relu6(x + 3)/6. Torch's own kernel has no second derivative."""

    def forward(self, x: Tensor) -> Tensor:
        """Of each element."""
        return relu6(x + 3.0) / 6.0


class AveragePooling(nn.AdaptiveAvgPool2d):
    """Means over windows, along one dimension after the other. Torch's own gradient is not deterministic on GPUs."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., h, w] to [..., *output_size]."""
        down, across = _pair(self.output_size)
        for dimension, pixels in ((-2, down), (-1, across)):
            present = x.shape[dimension]
            windows = [] if pixels is None else _windows(present, pixels)
            means = [x.narrow(dimension, begin, end - begin).mean(dimension) for begin, end in windows]
            x = torch.stack(means, dimension) if means else x
        return x


def _windows(present: int, wanted: int) -> list[tuple[int, int]]:
    """Where the windows of adaptive pooling begin and end: they cover all, and overlap where they must."""
    return [(i * present // wanted, -(-(i + 1) * present // wanted)) for i in range(wanted)]


REPLACED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Hardsigmoid: Hardsigmoid,
    nn.AdaptiveAvgPool2d: AveragePooling,
}
OWN: tuple[type[nn.Module], ...] = (PointwiseConvolution, *REPLACED.values())


def use_safe_layers(model: nn.Module) -> nn.Module:
    """`model` with every layer that fails somewhere made one that does not, in place."""
    for module in use_safe_convolutions(model).modules():
        if type(module) in REPLACED:
            module.__class__ = REPLACED[type(module)]
    return model
