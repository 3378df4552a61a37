"""Read the pictures and pack them into arrays."""

import json

import torch

from sidetrip.config import Config, ConfigError, check_samples
from sidetrip.data.packed import moments, save_pictures
from sidetrip.data.sources import load_source
from sidetrip.models import build_model
from sidetrip.runtime.stage import output_folder, stage


@stage
def main(config: Config) -> None:
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
    folder = output_folder(config, "prepare_data")
    save_pictures(train, folder / "train.safetensors")
    save_pictures(validation, folder / "validation.safetensors")
    mean, deviation = moments(train)
    facts = {
        "channels": channels,
        "classes": classes,
        "train_samples": len(train),
        "validation_samples": len(validation),
        "mean": mean,
        "deviation": deviation,
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
