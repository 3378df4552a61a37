"""Every mistake in params.yaml is one line that names key, value and remedy; every variant is valid."""

import pytest
from omegaconf import OmegaConf

from sidetrip.config import ConfigError, resolve

VARIANTS = list(OmegaConf.load("params.yaml").variants)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_valid(variant):
    assert resolve(OmegaConf.load("params.yaml"), variant).variant == variant


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("burn_in.stps", 3, "variants.smoke.burn_in.stps: unknown key; allowed in burn_in are steps, batch_size"),
        ("brun_in", {"steps": 3}, "variants.smoke.brun_in: unknown key; allowed in a variant are variant, seeds, data"),
        ("burn_in.steps", "many", "variants.smoke.burn_in.steps: Value 'many' of type 'str' could not be converted"),
        ("burn_in.steps", 0, "burn_in.steps = 0: train for at least 1 step"),
        ("burn_in.rate", -0.1, "burn_in.rate = -0.1: use a learning rate above 0"),
        ("burn_in.rate", float("nan"), "burn_in.rate = nan: use a learning rate above 0"),
        ("burn_in.batch_size", 1, "burn_in.batch_size = 1: BatchNorm needs at least 2"),
        ("burn_in.batch_size", 70000, "burn_in.batch_size = 70000: the training split has 60000 pictures; lower it"),
        ("burn_in.momentum", 1.0, "burn_in.momentum = 1.0: use 0 or more and less than 1"),
        ("burn_in.schedule", "step", "burn_in.schedule = step: use one of constant, linear, cosine"),
        ("branch.points", [], r"branch.points = []: give at least one step"),
        ("branch.points", [30, 20], "branch.points = [30, 20]: list the steps in ascending order, each once"),
        ("branch.points", [20, 50], "branch.points = 50: beyond the burn-in of 40 steps; lower it or raise"),
        (
            "side_trips.windows",
            [1, 11],
            "side_trips.windows = 11: longer than the 10 steps between the last branch point (30)",
        ),
        ("side_trips.ema_steps", 99, "side_trips.ema_steps = 99: longer than the 10 steps"),
        ("side_trips.ema_newest", 0, "side_trips.ema_newest = 0.0: use more than 0 and at most 1"),
        ("data.source", "web", "data.source = web: use one of embedded, torchvision, folder"),
        ("data.name", "mnist", "data.name = mnist: use one of fashion_mnist"),
        ("data.size", 28, "data.size = 28: the embedded pictures are 14 × 14"),
        ("data.shift", 14, "data.shift = 14: use 0 to 13 pixels"),
        ("model.stem", "vgg", "model.stem = vgg: use one of cifar, imagenet"),
        ("model.precision", "fp8", "model.precision = fp8: use one of fp32, tf32, bf16"),
        ("single_step.held_out_batches", 3, "single_step.held_out_batches = 3: use at least 10"),
        ("single_step.batch_sizes", [16, 64000], "single_step.batch_sizes = 64000: 10 held-out batches"),
        ("single_step.zoom", 5.0, "single_step.zoom = 5.0: must be below single_step.widest"),
        ("seeds", [1, 1], "seeds = [1, 1]: each seed once"),
        ("claims.confidence", 95, "claims.confidence = 95.0: use a share between 0 and 1"),
        ("runtime.device", "tpu", "runtime.device = tpu: use auto, cpu, cuda or cuda:N"),
        ("runtime.workers", -1, "runtime.workers = -1: use 0 for all, or a number"),
    ],
)
def test_a_mistake_is_one_clear_line(key, value, message):
    params = OmegaConf.load("params.yaml")
    OmegaConf.update(params, f"variants.smoke.{key}", value, force_add=True)
    with pytest.raises(ConfigError) as error:
        resolve(params, "smoke")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_hole_is_named():
    params = OmegaConf.load("params.yaml")
    del params.base.seeds
    with pytest.raises(ConfigError, match=r"variant smoke: seeds not set; set it in base or in the variant"):
        resolve(params, "smoke")


def test_an_unknown_variant_is_named():
    with pytest.raises(ConfigError, match=r"variants\.nosuch: not in params.yaml; there are fashion_mnist"):
        resolve(OmegaConf.load("params.yaml"), "nosuch")
