"""Photos in, one feature vector per patch out: frozen network, local pooling, joined layers, optional projection."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fastener.common.errors import UserError
from fastener.models.backbones import Backbone
from fastener.models.cielab import rgb_to_lab
from fastener.models.gabor_filters import GaborFilters
from fastener.models.moments import Moments
from fastener.models.random_projection import gaussian_projection
from fastener.models.runtime.device import repeatable
from fastener.models.runtime.feature_store import chunks
from fastener.models.runtime.weights import checksum, read_state_dict

_MIN_DEVIATION = 0.05
_LAB_UNIT = 50.0
_COLOURS = 6
_SHRINKAGE = 0.3  # of the mean variance, added in every direction: else those that hardly vary magnify noise


class FeatureExtractor:
    """Patch features of a frozen network (Roth et al. 2022, section 3.1, "locally aware patch features").

    Every named layer is averaged over ``patch_size`` x ``patch_size`` positions, resampled bilinearly to the finest
    layer's grid and joined; then standardised (if ``standardise``: weight-free filters) and projected (if
    ``projection`` (c, d) is given: networks).

    ``colour_weight`` above 0 appends the mean and deviation of L*, a*, b* in each patch, because networks and filters
    are nearly blind to rust on rough metal. A difference of 50 CIELab units weighs ``colour_weight`` times the total
    deviation of the other features, as learned by ``fit``. The paper has no such term: 0.

    ``unit_length`` scales the features of each layer to length 1 in every patch, so that a rough and a smooth surface
    of one material are alike. ``whiten`` turns and scales the joined features so that training patches vary more evenly
    in all directions (``fit`` learns how): distances become those of Mahalanobis with a shrunk covariance, in which
    counts more what hardly varies on healthy parts (Rippel et al., "Modeling the Distribution of Normal Data in
    Pre-Trained Deep Features for Anomaly Detection", ICPR 2020). Both help where
    the surface itself varies more than the defect; the paper has neither.

    ``network`` maps RGB (n, 3, H, W) in [0, 1] to a list of maps (n, c, h, w). Grid and channels are read off what it
    returns, so any input size works that the network accepts.
    """

    def __init__(
        self,
        network: nn.Module,
        patch_size: int = 3,
        projection: torch.Tensor | None = None,
        standardise: bool = False,
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
        self.colour_weight = colour_weight
        self.unit_length = unit_length
        self.whiten = whiten
        self.mean_: torch.Tensor | None = None
        self.std_: torch.Tensor | None = None
        self.whitening_: torch.Tensor | None = None

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> torch.Tensor:
        """uint8 RGB (n, H, W, 3) -> float32 (n, h, w, c) on the extractor's device."""
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        if self.device.type == "cuda":  # from pinned memory a copy runs while the host goes on
            pixels = pixels.pin_memory()
        batch = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2) / 255
        with repeatable():
            layers = self.network(batch.to(self.dtype))
        finest = max((tuple(layer.shape[-2:]) for layer in layers), key=lambda grid: grid[0] * grid[1])
        pooled = [self._pool(layer.float(), finest, not self.standardise) for layer in layers]
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
        return features.contiguous()

    @torch.inference_mode()
    def centre_on(self, features: torch.Tensor) -> torch.Tensor:
        """Subtract the mean patch of the first image of ``features`` (n, h, w, c), here and from all from now on.

        It changes no distance, and half precision keeps more digits of numbers near zero.
        """
        mean = features[0].mean((0, 1))
        self.mean_, self.std_ = mean.cpu(), torch.ones_like(mean).cpu()
        return features - mean

    @torch.inference_mode()
    def fit(self, features: torch.Tensor) -> torch.Tensor:
        """Learn scales, and how to whiten, from training features (n, c); return them so changed, in place.

        With none of ``standardise``, ``whiten`` and ``colour_weight`` there is nothing to learn: features stay as they
        are. Half precision and mapped files are read in chunks.
        """
        if not self.learns_scale:
            return features
        return rescale(features, *self.fit_to(Moments.of(features, together=self.whiten)))

    @property
    def learns_scale(self) -> bool:
        """Whether ``fit`` learns anything."""
        return self.standardise or self.whiten or self.colour_weight > 0

    def fit_to(self, moments: Moments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Learn scales, and how to whiten, from the moments of training features; what to ``rescale`` them by."""
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

    def _pool(self, layer: torch.Tensor, grid: tuple[int, int], zeros_beyond: bool) -> torch.Tensor:
        # Beyond the border a network sees nothing, which behind a ReLU is zero, as in the reference implementation. To
        # filters and colours zero is a value like others: their border patches average over what exists.
        pooled = F.avg_pool2d(layer, self.patch_size, 1, self.patch_size // 2, count_include_pad=zeros_beyond)
        return (
            pooled if pooled.shape[-2:] == grid else F.interpolate(pooled, grid, mode="bilinear", align_corners=False)
        )

    def state(self) -> dict[str, Any]:
        """What training added to the network: tensors that ``restore`` takes back."""
        return {"projection": self.projection, "mean": self.mean_, "std": self.std_, "whitening": self.whitening_}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.projection, self.mean_, self.std_ = state["projection"], state["mean"], state["std"]
        self.whitening_ = state.get("whitening")  # models from before there was any do not have it


def filter_extractor(
    log_floor: float,
    patch_size: int,
    colour_weight: float = 0.0,
    device: torch.device | str = "cpu",
    whiten: bool = False,
) -> FeatureExtractor:
    """The weight-free extractor; always in float32, because its logarithm magnifies rounding near the floor."""
    network = _Single(GaborFilters(log_floor))
    return FeatureExtractor(
        network, patch_size, standardise=True, colour_weight=colour_weight, device=device, whiten=whiten
    )


def cnn_extractor(
    backbone: Backbone,
    weights: Path,
    layers: tuple[str, ...] | None = None,
    patch_size: int = 3,
    target_dim: int | None = None,
    colour_weight: float = 0.0,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[FeatureExtractor, str]:
    """The extractor of a pretrained network and the checksum of the weights it uses.

    ``target_dim`` projects with a Gaussian matrix drawn from ``seed``, see models/random_projection.py. Raises
    UserError for unknown layers and for weights that do not fit.
    """
    network = build_network(backbone, layers or backbone.layers, weights)
    digest = checksum(network.state_dict())
    _fold_batch_norms(network.trunk)
    extractor = FeatureExtractor(network, patch_size, device=device, dtype=dtype)
    if target_dim is not None:
        channels = extractor(np.zeros((1, 224, 224, 3), np.uint8)).shape[-1]
        if target_dim < channels:
            extractor.projection = gaussian_projection(channels, target_dim, seed)
    extractor.colour_weight = colour_weight
    return extractor, digest


def rescale(
    features: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, turn: torch.Tensor | None = None
) -> torch.Tensor:
    """Features (n, c) of any precision, changed in place, in chunks; ``turn`` (c, c) is what whitens them."""
    for chunk in chunks(features):
        scaled = (chunk.float() - mean) / std
        chunk.copy_(scaled if turn is None else scaled @ turn)
    return features


def _whitening(moments: Moments, std: torch.Tensor, structural: int) -> torch.Tensor:
    """Matrix (c, c) after which the first ``structural`` channels, divided by ``std``, vary alike.

    Columns are the principal axes over their deviation; channels beyond ``structural`` stay as they are.
    """
    scale = std[:structural].double()
    covariance = moments.covariance[:structural, :structural] / (scale[:, None] * scale)
    variances, axes = torch.linalg.eigh(covariance)
    turn = torch.eye(len(std), dtype=torch.float64)
    turn[:structural, :structural] = axes / (variances + _SHRINKAGE * variances.mean()).sqrt()
    return turn.float()


def _colour_statistics(images: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """RGB (n, 3, H, W) in [0, 1] -> mean and deviation of L*, a*, b* in each cell, in units of 50: (n, 6, h, w)."""
    lab = rgb_to_lab(images) / _LAB_UNIT
    mean = F.adaptive_avg_pool2d(lab, grid)
    variance = F.adaptive_avg_pool2d(lab.square(), grid) - mean.square()
    return torch.cat([mean, variance.clamp_min(0).sqrt()], 1)


def build_network(backbone: Backbone, layers: tuple[str, ...], weights: Path | None) -> _Normalised:
    """The part of a torchvision network up to the last of ``layers``; random weights without a file of them."""
    from torchvision.models import get_model
    from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    network = get_model(backbone.name, weights=None).eval()
    available = _layer_names(get_graph_node_names(network)[1])
    for layer in layers:
        if layer not in available:
            known = ", ".join(name for name in available if name.count(".") == 0)
            raise UserError(
                f"model.layers: {backbone.name} has no layer '{layer}'; its stages: {known}; and those inside them"
            )
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # else a ReLU behind a named layer would overwrite its output
    # Tracing drops everything behind the last layer, so the head is neither computed nor needed in the weights file.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trunk = create_feature_extractor(network, return_nodes={layer: layer for layer in layers})
    for layer, output in trunk(torch.zeros(1, 3, 64, 64)).items():
        if output.ndim != 4:
            raise UserError(f"model.layers: '{layer}' of {backbone.name} keeps no positions; name a layer before it")
    if weights is not None:
        load_weights(trunk, weights, backbone.name)
    return _Normalised(trunk, backbone.mean, backbone.std)


def _fold_batch_norms(trunk: fx.GraphModule) -> None:
    """Let convolutions do the scaling of the batch norms that follow them: the same numbers, a tenth sooner."""
    for node in list(trunk.graph.nodes):
        if node.op != "call_module" or not isinstance(norm := trunk.get_submodule(node.target), nn.BatchNorm2d):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1:
            continue
        convolution = trunk.get_submodule(before.target)
        if isinstance(convolution, nn.Conv2d):
            trunk.set_submodule(before.target, fuse_conv_bn_eval(convolution.eval(), norm.eval()))
            node.replace_all_uses_with(before)
            trunk.graph.erase_node(node)
    trunk.recompile()


def _layer_names(nodes: list[str]) -> list[str]:
    """Graph nodes and every module that contains one, in order."""
    names = dict.fromkeys(".".join(node.split(".")[:n]) for node in nodes for n in range(1, node.count(".") + 2))
    return list(names)


def load_weights(network: nn.Module, weights: Path, name: str) -> None:
    """Put what ``network`` needs of a file into it, whatever else the file holds; ``name`` is for the message.

    Raises UserError if a tensor is missing or has another shape.
    """
    state = read_state_dict(weights)
    for key, tensor in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise UserError(f"{weights} does not fit {name}: '{key}' is missing; is it the file of another network?")
        if state[key].shape != tensor.shape:
            raise UserError(
                f"{weights} does not fit {name}: '{key}' has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
            )
    network.load_state_dict(state, strict=False)


class _Normalised(nn.Module):
    """Normalise RGB with the statistics the network was trained with; return its layers as a list."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, trunk: fx.GraphModule, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return list(self.trunk((images - self.mean) / self.std).values())


class _Single(nn.Module):
    """A network with one output, as a list of one."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [self.network(images)]
