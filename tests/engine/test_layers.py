"""Layers in the place of torch's own compute the same; their gradients are right where torch's are not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from helpers import small_network
from torch import nn

from sidetrip.engine.layers import AveragePooling, Hardsigmoid, PointwiseConvolution, use_safe_layers
from sidetrip.measure.folding import FoldedNetwork

# With oneDNN's kernels capped at AVX2, and memory that one writes past its workspace caught by malloc's own checks.
CAPPED = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MALLOC_CHECK_": "3",
    "MALLOC_PERTURB_": "165",
    "OMP_NUM_THREADS": "1",
}
GRADIENTS = """
import itertools
import torch
from torch import nn
from sidetrip.engine.layers import use_safe_layers

def gradients(layer, x, dy):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer(x).backward(dy)
    return [x.grad, layer.weight.grad]

torch.manual_seed(0)
for width, kernel, stride, side in itertools.product(range(1, 17), (1, 3, 7), (1, 2), (7, 14)):
    layer, reference = (nn.Conv2d(width, 2 * width, kernel, stride, padding=kernel // 2, bias=False) for _ in range(2))
    reference.double().load_state_dict(layer.state_dict())
    layer = use_safe_layers(nn.Sequential(layer)).to(memory_format=torch.channels_last)[0]
    x = torch.randn(4, width, side, side).to(memory_format=torch.channels_last)
    dy = torch.randn_like(layer(x))
    found, expected = gradients(layer, x, dy), gradients(reference, x.double(), dy.double())
    for a, b in zip(found, expected):
        error = float((a.double() - b).abs().max() / b.abs().max())
        assert error < 1e-5, (width, kernel, stride, side, error)
"""


def safe(layer: nn.Module) -> nn.Module:
    return use_safe_layers(nn.Sequential(layer))[0]


def outcome(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape)).sum(), x)
    return y.detach(), slope


def test_gradients_of_every_width_stride_and_kernel_size():
    environment = {**os.environ, **CAPPED, "PYTHONPATH": "src"}
    command = [sys.executable, "-c", GRADIENTS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, encoding="utf-8")
    assert result.returncode == 0, result.stderr[-500:]


CASES = [
    *[(nn.Conv2d(6, 4, 1, stride, p, groups=2), PointwiseConvolution) for stride in ((2, 2), (3, 1)) for p in (0, 1)],
    *[(nn.AdaptiveAvgPool2d(size), AveragePooling) for size in (1, 6, (7, 7), (2, 3), (None, 2), (3, None))],
    (nn.Hardsigmoid(), Hardsigmoid),
]


@pytest.mark.parametrize(("layer", "kind"), CASES)
@pytest.mark.parametrize("present", [(1, 1), (2, 5), (6, 6), (13, 9)])
def test_a_layer_is_the_map_that_it_replaces(layer, kind, present):
    x = 3 * torch.randn(3, 6, *present, dtype=torch.float64)
    expected = outcome(layer.double(), x)
    ours = safe(layer)
    assert type(ours) is kind
    for a, b in zip(outcome(ours, x), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_gradient_of_a_strided_convolution_lies_in_memory_as_the_activations_do():
    """Else what comes before it is slow."""
    layer = safe(nn.Conv2d(4, 8, 1, 2).to(memory_format=torch.channels_last))
    x = torch.randn(3, 4, 9, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    (found,) = torch.autograd.grad(layer(x).square().sum(), x)
    assert found.is_contiguous(memory_format=torch.channels_last) and not found.is_contiguous()


def test_hardsigmoid_can_be_differentiated_twice():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: safe(nn.Hardsigmoid())(x).square(), x)


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, 2), nn.Conv1d(2, 2, 1, 2)], ids=str)
def test_other_convolutions_stay_what_they_are(layer):
    assert type(safe(layer)) in (nn.Conv2d, nn.Conv1d)


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_no_network_has_a_strided_pointwise_convolution_of_torch(name):
    for layer in small_network(name, channels=3).modules():
        assert type(layer) is not nn.Conv2d or layer.kernel_size != (1, 1) or layer.stride == (1, 1)


def test_they_are_layers_to_what_folds_networks():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d((2, 3)))
    network = FoldedNetwork(use_safe_layers(model).eval()).refresh()
    assert [type(layer) for layer in network.children()] == [nn.Conv2d, Hardsigmoid, AveragePooling]
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(network(x), model(x))
