"""One variant: what does not do is refused in one line that names key and remedy; what fits comes back as given."""

import dataclasses
import operator
import random
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from helpers import smoke_config
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sidetrip.config import Config, ConfigError, check_settings_folder, load_params, resolve, save_config, typed

PARAMS = load_params(Path("params.yaml"))
SMALL = OmegaConf.create({"active": ["smoke"], "base": PARAMS.base, "variants": {"smoke": PARAMS.variants.smoke}})
SMOKE = resolve(SMALL, "smoke")
INF, NAN = float("inf"), float("nan")


def changed(key: str, value: object):
    """The smoke variant with one value changed."""
    params = SMALL.copy()
    place = "" if key.startswith("runtime.") else "variants.smoke."
    OmegaConf.update(params, f"{place}{key}", value, merge=False, force_add=True)
    return params


def refusal(key: str, value: object) -> str:
    with pytest.raises(ConfigError) as error:
        resolve(changed(key, value), "smoke")
    assert "\n" not in str(error.value)
    return str(error.value)


WRONG_TYPES = [
    ("burn_in", [3, None, [40]], "use a mapping"),
    ("burn_in.steps", ["many", "40", True, None, 40.0, {"a": 1}], "use a whole number"),
    ("burn_in.rate", [True, "fast"], "use a number"),
    ("burn_in.rate", ["0,05"], "have a point, not a comma"),
    ("data.flip", [1, "yes"], "use true or false"),
    ("data.name", [3, None], "use a text"),
    ("branch.points", [20, {"a": 1}, "ab"], "use a list"),
    ("branch.points", [[20, "x"], [20, True]], "use a whole number"),
    ("quadratic.rates", [[0.1, None]], "use a number"),
]
OUT_OF_RANGE = [
    ("seeds", [[]], "list at least 1"),
    ("seeds", [[1, 1]], "list each once"),
    ("data.source", ["web"], "use one of embedded, "),
    ("data.name", ["mnist"], "use one of fashion_mnist"),
    ("data.name", ["a\nb", "", "a/b"], "use letters"),
    ("data.root", ["", "a\nb", "a\x1bb", 5000 * "x"], "name a folder"),
    ("data.train_split", ["/etc"], "name a folder in data.root"),
    ("data.size", [28], "set 14"),
    ("data.stored", [12], "set 0"),
    ("data.crop", [0.08], "set one of the two"),
    ("data.shift", [14], "use less than data.size (14)"),
    ("model.name", ["res/net", ""], "use resnet8"),
    ("model.stem", ["vgg"], "use 'cifar'"),
    ("burn_in.optimizer", ["sgd"], "use a mapping"),
    ("burn_in.optimizer.name", ["rmsprop", "lion", ""], "use 'sgd', 'nesterov' or 'adamw'"),
    ("burn_in.optimizer.name", ["adafactor", "LARS", "schedule-free"], "update is the rate times what does not know"),
    ("burn_in.optimizer.betas", [[0.9], []], "list at least 2"),
    ("burn_in.optimizer.betas", [[0.9, 0.99, 0.999]], "list at most 2"),
    ("burn_in.warm_up", [10, 20], "use less than that (10)"),
    ("burn_in.steps", [0], "use at least 1"),
    ("burn_in.steps", [10**12, 10**400], "use at most 100000000"),
    ("burn_in.batch_size", [1], "use at least 2; BatchNorm needs"),
    ("burn_in.rate", [0], "use more than 0"),
    ("burn_in.rate", [INF, NAN], "use a finite number"),
    ("branch.points", [[]], "list at least 1"),
    ("branch.points", [[20]], "list at least 2; fixed_batch"),
    ("branch.points", [[30, 20]], "list them in ascending order"),
    ("branch.points", [[20, 50]], "use at most burn_in.steps (40)"),
    ("branch.early", [[20], [25]], "use steps less than"),
    ("evaluation.train_samples", [60_001], "lower it"),
    ("evaluation.validation_samples", [10_001], "lower it"),
    ("single_step.batch_sizes", [[8, 32]], "add burn_in.batch_size (16)"),
    ("single_step.batch_sizes", [[16, 40]], "use a multiple of single_step.chunk"),
    ("single_step.batch_sizes", [[16, 64_000]], "lower one"),
    ("single_step.zoom", [5.0], "use less than single_step.widest"),
    ("side_trips.looks", [99], "use fewer"),
    ("side_trips.windows", [[1, 11]], "shorten it"),
    ("side_trips.two_point_windows", [[1, 11]], "shorten it"),
    ("side_trips.ema_steps", [99], "shorten it"),
    ("side_trips.every", [41], "use at most burn_in.steps"),
    ("alignment.steps", [11], "shorten it"),
    ("alignment.every", [11], "use at most alignment.steps"),
    ("forecast.windows", [[7]], "use a multiple of burn_in.snapshot_every"),
    ("forecast.windows", [[15, 30]], "begin earlier"),
    ("forecast.windows", [[5, 25]], "shorten it"),
    ("forecast.every", [7], "use a multiple of burn_in.snapshot_every"),
    ("forecast.begins", [[20, 27]], "use a multiple of forecast.every"),
    ("forecast.intervals", [[4]], "use a divisor"),
    ("quadratic.replicas", [201], "use a multiple of quadratic.groups"),
    ("quadratic.dimension", [1000], "lower it"),
    ("quadratic.rates", [[0.1]], "list at least 2; a slope"),
    ("quadratic.rates", [[0.1, 0.5]], "use less than 0.5"),
    ("quadratic.slow", [2.0], "use less than quadratic.fast"),
    ("quadratic.small_rate", [0.05], "use less than quadratic.large_rate"),
    ("quadratic.large_rate", [2], "unstable"),
    ("quadratic.every", [1201], "use at most quadratic.steps"),
    ("runtime.device", ["tpu", "cuda:"], "use auto, cpu"),
    ("runtime.workers", [-1], "use at least 0; 0 is one a core"),
    ("runtime.executor", ["slurm"], "use 'processes'"),
    ("runtime.dask_address", ["cluster"], "use HOST:PORT"),
    ("runtime.dask_scheduler_file", ["a\nb"], "name a file"),
]


