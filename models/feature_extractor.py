"""Photos in, one feature vector per patch out: frozen network, local pooling, joined layers, optional projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fastener.models.cielab import rgb_to_lab
from fastener.models.gabor_filters import GaborFilters, cell_means
from fastener.models.layer_memory import Compute
from fastener.models.moments import Moments
from fastener.models.runtime.device import repeatable
from fastener.models.runtime.feature_store import chunks

Recall = Callable[[np.ndarray, Compute], list[torch.Tensor]]

_MIN_DEVIATION = 0.05
_LAB_UNIT = 50.0
_COLOURS = 6
_SHRINKAGE = 0.3  # of the mean variance, added in every direction: else directions that hardly vary magnify noise


class FeatureExtractor:
    """Compute patch features by a frozen network (Roth et al. 2022, section 3.1, "locally aware patch features").

    Every layer is averaged over ``patch_size`` x ``patch_size`` positions, resampled bilinearly to the finest layer's
    grid and joined to the others; then the features are standardised or projected, if asked for.

    Parameters
    ----------
    network : torch.nn.Module
        Maps RGB (n, 3, H, W) in 0 to 1 to a list of maps (n, c, h, w). Grid and channels are read off its output, so
        any input size works that the network accepts.
    patch_size : int
        Side of the average pooling round each position, in positions of each layer; odd.
    projection : tensor of shape (c, d), optional
        Turns the c joined channels into d numbers.
    standardise : bool
        Whether ``fit`` learns a scale of each channel: for weight-free filters.
    border : {"zeros", "inside"}, optional
        How patches at the border are averaged: as if zeros lay beyond it, which is what a network sees behind a ReLU;
        or over the positions that exist, since to filters and colours zero is a value like any other. None: "inside" if
        ``standardise``, else "zeros".
    colour_weight : float
        Above 0, the mean and deviation of L*, a*, b* in each patch are appended, because networks and filters are
        nearly blind to rust on rough metal. A difference of 50 CIELab units weighs ``colour_weight`` times the total
        deviation of the other features, as learned by ``fit``. The paper has no such term: 0.
    device : torch.device or str
        Where features are computed.
    dtype : torch.dtype
        Arithmetic of the network; features are float32 whatever it is.
    unit_length : bool
        Whether the features of each layer are scaled to length 1 in every patch, so that a rough and a smooth surface
        of one material are alike. It helps where the surface itself varies more than the defect; the paper does
        without.
    whiten : bool
        Whether ``fit`` learns to turn and scale the joined features so that training patches vary more evenly in all
        directions. Distances become Mahalanobis distances with a shrunk covariance: directions of low variance count
        more [1]_. It helps in the same case as ``unit_length``; the paper does without.

    Attributes
    ----------
    mean_, std_ : tensor of shape (d,) or None
        Subtracted from the features, and what they are divided by after that.
    whitening_ : tensor of shape (d, d) or None
        Multiplied to the features at the end.
    recall : callable or None
        ``recall(images, compute)`` returns the maps of the network, from a ``LayerMemory`` as far as it has them.

    References
    ----------
    .. [1] Rippel et al., "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection",
       ICPR 2020.

    Examples
    --------
    >>> extractor = filter_extractor(0.003, patch_size=3)
    >>> tuple(extractor(np.zeros((2, 64, 96, 3), np.uint8)).shape)
    (2, 8, 12, 248)
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: int = 3,
        *,
        projection: torch.Tensor | None = None,
        standardise: bool = False,
        border: Literal["zeros", "inside"] | None = None,
        colour_weight: float = 0.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        unit_length: bool = False,
        whiten: bool = False,
    ):
        self.device = torch.device(device)
        self.dtype = dtype
        # Images come with their channels last; convolutions that keep them so are a tenth faster.
        self.network = network.eval().requires_grad_(False).to(self.device, dtype).to(memory_format=torch.channels_last)
        self.patch_size = patch_size
        self.projection = projection
        self.standardise = standardise
        self.border = border or ("inside" if standardise else "zeros")
        self.colour_weight = colour_weight
        self.unit_length = unit_length
        self.whiten = whiten
        self.mean_: torch.Tensor | None = None
        self.std_: torch.Tensor | None = None
        self.whitening_: torch.Tensor | None = None
        self.recall: Recall | None = None

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> torch.Tensor:
        """Compute the features of uint8 RGB images (n, H, W, 3): float32 (n, h, w, c) on the extractor's device."""
        return self.joined(self._pixels(images), self.layers(images)).contiguous()

    def joined(self, batch: torch.Tensor, layers: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn the network's ``layers``, each (n, c, h, w), of RGB ``batch`` (n, 3, H, W) into features (n, h, w, d).

        Everything but the network, so that it can be exported by itself.
        """
        finest = max(((layer.shape[-2], layer.shape[-1]) for layer in layers), key=lambda grid: grid[0] * grid[1])
        zeros = self.border == "zeros"
        if self.projection is not None and not self.unit_length:
            features = self._projected([self._averaged(layer, zeros) for layer in layers], finest)
        else:
            pooled = [self._pool(layer, finest, zeros) for layer in layers]
            features = torch.cat([F.normalize(layer) for layer in pooled] if self.unit_length else pooled, 1)
            features = features.permute(0, 2, 3, 1)
            if self.projection is not None:
                features = features @ self.projection.to(self.device)
        if self.colour_weight > 0:
            colours = self._pool(_colour_statistics(batch, finest), finest, False).permute(0, 2, 3, 1)
            features = torch.cat([features, colours], 3)
        if self.mean_ is not None and self.std_ is not None:
            features = (features - self.mean_.to(self.device)) / self.std_.to(self.device)
        if self.whitening_ is not None:
            features = features @ self.whitening_.to(self.device)
        return features

    @torch.inference_mode()
    def layers(self, images: np.ndarray) -> list[torch.Tensor]:
        """Compute the maps of the network for uint8 RGB images (n, H, W, 3): float32 (n, c, h, w), one a layer."""
        return self._network_layers(images) if self.recall is None else self.recall(images, self._network_layers)

    def _network_layers(self, images: np.ndarray) -> list[torch.Tensor]:
        with repeatable():
            return [layer.float() for layer in self.network(self._pixels(images).to(self.dtype))]

    def _pixels(self, images: np.ndarray) -> torch.Tensor:
        """Put uint8 RGB images (n, H, W, 3) on the device: float32 (n, 3, H, W) in 0 to 1."""
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        if self.device.type == "cuda":  # from pinned memory a copy runs while the host goes on
            pixels = pixels.pin_memory()
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2) / 255

    @torch.inference_mode()
    def centre_on(self, features: torch.Tensor) -> torch.Tensor:
        """Subtract the mean patch of the first image of ``features`` (n, h, w, c), and do so for all later images.

        No distance changes, and half precision keeps more digits of numbers near zero.
        """
        mean = features[0].mean((0, 1))
        self.mean_, self.std_ = mean.cpu(), torch.ones_like(mean).cpu()
        return features - mean

    @torch.inference_mode()
    def fit(self, features: torch.Tensor) -> torch.Tensor:
        """Learn scales and whitening from training features (n, c), apply them in place, and return the features.

        With none of ``standardise``, ``whiten`` and ``colour_weight`` there is nothing to learn, and the features stay
        as they are. Half precision and mapped files are read in chunks.
        """
        if not self.learns_scale:
            return features
        return rescale(features, *self.fit_to(Moments.of(features, together=self.whiten)))

    @property
    def learns_scale(self) -> bool:
        """Tell whether ``fit`` learns anything."""
        return self.standardise or self.whiten or self.colour_weight > 0

    def fit_to(self, moments: Moments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Learn scales and whitening from the moments of training features; return the arguments of ``rescale``."""
        mean, std = moments.mean.float(), moments.std.float()
        structural = len(std) - (_COLOURS if self.colour_weight > 0 else 0)
        if self.standardise:
            # A channel that hardly varies (colour, on grey photos) would magnify rounding noise without the floor.
            std[:structural] = std[:structural].clamp_min(_MIN_DEVIATION)
        else:
            total = float(std[:structural].norm())
            std[:structural] = 1.0
            if not self.whiten:
                mean[:structural] = 0.0
        if self.standardise or self.whiten:
            total = structural**0.5
        if self.colour_weight > 0:
            std[structural:] = 1 / (self.colour_weight * total)
        self.mean_, self.std_ = mean if self.mean_ is None else mean + self.mean_, std
        self.whitening_ = _whitening(moments, std, structural) if self.whiten else None
        return mean, std, self.whitening_

    def _projected(self, averaged: Sequence[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Project ``averaged`` layers, each (n, c, h, w), and resample them to ``grid``: (n, h, w, d).

        Both are linear, so that coarse layers may be projected where they have few positions: a third of the work.
        """
        assert self.projection is not None
        parts = self.projection.to(self.device).split([layer.shape[1] for layer in averaged])
        pairs = zip(averaged, parts, strict=True)
        projected = [(layer.permute(0, 2, 3, 1) @ part).permute(0, 3, 1, 2) for layer, part in pairs]
        first, *others = (_resampled(layer, grid) for layer in projected)
        return sum(others, first).permute(0, 2, 3, 1)

    def _pool(self, layer: torch.Tensor, grid: tuple[int, int], zeros_beyond: bool) -> torch.Tensor:
        return _resampled(self._averaged(layer, zeros_beyond), grid)

    def _averaged(self, layer: torch.Tensor, zeros_beyond: bool) -> torch.Tensor:
        layer = layer.contiguous(memory_format=torch.channels_last)  # a tenth of the time for the filters
        return F.avg_pool2d(layer, self.patch_size, 1, self.patch_size // 2, count_include_pad=zeros_beyond)

    def state(self) -> dict[str, Any]:
        """Return the tensors that training added to the network, for ``restore``."""
        return {"projection": self.projection, "mean": self.mean_, "std": self.std_, "whitening": self.whitening_}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the tensors that ``state`` gave."""
        self.projection, self.mean_, self.std_ = state["projection"], state["mean"], state["std"]
        self.whitening_ = state.get("whitening")  # older models have none


def filter_extractor(
    log_floor: float,
    patch_size: int,
    *,
    colour_weight: float = 0.0,
    device: torch.device | str = "cpu",
    whiten: bool = False,
) -> FeatureExtractor:
    """Make the weight-free extractor; always in float32, because its logarithm magnifies rounding near the floor."""
    network = _Single(GaborFilters(log_floor))
    return FeatureExtractor(
        network, patch_size, standardise=True, colour_weight=colour_weight, device=device, whiten=whiten
    )


def rescale(
    features: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, turn: torch.Tensor | None = None
) -> torch.Tensor:
    """Scale features (n, c) of any precision in place, in chunks; ``turn`` (c, c) whitens them."""
    for chunk in chunks(features):
        scaled = (chunk.float() - mean) / std
        chunk.copy_(scaled if turn is None else scaled @ turn)
    return features


def _whitening(moments: Moments, std: torch.Tensor, structural: int) -> torch.Tensor:
    """Make the matrix (c, c) that lets the first ``structural`` channels, divided by ``std``, vary alike.

    Its columns are the principal axes over their deviation; channels beyond ``structural`` stay as they are.
    """
    scale = std[:structural].double()
    covariance = moments.covariance[:structural, :structural] / (scale[:, None] * scale)
    variances, axes = torch.linalg.eigh(covariance)
    turn = torch.eye(len(std), dtype=torch.float64)
    turn[:structural, :structural] = axes / (variances + _SHRINKAGE * variances.mean()).sqrt()
    return turn.float()


def _resampled(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    return maps if maps.shape[-2:] == grid else F.interpolate(maps, grid, mode="bilinear", align_corners=False)


def _colour_statistics(images: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Measure mean and deviation of L*, a*, b* in each cell of RGB (n, 3, H, W), in units of 50: (n, 6, h, w)."""
    lab = rgb_to_lab(images) / _LAB_UNIT
    mean = cell_means(lab, grid)
    variance = cell_means(lab.square(), grid) - mean.square()
    return torch.cat([mean, variance.clamp_min(0).sqrt()], 1)


class _Single(nn.Module):
    """Return the one output of a network as a list of one."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.network(images)]
