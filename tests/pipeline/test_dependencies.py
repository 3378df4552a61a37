"""Every module that a stage imports, transitively, is among its deps (config/ aside: its values are tracked)."""

import ast
from pathlib import Path

import pytest
import yaml

SOURCE = Path("src")
PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


def module_file(name: str) -> Path | None:
    base = SOURCE / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def imports(path: Path) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    packages = {".".join(name.split(".")[:i]) for name in names for i in range(1, len(name.split(".")))}
    return {file for name in names | packages if name.startswith("sidetrip") and (file := module_file(name))}


def transitive(path: Path) -> set[Path]:
    seen, todo = set(), [path]
    while todo:
        for found in imports(todo.pop()) - seen:
            seen.add(found)
            todo.append(found)
    return seen


@pytest.mark.parametrize("stage", PIPELINE)
def test_declared_deps_name_all_that_is_imported(stage):
    script = Path("stages") / f"{stage}.py"
    declared = [Path(dep) for dep in PIPELINE[stage]["deps"]]
    assert any(script == dep or dep in script.parents for dep in declared)
    covered = [*declared, SOURCE / "sidetrip" / "__init__.py", SOURCE / "sidetrip" / "config"]
    missing = {path for path in transitive(script) if not any(path == dep or dep in path.parents for dep in covered)}
    assert not missing, f"add to the deps of {stage}: {sorted(map(str, missing))}"
