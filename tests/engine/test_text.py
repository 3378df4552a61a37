"""Windows of a text: every token has the one after it for a target, and every epoch visits each window once."""

import numpy as np
import pytest
import torch
from helpers import advanced, assert_same_bits, branched_off, burnt_in, measured, text_config, text_lab
from hypothesis import given
from hypothesis import strategies as st

from sidetrip.config import ConfigError
from sidetrip.engine.text import TextLoader, TextStream
from sidetrip.experiments import evaluator
from sidetrip.experiments.registry import shown

CONTEXT = 7
UNBOUNDED = "steps_at_constant_rate"  # empty where the run never comes to a loss


def counting(n=200) -> TextLoader:
    """A text whose tokens are their own places."""
    return TextLoader(np.arange(n, dtype=np.uint16), CONTEXT, "cpu")


def stream(seed=0, name="train", size=4, n=200) -> TextStream:
    return TextStream(counting(n), seed, name, size)


@given(st.integers(2 * CONTEXT, 100), st.integers(0, CONTEXT - 1))
def test_windows_tile_the_text_wherever_the_first_begins(n, offset):
    loader = counting(n)
    tokens, following = loader.batch(np.arange(len(loader)), offset)
    assert torch.equal(tokens.flatten(), offset + torch.arange(CONTEXT * len(loader)))
    assert torch.equal(following, tokens + 1)
    assert n - 2 * CONTEXT < CONTEXT * len(loader) <= n - CONTEXT
    assert tokens.dtype == following.dtype == torch.int64


@given(st.integers(0, 5), st.sampled_from(["train", "other"]), st.integers(2, 20), st.integers(0, 3))
def test_an_epoch_visits_each_window_at_most_once_all_moved_alike(seed, name, size, epoch):
    source = stream(seed, name, size)
    steps = len(source.loader) // size
    batches = [stream(seed, name, size).batch(epoch * steps + i) for i in range(1, steps + 1)]
    windows, offsets = np.divmod(np.concatenate([batch.inputs[:, 0].numpy() for batch in batches]), CONTEXT)
    assert len(set(windows)) == steps * size
    assert len(set(offsets)) == 1
    if len(source.loader) % size == 0:
        assert sorted(windows) == list(range(len(source.loader)))


def test_epochs_seeds_and_streams_have_offsets_of_their_own():
    first = [
        stream(seed, name).batch(1 + epoch * 6).inputs[:, 0].numpy() % CONTEXT
        for seed in range(5)
        for name in ("train", "other")
        for epoch in range(3)
    ]
    assert set(np.concatenate(first)) == set(range(CONTEXT))


def test_a_text_that_is_too_short_is_one_line():
    with pytest.raises(ConfigError, match=r"^data.context = 7: a split has only 13 tokens; lower data.context$"):
        counting(13)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = text_lab(tmp_path_factory.mktemp("text"), text_config())
    burnt_in(lab)
    branched_off(lab)
    return lab


def test_the_run_learns_and_a_constant_trip_is_on_it(lab):
    first, last = (dict(evaluator.scores(lab, lab.snapshot(0, step))) for step in (0, 40))
    assert all(last[split].loss < first[split].loss for split in first)
    assert_same_bits(advanced(lab, lab.snapshot(0, 15), 15), lab.snapshot(0, 30))
    assert_same_bits(advanced(lab, lab.snapshot(0, 15), 5), lab.branch_point(0, 20))


@pytest.mark.parametrize("experiment", [each.name for each in shown() if each.plan.network])
def test_every_experiment_measures_a_text(lab, experiment, monkeypatch):
    monkeypatch.setattr("sidetrip.experiments.forecast.measure._curvature", lambda lab: {})  # which is of SGD alone
    for table in measured(lab, experiment).values():
        assert len(table)
        assert np.isfinite(table.drop(columns=UNBOUNDED, errors="ignore").select_dtypes("number")).all(axis=None)
        assert "loss" not in table or table["loss"].between(0.0, 2 * np.log(lab.facts.vocabulary)).all()
