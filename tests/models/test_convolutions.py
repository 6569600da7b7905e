"""Convolutions with their activation in one pass, against the modules one after the other; padding against TensorFlow's
rule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fastener.models.convolutions import FusedConvolution, SamePadded

CONVOLUTIONS = {
    "pointwise": lambda: nn.Conv2d(6, 9, 1),
    "padded, with a stride": lambda: nn.Conv2d(6, 9, 3, stride=2, padding=1, bias=False),
    "depthwise, dilated": lambda: nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
    "as TensorFlow pads": lambda: SamePadded(6, 6, 5, stride=2, groups=6),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("activation", [nn.Identity(), nn.ReLU(), nn.ReLU6()], ids=["none", "relu", "relu6"])
@pytest.mark.parametrize(("count", "side"), [(1, 32), (3, 33)])
def test_one_pass_gives_what_two_give(kind: str, activation: nn.Module, count: int, side: int) -> None:
    torch.manual_seed(0)
    convolution = CONVOLUTIONS[kind]()
    images = 9 * torch.randn(count, 6, side, side + 2).to(memory_format=torch.channels_last)
    assert FusedConvolution.fits(convolution, activation)
    with torch.inference_mode():
        expected = activation(convolution(images))
        torch.testing.assert_close(FusedConvolution(convolution, activation)(images), expected)


def test_gradients_and_half_precision_take_the_modules_themselves() -> None:
    fused = FusedConvolution(nn.Conv2d(3, 4, 3), nn.ReLU())
    fused(torch.randn(1, 3, 8, 8)).sum().backward()
    assert fused.convolution.weight.grad is not None
    with torch.inference_mode():
        assert fused.bfloat16()(torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("convolution", "activation"),
    [
        (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
        (nn.Conv2d(3, 4, 3, padding="same"), nn.ReLU()),
        (nn.Conv2d(3, 4, 3), nn.SiLU()),
        (nn.Conv1d(3, 4, 3), nn.ReLU()),
    ],
    ids=["mirrored border", "padding by name", "other activation", "one axis"],
)
def test_what_cannot_be_computed_together_is_left(convolution: nn.Module, activation: nn.Module) -> None:
    assert not FusedConvolution.fits(convolution, activation)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(32, 3, 2), (33, 3, 2), (7, 5, 2), (9, 5, 1), (8, 1, 1)])
def test_tensorflows_padding(side: int, kernel: int, stride: int) -> None:
    """Output i looks at pixels from i * stride - floor(total / 2), of which those outside the image are zeros."""
    layer = SamePadded(1, 1, kernel, stride=stride, bias=False)
    image = torch.randn(side, side)
    with torch.inference_mode():
        found = layer(image[None, None])[0, 0]
        outputs = -(-side // stride)
        before = ((outputs - 1) * stride + kernel - side) // 2
        around = torch.zeros(side + 2 * kernel, side + 2 * kernel)
        around[kernel : kernel + side, kernel : kernel + side] = image
        for row in range(outputs):
            for column in range(outputs):
                top, left = kernel + row * stride - before, kernel + column * stride - before
                seen = around[top : top + kernel, left : left + kernel]
                torch.testing.assert_close(found[row, column], (seen * layer.weight[0, 0]).sum(), atol=1e-5, rtol=1e-5)
        assert found.shape == (outputs, outputs)
