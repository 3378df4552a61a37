"""The deps of every stage are what its script and its experiment import; folders import only downwards."""

from pathlib import Path

import pytest
import yaml
from imports import SOURCE, imports, transitive

PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
LIBRARY = SOURCE / "sidetrip"
CONFIG = LIBRARY / "config"  # its values are tracked
# From above to below, as in the design: each imports from those above it alone.
FLOORS = (
    "kernels",
    "snapshots",
    "files",
    "config",
    "data",
    "engine",
    "measure",
    "experiments",
    "verdicts",
    "figures",
    "report",
    "runtime",
)
# Tools that stand beside the floors and may use all of them.
TOOLS = {
    "planning",
    "benchmark",
    "merge",
    "number_formats",
    "tensor_files",
    "weighted_sum",
    "merged_output",
    "snapshot_paths",
    "tensor_kinds",
    "verify",
    "console",
    "repair",
}


def code_of(stage: str) -> set[Path]:
    """The script, the experiment of its name, and all that they import."""
    roots = [Path("stages") / f"{stage}.py", LIBRARY / "experiments" / f"{stage}.py"]
    roots = [path for path in roots if path.is_file()]
    return transitive(*roots) | set(roots)


def declared(stage: str) -> list[Path]:
    return [Path(dep) for dep in PIPELINE[stage]["deps"] if dep.startswith(("src", "stages"))]


def covers(dep: Path, path: Path) -> bool:
    return dep == path or dep in path.parents


@pytest.mark.parametrize("stage", PIPELINE)
def test_declared_deps_name_all_that_is_imported(stage):
    covered = [*declared(stage), LIBRARY / "__init__.py", CONFIG]
    missing = {path for path in code_of(stage) if not any(covers(dep, path) for dep in covered)}
    assert not missing, f"add to the deps of {stage}: {sorted(map(str, missing))}"


@pytest.mark.parametrize("stage", PIPELINE)
def test_no_dep_is_superfluous(stage):
    unused = [dep for dep in declared(stage) if not any(covers(dep, path) for path in code_of(stage))]
    assert not unused, f"take out of the deps of {stage}: {sorted(map(str, unused))}"


def test_an_edit_of_what_evaluates_does_not_train_again():
    assert len(declared("burn_in")) <= 7
    for module in ("evaluation", "batchnorm", "folding", "averaging"):
        path = LIBRARY / "measure" / f"{module}.py"
        assert not any(covers(dep, path) for stage in ("burn_in", "branch") for dep in declared(stage))
        assert any(covers(dep, path) for dep in declared("side_trips"))


def floor(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def height(path: Path) -> int:
    """From above; tools are below all floors, none of which may use them."""
    return len(FLOORS) if floor(path) in TOOLS else FLOORS.index(floor(path))


MODULES = sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")


@pytest.mark.parametrize("module", [m for m in MODULES if floor(m) not in TOOLS], ids=str)
def test_imports_go_downwards(module):
    others = imports(module) - {LIBRARY / "__init__.py"}
    wrong = [str(path) for path in others if height(path) > height(module)]
    assert not wrong, f"{module} imports from below: {wrong}"


def test_there_is_no_circle():
    """Between modules; a package's __init__ gathers its own modules, which import each other past it."""
    modules = {module: {path for path in imports(module) if path.name != "__init__.py"} for module in MODULES}
    for module, todo in modules.items():
        seen, todo = set(), set(todo)
        while todo:
            found = todo.pop()
            seen.add(found)
            todo |= modules[found] - seen
        assert module not in seen, f"{module} imports itself in the end"
