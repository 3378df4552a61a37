"""Which device a process computes on, with what torch would say on machines that are not this one."""

import warnings
from contextlib import nullcontext

import pytest
import torch
from helpers import smoke_config

from sidetrip.config import ConfigError
from sidetrip.experiments.quadratic import plan as quadratic
from sidetrip.experiments.single_step import plan as single_step
from sidetrip.runtime import cluster, devices
from sidetrip.runtime.experiment import measure_all
from sidetrip.runtime.pool import worker_devices
from sidetrip.runtime.scratch import Scratch, unit_folders
from sidetrip.runtime.units import Task, Worker, become, run_task

OLD_DRIVER = "CUDA initialization: The NVIDIA driver on your system is too old (found version 12020). Please update it."


@pytest.fixture
def machine(monkeypatch):
    """Pretend that torch finds so many GPUs, and whether it can start CUDA."""

    def pretend(there: int, starts: bool, warning: str = "") -> None:
        def is_available() -> bool:
            if warning:
                warnings.warn(warning, UserWarning, stacklevel=1)
            return starts

        monkeypatch.setattr(devices, "DRIVERS", ("null",))  # in /dev of every machine
        monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
        monkeypatch.setattr(torch.cuda, "is_available", is_available)

    return pretend


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_driver_that_is_too_old_is_one_line_with_the_remedy(machine, name):
    machine(2, False, OLD_DRIVER)
    with pytest.raises(ConfigError) as error:
        devices.resolve_device(name)
    assert str(error.value) == (
        f"runtime.device: this machine has 2 GPU(s) that torch {torch.__version__} cannot use (CUDA initialization: "
        f"The NVIDIA driver on your system is too old); install a driver for CUDA {torch.version.cuda} or newer, or "
        "use cpu"
    )
    assert devices.resolve_device("cpu") == "cpu"


@pytest.mark.parametrize(("there", "device"), [(0, "cpu"), (1, "cuda"), (3, "cuda")])
def test_auto_is_the_gpus_where_there_are_any(machine, there, device):
    machine(there, there > 0)
    assert devices.resolve_device("auto") == device


def test_a_worker_of_a_cluster_has_a_gpu_of_its_own(machine):
    machine(1, True)
    assert cluster._own_device("cuda") == cluster._own_device("auto") == "cuda:0"
    machine(4, True)
    for name in ("cuda", "auto"):
        with pytest.raises(ConfigError, match=r"^sees 4 GPUs; start each worker with CUDA_VISIBLE_DEVICES=N"):
            cluster._own_device(name)
    assert cluster._own_device("cuda:2") == "cuda:2"


def test_a_unit_runs_with_its_worker_s_gpu_as_the_present_one(monkeypatch, tmp_path):
    present = []

    def unit(number, folders):
        present.append("unit")
        return {}

    monkeypatch.setattr(torch.cuda, "set_device", present.append)
    monkeypatch.setattr("sidetrip.runtime.units.software", lambda device: {})
    for device in ("cuda:3", "cpu"):
        become(Worker(device), "fp32")
        folders = unit_folders(tmp_path, device.replace(":", "_"))
        run_task(Task(unit, 0, folders, 1))
    become(Worker(), "fp32")
    assert present == [torch.device("cuda:3"), "unit", "unit"]


def test_cuda_that_does_not_start_in_a_worker_is_one_line(monkeypatch):
    def broken(device: torch.device) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nMore about it")

    monkeypatch.setattr(torch.cuda, "set_device", broken)
    with pytest.raises(ConfigError) as error:
        devices.use_device("cuda:1")
    assert str(error.value) == (
        "runtime.device: CUDA does not start on cuda:1 (CUDA error: no kernel image is available); see `nvidia-smi`, "
        "or use cpu"
    )


def test_the_analytic_model_runs_on_cores_where_there_are_gpus(machine, monkeypatch, tmp_path):
    machine(8, True)
    placed = []

    def noted(function, units, costs, config, *others):
        placed.append(worker_devices(config.runtime, 1))
        raise ConfigError("enough")

    monkeypatch.setattr("sidetrip.runtime.experiment.run_units", noted)
    monkeypatch.setattr("sidetrip.runtime.experiment.samples", lambda *_: (1000, 1000))
    monkeypatch.setattr("sidetrip.runtime.experiment.read_facts", lambda _: None)
    monkeypatch.setattr("sidetrip.runtime.experiment.open_scratch", lambda *_: nullcontext(Scratch(tmp_path, "")))
    for plan in (quadratic.PLAN, single_step.PLAN):
        with pytest.raises(ConfigError, match="enough"):
            measure_all(plan, smoke_config())
    assert placed == [["cpu"], ["cuda:0"]]
