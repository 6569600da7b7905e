"""A baseline without memory: a small convolutional autoencoder that learns to redraw healthy images.

A place that it cannot redraw is anomalous. Architecture after Bergmann et al. 2019 ("Improving Unsupervised Defect
Segmentation by Applying Structural Similarity to Autoencoders", table 1) with four halvings and pixel L1 loss.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import skip_init

from fastener.models.runtime.device import repeatable

_HALVINGS = 4
SIDE_STEP = 2**_HALVINGS
_SLOPE = 0.2
_BATCH = 16


@dataclass(frozen=True)
class Epoch:
    """Report one pass over the training images: its number from 1, and the mean L1 errors (0 to 1) on both sets."""

    number: int
    training_loss: float
    stopping_loss: float


class Autoencoder:
    """Squeeze an image through a few numbers and compare what comes out, pixel by pixel.

    Training is a loop over ``training`` that may be left at any time and continued from ``progress_state``: it ends
    where an uninterrupted training would. Arithmetic is always float32; one seed gives one network on one machine.

    Parameters
    ----------
    side : int
        Side of its square images in pixels, a multiple of 16.
    width : int
        Channels of the first layer, doubled at each of the four halvings.
    latent : int
        Numbers that an image is squeezed into.
    learning_rate : float
        Step size of Adam.
    seed : int
        Source of the first weights and of the order of images.
    device : torch.device or str
        Where the network is computed.

    Attributes
    ----------
    epochs_done : int
        Passes over the training images so far.

    Examples
    --------
    >>> images = np.zeros((4, 32, 32, 3), np.uint8)
    >>> model = Autoencoder(32, width=2, latent=4)
    >>> for epoch in model.training(images, images, epochs=2, patience=2):
    ...     print(epoch.number)
    1
    2
    >>> model.error_maps(images).shape
    (4, 32, 32)
    """

    def __init__(
        self,
        side: int = 128,
        *,
        width: int = 16,
        latent: int = 100,
        learning_rate: float = 1e-3,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        if side % SIDE_STEP:
            raise ValueError(f"side {side} must be a multiple of {SIDE_STEP}")
        self.side = side
        self.seed = seed
        self.device = torch.device(device)
        self.network = _network(side // SIDE_STEP, width, latent, seed).to(self.device)
        self._optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        self._best = copy.deepcopy(self.network.state_dict())
        self.epochs_done, self._best_epoch, self._best_loss = 0, 0, float("inf")

    def training(self, images: np.ndarray, stopping: np.ndarray, epochs: int, patience: int) -> Iterator[Epoch]:
        """Train on ``images``; after each pass measure the loss on ``stopping``, both uint8 RGB (n, side, side, 3).

        Ends after ``epochs`` passes, or once ``patience`` passes in a row have not lowered that loss; the network is
        then the one that had the lowest. Left early, it is the one of the last pass.
        """
        while self.epochs_done < epochs and self.epochs_done - self._best_epoch < patience:
            self.epochs_done += 1
            training_loss = self._pass(images, np.random.default_rng([self.seed, self.epochs_done]))
            stopping_loss = float(self.error_maps(stopping).mean())
            if stopping_loss < self._best_loss:
                self._best_epoch, self._best_loss = self.epochs_done, stopping_loss
                self._best = copy.deepcopy(self.network.state_dict())
            yield Epoch(self.epochs_done, training_loss, stopping_loss)
        self.network.load_state_dict(self._best)

    @torch.inference_mode()
    def error_maps(self, images: np.ndarray) -> np.ndarray:
        """Compute the absolute error, 0 to 1, mean of the channels: uint8 RGB (n, side, side, 3) -> (n, side, side)."""
        errors = []
        with repeatable():
            for start in range(0, len(images), _BATCH):
                batch = self._tensor(images[start : start + _BATCH])
                errors.append((self.network(batch) - batch).abs().mean(1).cpu().numpy())
        return np.concatenate(errors)

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy the network's tensors to the CPU."""
        return {key: tensor.detach().cpu().clone() for key, tensor in self.network.state_dict().items()}

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over the tensors of ``weights``."""
        self.network.load_state_dict(weights)

    def progress_state(self) -> dict[str, Any]:
        """Copy the state of the training between two passes: tensors and numbers."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best": self._best,
            "counts": [self.epochs_done, self._best_epoch, self._best_loss],
        }
        return copy.deepcopy(state)

    def resume(self, state: dict[str, Any]) -> None:
        """Continue the training of ``progress_state``, with the same images and parameters."""
        self.network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best = {key: tensor.to(self.device) for key, tensor in state["best"].items()}
        self.epochs_done, self._best_epoch, self._best_loss = state["counts"]

    def _pass(self, images: np.ndarray, rng: np.random.Generator) -> float:
        """Train on each image once, in the order of ``rng``; return the mean loss."""
        order = rng.permutation(len(images))
        total = 0.0
        with repeatable():
            for start in range(0, len(order), _BATCH):
                batch = self._tensor(images[order[start : start + _BATCH]])
                self._optimiser.zero_grad()
                loss = F.l1_loss(self.network(batch), batch)
                loss.backward()
                self._optimiser.step()
                total += float(loss.detach()) * len(batch)
        return total / len(images)

    def _tensor(self, images: np.ndarray) -> torch.Tensor:
        """Convert uint8 RGB (n, side, side, 3) to float32 (n, 3, side, side) in 0 to 1."""
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float() / 255


def _network(cells: int, width: int, latent: int, seed: int) -> nn.Sequential:
    """Build the network: RGB (n, 3, side, side) -> (n, latent, 1, 1) -> the first shape; ``cells`` is side / 16."""
    sizes = [3, *(width * 2**level for level in range(_HALVINGS))]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [skip_init(nn.Conv2d, before, after, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
    layers.append(skip_init(nn.Conv2d, sizes[-1], latent, cells))
    layers.append(skip_init(nn.ConvTranspose2d, latent, sizes[-1], cells, stride=cells))
    for before, after in pairwise(reversed(sizes)):
        layers += [nn.LeakyReLU(_SLOPE), skip_init(nn.ConvTranspose2d, before, after, 4, stride=2, padding=1)]
    network = nn.Sequential(*layers)
    # A generator of its own: the global one would tie the weights to whatever ran before.
    generator = torch.Generator().manual_seed(seed)
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            _initialise(layer, generator)
    return network


def _initialise(layer: nn.Conv2d | nn.ConvTranspose2d, generator: torch.Generator) -> None:
    """Draw first weights by He et al. 2015, equation 14: the signal has the same variance at every depth."""
    inputs = layer.in_channels * layer.kernel_size[0] ** 2
    if isinstance(layer, nn.ConvTranspose2d):
        inputs //= layer.stride[0] ** 2  # each output is reached from so few positions only
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=(2 / (1 + _SLOPE**2) / inputs) ** 0.5, generator=generator)
    nn.init.zeros_(layer.bias)
