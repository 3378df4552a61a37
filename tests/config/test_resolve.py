"""The merge of base and variant, and properties of every limit in the schema; single mistakes: test_bad_input."""

import dataclasses
import math
import random
from typing import get_args, get_type_hints

import pytest
from helpers import smoke_config
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sidetrip.config import Config, ConfigError, check_settings_folder, load_params, resolve, save_config, typed
from sidetrip.config.checks import leaves
from sidetrip.config.limits import Number, Numbers

PARAMS = OmegaConf.load("params.yaml")
VARIANTS = list(PARAMS.variants)
SMALL = OmegaConf.create({"active": ["smoke"], "base": PARAMS.base, "variants": {"smoke": PARAMS.variants.smoke}})
SMOKE = resolve(SMALL, "smoke")
LIMITS = {key: limit for key, _, limit in leaves(SMOKE)}


def types(section: type, prefix: str = "") -> dict[str, type]:
    """Type of every leaf of the schema, of a list its elements', by dotted key."""
    found: dict[str, type] = {}
    for name, hint in get_type_hints(section).items():
        key = f"{prefix}{name}"
        found |= types(hint, f"{key}.") if dataclasses.is_dataclass(hint) else {key: (*get_args(hint), hint)[0]}
    return found


NUMERIC = [key for key, hint in types(Config).items() if hint in (int, float)]
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-2, 100),
    st.floats(),
    st.floats(-2, 2),
    st.sampled_from([math.nan, math.inf, -math.inf, 10**30, -(10**30), 1e300, 5e-324, True, False]),
)


def changed(key: str, value: object):
    """The smoke variant with one value changed."""
    params = SMALL.copy()
    place = "" if key.startswith("runtime.") else "variants.smoke."
    OmegaConf.update(params, f"{place}{key}", value, merge=False, force_add=True)
    return params


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_valid(variant):
    assert resolve(PARAMS, variant).variant == variant


def test_every_leaf_but_a_boolean_has_a_limit():
    assert set(types(Config)) == set(LIMITS)
    assert {key for key, limit in LIMITS.items() if limit is None} == {k for k, t in types(Config).items() if t is bool}
    assert {key for key, limit in LIMITS.items() if isinstance(limit, Number | Numbers)} == set(NUMERIC)


def test_what_is_written_is_what_was_resolved(tmp_path):
    save_config(SMOKE, tmp_path / "config.yaml")
    read = load_params(tmp_path / "config.yaml")
    assert "runtime" not in read
    expected = {key: value for key, value, _ in leaves(SMOKE) if not key.startswith("runtime.")}
    assert {key: OmegaConf.select(read, key) for key in expected} == expected


def test_where_it_runs_is_read_when_a_stage_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_config(SMOKE, tmp_path / "config.yaml")
    OmegaConf.save(OmegaConf.create({"runtime": {"workers": 3}}), tmp_path / "params.yaml")
    written = load_params(tmp_path / "config.yaml")
    del written["defaults"], written["hydra"]  # Hydra keeps these to itself
    cfg = OmegaConf.merge(OmegaConf.structured(Config), written)
    assert (typed(cfg).runtime.device, typed(cfg).runtime.workers) == ("auto", 3)
    monkeypatch.setenv("SIDETRIP_WORKERS", "5")
    assert typed(cfg).runtime.workers == 5
    cfg.runtime.workers = 7  # on the command line
    assert typed(cfg).runtime.workers == 7
    monkeypatch.setenv("SIDETRIP_WORKERS", "many")
    with pytest.raises(ConfigError, match=r"^SIDETRIP_WORKERS = many: use a whole number$"):
        typed(OmegaConf.merge(cfg, {"runtime": {"device": "???"}}))


def test_a_flipped_bit_in_the_written_settings_is_found(tmp_path):
    path = tmp_path / "config.yaml"
    save_config(SMOKE, path)
    content = path.read_bytes()
    check_settings_folder(["-cd", str(tmp_path)])
    for bit in random.sample(range(8 * len(content)), 50):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"damaged or edited by hand; edit params\.yaml instead"):
            check_settings_folder(["-cd", str(tmp_path)])


def test_a_variant_overrides_base_key_by_key():
    config = resolve(changed("burn_in", {"steps": 50, "batch_size": 16, "snapshot_every": 15}), "smoke")
    assert (config.burn_in.steps, config.burn_in.rate) == (50, PARAMS.base.burn_in.rate)


def test_a_list_replaces_the_list_of_base():
    assert resolve(changed("seeds", [7]), "smoke").seeds == [7]


def test_an_empty_variant_is_base():
    params = OmegaConf.create({"active": ["plain"], "base": PARAMS.base, "variants": {"plain": None}})
    config = OmegaConf.structured(resolve(params, "plain"))
    assert {key: config[key] for key in PARAMS.base} == dict(PARAMS.base)


@settings(max_examples=150)
@given(key=st.sampled_from(NUMERIC), value=NUMBERS)
def test_any_number_is_taken_or_refused_in_one_line_that_names_it(key, value):
    listed = isinstance(LIMITS[key], Numbers)
    try:
        config = resolve(changed(key, [value] if listed else value), "smoke")
    except ConfigError as error:
        # A number that is fine by itself may not fit another key, which is then the one named.
        named = LIMITS if fits(key, value) else [key, f"variants.smoke.{key}"]
        assert str(error).startswith(tuple(f"{name} = " for name in named))
        assert "\n" not in str(error)
    else:
        assert fits(key, value)
        assert {k: v for k, v, _ in leaves(config)}[key] == ([value] if listed else value)


@pytest.mark.parametrize("key", NUMERIC)
@given(value=NUMBERS)
def test_a_limit_refuses_what_is_outside_it_and_nothing_else(key, value):
    number = element(LIMITS[key])
    assert (number.fault(value) is None) == inside(number, value)


@given(values=st.lists(st.integers(-1, 5), max_size=5))
def test_a_list_is_refused_if_short_repeated_unordered_or_with_a_bad_element(values):
    limit = Numbers(Number(0, 4), at_least=2)
    good = values == sorted(set(values)) and len(values) >= 2 and all(0 <= value <= 4 for value in values)
    assert (limit.fault(values) is None) == good


def element(limit: Number | Numbers) -> Number:
    return limit.each if isinstance(limit, Numbers) else limit


def inside(number: Number, value: float) -> bool:
    """Whether a value is within a limit, told from its distance to the ends."""
    if not math.isfinite(value):
        return False
    nearest = min(value - number.low, number.high - value)
    return nearest > 0 or (nearest == 0 and value not in number.without)


def fits(key: str, value: float) -> bool:
    """Whether a value is a number of the key's type within its limit."""
    kind = types(Config)[key]
    return type(value) in ((int,) if kind is int else (int, float)) and inside(element(LIMITS[key]), value)


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
    with pytest.raises(ConfigError, match=key.split(".")[0]):
        smoke_config(**{key: value})
    assert smoke_config(**{key: value, f"experiments.{name}": False}).left_out == {name}
