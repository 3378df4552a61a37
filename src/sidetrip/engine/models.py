"""Networks by name: CPU-size residual networks here, all others from torchvision.

References
----------
He, Zhang, Ren, Sun, "Deep residual learning for image recognition". DOI 10.1109/CVPR.2016.90.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from sidetrip.config import Config
from sidetrip.config.known import OWN_NETWORKS
from sidetrip.engine.decoder import Decoder
from sidetrip.engine.layers import use_safe_layers

CIFAR_STEM = ("resnet18", "resnet34", "resnet50")
# Auxiliary classifiers have losses of their own, which have no place in a comparison of one loss.
ALONE = {"aux_logits": False, "init_weights": True}


class ModelError(ValueError):
    """There is no such network, or not for such data; says why."""


def _arguments(name: str, size: int) -> dict[str, Any]:
    """What a builder of torchvision takes beside the number of classes."""
    family = name.partition("_")[0]
    arguments: dict[str, dict[str, Any]] = {
        "vit": {"image_size": size},
        "maxvit": {"input_size": (size, size)},
        "googlenet": ALONE,
        "inception": ALONE,
    }
    return arguments.get(family, {})


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions and a skip; [batch, c_in, h, w] to [batch, c_out, h/stride, w/stride]."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.skip = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        # In place where backward does not need what is overwritten: less memory to go through.
        y = self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x)))))
        y.add_(self.skip(x))  # += would make a tensor of its own in the traced network that evaluates
        return torch.relu_(y)


class SmallResNet(nn.Module):
    """The CIFAR residual network of He et al. §4.2 (6n + 2 layers), of any width and input size.

    Parameters
    ----------
    blocks : int
        n, residual blocks in each of the three stages.
    width : int
        Channels of the first stage; the later stages have two and four times as many.
    channels : int
        Channels of the input pictures.
    classes : int
        Number of logits.
    """

    def __init__(self, blocks: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        channels_in = width
        for stage in range(3):
            for block in range(blocks):
                channels_out = width * 2**stage
                stages.append(ResidualBlock(channels_in, channels_out, stride=2 if stage and not block else 1))
                channels_in = channels_out
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, classes] of pictures [batch, channels, height, width]."""
        x = self.stages(torch.relu_(self.bn(self.conv(x))))
        # One mean over the pixels, whose gradient then lies in memory as the activations do (4 % of a step on a CPU).
        return self.head(x.permute(0, 2, 3, 1).flatten(1, 2).mean(dim=1))


def network(config: Config, channels: int, classes: int, seed: int = 0) -> nn.Module:
    """The network that the settings of a variant ask for, on data of so many channels and classes; see `build_model`.

    Its memory is laid out as pictures are, channels last.
    """
    settings, size = config.model, config.data.context if config.data.is_text else config.data.size
    model = build_model(
        settings.name,
        width=settings.width,
        stem=settings.stem,
        channels=channels,
        classes=classes,
        seed=seed,
        size=size,
        layers=settings.layers,
        heads=settings.heads,
    )
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def build_model(
    name: str,
    *,
    width: int,
    stem: str,
    channels: int,
    classes: int,
    seed: int,
    size: int = 224,
    layers: int = 1,
    heads: int = 1,
) -> nn.Module:
    """Build a network with weights drawn from `seed` alone.

    Parameters
    ----------
    name : str
        "resnet8", "resnet20", "decoder", or any classification model of torchvision.
    width : int
        Channels of the first stage of resnet8 and resnet20, or of the decoder; the others have their own.
    stem : str
        "cifar" (3 × 3 convolution, no pooling: for pictures of about 32 × 32) or "imagenet";
        torchvision's resnet18/34/50 only.
    channels, classes : int
        Of the data; the classes of a text are its vocabulary.
    seed : int
        Seed of the initial weights. The global generator is left as it was.
    size : int
        Side of the pictures, for networks that are made for one size (vit, maxvit); tokens of a window (decoder).
    layers, heads : int
        Of the decoder.

    Raises
    ------
    ModelError
        If `name` is unknown or the model cannot take the data's channels.
    ValueError, AssertionError
        From torchvision, if the network cannot be made for the size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
        if name in OWN_NETWORKS:
            return use_safe_layers(SmallResNet(OWN_NETWORKS[name], width, channels, classes))
        if name == "decoder":
            return Decoder(layers, heads, width, size, classes)
        import torchvision  # over a second, in every worker: only for the models that come from it

        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ModelError(f"unknown model {name!r}; use resnet8, resnet20 or a torchvision classification model")
        model = torchvision.models.get_model(name, weights=None, num_classes=classes, **_arguments(name, size))
        if name in CIFAR_STEM and stem == "cifar":
            first = cast(nn.Conv2d, model.conv1)
            model.conv1 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        elif channels != 3:
            raise ModelError(f"model {name!r} takes pictures of 3 channels, the data have {channels}; use resnet8")
        return use_safe_layers(model)
