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


class ModelError(ValueError):
    """There is no such network, or not for such data; says why."""


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
    """The CIFAR residual network of He et al. §4.2 (6n + 2 layers), of any input size.

    Three stages of n = `blocks` residual blocks; the first has `width` channels, the others two and four times as many.
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
    """The network that the settings of a variant ask for, its memory laid out as pictures are, channels last.

    Parameters
    ----------
    config : Config
        Its `model`, and the size of pictures or the context of a text.
    channels, classes : int
        Of the data; the classes of a text are its vocabulary.
    seed : int
        All that the initial weights depend on. The global generator is left as it was.

    Raises
    ------
    ModelError
        If there is no such network, or it cannot take the data's channels.
    ValueError, AssertionError
        From torchvision, if the network cannot be made for the size.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs as well
        model = _drawn(config, channels, classes)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _drawn(config: Config, channels: int, classes: int) -> nn.Module:
    """The network, with weights from torch's own generator."""
    settings, name, size = config.model, config.model.name, config.data.size
    if name == "decoder":
        return Decoder(settings.layers, settings.heads, settings.width, config.data.context, classes)
    if name in OWN_NETWORKS:
        return use_safe_layers(SmallResNet(OWN_NETWORKS[name], settings.width, channels, classes))
    import torchvision  # over a second, in every worker: only for the models that come from it

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise ModelError(f"unknown model {name!r}; use resnet8, resnet20 or a torchvision classification model")
    # Auxiliary classifiers have losses of their own, which have no place in a comparison of one loss.
    alone = {"aux_logits": False, "init_weights": True}
    own_arguments: dict[str, dict[str, Any]] = {
        "vit": {"image_size": size},
        "maxvit": {"input_size": (size, size)},
        "googlenet": alone,
        "inception": alone,
    }
    arguments = own_arguments.get(name.partition("_")[0], {})
    model = torchvision.models.get_model(name, weights=None, num_classes=classes, **arguments)
    if name in CIFAR_STEM and settings.stem == "cifar":
        first = cast(nn.Conv2d, model.conv1)
        model.conv1 = nn.Conv2d(channels, first.out_channels, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif channels != 3:
        raise ModelError(f"model {name!r} takes pictures of 3 channels, the data have {channels}; use resnet8")
    return use_safe_layers(model)
