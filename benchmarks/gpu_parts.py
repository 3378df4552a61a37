"""`python -m benchmarks.gpu_parts NAME`: a part of `make gpu` that has no command of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.input import BenchmarkInput, prepared
from sidetrip.checks.fitness import noise
from sidetrip.checks.operations import check_operations
from sidetrip.config import Config, ConfigError, load_params, resolve
from sidetrip.console import command
from sidetrip.engine.batch import Batch
from sidetrip.engine.determinism import make_deterministic
from sidetrip.engine.models import network
from sidetrip.engine.training import advance
from sidetrip.experiments.registry import plans
from sidetrip.experiments.work import TRAINING, dataset
from sidetrip.files import UnitFolders, sealing
from sidetrip.runtime.devices import resolve_device
from sidetrip.runtime.experiment import measure_in
from sidetrip.tables import write_table

VARIANT = "cifar10"
FIRST_STAGES = ("prepare_data", "burn_in", "branch")
PICTURES = Path("datasets/cifar10")  # a folder of picture files, if there is one
PROFILED = 5  # steps
SHOWN = 25  # operations
# Of every stage a little, when there are no pictures.
SHORT: dict[str, dict[str, Any]] = {
    "burn_in": {"steps": 400, "snapshot_every": 100},
    "branch": {"points": [200, 300], "early": []},
    "side_trips": {
        "windows": [10, 50],
        "two_point_windows": [10, 50],
        "ema_steps": 50,
        "ema_newest": 0.05,
        "every": 200,
    },
    "alignment": {"steps": 50},
    "forecast": {"windows": [100], "begins": [200, 300], "every": 100, "intervals": [1, 2]},
}


def environment(device: torch.device) -> Iterator[str]:
    """Driver, device, software, and what determinism is set to."""
    yield f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    if device.type == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        try:
            yield subprocess.run(query, capture_output=True, text=True, encoding="utf-8", check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            yield f"nvidia-smi: {error}"
        about = torch.cuda.get_device_properties(device)
        yield f"{about.name}: compute capability {about.major}.{about.minor}, {about.multi_processor_count} processors"
        yield f"torch is built for {' '.join(torch.cuda.get_arch_list())}"
    make_deterministic("tf32")
    yield f"deterministic algorithms: {torch.are_deterministic_algorithms_enabled()}"
    yield f"cuDNN: deterministic {torch.backends.cudnn.deterministic}, benchmark {torch.backends.cudnn.benchmark}"
    make_deterministic("fp32")
    left = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    exact, found = left.double() @ left.double(), (left.to(device) @ left.to(device)).cpu().double()
    off = float((found - exact).norm() / exact.norm())
    yield f"a product of 512 × 512 in fp32 is off by {off:.1e}"
    if off > 1e-5:
        raise ConfigError(f"model.precision = fp32: products on {device} are not in full precision")


def operations(device: torch.device, configs: Sequence[Config]) -> Iterator[str]:
    """For every network of some variants, whether the device takes its passes, twice alike."""
    checked, refused = set(), []
    for config in configs:
        try:
            known = dataset(config)
        except ConfigError as error:
            yield f"{config.variant}: left out: {error}"
            continue
        settings, chunk = config.model, config.single_step.chunk
        form = f"{config.data.context} tokens" if config.data.is_text else f"{config.data.size} px"
        kind = (settings, form, known.channels, known.classes, chunk)
        if kind in checked:
            continue
        checked.add(kind)
        make_deterministic(settings.precision)
        model = network(config, known.channels, known.classes).to(device)
        inputs, targets = noise(config, known.channels, known.classes, chunk)
        batch = Batch(inputs.to(device), targets.to(device))
        what, began = f"{config.variant}: {settings.name}, {chunk} × {form}, {settings.precision}", time.monotonic()
        try:
            check_operations(model.train(), batch, settings.precision, settings.name)
            yield f"{what}: twice alike ({time.monotonic() - began:.1f} s)"
        except ConfigError as error:
            refused.append(config.variant)
            yield f"{what}: {error}"
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if refused:
        raise ConfigError(f"{', '.join(refused)}: cannot be measured on {device}")


def profile(work: BenchmarkInput) -> Iterator[str]:
    """Operations of some training steps, those that take longest first."""
    lab, model, rates = work.lab, work.lab.model(), [0.01] * PROFILED
    advance(model, work.start, lab.stream(0), rates, lab.optimizer)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    sort = "self_cpu_time_total"
    if work.device.type == "cuda":
        kinds, sort = [*kinds, torch.profiler.ProfilerActivity.CUDA], "self_device_time_total"
    with torch.profiler.profile(activities=kinds) as found:
        advance(model, work.start, lab.stream(0), rates, lab.optimizer)
    yield f"{PROFILED} steps of {work.config.burn_in.batch_size}"
    yield found.key_averages().table(sort_by=sort, row_limit=SHOWN, max_name_column_width=60)


def first_units(work: BenchmarkInput) -> Iterator[str]:
    """The first unit of every stage that needs a network, with its speed in planning's training samples.

    What a unit writes is left where the next ones look for it.
    """
    for plan in plans():
        for unit in plan.units_of(work.config)[:1] if plan.network else ():
            began = time.monotonic()
            with sealing(work.folder / plan.name) as result:
                folders = UnitFolders(result, work.folder / f"{plan.name}.progress")
                for name, table in measure_in(work.lab, plan.name, unit, folders).items():
                    write_table(table, result / f"{name}.csv")
            taken, samples = time.monotonic() - began, plan.work(work.config, unit).passes / TRAINING
            yield f"{plan.name}: {samples:.0f} training samples in {taken:.1f} s, {samples / taken:.0f} a second"


def pictures_there(config: Config) -> list[str] | None:
    """What to override so that stages find pictures without a download; None where there are none."""
    if PICTURES.is_dir():
        return ["data.source=folder", f"data.root={PICTURES}"]
    return [] if any(Path(config.data.root).glob("cifar-10*")) else None


def shortened(config: Config) -> Config:
    """A configuration that has every stage, and each for some seconds."""
    parts = {name: replace(getattr(config, name), **changes) for name, changes in SHORT.items()}
    return replace(config, **parts)


def stages() -> Iterator[str]:
    """The first stages, as the pipeline runs them; on random pictures the first units of all, shortened."""
    config = resolve(load_params(Path("params.yaml")), VARIANT)
    overrides = pictures_there(config)
    if overrides is None:
        yield "no pictures here: random ones"
        with prepared(VARIANT, "cuda", random=True) as work:
            yield from first_units(replace(work, config=shortened(work.config)))
        return
    settings = f"reports/{VARIANT}"
    commands = [["stages/configure.py", "--variant", VARIANT]]
    commands += [[f"stages/{name}.py", "-cd", settings, *overrides] for name in FIRST_STAGES]
    for arguments in commands:
        began = time.monotonic()
        if subprocess.run([sys.executable, *arguments], stderr=subprocess.STDOUT, check=False).returncode:
            raise ConfigError(f"{arguments[0]}: failed")
        yield f"{arguments[0]}: {time.monotonic() - began:.0f} s"


def lines_of(name: str) -> Iterator[str]:
    """What a part says."""
    device = torch.device(resolve_device("cuda"))
    if name == "profile":
        with prepared(VARIANT, "cuda", random=True) as work:
            yield from profile(work)
    elif name == "operations":
        params = load_params(Path("params.yaml"))
        yield from operations(device, [resolve(params, variant) for variant in params.variants])
    else:
        yield from environment(device) if name == "environment" else stages()


def main() -> None:
    """Print what a part says, as it says it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("environment", "operations", "profile", "stages"))
    name = parser.parse_args().name
    with command():
        for line in lines_of(name):
            print(line, flush=True)


if __name__ == "__main__":
    main()
