"""A network cut behind the layers whose maps are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fastener.common.errors import UserError
from fastener.models.convolutions import FusedConvolution
from fastener.models.module_calls import Call, record_calls

_EXAMPLE = (1, 3, 64, 64)

# The maps that inner layers leave during the forward pass of this thread.
_inner: ContextVar[dict[str, torch.Tensor] | None] = ContextVar("_inner", default=None)


class CutNetwork(nn.Module):
    """Compute a network up to the last of some layers, and return the maps of these layers.

    The modules in front of the last layer are called one after another, and the modules behind it are removed, where
    the network itself calls them in this way (``straight``); else the whole network is computed. Tensors keep the names
    that they have in the whole network. Nothing is traced, so that the networks of other threads go on.

    Parameters
    ----------
    network : torch.nn.Module
        The whole network, which the cut one takes over: RGB (n, 3, H, W) in, at least 64 x 64 pixels.
    layers : sequence of str
        Names of modules.
    name : str
        Name of the network, for messages.
    foldable : bool
        Whether nothing but its batch norm reads the output of a convolution in front of one.

    Attributes
    ----------
    straight : bool
        Whether the network is computed up to its last layer only.

    Raises
    ------
    UserError
        If a layer does not exist or keeps no positions.

    Examples
    --------
    >>> layers = [nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 8, 3)]
    >>> cut = CutNetwork(nn.Sequential(*layers), ["1"], name="small")
    >>> [tuple(maps.shape) for maps in cut(torch.zeros(1, 3, 64, 64))]
    [(1, 4, 31, 31)]
    >>> sorted(cut.state_dict())
    ['0.bias', '0.weight']
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], *, name: str, foldable: bool = False):
        super().__init__()
        for layer in layers:
            if not is_module(network, layer):
                raise unknown_layer(network, layer, name)
        keep_outputs(network)
        # The children are shared with the whole network, which is itself no child: names of tensors stay as they are.
        self._modules, self._parameters, self._buffers = network._modules, network._parameters, network._buffers
        object.__setattr__(self, "_whole", network.eval())
        self._foldable = foldable
        calls = _calls(network)
        # Where a module is called repeatedly, its first call counts.
        ends = {call.name: call.end for call in reversed(calls)}
        for layer in layers:
            if layer not in ends:
                raise unknown_layer(network, layer, name)
        self._layers = sorted(dict.fromkeys(layers), key=ends.__getitem__)
        self._steps = _straight_to(self._layers[-1], calls)
        self.straight = bool(self._steps)
        if self.straight:
            self._remove_behind()
        self._hooks: list[Any] = []
        self._tap()
        for layer, maps in zip(self._layers, self._example(), strict=True):
            require_positions(maps, layer, name)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """RGB (n, 3, H, W) -> the maps of the layers, each (n, c, h, w), in the order of the network."""
        maps: dict[str, torch.Tensor] = {}
        token = _inner.set(maps)
        try:
            if not self.straight:
                cast(nn.Module, self._whole)(images)
            for step in self._steps:
                images = self.get_submodule(step)(images)
        finally:
            _inner.reset(token)
        return [maps[layer] for layer in self._layers]

    def fold_batch_norms(self) -> None:
        """Let convolutions do what the batch norms behind them do, if ``foldable``: the same maps, sooner."""
        if not self._foldable:
            return
        for convolution, norm in _pairs(_calls(self), self):
            if convolution in self._layers:
                continue
            folded = fuse_conv_bn_eval(
                cast(nn.Conv2d, self.get_submodule(convolution)), cast(nn.BatchNorm2d, self.get_submodule(norm))
            )
            # timm's batch norms hold the activation behind them.
            activation = getattr(self.get_submodule(norm), "act", nn.Identity())
            fits = FusedConvolution.fits(folded, activation)
            self.set_submodule(convolution, FusedConvolution(folded, activation) if fits else folded)
            self.set_submodule(norm, nn.Identity() if fits else activation)
        self._tap()

    def _tap(self) -> None:
        """Collect the layers' maps by hooks on the modules as they are now."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = [
            self.get_submodule(layer).register_forward_hook(partial(_collect, layer)) for layer in self._layers
        ]

    def _remove_behind(self) -> None:
        """Remove the modules that are no step, are in none, and hold none."""
        for parent, module in list(self.named_modules()):
            if any(parent == step or parent.startswith(f"{step}.") for step in self._steps):
                continue
            for child in list(module._modules):
                name = f"{parent}.{child}".lstrip(".")
                if not any(f"{step}.".startswith(f"{name}.") for step in self._steps):
                    del module._modules[child]

    @torch.inference_mode()
    def _example(self) -> list[torch.Tensor]:
        maps: list[torch.Tensor] = self(torch.zeros(_EXAMPLE))
        return maps


def is_module(network: nn.Module, layer: str) -> bool:
    """Tell whether ``layer`` names a module of ``network``."""
    return layer != "" and layer in dict(network.named_modules())


def unknown_layer(network: nn.Module, layer: str, name: str) -> UserError:
    """Make the error for a layer that a network does not have."""
    stages = ", ".join(child for child, _ in network.named_children())
    return UserError(f"model.layers: {name} has no layer '{layer}'; its stages: {stages}; and those inside them")


def require_positions(maps: object, layer: str, name: str) -> None:
    """Raise UserError unless the output of a layer is a batch of maps."""
    if not isinstance(maps, torch.Tensor) or maps.ndim != 4:
        raise UserError(f"model.layers: '{layer}' of {name} keeps no positions; name a layer before it")


def keep_outputs(network: nn.Module) -> None:
    """Let no activation overwrite its input, which may be the output of a layer whose maps are wanted."""
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - modules type their attributes as tensors


def _calls(network: nn.Module) -> list[Call]:
    return record_calls(network, torch.zeros(_EXAMPLE))


def _straight_to(last: str, calls: Sequence[Call]) -> tuple[str, ...]:
    """List the modules which, called one after another, give the output of ``last``; none if no such chain exists."""
    steps: list[str] = []
    parts = last.split(".")
    for depth in range(len(parts)):
        parent, goal = ".".join(parts[:depth]), ".".join(parts[: depth + 1])
        expected = next(call for call in calls if call.name == parent).input
        for call in (call for call in calls if call.name and call.parent == parent):
            if call.input is not expected or call.name in steps:
                return ()  # something happens between the modules, such as a shortcut
            if call.name == goal:
                break
            steps.append(call.name)
            expected = call.output
    return (*steps, last)


def _pairs(calls: Sequence[Call], network: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of each convolution and the batch norm that reads its output, each of them called once."""
    made: dict[int, str] = {}
    count: dict[str, int] = {}
    for call in calls:
        count[call.name] = count.get(call.name, 0) + 1
        if isinstance(network.get_submodule(call.name), nn.Conv2d):
            made[id(call.output)] = call.name
    for call in calls:
        before = made.get(id(call.input))
        if before is None or not isinstance(network.get_submodule(call.name), nn.BatchNorm2d):
            continue
        if count[before] == count[call.name] == 1:
            yield before, call.name


def _collect(layer: str, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
    maps = _inner.get()
    if maps is not None:
        maps.setdefault(layer, output)
