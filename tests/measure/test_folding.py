"""Folding changes rounding only, follows the model, and leaves it alone."""

import copy

import pytest
import torch
from helpers import small_network
from torch import nn

from sidetrip.measure.batchnorm import recalibrate
from sidetrip.measure.folding import FoldedNetwork


def pictures(seed: int) -> torch.Tensor:
    return torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_logits_are_those_of_the_model_whatever_its_weights():
    model = small_network("resnet8", channels=3).double()
    folded = FoldedNetwork(model)
    for seed in (1, 2):
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        recalibrate(model, [pictures(seed)])
        torch.testing.assert_close(folded.refresh()(pictures(3)), model.eval()(pictures(3)), rtol=1e-8, atol=1e-8)


def test_every_norm_of_a_residual_network_is_folded_and_the_model_stays_as_it_was():
    model = small_network("resnet20", channels=3).double()
    before, modules = copy.deepcopy(model.state_dict()), list(model.modules())
    folded = FoldedNetwork(model).refresh()
    folded(pictures(1))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert list(model.modules()) == modules
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


class Shared(nn.Module):
    """One convolution, read by its norm and by a sum."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.convolution(x)
        return (self.norm(y) + y).mean(dim=(2, 3))


class Twice(Shared):
    """One convolution at two places, of which one is normalised."""

    def forward(self, x):
        return (self.norm(self.convolution(x)) + self.convolution(x)).mean(dim=(2, 3))


class DataDependent(Shared):
    """A branch on a value: there is no one graph to fold."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@pytest.mark.parametrize("kind", [Shared, Twice, DataDependent])
def test_what_cannot_be_folded_is_run_as_it_is(kind):
    model = kind().double()
    recalibrate(model, [pictures(1)])
    folded = FoldedNetwork(model)
    assert torch.equal(folded.refresh()(pictures(2)), model.eval()(pictures(2)))
