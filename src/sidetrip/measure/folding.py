"""Networks with BatchNorm folded into the convolutions before it, for evaluation.

In evaluation mode BatchNorm is an affine map of each channel, γ (y - μ)/√(σ² + ε) + β, which a convolution
y = W x + b takes into its own weights and bias. The logits differ in rounding only, and every activation goes
through memory one time less.
"""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sidetrip.engine.layers import OWN


class _Tracer(fx.Tracer):
    """Traces through everything but layers, those of our own among them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, OWN) or super().is_leaf_module(m, module_qualified_name)


class FoldedNetwork:
    """The evaluation-mode network of a model, its BatchNorm folded wherever that follows a convolution.

    All other layers are the model's own, whose weights and statistics may change between calls of `refresh`. It is put
    into evaluation mode, else left as it is. A model whose forward pass cannot be traced is run as it is.
    """

    def __init__(self, model: nn.Module) -> None:
        self._pairs: list[tuple[_ConvNd, _BatchNorm, str]] = []
        self._model = model.eval()  # a trace records whether functional dropout and the like are on
        try:
            self.network: nn.Module = self._fold(fx.GraphModule(model, _Tracer().trace(model)))
        except (fx.proxy.TraceError, TypeError):  # a forward pass that depends on its data
            self.network = model

    def _fold(self, traced: fx.GraphModule) -> nn.Module:
        modules = dict(traced.named_modules())
        calls = [str(node.target) for node in traced.graph.nodes if node.op == "call_module"]
        for node in list(traced.graph.nodes):
            source = node.args[0] if node.args else None
            if not isinstance(source, fx.Node) or {node.op, source.op} != {"call_module"} or len(source.users) > 1:
                continue
            place = str(source.target)
            convolution, norm = modules[place], modules[str(node.target)]
            once = calls.count(place) == calls.count(str(node.target)) == 1
            if isinstance(convolution, _ConvNd) and isinstance(norm, _BatchNorm) and norm.track_running_stats and once:
                self._pairs.append((convolution, norm, place))
                node.replace_all_uses_with(source)
                traced.graph.erase_node(node)
        traced.delete_all_unused_submodules()
        traced.recompile()
        return traced

    @torch.no_grad()
    def refresh(self) -> nn.Module:
        """Fold the model's present weights and statistics; returns the network, which the next call reuses."""
        self._model.eval()
        for convolution, norm, place in self._pairs:
            self.network.set_submodule(place, fuse_conv_bn_eval(convolution, norm))
        return self.network.eval()
