"""What an edit reruns: deps of stages are what can change their bytes, no less and no more; imports go one way."""

from dataclasses import fields
from graphlib import TopologicalSorter
from pathlib import Path, PurePath

import pytest
import yaml
from imports import SOURCE, imports, is_empty_package

from sidetrip.config.schema import Experiments
from sidetrip.experiments.registry import plans

PIPELINE = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
LIBRARY = SOURCE / "sidetrip"
MODULES = [path.relative_to(LIBRARY) for path in sorted(LIBRARY.rglob("*.py")) if not is_empty_package(path)]
TEMPLATES = [path.relative_to(LIBRARY) for path in sorted(LIBRARY.rglob("*.j2"))]

SCORED = "running_averages side_trips replicas mean_gradient forecast single_step divergence"
TRAINED = " ".join(plan.name for plan in plans() if plan.network)
MEASURED = " ".join(name for name in TRAINED.split() if name not in ("burn_in", "branch"))
PAGES = "verdicts figures report"
SHARED = ("kernels.py", "snapshots.py", "loss_forecast.py", "tables.py", "experiments")  # by numbers and pages
ROOM = "ROOM"  # the stage of the module's own folder
# Module, or modules of a folder: the stages that its edit reruns. Of rows that match, the last one counts.
RERUNS = {
    "*.py": "",  # commands, files, planning: they change no result
    "checks/*": "",
    "kernels.py": f"{TRAINED} quadratic {PAGES} index",
    "snapshots.py": "forecast verdicts report index",
    "loss_forecast.py": "forecast verdicts report index",
    "tables.py": f"burn_in {MEASURED} quadratic {PAGES} index",
    "config/*": "configure",
    "data/*": "prepare_data",
    "data/packed.py": f"prepare_data {TRAINED}",
    "data/text.py": f"prepare_data {TRAINED}",
    "engine/*": f"{TRAINED} quadratic",
    "measure/*": SCORED,
    "measure/averaging.py": "running_averages side_trips replicas mean_gradient forecast curvature quadratic",
    "measure/quadratic.py": "quadratic",
    "measure/curvature.py": "curvature",
    "measure/second_order.py": f"curvature forecast {PAGES} index",
    "measure/multi_power_law.py": "verdicts report index",
    "verdicts/*": f"{PAGES} index",
    "report/*": "report",
    "report/render.py": "report index",
    "report/style.py": "figures report index",
    "index/*": "index",
    "experiments/*": "",  # plan and work: what is told of progress
    "experiments/units.py": f"burn_in branch {SCORED} alignment curvature figures",
    "experiments/evaluator.py": SCORED,
    "experiments/methods.py": f"running_averages side_trips replicas mean_gradient {PAGES} index",
    "experiments/registry.py": f"{PAGES} index",  # the order on pages
    "experiments/claims.py": "verdicts report index",
    "experiments/series.py": "figures",
    "experiments/sections.py": "report",
    "experiments/*/plan.py": ROOM,
    "experiments/*/measure.py": ROOM,
    "experiments/single_step/plan.py": "single_step figures",
    "experiments/side_trips/plan.py": "side_trips running_averages replicas mean_gradient",
    "experiments/side_trips/measure.py": "side_trips running_averages",
    "experiments/replicas/plan.py": "replicas mean_gradient",
    "experiments/replicas/measure.py": "replicas mean_gradient",
    "experiments/curvature/model.py": "forecast verdicts report index",
    "experiments/forecast/sparse.py": "forecast verdicts report index",
    "experiments/forecast/forward.py": "forecast",
    "experiments/forecast/hindsight.py": "verdicts report index",
    "experiments/forecast/outcomes.py": "verdicts report index",
    "experiments/*/verdict.py": "verdicts report index",
    "experiments/single_step/verdict.py": f"{PAGES} index",  # what figures show of verdicts
    "experiments/divergence/verdict.py": f"{PAGES} index",
    "experiments/curvature/verdict.py": "verdicts report index",
    "experiments/quadratic/verdict.py": f"{PAGES} index",
    "experiments/*/figure.py": "figures",
    "experiments/*/section.*": "report",
    "runtime/*": "",
}

# From below to above: each floor uses what stands before it. Other modules are commands, which no floor uses.
FLOORS = [
    {"kernels"},
    {"snapshots", "loss_forecast"},
    {"files", "tables", "yaml_files"},
    {"console"},
    {"config"},
    {"data"},
    {"engine"},
    {"measure"},
    {"checks"},
    {"verdicts"},
    {"report"},
    {"experiments"},
    {"index"},
    {"runtime"},
]


