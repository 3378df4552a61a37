"""The averaging comparison of one branch point: the pipeline against stock parts, as one would without this library.

`DataLoader` with two workers and torchvision's transforms, `copy.deepcopy` to branch, `AveragedModel`
and `update_bn`, `LambdaLR` for the trips, one trip for every kernel and window. The rows are those of
`experiments.side_trips.measure` with one look, up to the data's order, which is the loader's.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from benchmarks.floors import torch_defaults, torch_optimizer
from benchmarks.input import BenchmarkInput
from benchmarks.table import Row
from benchmarks.timing import ratio, seconds
from benchmarks.workers import all_workers, on_workers
from sidetrip.data.packed import SPLITS, Pictures, load_pictures
from sidetrip.engine.state import restore, trained
from sidetrip.engine.training import autocast
from sidetrip.experiments.side_trips.measure import measure as side_trips
from sidetrip.experiments.side_trips.plan import Case, cases, controls

LOADER_WORKERS = 2
CORES = len(os.sched_getaffinity(0))
PROBE = 10  # steps of the windows by which the fastest setting of the stock parts is found
# As one would write it, and with what helps it on some machines: threads get in the way of the loaders' workers.
STOCK = {
    "": (torch.contiguous_format, CORES),
    ", channels_last": (torch.channels_last, CORES),
    ", channels_last, 1 thread": (torch.channels_last, 1),
}
SLOTS = {"momentum": "momentum_buffer", "first_moment": "exp_avg", "second_moment": "exp_avg_sq"}  # torch's names
StepRow = tuple[str, int, str, str, float, float]  # kernel, window, model, split, loss, accuracy


class PictureDataset(Dataset):
    """Pictures one at a time as PIL images through torchvision's transforms, like torchvision's own data sets."""

    def __init__(self, split: Pictures, steps: Sequence[Callable]) -> None:
        self._pictures, self._labels = split.pictures, split.labels.tolist()
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pictures[index].squeeze())), self._labels[index]


class Comparison:
    """One branch point: the reference trip with its averages, and a trip for each kernel.

    Over the same samples in the same amounts as the pipeline's.
    """

    def __init__(self, work: BenchmarkInput, memory_format: torch.memory_format) -> None:
        self._config, self._device, self._start = work.config, work.device, work.start
        self._optimizer, self._rates = work.lab.optimizer, work.lab.rates[work.start.step :]
        self._model = work.lab.model()
        restore(work.start, self._model)
        self._model.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.rows: list[StepRow] = []

        evaluation, data, facts = work.config.evaluation, work.config.data, work.lab.facts
        train, validation = (load_pictures(work.folder / "prepare_data", split) for split in SPLITS)
        plain = [transforms.ToTensor(), transforms.Normalize(facts.mean, facts.deviation)]
        central = [transforms.CenterCrop(data.size)] if data.packed_side > data.size else []
        moved = [transforms.RandomCrop(data.size, padding=data.shift)] if data.shift else []
        cropped = [transforms.RandomResizedCrop(data.size, scale=(data.crop, 1.0))] if data.crop else central
        flipped = [transforms.RandomHorizontalFlip()] if data.flip else []
        still = PictureDataset(train, [*central, *plain])
        order = np.random.default_rng(0).permutation(len(train)).tolist()

        def load(dataset: Dataset) -> DataLoader:
            return DataLoader(
                dataset, evaluation.batch_size, num_workers=LOADER_WORKERS, persistent_workers=LOADER_WORKERS > 0
            )

        self._train = PictureDataset(train, [*cropped, *moved, *flipped, *plain])
        self._recalibration = load(Subset(still, order[-evaluation.recalibration_samples :]))
        self._scored = {
            "train": load(Subset(still, order[: evaluation.train_samples])),
            "validation": load(PictureDataset(validation, [*central, *plain])),
        }

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        # The same seed for every trip: the same batches.
        seed = torch.Generator().manual_seed(0)
        size = self._config.burn_in.batch_size
        loader = DataLoader(self._train, size, shuffle=True, drop_last=True, num_workers=LOADER_WORKERS, generator=seed)
        return itertools.chain.from_iterable(itertools.repeat(loader))

    def _run(self, multipliers: np.ndarray, after_step: Callable[[int, nn.Module], None]) -> None:
        model = copy.deepcopy(self._model)
        optimizer = torch_optimizer(model, self._optimizer, 1.0)
        for name, parameter in trained(model).items():
            optimizer.state[parameter]["step"] = torch.tensor(float(self._start.step))
            for slot, kept in self._start.optimizer.items():
                optimizer.state[parameter][SLOTS[slot]] = kept[name].clone()
        rates = [*(self._rates[: len(multipliers)] * multipliers), 0.0]
        scheduler = LambdaLR(optimizer, lambda step: rates[step])
        model.train()
        after_step(0, model)
        for step, (pictures, labels) in enumerate(itertools.islice(self._batches(), len(multipliers)), start=1):
            pictures, labels = pictures.to(self._device), labels.to(self._device)
            optimizer.zero_grad()
            with autocast(self._config.model.precision, self._device):
                loss = cross_entropy(model(pictures), labels)
            if not torch.isfinite(loss):
                return
            loss.backward()
            optimizer.step()
            scheduler.step()
            after_step(step, model)

    def _score(self, kernel: str, window: int, kind: str, model: nn.Module) -> None:
        model = copy.deepcopy(model)
        update_bn(self._recalibration, model, self._device)
        model.eval()
        for split, loader in self._scored.items():
            loss, right, samples = 0.0, 0, 0
            with torch.no_grad():
                for pictures, labels in loader:
                    pictures, labels = pictures.to(self._device), labels.to(self._device)
                    with autocast(self._config.model.precision, self._device):
                        logits = model(pictures)
                    loss += cross_entropy(logits, labels, reduction="sum").item()
                    right += (logits.argmax(dim=1) == labels).sum().item()
                    samples += len(labels)
            self.rows.append((kernel, window, kind, split, loss / samples, right / samples))

    def run(self) -> list[StepRow]:
        """Everything, in rows."""
        compared = cases(self._config)
        averaged = [*compared, *(control for control, _ in controls(self._config))]
        looks = {0, *(case.window for case in compared)}
        averages = {(case.name, case.window): averaged_model(case, self._model) for case in averaged}

        def average(step: int, model: nn.Module) -> None:
            for case in averaged:
                if step in taken_in(case):
                    averages[case.name, case.window].update_parameters(model)
                if step == case.window:
                    self._score(case.name, case.window, "average", averages[case.name, case.window])
            if step in looks:
                self._score("none", step, "momentary", model)

        self._run(np.ones(max(looks)), average)
        for case in compared:

            def arrived(step: int, model: nn.Module, case: Case = case) -> None:
                if step == case.window:
                    self._score(case.name, case.window, "trip", model)

            self._run(case.kernel.schedule().multipliers, arrived)
        return self.rows


def stock_comparison(work: BenchmarkInput, memory_format: torch.memory_format, threads: int) -> list[StepRow]:
    """The comparison with stock parts."""
    comparison = Comparison(work, memory_format)
    with torch_defaults(work.config.model.precision, threads):
        return comparison.run()


def averaged_model(case: Case, model: nn.Module) -> AveragedModel:
    """torch's average of a kernel: its own EMA and mean, and a weighted mean for any other kernel."""
    if case.name in ("swa", "two_point"):
        return AveragedModel(model)
    if case.name == "ema":
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1.0 - float(case.kernel.weights[-1])))
    weights, sums = case.kernel.weights, np.cumsum(case.kernel.weights)

    def weighted(average: Tensor, current: Tensor, seen: Tensor | int) -> Tensor:
        return average + (current - average) * float(weights[int(seen)] / sums[int(seen)])

    return AveragedModel(model, avg_fn=weighted)