@pytest.mark.parametrize(("key", "values", "remedy"), WRONG_TYPES + OUT_OF_RANGE)
def test_a_value_that_does_not_do(key, values, remedy):
    for value in values:
        message = refusal(key, value)
        assert f"{key} = " in message
        assert remedy in message


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("burn_in.stps", 3, "burn_in.stps: unknown key; allowed in burn_in are steps, batch_size, rate"),
        ("brun_in", {"steps": 3}, "brun_in: unknown key; allowed in a variant are seeds, experiments"),
        ("variant", "other", "variants.smoke.variant: unknown key there"),
        ("runtime", {"workers": 2}, "variants.smoke.runtime: unknown key"),
        ("burn_in.5", None, "decimals have a point"),  # of {rate: 0,5}
        ("data.\x1bc", 1, r"data.\x1bc: unknown key"),
    ],
)
def test_an_unknown_key(key, value, said):
    assert said in refusal(key, value)


@pytest.mark.parametrize("key", ["variant", "runtime"])
def test_what_no_variant_may_have_is_refused_in_base_too(key):
    params = SMALL.copy()
    params.base[key] = "other"
    with pytest.raises(ConfigError, match=rf"^base\.{key}: unknown key there"):
        resolve(params, "smoke")


def test_a_hole():
    params = SMALL.copy()
    del params.base.burn_in.rate, params.variants.smoke.burn_in.rate, params.base.claims
    with pytest.raises(ConfigError, match=r"^burn_in\.rate, claims not set; set it"):
        resolve(params, "smoke")


def test_bytes_of_the_environment_that_are_no_text(monkeypatch):
    monkeypatch.setenv("SIDETRIP_DASK_SCHEDULER_FILE", "\udcff")
    assert "use text that is UTF-8" in refusal("burn_in.steps", 40)


@pytest.mark.parametrize("text", ["a\x1b[31m\r\n\u202eb" * 2000, "x" * 5000])
def test_foreign_text_is_shown_short_and_without_what_steers_a_terminal(text):
    message = refusal("model.name", text)
    assert message.isprintable()
    assert len(message) < 600


# Numbers


def leaves(section: Any, prefix: str = "") -> dict[str, tuple[type, dict[str, float], bool]]:
    """Type of every number in the schema, its ends, and whether it is listed, by dotted key."""
    found = {}
    for name, field in section.__pydantic_fields__.items():
        key, kind, ends = f"{prefix}{name}", field.annotation, field.metadata
        if dataclasses.is_dataclass(kind):
            found |= leaves(kind, f"{key}.")
            continue
        listed = getattr(kind, "__origin__", None) is tuple
        if listed:
            kind, *fields = get_args(get_args(kind)[0])
            ends = [end for each in fields for end in each.metadata]
        if kind in (int, float):
            names = [(name, getattr(end, name, None)) for end in ends for name in ("ge", "gt", "le", "lt")]
            found[key] = kind, {name: value for name, value in names if value is not None}, listed
    return found


NUMBERS = leaves(Config)
FITS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}
ANY = st.one_of(
    st.integers(), st.integers(-2, 100), st.floats(), st.floats(-2, 2), st.sampled_from([NAN, INF, -INF, True, 10**400])
)


def test_every_number_has_two_ends():
    assert len(NUMBERS) > 80
    assert [key for key, (_, ends, _) in NUMBERS.items() if len(ends) != 2] == []


@settings(max_examples=100)
@given(key=st.sampled_from(sorted(NUMBERS)), value=ANY)
def test_any_number_is_taken_or_refused_in_one_line_that_names_it(key, value):
    kind, ends, listed = NUMBERS[key]
    within = all(FITS[name](value, end) for name, end in ends.items())
    right = within and type(value) in (int, kind) and abs(value) < INF
    try:
        config = resolve(changed(key, [value] if listed else value), "smoke")
    except ConfigError as error:
        # A number that is fine by itself may not fit another key, which is then the one named.
        assert str(error).startswith(tuple(f"{name} = " for name in (NUMBERS if right else [key])))
        assert "\n" not in str(error)
    else:
        assert right
        found = config
        for name in key.split("."):
            found = getattr(found, name)
        assert found == ((value,) if listed else value)


