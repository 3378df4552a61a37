"""Gradients by what is trained of a network, once and twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import normalize
from torch.overrides import TorchFunctionMode

from sidetrip.engine.state import trained


def gradient(value: Tensor, model: nn.Module, differentiable: bool = False) -> list[Tensor]:
    """Gradient of a scalar by what is trained of a model, in its order; zero where it does not depend on a parameter.

    One that is `differentiable` can itself be differentiated.
    """
    parameters = list(trained(model).values())
    return list(
        torch.autograd.grad(value, parameters, create_graph=differentiable, allow_unused=True, materialize_grads=True)
    )


def inner(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Inner product of two gradients, accumulated in float64 on their device."""
    return torch.stack([(a.double() * b.double()).sum() for a, b in zip(left, right, strict=True)]).sum()


@torch.no_grad()
def step_against(model: nn.Module, weights: Mapping[str, Tensor], direction: list[Tensor], size: float) -> None:
    """Put what is trained of a model where a step of a size from some weights, against a direction, leads."""
    parameters = trained(model)
    moved = torch._foreach_sub([weights[name] for name in parameters], torch._foreach_mul(direction, size))
    torch._foreach_copy_(list(parameters.values()), moved)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Context of forward passes that are differentiated twice.

    Attention goes by the one kernel that allows it, and vectors are normalised so that those of length 0 do.
    """
    with sdpa_kernel(SDPBackend.MATH), _SmoothNormalisation():
        yield


class _SmoothNormalisation(TorchFunctionMode):
    """Has `torch.nn.functional.normalize` clamp the square of a length, not the length.

    The same values and gradients; but at 0, where padding puts vectors, a length has no second derivative.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (_normalised if func is normalize else func)(*args, **(kwargs or {}))


def _normalised(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    if p != 2.0 or out is not None:
        return normalize(x, p, dim, eps, out)
    return x * x.square().sum(dim, keepdim=True).clamp_min(eps**2).rsqrt()
