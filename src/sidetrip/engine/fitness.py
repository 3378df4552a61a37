"""Whether a network takes the pictures of a variant, before anything is computed."""

from __future__ import annotations

import warnings

import torch

from sidetrip.config import Config, ConfigError
from sidetrip.engine.models import build_model


def check_model(config: Config, channels: int, classes: int) -> None:
    """Refuse a model that does not take these pictures; shapes alone, nothing is computed.

    Raises
    ------
    ConfigError
        If the model is unknown, or its logits are not those of the classes.
    """
    settings, size = config.model, config.data.size
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            model = build_model(
                settings.name, width=settings.width, stem=settings.stem, channels=channels, classes=classes, seed=0
            )
            logits = model(torch.empty(2, channels, size, size))
    except ValueError as error:
        raise ConfigError(f"model.name = {settings.name}: {error}") from error
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"model.name = {settings.name}: does not take pictures of {size} × {size} "
            f"pixels ({str(error).splitlines()[0]}); use another model or raise data.size"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
        raise ConfigError(
            f"model.name = {settings.name}: gives more than the logits of {classes} classes; use another model"
        )
