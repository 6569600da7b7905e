"""Which modules of a network are called in a forward pass, in which order, with which tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn


@dataclass
class Call:
    """Record one call of a module.

    Parameters
    ----------
    name : str
        The module's name in the network; "" for the network itself.
    parent : str
        Name of the module inside whose call it happened; "" for the network itself.
    input, output : object
        The first argument and the result; the very tensors, which tell what is handed on unchanged.
    end : int
        Place of the call's end among the ends of all calls.
    """

    name: str
    parent: str
    input: Any
    output: Any = None
    end: int = -1


@torch.inference_mode()
def record_calls(network: nn.Module, images: torch.Tensor) -> list[Call]:
    """Compute ``network`` on ``images`` and list the calls of its modules, in the order of their beginnings.

    Examples
    --------
    >>> network = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU()))
    >>> [(call.name, call.end) for call in record_calls(network, torch.zeros(1))]
    [('', 3), ('0', 0), ('1', 2), ('1.0', 1)]
    """
    calls: list[Call] = []
    running: list[Call] = []
    ended: list[Call] = []

    def begin(name: str, module: nn.Module, inputs: Any) -> None:
        running.append(Call(name, running[-1].name if running else "", inputs[0] if inputs else None))
        calls.append(running[-1])

    def finish(module: nn.Module, inputs: Any, output: Any) -> None:
        call = running.pop()
        call.output, call.end = output, len(ended)
        ended.append(call)

    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(begin, name)))
        hooks.append(module.register_forward_hook(finish))
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