def declared(stage: str) -> list[Path]:
    return [Path(dep) for dep in PIPELINE[stage]["deps"] if dep.startswith(("src", "stages"))]


def covers(dep: Path, path: Path) -> bool:
    return dep == path or dep in path.parents


def row_of(module: PurePath) -> str:
    """The row of the table that counts."""
    rows = [row for row in RERUNS if module.match(row) and len(module.parts) == len(PurePath(row).parts)]
    assert rows, f"add {module} to the table"
    return rows[-1]


@pytest.mark.parametrize("module", [*MODULES, *TEMPLATES], ids=str)
def test_an_edit_reruns_the_stages_of_the_table(module):
    expected = RERUNS[row_of(module)].replace(ROOM, module.parent.name).split()
    found = [stage for stage in PIPELINE if any(covers(dep, LIBRARY / module) for dep in declared(stage))]
    assert sorted(found) == sorted(expected)


def test_every_row_counts_for_some_module_and_every_script_for_its_stage():
    assert {row_of(module) for module in (*MODULES, *TEMPLATES)} == set(RERUNS)
    for stage in PIPELINE:
        assert [dep for dep in declared(stage) if dep.parts[0] == "stages"] == [Path("stages", f"{stage}.py")]
        assert not any(dep.startswith(("benchmarks", "tests")) for dep in PIPELINE[stage]["deps"])


def follows(stage: str, module: PurePath) -> bool:
    """Whether what a module does can change the bytes of a stage that runs it."""
    name = module.as_posix()
    if stage in ("configure", "prepare_data"):
        return module.parts[0] == {"configure": "config", "prepare_data": "data"}[stage]
    if name in ("experiments/plan.py", "experiments/work.py"):
        return False
    if stage in (*PAGES.split(), "index"):
        return module.parts[0] in (*SHARED, "verdicts", "report", "index") or name in (
            "measure/second_order.py",
            "measure/multi_power_law.py",
        )
    if name in ("data/packed.py", "data/text.py"):
        return stage != "quadratic"  # which has no data
    return module.parts[0] in (*SHARED, "engine", "measure") and name != "experiments/registry.py"


def code_of(stage: str) -> set[Path]:
    """The script, plan and measure of its experiment, and all that they import, as far as it can change bytes."""
    room = [LIBRARY / "experiments" / stage / f"{part}.py" for part in ("plan", "measure")]
    todo = [Path("stages", f"{stage}.py"), *filter(Path.is_file, room)]
    if stage in f"burn_in {MEASURED} quadratic".split():
        todo.append(LIBRARY / "tables.py")  # by which runtime writes its tables
    seen = set(todo)
    while todo:
        found = {path for path in imports(todo.pop()) - seen if follows(stage, path.relative_to(LIBRARY))}
        seen |= found
        todo += found
    return seen | ({LIBRARY / path for path in TEMPLATES} if stage == "report" else set())


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_are_what_a_stage_imports(stage):
    code, deps = code_of(stage), declared(stage)
    missing = [str(path) for path in code if not any(covers(dep, path) for dep in deps)]
    assert not missing, f"add to the deps of {stage}: {missing}"
    unused = [str(dep) for dep in deps if not any(covers(dep, path) for path in code)]
    assert not unused, f"take out of the deps of {stage}: {unused}"


def parameters(stage: str) -> set[str]:
    """Settings that a stage depends on."""
    entries = [each for each in PIPELINE[stage].get("params", []) if isinstance(each, dict)]
    return {name for each in entries for values in each.values() for name in values}


def test_a_stage_runs_again_where_its_experiment_is_switched():
    optional = {field.name for field in fields(Experiments)}
    assert {name for name in optional if f"experiments.{name}" not in parameters(name)} == set()
    assert [stage for stage in PAGES.split() if "experiments" not in parameters(stage)] == []


def height(path: Path) -> int:
    name = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
    return next((number for number, floor in enumerate(FLOORS) if name in floor), len(FLOORS))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_uses_those_of_its_own_floor_and_below(module):
    wrong = [str(path) for path in imports(LIBRARY / module) if height(path) > height(LIBRARY / module)]
    assert not wrong, f"{module} imports from above: {wrong}"


def test_there_is_no_circle():
    """Between modules; a package's __init__ gathers its own modules, which import each other past it."""
    modules = {LIBRARY / m: {path for path in imports(LIBRARY / m) if path.name != "__init__.py"} for m in MODULES}
    TopologicalSorter(modules).prepare()
