"""Random resized crops in batch: boxes drawn as torchvision's RandomResizedCrop draws them, resampled by products.

Resampling is linear and acts on rows and columns alone, so a crop is R_v X R_hᵀ with one matrix a sample for each
direction: a triangle as wide as one pixel of the result, at least two of the source, which is what torch's
antialiased bilinear interpolation weighs with. A mirror image is the same with the rows of R_h in reverse.

References
----------
Szegedy et al., "Going deeper with convolutions", §6. DOI 10.1109/CVPR.2015.7298594.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sidetrip.engine.determinism import ieee_products

RATIOS = (3 / 4, 4 / 3)  # width over height
ATTEMPTS = 10


def draw_boxes(random: np.random.Generator, samples: int, side: int, smallest: float) -> np.ndarray:
    """Random boxes in pictures of `side` pixels, int64 [samples, 4]: top, left, height, width.

    At least the share `smallest` of the area; where no attempt fits, all of it. As much is drawn whatever they are.
    """
    uniform = random.random((samples, ATTEMPTS, 4))  # for area, ratio, top and left
    area = side**2 * (smallest + (1 - smallest) * uniform[..., 0])
    low, high = map(math.log, RATIOS)
    ratio = np.exp(low + (high - low) * uniform[..., 1])
    sizes = np.rint(np.sqrt(np.stack([area / ratio, area * ratio], axis=-1)))  # height, width
    fits = np.logical_and.reduce((sizes > 0) & (sizes <= side), axis=-1)
    taken = np.arange(samples), fits.argmax(axis=1)  # the first attempt that fits, or the first where none does
    sizes = np.where(fits[taken][:, None], sizes[taken], side)
    corners = np.floor(uniform[taken][:, 2:] * (side - sizes + 1))
    return np.concatenate([corners, sizes], axis=1).astype(np.int64)


def resampling(begin: Tensor, length: Tensor, mirrored: Tensor, source: int, size: int) -> Tensor:
    """Matrices float32 [n, size, source] that scale `length` pixels from `begin` on, both [n], to `size`.

    Where `mirrored`, bool [n], they come out in reverse.
    """
    begin, length = begin.float()[:, None], length.float()[:, None]
    scale = length / size
    after = torch.arange(size, device=begin.device) + 0.5
    centres = begin + scale * torch.where(mirrored[:, None], size - after, after)
    before = torch.arange(source, device=begin.device) + 0.5
    inside = (before > begin) & (before < begin + length)
    reach = scale.clamp(min=1.0)[:, :, None]
    weights = (1.0 - (before - centres[:, :, None]).abs() / reach).clamp_(min=0.0).mul_(inside[:, None, :])
    return weights / weights.sum(dim=2, keepdim=True)


def crop(pictures: Tensor, boxes: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """Boxes int [n, 4] of pictures uint8 [n, side, side, channels], scaled to [n, size, size, channels].

    A box is top, left, height, width. Where `mirrored`, bool [n], left and right are swapped afterwards.
    """
    n, side, _, channels = pictures.shape
    top, left, height, width = boxes.T
    down = resampling(top, height, torch.zeros_like(mirrored), side, size)
    across = resampling(left, width, mirrored, side, size)
    # Rows in front, then columns behind: each product is one matrix a sample, whatever the number of channels.
    with ieee_products():  # pictures do not depend on the precision of the network
        rows = down @ pictures.permute(0, 1, 3, 2).float().reshape(n, side, channels * side)
        both = rows.view(n, size * channels, side) @ across.mT
    return both.view(n, size, channels, size).permute(0, 1, 3, 2).round().byte().contiguous()
