"""What is compared covers every kind, and a difference is named."""

import json
from itertools import islice
from pathlib import Path

from sidetrip import verify
from sidetrip.experiments.registry import plans


def test_the_committed_digests_are_of_every_experiment_and_page():
    committed = json.loads(verify.COMMITTED.read_text(encoding="utf-8"))
    kinds = {name.partition(":")[0] for name in committed["digests"]}
    needed = {plan.name for plan in plans()} | {"decoder", "verdicts", "figures"}
    assert needed - kinds == set(), "run `python -m sidetrip.verify --write`"
    assert committed["software"]["arithmetic"] == "portable"


def test_this_machine_draws_and_trains_the_committed_bits(tmp_path: Path):
    committed = json.loads(verify.COMMITTED.read_text(encoding="utf-8"))["digests"]
    found = dict(islice(verify.all_digests(tmp_path), 20))
    assert list(found)[-1].startswith("burn_in")  # of pictures, after the networks alone and the decoder
    assert found == {name: committed[name] for name in found}


def test_the_first_difference_is_named(capsys):
    found = iter([("data", "1"), ("training", "2"), ("figures", "3")])
    assert verify.compare(found, {"data": "1", "training": "0", "figures": "0"}) == ["training", "figures"]
    assert capsys.readouterr().out.splitlines()[1] == "DIFFERS 2  training"