# Pictures, text and optimizers

TEXT = {"data.name": "shakespeare", "model.name": "decoder", "model.width": 8}


def test_a_text_ignores_what_is_of_pictures():
    odd = {"data.size": 28, "data.stored": 7, "data.crop": 0.5, "data.shift": 100}
    embedded = smoke_config(**TEXT, **odd)
    own = smoke_config(**TEXT | {"data.source": "text", "data.name": "my book", "data.train_split": "test"}, **odd)
    assert (SMOKE.data.is_text, embedded.data.is_text, own.data.is_text) == (False, True, True)
    assert not smoke_config(**{"data.source": "folder", "data.name": "shakespeare"}).data.is_text


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        ({"model.name": "decoder", "model.width": 8}, "model.name = decoder", "use another, or a text"),
        (TEXT | {"model.name": "resnet8"}, "model.name = resnet8", "use decoder"),
        (TEXT | {"model.width": 10}, "model.width = 10", "use a multiple of model.heads (4)"),
        (TEXT | {"data.source": "torchvision"}, "data.name = shakespeare", "use one of fashion_mnist"),
        (
            {"burn_in.optimizer.name": "nesterov", "burn_in.optimizer.momentum": 0},
            "burn_in.optimizer.momentum = 0",
            "use more than 0 with nesterov",
        ),
    ],
)
def test_what_does_not_go_together(changes, key, remedy):
    with pytest.raises(ConfigError) as error:
        smoke_config(**changes)
    assert key in str(error.value)
    assert remedy in str(error.value)


# Base and variant


@pytest.mark.parametrize("variant", list(PARAMS.variants))
def test_every_variant_is_valid(variant):
    assert resolve(PARAMS, variant).variant == variant


def test_a_variant_overrides_base_key_by_key_and_list_by_list():
    config = resolve(changed("seeds", [7]), "smoke")
    assert config == dataclasses.replace(SMOKE, seeds=[7])
    assert config.burn_in.schedule == PARAMS.base.burn_in.schedule
    assert config.burn_in.steps == PARAMS.variants.smoke.burn_in.steps != PARAMS.base.burn_in.steps


def test_an_empty_variant_is_base():
    params = OmegaConf.create({"active": ["plain"], "base": PARAMS.base, "variants": {"plain": None}})
    values = OmegaConf.create(dataclasses.asdict(resolve(params, "plain")))
    assert {key: values[key] for key in PARAMS.base} == dict(PARAMS.base)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("single_step", "single_step.batch_sizes", [8, 32]),
        ("single_step", "single_step.held_out_batches", 10_000),
        ("alignment", "alignment.steps", 11),
        ("quadratic", "quadratic.replicas", 201),
        ("forecast", "forecast.windows", [7]),
    ],
)
def test_settings_of_an_experiment_that_is_left_out_need_not_fit(name, key, value):
    with pytest.raises(ConfigError, match=name):
        smoke_config(**{key: value})
    assert smoke_config(**{key: value, f"experiments.{name}": False}).left_out == {name}


# config.yaml


def test_what_is_written_is_what_was_resolved(tmp_path):
    save_config(SMOKE, tmp_path / "config.yaml")
    read = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert "runtime" not in read
    del read["defaults"], read["hydra"]
    assert typed(OmegaConf.create({**read, "runtime": dataclasses.asdict(SMOKE.runtime)})) == SMOKE


def test_where_it_runs_is_read_when_a_stage_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    OmegaConf.save(OmegaConf.create({"runtime": {"workers": 3}}), tmp_path / "params.yaml")
    values = {**dataclasses.asdict(SMOKE), "runtime": dict.fromkeys(dataclasses.asdict(SMOKE.runtime), "???")}
    cfg = OmegaConf.create(values)
    assert (typed(cfg).runtime.device, typed(cfg).runtime.workers) == ("auto", 3)
    monkeypatch.setenv("SIDETRIP_WORKERS", "5")
    assert typed(cfg).runtime.workers == 5
    cfg.runtime.workers = 7  # on the command line
    assert typed(cfg).runtime.workers == 7
    monkeypatch.setenv("SIDETRIP_WORKERS", "many")
    with pytest.raises(ConfigError, match=r"^SIDETRIP_WORKERS = many: use a whole number$"):
        typed(cfg)


def test_a_flipped_bit_in_the_written_settings_is_found(tmp_path):
    path = tmp_path / "config.yaml"
    save_config(SMOKE, path)
    content = path.read_bytes()
    check_settings_folder(["-cd", str(tmp_path)])
    for bit in random.sample(range(8 * len(content)), 20):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match="damaged or edited by hand; edit params"):
            check_settings_folder(["-cd", str(tmp_path)])
