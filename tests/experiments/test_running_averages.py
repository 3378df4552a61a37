"""Averages all along the main trajectory against those that side trips are held against."""

from sidetrip.experiments import running_averages
from sidetrip.experiments import side_trips as trips
from sidetrip.experiments.cases import Window


def test_running_averages_are_those_of_the_side_trips(lab, snapshots):
    """Averaged with trips or without, what lies on the main trajectory is the same."""
    (start,) = lab.replay(0, [20])
    scores = trips.measure(lab, start, 0)["side_trips"]
    along = running_averages.measure(lab, Window(0, 20))["running_averages"]
    averages = scores.query(
        "model == 'average' and split != 'batches' and window_steps == 10 and kernel in ['swa', 'ema']"
    )
    found = along.query("kernel in ['swa', 'ema']").set_index(["kernel", "split"])["loss"].sort_index()
    assert found.to_dict() == averages.set_index(["kernel", "split"])["loss"].sort_index().to_dict()
    assert set(along["step"]) == {20, 21, 25, 28, 29, 30}
    momentary = scores.query("model == 'momentary' and window_steps == 10 and look == 2 and split == 'train'")
    here = along.query("kernel == 'none' and step == 28 and split == 'train'")
    assert here["loss"].tolist() == momentary["loss"].tolist()
