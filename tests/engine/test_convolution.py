"""Gradients of the convolutions that networks have, against float64, where oneDNN's kernels are capped at AVX2."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from sidetrip.engine.convolution import PointwiseConvolution, use_safe_convolutions
from sidetrip.engine.models import build_model

# Memory that a kernel writes past its workspace is caught by malloc's own checks.
CAPPED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MALLOC_CHECK_": "3",
    "MALLOC_PERTURB_": "165",
    "OMP_NUM_THREADS": "1",
}
GRADIENTS = """
import torch
from torch import nn
from sidetrip.engine.convolution import use_safe_convolutions
from sidetrip.engine.models import build_model

def gradients(layer, x, dy):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer(x).backward(dy)
    return [x.grad, layer.weight.grad]

torch.manual_seed(0)
for width in range(1, 17):
    for kernel in (1, 3, 7):
        for stride in (1, 2):
            for side in (7, 14):
                layer = nn.Conv2d(width, 2 * width, kernel, stride, padding=kernel // 2, bias=False)
                reference = nn.Conv2d(width, 2 * width, kernel, stride, padding=kernel // 2, bias=False).double()
                reference.load_state_dict(layer.state_dict())
                layer = use_safe_convolutions(nn.Sequential(layer)).to(memory_format=torch.channels_last)[0]
                x = torch.randn(4, width, side, side).to(memory_format=torch.channels_last)
                dy = torch.randn_like(layer(x))
                found, expected = gradients(layer, x, dy), gradients(reference, x.double(), dy.double())
                for a, b in zip(found, expected):
                    error = float((a.double() - b).abs().max() / b.abs().max())
                    assert error < 1e-5, (width, kernel, stride, side, error)
for width in range(1, 9):
    model = build_model("resnet8", width=width, stem="cifar", channels=1, classes=10, seed=0)
    model = model.to(memory_format=torch.channels_last)
    model(torch.randn(16, 1, 14, 14).to(memory_format=torch.channels_last)).sum().backward()
print("right")
"""


def test_gradients_of_every_width_stride_and_kernel_size():
    environment = {**os.environ, **CAPPED, "PYTHONPATH": "src"}
    result = subprocess.run(
        [sys.executable, "-c", GRADIENTS],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr[-500:]
    assert result.stdout == "right\n"


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1)])
def test_it_is_the_map_of_the_layer_that_it_replaces(stride, padding):
    layer = nn.Conv2d(6, 4, 1, stride, padding=padding, groups=2)
    x = torch.randn(3, 6, 9, 8)
    expected = layer(x)
    (safe,) = use_safe_convolutions(nn.Sequential(layer)).children()
    assert isinstance(safe, PointwiseConvolution)
    torch.testing.assert_close(safe(x), expected)


def test_its_gradient_lies_in_memory_as_the_activations_do():
    """Else what comes before it is slow."""
    layer = nn.Conv2d(4, 8, 1, 2).to(memory_format=torch.channels_last)
    (safe,) = use_safe_convolutions(nn.Sequential(layer)).children()
    x = torch.randn(3, 4, 9, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    (found,) = torch.autograd.grad(safe(x).square().sum(), x)
    assert found.is_contiguous(memory_format=torch.channels_last) and not found.is_contiguous()


def test_other_convolutions_stay_what_they_are():
    layers = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, 2), nn.Conv1d(2, 2, 1, 2))
    assert [type(layer) for layer in use_safe_convolutions(layers).children()] == [nn.Conv2d, nn.Conv2d, nn.Conv1d]


def test_no_network_that_is_built_has_a_strided_pointwise_convolution_of_torch():
    for name in ("resnet8", "resnet20", "resnet18", "resnet50"):
        model = build_model(name, width=2, stem="cifar", channels=3, classes=10, seed=0)
        for layer in model.modules():
            assert type(layer) is not nn.Conv2d or layer.kernel_size != (1, 1) or layer.stride == (1, 1), name
