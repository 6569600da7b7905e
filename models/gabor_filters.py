"""A feature network without learned weights: Gabor wavelet moduli of first and second order on CIELab.

It is the embedded default where no pretrained weights can be had, and a second opinion beside a CNN. The construction
is that of a scattering transform (Mallat 2012, "Group Invariant Scattering"; Bruna and Mallat 2013) with a logarithm,
and each channel standardised on the training images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from fastener.models.cielab import rgb_to_lab

STRIDE = 8
_OCTAVES = 5
_SECOND_ORDER_FROM = 3  # octaves whose moduli are analysed again, one and two octaves further down
_KERNEL = 9
_PERIOD_PX = 4.0
_L_ORIENTATIONS = 8
_CHROMA_ORIENTATIONS = 4
_LAB_UNIT = 50.0


def gabor_kernels(orientations: int) -> torch.Tensor:
    """Complex Gabor kernels as real and imaginary parts, float32 (2 * orientations, 1, 9, 9).

    Zero mean (so that flat areas give zero) and unit L1 norm of the envelope.
    """
    radius = _KERNEL // 2
    y, x = torch.meshgrid(*[torch.arange(-radius, radius + 1, dtype=torch.float64)] * 2, indexing="ij")
    envelope = torch.exp(-(x**2 + y**2) / (2 * (0.5 * _PERIOD_PX) ** 2))
    envelope = envelope / envelope.sum()
    kernels = []
    for index in range(orientations):
        angle = math.pi * index / orientations
        phase = 2 * math.pi / _PERIOD_PX * (x * math.cos(angle) + y * math.sin(angle))
        for wave in (phase.cos(), phase.sin()):
            kernels.append(envelope * (wave - (envelope * wave).sum()))
    return torch.stack(kernels)[:, None].float()


class GaborFilters(nn.Module):
    """RGB images (n, 3, H, W) in [0, 1] -> log moduli (n, 248, ceil(H / 8), ceil(W / 8)), not yet standardised.

    Channels: 5 octaves x 8 orientations of L*, 5 octaves of a* and of b* (mean over orientations), second-order moduli
    of the three finest octaves (8 x 4 orientations x 6 pairs of octaves), then L*, a*, b* themselves at two scales.
    """

    lightness_kernels: torch.Tensor
    chroma_kernels: torch.Tensor

    def __init__(self, log_floor: float):
        super().__init__()
        self.log_floor = log_floor
        for name, orientations in (("lightness_kernels", _L_ORIENTATIONS), ("chroma_kernels", _CHROMA_ORIENTATIONS)):
            kernels = gabor_kernels(orientations)
            # All real parts, then all imaginary ones: whole blocks of memory are quicker to add up. Without their one
            # channel they stay as they are where a network is told to have its channels last, which is slower here.
            self.register_buffer(name, torch.cat([kernels[0::2], kernels[1::2]])[:, 0], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grid = (-(-images.shape[-2] // STRIDE), -(-images.shape[-1] // STRIDE))
        lab = rgb_to_lab(images) / _LAB_UNIT
        moduli: list[torch.Tensor] = []
        octave = lab
        for index in range(_OCTAVES):
            lightness = _modulus(octave[:, :1], self.lightness_kernels)
            moduli.append(_to_grid(lightness, grid))
            for channel in (1, 2):
                chroma = _modulus(octave[:, channel : channel + 1], self.chroma_kernels)
                moduli.append(_to_grid(chroma.mean(1, keepdim=True), grid))
            if index < _SECOND_ORDER_FROM:
                moduli += self._second_order(lightness, grid)
            octave = _halve(octave)
        features = torch.log(torch.cat(moduli, 1) + self.log_floor)
        coarse = F.avg_pool2d(lab, 2 * STRIDE, STRIDE, STRIDE // 2, count_include_pad=False)
        colours = [_to_grid(lab, grid), _to_grid(coarse, grid)]
        return torch.cat([features, *colours], 1)

    def _second_order(self, moduli: torch.Tensor, grid: tuple[int, int]) -> list[torch.Tensor]:
        result = []
        for _ in range(2):
            moduli = _halve(moduli)
            n, c, h, w = moduli.shape
            again = _modulus(moduli.reshape(n * c, 1, h, w), self.chroma_kernels)
            result.append(_to_grid(again.reshape(n, -1, h, w), grid))
        return result


def _modulus(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w) -> (n, orientations, h, w), borders mirrored as far as the image is large enough.

    ``kernels`` (2 * orientations, 9, 9): the real parts of all orientations, then their imaginary parts.
    """
    radius = kernels.shape[-1] // 2
    mode = "reflect" if min(images.shape[-2:]) > radius else "replicate"
    real, imaginary = F.conv2d(F.pad(images, [radius] * 4, mode=mode), kernels[:, None]).chunk(2, 1)
    # torch.hypot takes care of numbers that these cannot reach, and twice the time. Overwriting spares the memory.
    return real.square_().addcmul_(imaginary, imaginary).sqrt_()


def _halve(images: torch.Tensor) -> torch.Tensor:
    if images.shape[-2] % 2 or images.shape[-1] % 2:
        return F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
    rows = images[..., ::2, :] + images[..., 1::2, :]  # a third of the time of pooling
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _to_grid(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    if maps.shape[-2] > grid[0] or maps.shape[-1] > grid[1]:
        return cell_means(maps, grid)
    return F.interpolate(maps, grid, mode="bilinear", align_corners=False)


def cell_means(maps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Average maps (n, c, H, W) over the cells of a ``grid`` (h, w)."""
    height, width = maps.shape[-2:]
    # ONNX has no adaptive pooling, and spells it out cell by cell; over cells of one size it is plain pooling.
    if torch.compiler.is_exporting() and height % grid[0] == 0 and width % grid[1] == 0:
        return F.avg_pool2d(maps, (height // grid[0], width // grid[1]))
    return F.adaptive_avg_pool2d(maps, grid)
