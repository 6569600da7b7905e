"""Classify known classes: fine-tuned, with a linear head on frozen features, or trained from scratch.

Fine-tuning begins with the best linear head on the frozen features and then changes the last stages a little (Kumar et
al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", arXiv 2202.10054). Unknown
images must look strange to these features, so they should fit the known classes no more closely than needed. The frozen
stages are computed once for all splits; only the stages that learn are computed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.utils import skip_init

from fastener.config import RunSettings
from fastener.models.progress import Progress, no_progress
from fastener.models.runtime.device import repeatable
from fastener.open_set.network import StagedNetwork, as_tensor
from fastener.open_set.settings import ClassifierSettings

_LEAST_DEVIATION = 0.01
FINE_TUNED, FROZEN, SCRATCH = "fine_tuned", "frozen", "scratch"
MODES = {
    FINE_TUNED: "fine-tuned from ImageNet weights",
    FROZEN: "a linear head on frozen ImageNet features",
    SCRATCH: "trained from scratch, without ImageNet weights",
}


@dataclass(frozen=True)
class FrozenOutputs:
    """Hold the outputs of the frozen stages for n images.

    Parameters
    ----------
    maps
        Feature maps that go into the stages that learn, float16 (n, c, h, w); empty if no stage learns.
    pooled
        The part of the embedding that the frozen stages already give, float32 (n, d).
    """

    maps: torch.Tensor
    pooled: torch.Tensor

    def __getitem__(self, index: np.ndarray) -> FrozenOutputs:
        return FrozenOutputs(self.maps[index], self.pooled[index])

    def __len__(self) -> int:
        return len(self.pooled)


@dataclass(frozen=True)
class Embedded:
    """Hold the embeddings float32 (n, d) and the logits float32 (n, classes) of n images."""

    embeddings: np.ndarray
    logits: np.ndarray

    def __getitem__(self, index: np.ndarray) -> Embedded:
        return Embedded(self.embeddings[index], self.logits[index])

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def classes(self) -> np.ndarray:
        """The most likely class of each image: int64 (n,)."""
        return np.asarray(self.logits.argmax(1))


class Classifier:
    """Classify images by a network and a linear head on its standardised embedding.

    Parameters
    ----------
    settings
        Backbone, stages and training of the classifier.
    mode
        "fine_tuned", "frozen" or "scratch", see ``MODES``.
    weights
        File of ImageNet weights; None for "scratch".
    run
        Batch size and seed.
    device
        Where the network is computed.

    Attributes
    ----------
    head_
        The linear head.
    losses_
        Mean cross-entropy of each pass of training.
    """

    head_: nn.Linear
    losses_: list[float]

    def __init__(
        self, settings: ClassifierSettings, mode: str, *, weights: Path | None, run: RunSettings, device: torch.device
    ):
        self.settings, self.mode, self.run, self.device = settings, mode, run, device
        trained_from = {FROZEN: None, FINE_TUNED: settings.tune_from, SCRATCH: "images"}[mode]
        self.network = StagedNetwork(
            settings.backbone, settings.layers, trained_from=trained_from, weights=weights, seed=run.seed
        ).to(device)

    @torch.inference_mode()
    def run_frozen_stages(self, batches: Iterable[np.ndarray]) -> FrozenOutputs:
        """Compute the inputs of ``fit`` and ``embed`` from batches of images, uint8 RGB (n, H, W, 3)."""
        maps, pooled = [], []
        for batch in batches:
            one, other = self.network.frozen_part(as_tensor(batch, self.device))
            maps.append(one.half().cpu())
            pooled.append(other.cpu())
        return FrozenOutputs(torch.cat(maps), torch.cat(pooled))

    def fit(self, frozen: FrozenOutputs, labels: np.ndarray, progress: Progress = no_progress) -> Classifier:
        """Learn from images with ``labels`` int (n,), 0 to classes - 1; each class must occur."""
        embeddings = self._embeddings(frozen)
        self.centre_, self.scale_ = embeddings.new_zeros(embeddings.shape[1]), embeddings.new_ones(embeddings.shape[1])
        if self.mode != SCRATCH:  # untrained features say nothing about the spread of the trained ones
            deviation = embeddings.std(0)
            # A channel that hardly varies in the training images must not dominate in other images.
            self.centre_, self.scale_ = embeddings.mean(0), deviation.clamp_min(_LEAST_DEVIATION * deviation.mean())
        self.head_ = self._new_head(embeddings.shape[1], int(labels.max()) + 1)
        nn.init.zeros_(self.head_.weight)
        nn.init.zeros_(self.head_.bias)
        self.losses_ = []
        if self.mode != SCRATCH:
            self._set_head((embeddings - self.centre_) / self.scale_, labels)
        if self.mode != FROZEN:
            with repeatable():
                self._train(frozen, torch.as_tensor(labels), progress)
        return self

    def features(self, frozen: FrozenOutputs) -> FrozenOutputs:
        """Compute embeddings as they are now, as the outputs of a network in which no stage learns."""
        embeddings = self._embeddings(frozen)
        return FrozenOutputs(embeddings.new_empty(len(frozen), 0), embeddings)

    @torch.inference_mode()
    def embed(self, frozen: FrozenOutputs) -> Embedded:
        """Compute embeddings and logits of images."""
        embeddings = self._embeddings(frozen)
        logits = self.head_(((embeddings - self.centre_) / self.scale_).to(self.device))
        return Embedded(embeddings.numpy(), logits.cpu().numpy())

    def __call__(self, images: np.ndarray) -> Embedded:
        """Compute embeddings and logits of images, uint8 RGB (n, H, W, 3)."""
        return self.embed(self.run_frozen_stages([images]))

    def state(self) -> dict[str, Any]:
        """Collect the tensors that training changed, for ``restore``."""
        trained = {
            f"{place}.{key}": value.detach().cpu().clone()
            for place, module in enumerate(self.network.trained())
            for key, value in module.state_dict().items()
        }
        head = {key: value.detach().cpu().clone() for key, value in self.head_.state_dict().items()}
        return {
            "trained": trained, "head": head, "centre": self.centre_, "scale": self.scale_, "losses": self.losses_
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> Classifier:
        """Take over a ``state`` of a classifier with the same settings and weights."""
        for place, module in enumerate(self.network.trained()):
            prefix = f"{place}."
            module.load_state_dict(
                {key.removeprefix(prefix): value for key, value in state["trained"].items() if key.startswith(prefix)}
            )
        self.centre_, self.scale_, self.losses_ = state["centre"], state["scale"], state["losses"]
        self.head_ = self._new_head(*reversed(state["head"]["weight"].shape))
        self.head_.load_state_dict(state["head"])
        return self

    def _new_head(self, inputs: int, classes: int) -> nn.Linear:
        """Make a linear head without drawing random weights, which are set afterwards."""
        head: nn.Linear = skip_init(nn.Linear, inputs, classes)
        return head.to(self.device)

    @torch.inference_mode()
    def _embeddings(self, frozen: FrozenOutputs) -> torch.Tensor:
        parts = []
        for start in range(0, len(frozen), self.run.batch_size):
            batch = frozen[np.arange(start, min(start + self.run.batch_size, len(frozen)))]
            parts.append(
                self.network.trained_part(batch.maps.to(self.device).float(), batch.pooled.to(self.device)).cpu()
            )
        return torch.cat(parts)

    def _set_head(self, inputs: torch.Tensor, labels: np.ndarray) -> None:
        """Set the head by multinomial logistic regression with scikit-learn's default penalty."""
        model = LogisticRegression(max_iter=1000).fit(inputs.double().numpy(), labels)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # two classes: scikit-learn keeps the difference of their logits
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        with torch.no_grad():
            self.head_.weight.copy_(torch.from_numpy(weight))
            self.head_.bias.copy_(torch.from_numpy(bias))

    def _train(self, frozen: FrozenOutputs, labels: torch.Tensor, progress: Progress) -> None:
        tuned, settings = self.mode == FINE_TUNED, self.settings
        epochs = settings.epochs if tuned else settings.scratch_epochs
        rate = settings.learning_rate if tuned else settings.scratch_learning_rate
        parameters = [p for module in (*self.network.trained(), self.head_) for p in module.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=rate)
        centre, scale = self.centre_.to(self.device), self.scale_.to(self.device)
        for module in self.network.trained():
            # The batch statistics of ImageNet are better than statistics of a few hundred similar images.
            module.train(not tuned)
        for epoch in progress(range(epochs), epochs, "training the classifier"):
            order = np.random.default_rng([self.run.seed, epoch]).permutation(len(labels))
            total = 0.0
            for chosen in np.array_split(order, max(1, len(order) // self.run.batch_size)):
                batch = frozen[chosen]
                embeddings = self.network.trained_part(batch.maps.to(self.device).float(), batch.pooled.to(self.device))
                loss = F.cross_entropy(self.head_((embeddings - centre) / scale), labels[chosen].to(self.device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(chosen)
            self.losses_.append(total / len(labels))
        if not tuned:
            self._settle_statistics(frozen)
        self.network.eval()

    @torch.no_grad()
    def _settle_statistics(self, frozen: FrozenOutputs) -> None:
        """Recompute the batch statistics of the final network; running means lag behind the last weights."""
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the plain mean over all batches
        self._embeddings(frozen)
