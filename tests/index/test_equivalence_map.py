"""The map over all variants: places, colours and marks."""

import numpy as np
import pandas as pd

from sidetrip.index import equivalence_map
from sidetrip.verdicts.equivalence_map import COLUMNS
from sidetrip.verdicts.records import DIFFERS, EQUAL, NOT_KNOWN, WITHIN
from sidetrip.verdicts.wording import method_words


def points() -> pd.DataFrame:
    """Two variants, of which the hotter has an early branch point where the gain is not clear of 0."""
    rows = [
        ("cool", "constant", 1e-4, "swa", 1000, 2, True, 100, 0.10, 5, 0.01, 0.05, 0.002, 0.04, -0.1, 0.2, EQUAL),
        ("hot", "constant", 1e-3, "swa", 500, 2, True, 100, 0.20, 5, 0.03, 0.05, 0.030, 0.60, 0.4, 0.9, DIFFERS),
        ("hot", "constant", 1e-3, "swa", 100, 1, False, 100, 1.00, 1, 0.08, 0, 0.04, 9, np.nan, np.nan, NOT_KNOWN),
    ]
    return pd.DataFrame(rows, columns=[name for name in COLUMNS if not name.startswith("tested")])


def scattered(axes):
    """Places and colours of all marks, in the order of the x axis."""
    marks = [
        (*place, *colour[:3])
        for collection in axes.collections
        for place, colour in zip(collection.get_offsets(), collection.get_facecolors(), strict=False)
    ]
    return np.array(sorted(marks))


def test_rows_go_from_cool_to_hot():
    assert equivalence_map.rows_of(points()) == [("cool", 1e-4), ("hot", 1e-3)]


def test_marks_stand_at_their_window_row_and_branch_point():
    figure = equivalence_map.draw_map(points())
    found = scattered(figure.axes[0])
    assert list(found[:, 0]) == [0.1, 0.2, 1.0]
    cool, hot, early = found[:, 1]
    assert (cool, hot) == (0.0, 1.0)
    assert 0.5 < early < hot
    assert list(found[2, 2:]) == [1.0, 1.0, 1.0]  # white: the gain is not clear of 0
    assert found[1, 2] > found[1, 4]  # red: the average is worse
    assert figure.axes[0].get_xscale() == "log"


def test_each_outcome_has_its_own_mark_and_so_has_an_average_that_is_worse_than_the_run():
    """Whose colour is that of its gap: its gain is negative, which turns the sign of the ratio."""
    outcomes = pd.concat([points()[:1].assign(outcome=each) for each in (EQUAL, WITHIN, DIFFERS, NOT_KNOWN)])
    loses = points()[:1].assign(gain=-0.05, gap=0.03, ratio=-0.6, ratio_low=-0.9, ratio_high=-0.4)
    axes = equivalence_map.draw_map(pd.concat([outcomes, loses.assign(window_over_branch=0.2)])).axes[0]
    assert len({marks.get_paths()[0].vertices.tobytes() for marks in axes.collections}) == 5
    (*_, red, _, blue) = scattered(axes)[-1]
    assert red > blue  # worse than the trip


def test_gaps_are_drawn_against_falls_with_a_quarter_of_the_fall():
    of_two_point = points().assign(kernel="two_point")
    swa, below = equivalence_map.draw_map(pd.concat([points(), of_two_point])).axes[2:4]
    places = np.concatenate([collection.get_offsets() for collection in below.collections])
    assert sorted(map(tuple, places)) == [(0.01, 0.002), (0.03, 0.03), (0.08, 0.04)]
    line = below.get_lines()[0]
    assert np.allclose(line.get_ydata(), 0.25 * np.asarray(line.get_xdata()))
    assert len(swa.get_lines()) == len(below.get_lines()) - 1  # the bound is that of midpoints alone


def test_no_two_variants_look_alike():
    names = [f"variant_{i:02d}" for i in range(24)]
    many = pd.concat([points().query("variant == 'cool'").assign(variant=name) for name in names])
    figure = equivalence_map.draw_map(many)
    handles = {text.get_text(): handle for handle, text in entries_of(figure)}
    looks = {(handles[name].get_marker(), tuple(handles[name].get_markerfacecolor())) for name in names}
    assert len(looks) == len(names)
    drawn = {(len(each.get_paths()[0]), tuple(each.get_facecolor()[0][:3])) for each in figure.axes[1].collections}
    assert len(drawn) >= len(names)


def entries_of(figure):
    (legend,) = figure.legends
    return list(zip(legend.legend_handles, legend.get_texts(), strict=True))


def test_every_method_has_a_panel_in_the_order_of_the_words():
    more = pd.concat([points().assign(kernel=kernel) for kernel in ("late_swa", "ema", "swa")])
    titles = [axes.get_title() for axes in equivalence_map.draw_map(more).axes]
    assert titles[:3] == [method_words(name).title for name in ("swa", "ema", "late_swa")]
