"""Layers in the place of torch's own compute the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sidetrip.engine.layers import AveragePooling, Hardsigmoid, use_safe_layers
from sidetrip.measure.folding import FoldedNetwork


def outcome(layer: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad((y * torch.arange(y.numel()).view(y.shape)).sum(), x)
    return y.detach(), slope


@pytest.mark.parametrize("wanted", [1, 6, (1, 1), (7, 7), (2, 3), (None, 2), (3, None)])
@pytest.mark.parametrize("present", [(1, 1), (2, 5), (6, 6), (7, 7), (13, 9)])
@pytest.mark.parametrize("dimensions", [3, 4])
def test_pooling_is_torch_s_adaptive_pooling(wanted, present, dimensions):
    x = torch.randn(*(2, 3)[: dimensions - 2], *present, dtype=torch.float64)
    theirs = nn.AdaptiveAvgPool2d(wanted)
    ours = use_safe_layers(nn.Sequential(copy.deepcopy(theirs)))[0]
    assert type(ours) is AveragePooling
    for a, b in zip(outcome(ours, x), outcome(theirs, x), strict=True):
        torch.testing.assert_close(a, b)


def test_hardsigmoid_is_torch_s_and_can_be_differentiated_twice():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    theirs = nn.Hardsigmoid()
    ours = use_safe_layers(nn.Sequential(nn.Hardsigmoid()))[0]
    assert type(ours) is Hardsigmoid
    for a, b in zip(outcome(ours, x), outcome(theirs, x), strict=True):
        torch.testing.assert_close(a, b)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: ours(x).square(), x)


def test_they_are_layers_to_what_folds_networks():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d((2, 3)))
    network = FoldedNetwork(use_safe_layers(model).eval()).refresh()
    assert [type(layer) for layer in network.children()] == [nn.Conv2d, Hardsigmoid, AveragePooling]
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(network(x), model(x))
