"""The decoder is what torch's own layers make of its weights; in other processes: tests/test_verify.py."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import small_network, text_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from sidetrip.checks.fitness import check_model
from sidetrip.checks.operations import check_operations
from sidetrip.config import ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.decoder import Decoder
from sidetrip.engine.state import initial_state
from sidetrip.measure.evaluation import Evaluator, score

VOCABULARY, CONTEXT = 11, 12


def network(layers=2, heads=3, width=12, seed=0) -> nn.Module:
    shape = {"layers": layers, "heads": heads, "width": width}
    return small_network("decoder", 0, VOCABULARY, seed, CONTEXT, **shape)


def tokens(windows=4, context=CONTEXT, seed=0) -> torch.Tensor:
    return torch.randint(VOCABULARY, (windows, context), generator=torch.Generator().manual_seed(seed))


def samples(windows=4, seed=0) -> Batch:
    drawn = tokens(windows, CONTEXT + 1, seed)
    return Batch(drawn[:, :-1], drawn[:, 1:])


def by_torch(model: Decoder, drawn: torch.Tensor) -> torch.Tensor:
    """Logits by torch's own layers, and a mask on what attention may see."""
    x = model.tokens.weight[drawn] + model.positions[: drawn.shape[1]]
    mask = nn.Transformer.generate_square_subsequent_mask(drawn.shape[1], dtype=x.dtype)
    for block in model.blocks:
        width, form = x.shape[2], {"activation": "gelu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(width, block.attention.heads, 4 * width, dropout=0.0, dtype=x.dtype, **form)
        theirs = (layer.norm1, layer.norm2, layer.linear1, layer.linear2, layer.self_attn.out_proj)
        ours = (block.norm1, block.norm2, block.mlp[0], block.mlp[2], block.attention.output)
        for part, own in zip(theirs, ours, strict=True):
            part.load_state_dict(own.state_dict())
        layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias = block.attention.projection.parameters()
        x = layer(x, mask)
    return model.norm(x) @ model.head.weight.T


@settings(max_examples=20)
@given(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, CONTEXT), st.integers(0, 99))
def test_logits_are_those_of_torch_s_layers(layers, heads, context, seed):
    model = network(layers, heads, 8, seed).double()
    for parameter in model.parameters():  # initial weights are so small that little but the last layer is seen
        nn.init.normal_(parameter, std=0.5)
    drawn = tokens(2, context, seed)
    torch.testing.assert_close(model(drawn), by_torch(model, drawn))


def test_initial_weights_come_from_the_seed_alone():
    before = torch.random.get_rng_state()
    one, same, other = (network(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [name for name in one if not torch.equal(one[name], other[name])]
    assert {name for name in one if one[name].dim() > 1} == set(drawn)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_untrained_decoder_thinks_all_tokens_alike():
    batch = samples(200)
    assert float(cross_entropy(network()(batch.inputs).detach().mT, batch.targets)) == pytest.approx(
        math.log(VOCABULARY), 0.01
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_device_takes_it_and_so_does_the_check_of_settings(precision):
    check_operations(network(), samples(), precision, "decoder")
    config = text_config(**{"model.precision": precision})
    check_model(config, 0, VOCABULARY, torch.device("cpu"))
    config = replace(config, model=replace(config.model, heads=3))
    with pytest.raises(ConfigError, match=r"model.name = decoder: .*width 8 is no multiple of heads 3.*; use another"):
        check_model(config, 0, VOCABULARY, torch.device("cpu"))


def test_evaluation_takes_it_as_it_is():
    """No statistics, so no passes for them; nothing to fold, so the same bits."""

    def untouched():
        raise AssertionError("a decoder has no statistics to take")
        yield

    model, batch = network(), samples(8)
    parts = [(batch.inputs[part], batch.targets[part]) for part in (slice(0, 5), slice(5, 8))]
    found = dict(Evaluator(model, untouched(), {"all": parts}, "fp32")(initial_state(model)))["all"]
    assert found == score(model, parts)
