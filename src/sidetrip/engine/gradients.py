"""Gradients by what is trained of a network, once and twice."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sidetrip.engine.state import trained


def gradient(value: Tensor, model: nn.Module, differentiable: bool = False) -> list[Tensor]:
    """Gradient of a scalar by what is trained of a model, in its order; zero where it does not depend on a parameter.

    One that is `differentiable` can itself be differentiated.
    """
    parameters = list(trained(model).values())
    return list(
        torch.autograd.grad(value, parameters, create_graph=differentiable, allow_unused=True, materialize_grads=True)
    )


def twice_differentiable() -> AbstractContextManager[None]:
    """Context of forward passes that are differentiated twice: attention by the one kernel that allows it."""
    return sdpa_kernel(SDPBackend.MATH)
