"""params.yaml as a file: what is refused before its values are looked at, and what DVC writes into it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from sidetrip.config import ConfigError, active_variants, load_params, resolve

ROOT = Path(__file__).parents[2]
SMOKE = "base: {}\nvariants: {smoke: {}}\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
BAD_FILES = [
    ("active: [smoke\nbase: {}\n", "line 2", "mend it"),
    ("active: [smoke]\nactive: [smoke]\n", "line 2", "mend it"),
    ("a: '\x00'", "params.yaml", "mend it"),
    ("a: \udcff", "params.yaml", "mend it"),
    ("7\n", "params.yaml", "mend it"),
    ("active: &a [*a]\n", "params.yaml", "mend it"),
    (BOMB, "YAML aliases", "write the values themselves"),
    ("a: 0040\n", "line 1: 0040", "write it in plain digits"),
    ("a:\n  - 1\n  - 1_000\n", "line 3: 1_000", "write it in plain digits"),
    ("a: 1:40\n", "line 1: 1:40", "write it in plain digits"),
    ("a: -0b11\n", "line 1: -0b11", "write it in plain digits"),
    ("burn_in: {rate: 0,05}\n", "line 1: 05", "write a point"),
    ("a: 1\nb: ${oc.env:RATE}\n", "line 2: ${oc.env:RATE}", "write the value itself"),
    ("a: ['x${b.c}']\n", "line 1: x${b.c}", "write the value itself"),
    ("- smoke\n", "params.yaml", "needs the keys"),
    ("smoke\n", "smoke: unknown key", "allowed are"),
    ("", "variants = null", "use a mapping"),
    ("active: [smoke]\nvariants: [smoke]\n", "variants = ['smoke']", "use a mapping"),
    ("variants: {1: {}}\n", "variants = 1", "put it in quotes"),
    (SMOKE, "active = null", "list some of smoke"),
    (f"active: []\n{SMOKE}", "active = []", "list some of smoke"),
    (f"active: smoke\n{SMOKE}", "active = smoke", "list some of smoke"),
    (f"active: [smoke, nosuch]\n{SMOKE}", "active = nosuch", "list some of smoke"),
    (f"active: [[smoke]]\n{SMOKE}", "active = ['smoke']", "list some of smoke"),
    (f'active: ["\\e[2J"]\n{SMOKE}', r"active = \x1b[2J", "list some of smoke"),
    (f"active: [smoke, smoke]\n{SMOKE}", "active = smoke", "list each variant once"),
    (f"activ: [smoke]\n{SMOKE}", "activ: unknown key", "allowed are"),
    ("active: [smoke]\nbase: 3\nvariants: {smoke: {}}\n", "base = 3", "use a mapping"),
    ("active: [smoke]\nbase: {}\nvariants: {smoke: 7}\n", "variants.smoke = 7", "use a mapping"),
    ("active: [smoke]\nruntime: 7\nvariants: {smoke: }\n", "runtime = 7", "use a mapping"),
    ("active: [other]\nbase: {}\nvariants: {other: {}}\n", "variants.smoke: not in params.yaml", "there are other"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), BAD_FILES)
def test_a_file_that_does_not_do(tmp_path, monkeypatch, text, what, remedy):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError) as error:
        resolve(load_params(Path("params.yaml")), "smoke")
    message = str(error.value)
    assert what in message
    assert remedy in message
    assert "\n" not in message


def test_names_that_the_shell_would_run_are_refused_by_the_stage(tmp_path):
    """DVC itself reads the names, and runs a line of the shell for each."""
    names = ["smoke; touch leaked #", "$(touch leaked)", "x'; touch leaked; '", "x\ntouch leaked"]
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    pipeline["stages"] = {"configure": pipeline["stages"]["configure"]}
    del pipeline["stages"]["configure"]["params"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params |= {"active": names, "variants": dict.fromkeys(names)}
    for name, content in (("dvc.yaml", pipeline), ("params.yaml", params)):
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    for name in ("src", "stages"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "PYTHONPATH": "src", "DVC_NO_ANALYTICS": "1"}
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, env=environment, check=True)
    command = ["dvc", "repro", "--keep-going"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert ended.returncode != 0
    assert ended.stderr.count(b"sidetrip: variant = ") == len(names) - 1  # the last is no whole line to the shell
    found = {path.name for path in tmp_path.iterdir() if path.name[0] != "."}
    assert found == {"dvc.yaml", "params.yaml", "src", "stages"}


# What DVC writes


def test_the_difference_of_an_experiment_is_the_experiment(tmp_path):
    """A number as DVC writes it, too, is a number: YAML 1.2 takes 1e-06 for one, YAML 1.1 for a text."""
    params = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))
    before = params.read_text(encoding="utf-8").splitlines()
    apply_overrides(params, ["base.claims.identity_error=0.000001"])
    after = params.read_text(encoding="utf-8").splitlines()
    (changed,) = (new for old, new in zip(before, after, strict=True) if new != old)
    assert changed.split("#")[0].strip() == "identity_error: 1e-06"
    assert resolve(load_params(params), "smoke").claims.identity_error == 1e-6


def test_other_ways_to_write_the_same(tmp_path):
    """A byte order mark, line ends of Windows, a merge key, and a hexadecimal number."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    other = "\ufeff" + text.replace("{steps: 40, batch_size: 16,", "{<<: {steps: 41, batch_size: 16}, steps: 40,")
    other = other.replace("train_samples: 100\n", "train_samples: 0x64\n").replace("\n", "\r\n")
    (tmp_path / "params.yaml").write_bytes(other.encode())
    params = load_params(tmp_path / "params.yaml")
    assert resolve(params, "smoke") == resolve(load_params(ROOT / "params.yaml"), "smoke")
    assert active_variants(params) == yaml.safe_load(text)["active"]
