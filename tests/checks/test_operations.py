"""A network that a device cannot take through its passes, or not twice alike, is one line before any step."""

import itertools
from pathlib import Path

import pytest
import torch
from helpers import random_lab, smoke_config
from torch import nn

from sidetrip.checks.operations import check_operations, passes
from sidetrip.config import ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.training import batch_loss
from sidetrip.experiments.burn_in import measure as burn_in
from sidetrip.experiments.units import Run
from sidetrip.files import UnitFolders

BATCH = Batch(torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2]))


class Pooling(torch.autograd.Function):
    """Fails in its backward pass as torch's adaptive pooling does on a GPU."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        raise RuntimeError(
            "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
        )


class Layer(nn.Module):
    def __init__(self, function, size=5, classes=3):
        super().__init__()
        self.linear, self.function = nn.Linear(size, classes), function

    def forward(self, x):
        return self.function(self.linear(x).square())


def refusal(function) -> str:
    with pytest.raises(ConfigError) as error:
        check_operations(Layer(function), BATCH, "fp32", "odd")
    return str(error.value)


def test_a_pass_that_fails_is_one_line():
    assert refusal(Pooling.apply) == (
        "model.name = odd: cannot be measured on cpu (adaptive_avg_pool2d_backward_cuda does not have a deterministic "
        "implementation, but you set 'torch.use_deterministic_algorithms(True)'); use another model, or "
        "runtime.device = cpu"
    )


def test_other_bits_at_a_second_time_are_one_line():
    calls = itertools.count(1)
    assert "computes other bits on cpu at a second time" in refusal(lambda x: x * (1.0 + 1e-6 * next(calls)))


def test_random_masks_are_no_other_bits_and_the_generator_stands_where_it_stood():
    model, before = Layer(nn.Dropout(0.5)), torch.random.get_rng_state()
    check_operations(model, BATCH, "bf16", "dropout")
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_passes_are_loss_gradient_and_hessian_product():
    model, batch = nn.Linear(5, 3).double(), Batch(BATCH.inputs.double(), BATCH.targets)

    def loss_of(flat):
        return batch_loss(lambda x: nn.functional.linear(x, flat[:15].view(3, 5), flat[15:]), batch)

    def flattened(parts):
        return torch.cat([part.detach().flatten() for part in parts])

    loss, *others = passes(model, batch, "fp32")
    flat = flattened(model.parameters()).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(flat), flat)
    product = torch.autograd.functional.hessian(loss_of, flat.detach()) @ gradient
    torch.testing.assert_close(loss, loss_of(flat.detach()))
    torch.testing.assert_close(flattened(others[:2]), gradient)
    torch.testing.assert_close(flattened(others[2:]), product)


def burn_in_refuses(lab, folder: Path, message: str) -> None:
    lab.folders = UnitFolders(folder / "result", folder / "progress")
    with pytest.raises(ConfigError, match=message) as error:
        burn_in.measure(lab, Run(0))
    assert "\n" not in str(error.value)
    assert not (folder / "progress").exists()


def test_a_burn_in_refuses_before_its_first_step(tmp_path, monkeypatch):
    lab = random_lab(tmp_path, smoke_config())
    odd = nn.Sequential(nn.Flatten(), Layer(Pooling.apply, 196, 10))
    monkeypatch.setattr(lab, "model", lambda seed=0: odd)
    burn_in_refuses(lab, tmp_path, r"^model.name = resnet8: cannot be measured on cpu \(adaptive_avg")


def test_a_burn_in_refuses_a_network_that_is_not_for_its_data(tmp_path):
    """What else is refused so: tests/checks/test_fitness.py."""
    lab = random_lab(tmp_path, smoke_config(**{"data.source": "folder", "model.name": "squeezenet1_1"}))
    burn_in_refuses(lab, tmp_path, "^model.name = squeezenet1_1: .*3 channels, the data have 1; use resnet8")
