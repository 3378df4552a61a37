"""The section shows means over seeds with their intervals."""

from report_tables import all_tables
from verdict_tables import config

from sidetrip.experiments.mean_gradient.section import facts


def test_the_section_gives_means_with_intervals_where_there_are_seeds_enough():
    tables = all_tables()
    (row, *_) = facts(tables, config())["mean_gradient"]
    gaps = tables["mean_gradient_gaps"].query("kernel == 'swa' and split == 'train'")
    assert row["title"] == "SWA"
    assert row["favour"].startswith(f"{gaps['favour'].mean():+.4f} (")
    one = {name: table[table["seed"] == 0] for name, table in tables.items() if name.startswith("mean_gradient_")}
    assert "(" not in facts(one, config())["mean_gradient"][0]["favour"]
