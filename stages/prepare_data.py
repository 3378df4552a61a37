"""Read the pictures and pack them into arrays."""

import warnings
from pathlib import Path

import torch

from sidetrip.config import Config, ConfigError, check_samples
from sidetrip.data.packed import Pictures, moments, save_pictures
from sidetrip.data.sources import load_source
from sidetrip.files import write_json
from sidetrip.models import build_model
from sidetrip.runtime.provenance import PROVENANCE, software
from sidetrip.runtime.scratch import open_scratch
from sidetrip.runtime.stage import publishing, stage


def check_model(config: Config, train: Pictures) -> None:
    """Refuse a model that does not take these pictures; shapes alone, nothing is computed."""
    settings, classes = config.model, len(train.classes)
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            model = build_model(
                settings.name,
                width=settings.width,
                stem=settings.stem,
                channels=train.pictures.shape[1],
                classes=classes,
                seed=0,
            )
            logits = model(torch.empty(2, *train.pictures.shape[1:]))
    except ValueError as error:
        raise ConfigError(f"model.name = {settings.name}: {error}") from error
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"model.name = {settings.name}: does not take pictures of {config.data.size} × {config.data.size} "
            f"pixels ({str(error).splitlines()[0]}); use another model or raise data.size"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        raise ConfigError(
            f"model.name = {settings.name}: gives more than the logits of {classes} classes; use another model"
        )


def pack(train: Pictures, validation: Pictures, folder: Path) -> None:
    """Write both splits, and what later stages have to know of them."""
    save_pictures(train, folder / "train.safetensors")
    save_pictures(validation, folder / "validation.safetensors")
    mean, deviation = moments(train)
    facts = {
        "channels": train.pictures.shape[1],
        "classes": len(train.classes),
        "train_samples": len(train),
        "validation_samples": len(validation),
        "mean": mean,
        "deviation": deviation,
    }
    write_json(folder / "facts.json", facts)


@stage
def main(config: Config) -> None:
    with open_scratch(config, "prepare_data") as scratch:
        train, validation = load_source(config)
        check_model(config, train)
        check_samples(config, len(train), len(validation))
        with publishing(config, "prepare_data", scratch) as folder:
            pack(train, validation, folder)
            write_json(folder / PROVENANCE, [software("cpu")])


if __name__ == "__main__":
    main()
