"""Which classifiers of torchvision work, family by family: every row of the table of docs/networks.md is tried."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from helpers import assert_same_bits, smoke_config
from torch import nn
from torchvision.models import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    ResNet,
    SwinTransformer,
    VisionTransformer,
    alexnet,
    inception,
    maxvit,
    vgg,
)
from torchvision.models._api import BUILTIN_MODELS
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from sidetrip.checks.fitness import check_model
from sidetrip.config import Config, ConfigError
from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.models import network
from sidetrip.engine.optimizers import SGD
from sidetrip.engine.state import initial_state, with_weights
from sidetrip.engine.training import advance, batch_loss
from sidetrip.experiments.single_step.measure import expand, mean_gradient, mean_loss
from sidetrip.kernels import Kernel
from sidetrip.measure.averaging import RunningAverage
from sidetrip.measure.evaluation import Evaluator, score

CPU = torch.device("cpu")
TRIED = r"(\w+)(, cut down)?(?:, at (\d+))?"
SMALLEST = 4  # what data.size allows
RATES = [0.01, 0.01]


def table() -> list[dict[str, str]]:
    """Rows of the table in the documentation."""
    lines = Path("docs/networks.md").read_text(encoding="utf-8").splitlines()
    head, _, *rows = [re.split(r" *\| *", line)[1:-1] for line in lines if line.startswith("|")]
    return [dict(zip(head, row, strict=True)) for row in rows]


FAMILIES = table()


class Noise:
    """A stream of random pictures."""

    def __init__(self, side: int) -> None:
        self._side = side

    def batch(self, step: int) -> Batch:
        random = torch.Generator().manual_seed(step)
        samples = min(16, 256 // self._side)  # more of small ones: BatchNorm over few pixels needs them
        pictures = torch.randn(samples, 3, self._side, self._side, generator=random)
        labels = torch.randint(10, (samples,), generator=random)
        return Batch(pictures.to(memory_format=torch.channels_last), labels, ("noise", step))


def has_masks_and_works(model: nn.Module, side: int) -> bool:
    """Put a network through all that the stages ask of it; whether it draws random masks in training."""
    stream, optimizer = Noise(side), SGD(momentum=0.9, weight_decay=5e-4)
    start, average = initial_state(model), RunningAverage(Kernel.swa(2), 0)
    whole = advance(model, start, stream, RATES, optimizer, [average])

    # Branching: in two parts, with other draws in between.
    half = advance(model, start, stream, RATES[:1], optimizer)
    torch.rand(3)
    assert_same_bits(advance(model, half, stream, RATES[1:], optimizer), whole)
    assert any(not torch.equal(weight, start.weights[name]) for name, weight in whole.weights.items())

    # A single step, with its curvature.
    batch = stream.batch(3)
    direction = mean_gradient(model.train(), [batch], "fp32")
    parabola = expand(model, [batch], direction, "fp32")
    squared = sum(float(slope.double().square().sum()) for slope in direction)
    assert parabola.loss == pytest.approx(mean_loss(model, [batch], "fp32"), rel=1e-4)
    assert -parabola.slope == pytest.approx(squared, rel=1e-2)
    assert math.isfinite(parabola.curvature)
    with torch.no_grad():
        one, other = (float(batch_loss(model, replace(batch, key=(key,)))) for key in ("one", "other"))

    # An average, evaluated: the folded network against the network itself. In float64: so few pictures may leave
    # statistics that amplify rounding.
    pictures = [stream.batch(step).inputs.double() for step in range(4, 8)]
    scored = [(pictures.double(), labels) for pictures, labels in [stream.batch(8)]]
    evaluate = Evaluator(model.double(), pictures, {"all": scored}, "fp32")
    found = dict(evaluate(with_weights(start, average.weights())))["all"]
    assert found.loss == pytest.approx(score(model, scored).loss, rel=1e-5)
    assert found.loss != dict(evaluate(whole))["all"].loss
    return one != other


# Of the same code with fewer channels or layers: the whole of these takes minutes.


def narrow_alexnet(weights: None, **settings: int) -> nn.Module:
    model = alexnet(**settings)
    model.classifier = narrow_classifier(256 * 6 * 6, **settings)
    return model


def narrow_vgg11(weights: None, **settings: int) -> nn.Module:
    model = vgg.VGG(vgg.make_layers([8, "M", 8, "M", 8, 8, "M", 8, 8, "M", 8, 512, "M"]), **settings)
    model.classifier = narrow_classifier(512 * 7 * 7, **settings)
    return model


def narrow_classifier(features: int, num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Dropout(), nn.Linear(features, 8), nn.ReLU(True), nn.Dropout(), nn.Linear(8, num_classes))


def narrow_vit(weights: None, **settings: int) -> nn.Module:
    return VisionTransformer(patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, **settings)


def narrow_convnext(weights: None, **settings: int) -> nn.Module:
    stages = [CNBlockConfig(8, 8, 1), CNBlockConfig(8, 8, 1), CNBlockConfig(8, 8, 1), CNBlockConfig(8, None, 1)]
    return ConvNeXt(stages, stochastic_depth_prob=0.2, **settings)


def narrow_efficientnet_v2(weights: None, **settings: int) -> nn.Module:
    stages = [
        FusedMBConvConfig(1, 3, 1, 8, 8, 1),
        FusedMBConvConfig(4, 3, 2, 8, 16, 1),
        MBConvConfig(4, 3, 2, 16, 16, 2),
    ]
    return EfficientNet(stages, dropout=0.2, last_channel=32, norm_layer=partial(nn.BatchNorm2d, eps=1e-3), **settings)


def narrow_densenet(weights: None, **settings: int) -> nn.Module:
    return DenseNet(4, (2, 2, 2, 2), 8, **settings)


def narrow_inception(weights: None, num_classes: int, **settings: bool) -> nn.Module:
    """With a sixteenth of the channels."""

    def thin(channels: int, found: int, **shape: int) -> nn.Module:
        return inception.BasicConv2d(channels if channels == 3 else channels // 16, found // 16, **shape)

    kinds = [getattr(inception, f"Inception{kind}") for kind in ("A", "B", "C", "D", "E", "Aux")]
    blocks = [thin, *(partial(kind, conv_block=thin) for kind in kinds)]
    model = inception.Inception3(num_classes, inception_blocks=blocks, **settings)
    model.fc = nn.Linear(2048 // 16, num_classes)
    return model


def short_resnet(weights: None, **settings: int) -> nn.Module:
    return ResNet(BasicBlock, [1, 1, 1, 1], **settings)


def short_resnext(weights: None, **settings: int) -> nn.Module:
    return ResNet(Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=1, **settings)


def narrow_swin(weights: None, **settings: int) -> nn.Module:
    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [7, 7], stochastic_depth_prob=0.2, **settings)


def narrow_swin_v2(weights: None, **settings: int) -> nn.Module:
    kinds = {"block": SwinTransformerBlockV2, "downsample_layer": PatchMergingV2}
    return SwinTransformer([4, 4], 8, [2, 2], [2, 2], [8, 8], stochastic_depth_prob=0.2, **kinds, **settings)


def narrow_maxvit(weights: None, **settings: int) -> nn.Module:
    """With one stage instead of four, so that it takes an eighth of the side."""
    narrow = {"stem_channels": 8, "block_channels": [8], "block_layers": [2], "head_dim": 8}
    return maxvit.MaxVit(**narrow, stochastic_depth_prob=0.2, partition_size=7, **settings)


CUT_DOWN: dict[str, Callable[..., nn.Module]] = {
    "alexnet": narrow_alexnet,
    "convnext_tiny": narrow_convnext,
    "densenet121": narrow_densenet,
    "efficientnet_v2_s": narrow_efficientnet_v2,
    "inception_v3": narrow_inception,
    "maxvit_t": narrow_maxvit,
    "resnet18": short_resnet,
    "resnext50_32x4d": short_resnext,
    "swin_t": narrow_swin,
    "swin_v2_t": narrow_swin_v2,
    "vgg11": narrow_vgg11,
    "vit_b_16": narrow_vit,
}
DRAWN = ("kaiming_normal_", "kaiming_uniform_", "normal_", "trunc_normal_", "uniform_", "xavier_uniform_")


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row["family"])
def test_a_family_is_what_the_table_says(row, monkeypatch):
    make_deterministic("fp32")
    (name, cut_down, at), sides = re.fullmatch(TRIED, row["tried"]).groups(), row["smallest side"]
    side = int(re.match(r"\d+", sides).group())
    with monkeypatch.context() as patch:
        for each in DRAWN:  # shapes decide here, whatever the weights
            patch.setattr(f"torch.nn.init.{each}", lambda tensor, *_, **__: tensor)
        too_small = side - 1 if side > SMALLEST else None
        between = side + side // 2 if sides != str(side) else None
        for refused in filter(None, (too_small, between)):
            with pytest.raises(ConfigError, match="does not take pictures"):
                check_model(settings_of(name, refused), 3, 10, CPU)
        if cut_down:
            with torch.no_grad():
                build(name, side).eval()(torch.zeros(1, 3, side, side))
    if cut_down:
        smaller, side = CUT_DOWN[name], int(at or side)
        smaller.__module__ = BUILTIN_MODELS[name].__module__  # by which torchvision tells its classifiers
        monkeypatch.setitem(BUILTIN_MODELS, name, smaller)
    check_model(settings_of(name, side), 3, 10, CPU)
    assert has_masks_and_works(build(name, side), side) == (row["random masks"] == "yes")


def settings_of(name: str, side: int) -> Config:
    return smoke_config(**{"model.name": name, "model.stem": "imagenet", "data.source": "folder", "data.size": side})


def build(name: str, side: int) -> nn.Module:
    return network(settings_of(name, side), channels=3, classes=10)


def test_the_table_holds_every_classifier_of_torchvision_once():
    named = sorted(name for row in FAMILIES for name in row["names"].split(", "))
    assert named == sorted(torchvision.models.list_models(module=torchvision.models))
    assert all(row["tried"].partition(",")[0] in row["names"].split(", ") for row in FAMILIES)
