"""BatchNorm over a batch whose parts lie on several ranks, on any device; torch's own SyncBatchNorm needs a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from sidetrip.engine.parallel.sharing import Ranks


def use_whole_batch(model: nn.Module, ranks: Ranks) -> nn.Module:
    """`model` with each BatchNorm layer replaced by one of all ranks' batch, with the same parameters and buffers."""
    if isinstance(model, WholeBatchNorm):
        return model
    if isinstance(model, _BatchNorm):
        return WholeBatchNorm.of(model, ranks)
    for name, child in model.named_children():
        setattr(model, name, use_whole_batch(child, ranks))
    return model


class WholeBatchNorm(_BatchNorm):
    """BatchNorm of any number of dimensions, in training with the statistics of all ranks' samples together.

    Each rank has equally many. In evaluation it is PyTorch's own.
    """

    ranks: Ranks

    @classmethod
    def of(cls, layer: _BatchNorm, ranks: Ranks) -> WholeBatchNorm:
        """A layer that shares the parameters and buffers of `layer`."""
        found = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        found.weight, found.bias = layer.weight, layer.bias
        found.running_mean, found.running_var = layer.running_mean, layer.running_var
        found.num_batches_tracked = layer.num_batches_tracked
        found.ranks = ranks
        return found.train(layer.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm needs an input of at least 2 dimensions, not {input.dim()}")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise this rank's part [n, channels, ...] of the batch."""
        self._check_input_dim(x)
        if not self.training:
            return super().forward(x)
        y, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps, self.ranks)
        if self.track_running_stats:
            self._track(mean, variance, self.ranks.size * x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, samples: int) -> None:
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        newest = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1.0 - newest).add_(mean, alpha=newest)
        self.running_var.mul_(1.0 - newest).add_(variance, alpha=newest * samples / (samples - 1))


class _Normalise(torch.autograd.Function):
    """The normalised part, and mean and (biased) variance of the whole batch."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor]:
        over = [0, *range(2, x.dim())]
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        here = precise.mean(over)
        within = (precise - _by_channel(here, x)).square().mean(over)
        means, variances = ranks.gather(torch.stack([here, within])).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)  # pooled: within the ranks plus between them
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.ranks = eps, ranks
        ctx.mark_non_differentiable(mean, variance)
        return batch_norm(x, mean, variance, weight, bias, eps=eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        # As if mean and variance were constants, which they are in evaluation mode; then what comes through them:
        # -(γ/σ) (⟨dy⟩ + x̂ ⟨dy x̂⟩), means over the whole batch. That is itself a normalisation of x.
        x, weight, mean, variance = ctx.saved_tensors
        scale = mean.new_ones(len(mean)) if weight is None else weight
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            dy, x, scale, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        samples = ctx.ranks.size * x.numel() // x.shape[1]
        along, offset = -scale * (ctx.ranks.sum(torch.stack([dweight, dbias])) / samples)
        scaled = (variance + ctx.eps).rsqrt()  # rounded alike on every processor, as torch's sqrt is not
        dx += batch_norm(x, mean, variance, along * scaled, offset * scaled, eps=ctx.eps)
        return dx, *(None if weight is None else gradient for gradient in (dweight, dbias)), None, None


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.dim() - 2))
