"""Typed configuration of every stage: the schema, the merge of base with a variant, the checks.

`configure` resolves a variant once and writes it to reports/<variant>/config.yaml; every later stage
is a Hydra app on that file. An unknown key, a wrong type, a hole or an impossible value is one line
that names the key, the value and what is allowed, before anything is computed.
"""

from sidetrip.config.checks import check_samples
from sidetrip.config.command_line import check_settings_folder
from sidetrip.config.errors import ConfigError, of_variant, shown
from sidetrip.config.params import active_variants, load_params
from sidetrip.config.resolve import resolve, save_config, typed
from sidetrip.config.schema import BurnIn, Claims, Config, Data, Quadratic, Runtime, SideTrips, SingleStep

__all__ = [
    "BurnIn",
    "Claims",
    "Config",
    "ConfigError",
    "Data",
    "Quadratic",
    "Runtime",
    "SideTrips",
    "SingleStep",
    "active_variants",
    "check_samples",
    "check_settings_folder",
    "load_params",
    "of_variant",
    "resolve",
    "save_config",
    "shown",
    "typed",
]
