"""Every sample counts once, whatever the batches; every model is scored with statistics of its own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sidetrip.engine.state import initial_state, with_weights
from sidetrip.measure.evaluation import Evaluator, score


@given(st.lists(st.integers(1, 7), min_size=1, max_size=6), st.sampled_from([(), (5,)]), st.integers(0, 99))
def test_partial_batches_count_by_their_predictions(sizes, each, seed):
    """One a sample, or several, as of a text."""
    random = torch.Generator().manual_seed(seed)
    model, shape = nn.Linear(3, 4), (sum(sizes), *each)
    x, y = torch.randn(*shape, 3, generator=random), torch.randint(0, 4, shape, generator=random)
    found = score(model, zip(x.split(sizes), y.split(sizes), strict=True))
    logits, expected = model(x).detach().view(-1, 4), y.flatten()
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, expected)), rel=1e-5)
    assert found.accuracy == float((logits.argmax(1) == expected).double().mean())


def test_scores_do_not_depend_on_what_was_scored_before():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    x, y = torch.randn(40, 3), torch.randint(0, 2, (40,))
    evaluate = Evaluator(model, [x[:25], x[25:]], {"all": [(x, y)]}, "fp32")
    state = initial_state(model)
    others = {name: torch.randn_like(p) * 50 for name, p in state.weights.items()}
    first = dict(evaluate(state))
    for spoiled in (others, {name: p * float("inf") for name, p in state.weights.items()}):
        list(evaluate(with_weights(state, spoiled)))
        assert dict(evaluate(state)) == first


@pytest.mark.parametrize(("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_statistics_are_taken_in_the_precision_of_the_run(precision, expected):
    """Those of a model in bf16 are the moments of what its own layers put out, not of what they would in fp32."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    seen = []
    model[0].register_forward_hook(lambda layer, arguments, output: seen.append(output.detach().clone()))
    pictures, labels = torch.randn(8, 1, 6, 6) + 2, torch.zeros(8, dtype=torch.int64)
    dict(Evaluator(model, [pictures], {"all": [(pictures, labels)]}, precision)(initial_state(model)))
    assert seen[0].dtype == expected
    torch.testing.assert_close(model[1].running_mean, seen[0].float().mean((0, 2, 3)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model[1].running_var, seen[0].float().var((0, 2, 3)), rtol=1e-4, atol=1e-5)
