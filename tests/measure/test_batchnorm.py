"""Recalibrated statistics are those of all samples in one batch, however they are split."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sidetrip.engine.models import build_model
from sidetrip.measure.batchnorm import recalibrate


def deep() -> nn.Module:
    return build_model("resnet8", width=3, stem="cifar", channels=2, classes=4, seed=1).double()


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [b.clone() for name, b in model.named_buffers() if "running" in name]


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5).filter(lambda s: sum(s) > 1), seed=st.integers(0, 99))
def test_any_split_equals_one_batch(sizes, seed):
    x = torch.randn(sum(sizes), 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3 + 1
    one = statistics(recalibrate(deep(), [x]))
    split = statistics(recalibrate(deep(), x.split(sizes)))
    for a, b in zip(one, split, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_pooled_moments_written_out():
    """Mean of means, within plus between variance; the two batches differ in size and mean."""
    a, b = torch.tensor([[0.0], [2.0], [4.0]]).double(), torch.tensor([[10.0]]).double()
    layer = recalibrate(nn.Sequential(nn.BatchNorm1d(1)).double(), [(a, None), (b, None)])[0]
    mean = (3 * 2.0 + 10.0) / 4
    variance = (sum((v - mean) ** 2 for v in (0, 2, 4)) + (10 - mean) ** 2) / 3
    assert float(layer.running_mean) == pytest.approx(mean, abs=1e-12)
    assert float(layer.running_var) == pytest.approx(variance, abs=1e-12)


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


def test_no_sample_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        recalibrate(nn.BatchNorm1d(2), [])


def test_statistics_that_are_not_finite_leave_no_trace():
    model = nn.Sequential(nn.BatchNorm1d(2)).double()
    model[0].running_mean.fill_(float("nan"))
    model[0].running_var.fill_(float("inf"))
    x = torch.randn(20, 2, dtype=torch.float64)
    recalibrate(model, [x])
    torch.testing.assert_close(model[0].running_mean, x.mean(dim=0))
    torch.testing.assert_close(model[0].running_var, x.var(dim=0))


class Twice(nn.Module):
    """One norm at two places, then another: the second use sees other moments than the first."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.after, self.unused = nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def inner(self, x):
        return self.shared(x).relu() + self.shared(3 * x - 1)

    def forward(self, x):
        return self.after(self.inner(x))


def samples_3() -> torch.Tensor:
    return torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)) * 2 + 1


def assert_moments(layer: nn.Module, *seen: torch.Tensor) -> None:
    together = torch.cat(seen)
    torch.testing.assert_close(layer.running_mean, together.mean(dim=0))
    torch.testing.assert_close(layer.running_var, together.var(dim=0))


def test_a_layer_that_is_used_twice_has_the_statistics_of_both_uses():
    model, x = Twice().double(), samples_3()
    recalibrate(model, x.split(9))
    assert_moments(model.shared, x, 3 * x - 1)
    # What comes after is normalised by statistics of what evaluation sends there, not of what the pass did.
    assert_moments(model.after, model.eval().inner(x))


def test_a_layer_that_sees_its_own_output_agrees_with_itself():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(x + self.norm(x))

    model, x = Recurrent().double(), samples_3()
    recalibrate(model, [x]).eval()
    together = torch.cat([x, x + model.norm(x)])
    torch.testing.assert_close(model.norm.running_mean, together.mean(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.norm.running_var, together.var(dim=0), rtol=1e-4, atol=1e-4)


def test_a_layer_that_evaluation_does_not_reach_keeps_what_it_has():
    model = Twice().double()
    model.unused.running_mean.fill_(0.7)
    model.unused.running_var.fill_(3.0)
    recalibrate(model, [samples_3()])
    assert set(model.unused.running_mean.tolist()) == {0.7}
    assert set(model.unused.running_var.tolist()) == {3.0}
    assert [int(layer.num_batches_tracked) for layer in model.children()] == [0, 0, 0]
    assert not any(layer._forward_hooks for layer in model.children())
