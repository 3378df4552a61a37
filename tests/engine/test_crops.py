"""Random resized crops are torchvision's: the boxes by formula and distribution, the pixels within one grey level."""

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as transform

from sidetrip.engine.crops import ATTEMPTS, crop, draw_boxes
from sidetrip.engine.determinism import make_deterministic


@st.composite
def boxes(draw, side):
    """Top, left, height, width."""
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    return draw(st.integers(0, side - height)), draw(st.integers(0, side - width)), height, width


@given(st.data(), st.integers(4, 40), st.integers(4, 40), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_a_crop_is_torchvision_s_within_a_grey_level(data, side, size, channels, seed):
    """Of two pictures, each with a box and a flip of its own."""
    pixels = np.random.default_rng(seed).integers(0, 256, (2, side, side, channels), dtype=np.uint8)
    pixels[1] = 255 * (pixels[1] > 127)  # the steepest edges
    pictures, drawn = torch.from_numpy(pixels), [data.draw(boxes(side)) for _ in range(2)]
    flips = data.draw(st.lists(st.booleans(), min_size=2, max_size=2))
    mine = crop(pictures, torch.tensor(drawn), torch.tensor(flips), size)
    for picture, box, flip, found in zip(pictures, drawn, flips, mine, strict=True):
        theirs = transform.resized_crop(picture.permute(2, 0, 1), *box, [size, size], antialias=True)
        theirs = (transform.hflip(theirs) if flip else theirs).permute(1, 2, 0)
        assert float((found.float() - theirs.float()).abs().max()) <= 1.0


class Noting(TorchDispatchMode):
    """Notes for each batched product whether a GPU would round its factors to TF32."""

    def __init__(self):
        super().__init__()
        self.rounded = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function is torch.ops.aten.bmm.default:
            self.rounded.append(torch.backends.cuda.matmul.allow_tf32)
        return function(*arguments, **(keywords or {}))


def test_pictures_are_resampled_in_full_precision_whatever_the_network_s(request):
    request.addfinalizer(lambda: make_deterministic("fp32"))
    make_deterministic("tf32")
    pictures, boxes = torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.tensor([[0, 0, 4, 6]] * 2)
    with Noting() as noted:
        crop(pictures, boxes, torch.tensor([True, False]), 5)
    assert noted.rounded == [False, False]
    assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


class Fed:
    """Stands for torch in torchvision's module: the draws of attempt i are `uniform[i]`, its constants doubles."""

    def __init__(self, uniform):
        self._uniform, self._drawn, self._placed = uniform, 0, 0

    def __getattr__(self, name):
        return getattr(torch, name)

    def tensor(self, values):
        return torch.tensor(values, dtype=torch.float64)

    def empty(self, _):
        return self

    def uniform_(self, low, high):
        attempt, which = divmod(self._drawn, 2)
        self._drawn += 1
        return torch.as_tensor(low + (high - low) * self._uniform[attempt, which], dtype=torch.float64)

    def randint(self, low, high, size):
        attempt = self._drawn // 2 - 1
        self._placed += 1
        return torch.tensor(low + int(self._uniform[attempt, 1 + self._placed] * (high - low)))


@settings(max_examples=25)
@given(st.integers(4, 300), st.sampled_from([0.01, 0.08, 0.25, 0.9, 1.0]), st.integers(0, 2**32))
def test_boxes_are_torchvision_s_of_the_same_uniform_numbers(side, smallest, seed):
    """So they lie in the picture, with the area and the ratio asked for; where no attempt fits, they are all of it."""
    uniform = np.random.default_rng(seed).random((20, ATTEMPTS, 4))
    picture, theirs = torch.empty(3, side, side), []
    for numbers in uniform:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torchvision.transforms.transforms, "torch", Fed(numbers))
            theirs.append(RandomResizedCrop.get_params(picture, [smallest, 1.0], [3 / 4, 4 / 3]))
    assert draw_boxes(np.random.default_rng(seed), 20, side, smallest).tolist() == list(map(list, theirs))
