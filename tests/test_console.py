"""Commands refuse bad input in one line, before anything is computed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidetrip import planning
from sidetrip.config import ConfigError
from sidetrip.console import command
from sidetrip.files import FileError


def said(capsys, run) -> tuple[object, str]:
    """Exit status, and what was said on standard error."""
    with pytest.raises(SystemExit) as ended:
        run()
    return ended.value.code, capsys.readouterr().err


def test_a_variant_that_is_not_there_is_one_line(capsys):
    status, text = said(capsys, lambda: planning.main(["nosuch"]))
    assert status == 2
    assert text.startswith("sidetrip: variants.nosuch: not in params.yaml; there are fashion_mnist, ")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "begins", "ends"),
    [
        (
            {"data": {"source": "folder", "name": "mine", "root": "datasets/mine"}},
            "data.name = mine: how many samples it has is not known yet; ",
            "run `dvc repro prepare_data@own`",
        ),
        ({"model": {"name": "resnet9"}}, "model.name = resnet9: ", "(variant own)"),
    ],
)
def test_a_variant_that_cannot_be_planned_says_what_to_do(changes, begins, ends, capsys, tmp_path, monkeypatch):
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    params["variants"]["own"] = changes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, lambda: planning.main(["own"]))
    assert status == 2
    assert text.startswith(f"sidetrip: {begins}")
    assert text.endswith(f"{ends}\n")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("a = 1: b"), (2, "sidetrip: a = 1: b\n")),
        (FileError("a: b"), (2, "sidetrip: a: b\n")),
        (KeyboardInterrupt(), (130, "sidetrip: stopped\n")),
    ],
)
def test_how_a_command_ends(capsys, error, expected):
    def run():
        with command():
            raise error

    assert said(capsys, run) == expected


@pytest.mark.parametrize("place", ["/dev/full", "closed"])
def test_an_output_that_cannot_be_written_is_one_line(place):
    code = "from sidetrip.console import command\nwith command(): print('a' * 10)"
    read, write = os.pipe()
    os.close(read)
    with open(place, "wb") if place != "closed" else os.fdopen(write, "wb") as output:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE, text=True, env=os.environ, check=False
        )
    assert result.returncode == 2
    assert result.stderr.startswith("sidetrip: standard output: cannot be written (")
    assert result.stderr.count("\n") == 1


def test_a_defect_of_our_own_is_not_taken_for_bad_input():
    with pytest.raises(ValueError, match="ours"), command():
        raise ValueError("ours")


def test_foreign_text_is_one_short_line(capsys):
    def run():
        with command():
            raise FileError("a\n\x1b[2J λ " + "x" * 5000 + "; copy it")

    text = said(capsys, run)[1]
    assert text.startswith("sidetrip: a\\n\\x1b[2J λ x")
    assert text.endswith("; copy it\n")
    assert len(text) < 1100


def test_a_character_that_the_terminal_lacks_is_shown_by_its_number():
    code = "from sidetrip.console import command\nwith command(): print('\\u03bb \\u00f7 batch size')"
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment = {**os.environ, "PYTHONPATH": "src", **ascii_only}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert result.stdout == b"\\u03bb \\xf7 batch size\n"
