"""A network that does not do all that will be asked of it is refused in one line."""

from __future__ import annotations

import pytest
import torch
from helpers import smoke_config
from torch import nn

from sidetrip.checks import fitness
from sidetrip.checks.fitness import check_model
from sidetrip.config import ConfigError

CPU = torch.device("cpu")


def with_layer(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), layer, nn.Flatten(), nn.Linear(144, 10))


class Odd(nn.Module):
    """What is made of a layer and a picture."""

    def __init__(self, layer, made) -> None:
        super().__init__()
        self.layer, self.made = layer, made

    def forward(self, x):
        return self.made(self.layer, x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: with_layer(nn.Hardsigmoid()),
            "has no second derivative, which single_step takes (derivative for aten::hardsigmoid_backward is not "
            "implemented); use another model",
        ),
        (
            lambda: with_layer(nn.AvgPool2d(9)),
            "does not take pictures of 14 × 14 pixels (Given input size: (4x6x6). Calculated output size: (4x0x0). "
            "Output size is too small); use another model or another data.size",
        ),
        (
            lambda: Odd(nn.Linear(1, 10), lambda layer, x: layer(x.mean(dim=(2, 3))).detach()),
            "cannot be trained on cpu (element 0 of tensors does not require grad and does not have a grad_fn); "
            "use another model, or another runtime.device",
        ),
        (
            lambda: Odd(nn.Linear(1, 10), lambda layer, x: (layer(x.mean(dim=(2, 3))), x)),
            "gives more than the logits of 10 classes; use another model",
        ),
        (
            lambda: with_layer(nn.Sequential(*[nn.BatchNorm2d(4)] * 2)),
            "cannot be scored (BatchNorm layer '1.0' is used twice by the model, so that no statistics are those of "
            "one input; use a model that has a layer for each place)",
        ),
    ],
)
def test_what_is_refused(monkeypatch, model, message):
    monkeypatch.setattr(fitness, "network", lambda *settings: model())
    with pytest.raises(ConfigError) as refused:
        check_model(smoke_config(), 1, 10, CPU)
    assert str(refused.value) == f"model.name = resnet8: {message}"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_networks_of_the_package_are_taken(precision):
    """Also attention, whose fast kernels have no second derivative: tests/engine/test_decoder.py."""
    check_model(smoke_config(**{"model.precision": precision}), 1, 10, CPU)
    check_model(smoke_config(**{"model.precision": precision, "model.name": "resnet20"}), 3, 7, CPU)
