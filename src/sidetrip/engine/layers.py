"""Layers that compute what torch's own do, where those fail: in a derivative, in its determinism, or in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad, relu6
from torch.nn.modules.utils import _pair


class PointwiseConvolution(nn.Conv2d):
    """A 1 × 1 convolution with a stride that first takes the pixels it needs, and then goes over them without one.

    oneDNN's gradient by the weights of a strided 1 × 1 convolution in channels_last writes past its workspace where
    there are fewer input channels than its kernel's block (8 with AVX2, 16 with AVX-512): crashes, or rubbish.

    References
    ----------
    https://github.com/uxlfoundation/oneDNN/issues/6035
    """

    def forward(self, x: Tensor) -> Tensor:
        """[batch, c_in, h, w] to [batch, c_out, h', w'] as `nn.Conv2d`."""
        if x.device.type != "cpu":
            return super().forward(x)
        if self.padding != (0, 0):
            x = pad(x, self._reversed_padding_repeated_twice)
        # A slice takes the pixels for nothing, but its gradient is laid out anew, and what comes before it then takes
        # ten times as long (a twelfth of a training step of ResNet-8). Means over one pixel each are the same pixels.
        down, right = self.stride
        taken = avg_pool2d(x, 1, self.stride) if x.requires_grad else x[..., ::down, ::right]
        return conv2d(taken, self.weight, self.bias, groups=self.groups)


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


OWN = (PointwiseConvolution, Hardsigmoid, AveragePooling)


def use_safe_layers(model: nn.Module) -> nn.Module:
    """`model` with every layer that fails somewhere made one that does not, in place."""
    for module in model.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1) and module.stride != (1, 1):
            assert module.padding_mode == "zeros" and not isinstance(module.padding, str)
            module.__class__ = PointwiseConvolution
        elif type(module) is nn.Hardsigmoid:
            module.__class__ = Hardsigmoid
        elif type(module) is nn.AdaptiveAvgPool2d:
            module.__class__ = AveragePooling
    return model
