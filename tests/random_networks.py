"""Networks with drawn weights, for tests of everything that does not depend on what ImageNet taught."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.models import get_model

State = dict[str, torch.Tensor]


def random_state(name: str) -> State:
    """A torchvision state dict as it is drawn before training, with batch statistics that are not trivial."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state: State = get_model(name, weights=None).state_dict()
        for key in state:
            if key.endswith(("running_mean", "bn1.bias")):
                state[key].normal_(0, 0.1)
    return state


def without_head(state: State) -> State:
    """Only what the default layers of a ResNet need."""
    return {key: value for key, value in state.items() if not key.startswith(("layer4.", "fc."))}


def noise_photos(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 RGB (n, height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3)).astype(np.uint8)
