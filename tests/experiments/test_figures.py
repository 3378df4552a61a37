"""An edit of a threshold draws figures anew where they show it, and only there."""

from copy import copy
from pathlib import Path

import yaml
from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.figures import figures
from sidetrip.experiments.series import series


class Noted:
    """An object whose attributes are noted as they are read."""

    def __init__(self, whole: object) -> None:
        self.whole, self.read = whole, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.whole, name)


def test_figures_read_the_thresholds_that_their_stage_declares():
    settings, tables = copy(config()), all_tables()
    noted = Noted(settings.claims)
    object.__setattr__(settings, "claims", noted)
    assert list(figures(tables, settings))
    assert series(tables, settings)
    (sections,) = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["figures"]["params"]
    (declared,) = sections.values()
    assert {f"claims.{name}" for name in noted.read} == {key for key in declared if key.startswith("claims")}
