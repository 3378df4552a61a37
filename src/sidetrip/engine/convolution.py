"""Convolutions whose gradients are right on every processor."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, pad


class PointwiseConvolution(nn.Conv2d):
    """A 1 × 1 convolution with a stride that first takes the pixels it needs, and then goes over them without one.

    The same map with the same parameters. oneDNN's gradient by the weights of a strided 1 × 1 convolution in
    channels_last writes past its workspace where there are fewer input channels than its kernel's block (8 with AVX2,
    16 with AVX-512): crashes, or rubbish.

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


def use_safe_convolutions(model: nn.Module) -> nn.Module:
    """`model` with every strided 1 × 1 convolution made a `PointwiseConvolution`, in place."""
    for module in model.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1) and module.stride != (1, 1):
            assert module.padding_mode == "zeros" and not isinstance(module.padding, str)
            module.__class__ = PointwiseConvolution
    return model
