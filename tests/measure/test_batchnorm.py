"""Recalibrated statistics are those of all samples in one batch, however they are split."""

import pytest
import torch
from helpers import small_network
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sidetrip.measure.batchnorm import recalibrate


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for name, b in model.named_buffers() if "running" in name]


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5).filter(lambda s: sum(s) > 1), seed=st.integers(0, 99))
def test_any_split_equals_one_batch(sizes, seed):
    x = torch.randn(sum(sizes), 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    model = small_network("resnet8", channels=2).double()
    one = statistics(recalibrate(model, [x]))
    split = statistics(recalibrate(model, x.split(sizes)))
    for a, b in zip(one, split, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.1, None])
def test_only_the_statistics_change(momentum):
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=momentum), nn.Dropout(0.5), nn.BatchNorm1d(3)).double().train()
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(50, 3, dtype=torch.float64) + 5
    assert recalibrate(model, [x]) is model
    assert [m.training for m in model] == [True, True, False]
    assert [m.momentum for m in (model[0], model[2])] == [momentum, 0.1]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) != ("running" in name), name
    # Dropout was off: the second layer saw the normalised input itself.
    assert model[2].running_mean.abs().max() < 1e-12


class Twice(nn.Module):
    """One norm at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.norm(x) + x)


SAMPLES = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 2 + 1


@pytest.mark.parametrize(
    ("model", "batches", "message"),
    [
        (Twice().double(), [SAMPLES], r"layer 'norm' is used twice .* use a model that has"),
        (nn.Sequential(nn.BatchNorm1d(3)), [], "at least one sample; raise evaluation.recalibration_samples"),
        (nn.Sequential(nn.BatchNorm1d(3)), [{"x": SAMPLES}], "a batch is a dict .*; give tensors"),
        (nn.Sequential(nn.BatchNorm1d(3)), [()], "a batch is a tuple .*; give tensors"),
    ],
)
def test_what_is_refused_leaves_the_model_as_it_was(model, batches, message):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        recalibrate(model, batches)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(m.training and not m._forward_pre_hooks for m in model.modules())


def test_a_layer_that_evaluation_does_not_reach_keeps_what_it_has():
    class Unreached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.used(x)

    model = Unreached().double()
    model.unused.running_mean.fill_(0.7)
    model.unused.running_var.fill_(3.0)
    recalibrate(model, SAMPLES.split(9))
    torch.testing.assert_close(model.used.running_mean, SAMPLES.mean(dim=0))
    assert set(model.unused.running_mean.tolist()) == {0.7}
    assert set(model.unused.running_var.tolist()) == {3.0}
    assert [int(layer.num_batches_tracked) for layer in model.children()] == [0, 0]
    assert not any(layer._forward_pre_hooks for layer in model.children())
