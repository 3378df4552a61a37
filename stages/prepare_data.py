"""Read the pictures and pack them into arrays."""

from functools import partial

import torch

from sidetrip.config import Config, ConfigError, check_samples
from sidetrip.data.packed import moments, save_pictures
from sidetrip.data.sources import load_source
from sidetrip.files import write_json
from sidetrip.models import build_model
from sidetrip.runtime.executor import Workplace, report_progress
from sidetrip.runtime.stage import Tables, run_stage, stage


def unit(config: Config, _: None, place: Workplace) -> Tables:
    train, validation = load_source(config)
    check_samples(config, len(train))
    channels, classes = train.pictures.shape[1], len(train.classes)
    try:
        with torch.device("meta"):
            build_model(
                config.model.name,
                width=config.model.width,
                stem=config.model.stem,
                channels=channels,
                classes=classes,
                seed=0,
            )
    except ValueError as error:
        raise ConfigError(f"model.name = {config.model.name}: {error}") from error
    save_pictures(train, place.result / "train.safetensors")
    save_pictures(validation, place.result / "validation.safetensors")
    mean, deviation = moments(train)
    facts = {
        "channels": channels,
        "classes": classes,
        "train_samples": len(train),
        "validation_samples": len(validation),
        "mean": mean,
        "deviation": deviation,
    }
    write_json(place.result / "facts.json", facts)
    report_progress()
    return {}


@stage
def main(config: Config) -> None:
    run_stage(config, "prepare_data", partial(unit, config), [None], [1])


if __name__ == "__main__":
    main()
