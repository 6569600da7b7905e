"""Remember what frozen networks saw in photos, for experiments that show the same photos to many models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

Compute = Callable[[np.ndarray], list[torch.Tensor]]


class LayerMemory:
    """Keep the maps of a network's layers by network and image, until ``limit`` bytes are held.

    Beyond the limit maps are computed each time, as without a memory. An image may have been seen in a batch of another
    size, so its features can differ in the last bit.

    Parameters
    ----------
    limit : int
        Bytes that are held at most.

    Examples
    --------
    >>> memory = LayerMemory(2**20)
    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> compute = lambda batch: [torch.ones(len(batch), 5, 4, 4)]
    >>> [tuple(layer.shape) for layer in memory.layers("ones", images, compute)], memory.held
    ([(2, 5, 4, 4)], 320)
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.held = 0
        self._paused = False
        self._topic: Hashable = None
        self._maps: dict[str, list[torch.Tensor]] = {}

    def layers(self, network: str, images: np.ndarray, compute: Compute) -> list[torch.Tensor]:
        """Return the maps (n, c, h, w) of each layer of ``network`` for uint8 images (n, H, W, 3).

        ``compute`` gives them for images that are not remembered.
        """
        if self._paused:
            return compute(images)
        keys = [_key(network, image) for image in images]
        new = [i for i, key in enumerate(keys) if key not in self._maps]
        fresh = compute(images[new]) if new else []
        found = {i: [layer[at] for layer in fresh] for at, i in enumerate(new)}
        for i, maps in found.items():
            size = sum(one.nbytes for one in maps)
            if keys[i] not in self._maps and self.held + size <= self.limit:
                self._maps[keys[i]] = [one.clone() for one in maps]
                self.held += size
        rows = [found[i] if i in found else self._maps[key] for i, key in enumerate(keys)]
        return [torch.stack(layer) for layer in zip(*rows, strict=True)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Remember nothing inside a ``with`` statement, so that time can be measured."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def keep_to(self, topic: Hashable) -> None:
        """Let go of everything that was remembered for another ``topic``, such as another data set."""
        if topic != self._topic:
            self._topic, self._maps, self.held = topic, {}, 0


def _key(network: str, image: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{network} {image.shape}".encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.hexdigest()