def taken_in(case: Case) -> range:
    """Steps after the branch point whose weights the average takes in."""
    if case.name == "two_point":
        return range(0, case.window + 1, case.window)
    return range(1 if case.name == "swa" else 0, case.window + 1)


def pipeline_comparison(work: BenchmarkInput, _: int = 0) -> None:
    """The comparison as the pipeline makes it."""
    side_trips(work.lab, work.point)


def fastest_stock(work: BenchmarkInput) -> str:
    """Name of the setting in which the stock parts are fastest on short windows."""
    trips = replace(work.config.side_trips, windows=(PROBE,), two_point_windows=(PROBE,), ema_steps=PROBE)
    short = replace(work, config=replace(work.config, side_trips=trips))
    return min(STOCK, key=lambda name: seconds(partial(stock_comparison, short, *STOCK[name]), work.device))


def averaging_comparison(work: BenchmarkInput) -> Iterator[Row]:
    """Seconds a branch point: ours on one worker, ours on all workers at once, and stock parts on all cores."""
    everyone = all_workers(work)
    # The same work: stock parts score each model once.
    work = replace(work, config=replace(work.config, side_trips=replace(work.config.side_trips, looks=1)))
    work.warm_up()
    fastest = fastest_stock(work)
    alone, together, stock = [], [], []
    for _ in range(work.size.comparison_repetitions):
        alone.append(seconds(partial(pipeline_comparison, work), work.device))
        together.append(on_workers(work, pipeline_comparison, everyone) / everyone)
        stock.append(seconds(partial(stock_comparison, work, *STOCK[fastest]), work.device))
    topic = "averaging comparison"
    yield Row(topic, "ours, 1 worker", median(alone), "s a branch point")
    yield Row(topic, f"ours, {everyone} workers", median(together), "s a branch point")
    yield Row(topic, f"stock parts{fastest}", median(stock), "s a branch point")
    yield Row(topic, "stock parts ÷ ours, 1 worker", ratio(stock, alone), "")
    yield Row(topic, "stock parts ÷ ours, all workers", ratio(stock, together), "", least=3.0)
