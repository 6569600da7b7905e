"""The classifier of known classes: fine-tuned, a linear head on frozen features, or trained from scratch.

Fine-tuning begins with the best linear head on the frozen features and then moves the last stages a little (Kumar et
al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", arXiv 2202.10054): what is
unknown has to look strange to these features, so they must not bend towards the known classes more than needed. Only
activations of the stages that learn are computed again, the rest once for all splits.
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
from fastener.open_set.network import StagedResNet, as_tensor
from fastener.open_set.settings import ClassifierSettings

_LEAST_DEVIATION = 0.01
FINE_TUNED, FROZEN, SCRATCH = "fine_tuned", "frozen", "scratch"
MODES = {
    FINE_TUNED: "fine-tuned from ImageNet weights",
    FROZEN: "a linear head on frozen ImageNet features",
    SCRATCH: "trained from scratch, without ImageNet weights",
}


@dataclass(frozen=True)
class Fronts:
    """What images became in the stages that do not learn: maps float16 (n, ...), pooled float32 (n, d)."""

    maps: torch.Tensor
    pooled: torch.Tensor

    def __getitem__(self, index: np.ndarray) -> Fronts:
        return Fronts(self.maps[index], self.pooled[index])

    def __len__(self) -> int:
        return len(self.pooled)


@dataclass(frozen=True)
class Embedded:
    """Embeddings float32 (n, d) and logits float32 (n, classes) of n images."""

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
    """A network and a linear head on its standardised embedding.

    Parameters: ``mode`` is fine_tuned, frozen or scratch; ``weights`` the file of ImageNet weights, None for scratch.
    After ``fit``: ``head_``, and ``losses_``, the mean cross-entropy of each pass of training.
    """

    head_: nn.Linear
    losses_: list[float]

    def __init__(
        self, settings: ClassifierSettings, mode: str, weights: Path | None, run: RunSettings, device: torch.device
    ):
        self.settings, self.mode, self.run, self.device = settings, mode, run, device
        trained_from = {FROZEN: None, FINE_TUNED: settings.tune_from, SCRATCH: "images"}[mode]
        self.network = StagedResNet(settings.backbone, settings.layers, trained_from, weights, run.seed).to(device)

    @torch.inference_mode()
    def fronts(self, batches: Iterable[np.ndarray]) -> Fronts:
        """Batches of images, uint8 RGB (n, H, W, 3) -> what goes into ``fit`` and ``embed``."""
        maps, pooled = [], []
        for batch in batches:
            one, other = self.network.front(as_tensor(batch, self.device))
            maps.append(one.half().cpu())
            pooled.append(other.cpu())
        return Fronts(torch.cat(maps), torch.cat(pooled))

    def fit(self, fronts: Fronts, labels: np.ndarray, progress: Progress = no_progress) -> Classifier:
        """Learn from images with ``labels`` int (n,), 0 to classes - 1, each of which must be there."""
        embeddings = self._embeddings(fronts)
        self.centre_, self.scale_ = embeddings.new_zeros(embeddings.shape[1]), embeddings.new_ones(embeddings.shape[1])
        if self.mode != SCRATCH:  # where features are drawn at random, their first spread says nothing about later
            deviation = embeddings.std(0)
            # A channel that is silent in all training images must not shout in others.
            self.centre_, self.scale_ = embeddings.mean(0), deviation.clamp_min(_LEAST_DEVIATION * deviation.mean())
        self.head_ = skip_init(nn.Linear, embeddings.shape[1], int(labels.max()) + 1).to(self.device)
        nn.init.zeros_(self.head_.weight)
        nn.init.zeros_(self.head_.bias)
        self.losses_ = []
        if self.mode != SCRATCH:
            self._set_head((embeddings - self.centre_) / self.scale_, labels)
        if self.mode != FROZEN:
            with repeatable():
                self._train(fronts, torch.as_tensor(labels), progress)
        return self

    @torch.inference_mode()
    def embed(self, fronts: Fronts) -> Embedded:
        """Embeddings and logits of images."""
        embeddings = self._embeddings(fronts)
        logits = self.head_(((embeddings - self.centre_) / self.scale_).to(self.device))
        return Embedded(embeddings.numpy(), logits.cpu().numpy())

    def __call__(self, images: np.ndarray) -> Embedded:
        """Embeddings and logits of images, uint8 RGB (n, H, W, 3)."""
        return self.embed(self.fronts([images]))

    def state(self) -> dict[str, Any]:
        """What training changed: tensors that ``restore`` takes back."""
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
        """Become what ``state`` was taken from; the settings and the weights must be the same."""
        for place, module in enumerate(self.network.trained()):
            prefix = f"{place}."
            module.load_state_dict(
                {key.removeprefix(prefix): value for key, value in state["trained"].items() if key.startswith(prefix)}
            )
        self.centre_, self.scale_, self.losses_ = state["centre"], state["scale"], state["losses"]
        self.head_ = skip_init(nn.Linear, *reversed(state["head"]["weight"].shape)).to(self.device)
        self.head_.load_state_dict(state["head"])
        return self

    @torch.inference_mode()
    def _embeddings(self, fronts: Fronts) -> torch.Tensor:
        parts = []
        for start in range(0, len(fronts), self.run.batch_size):
            batch = fronts[np.arange(start, min(start + self.run.batch_size, len(fronts)))]
            parts.append(self.network.back(batch.maps.to(self.device).float(), batch.pooled.to(self.device)).cpu())
        return torch.cat(parts)

    def _set_head(self, inputs: torch.Tensor, labels: np.ndarray) -> None:
        """The head of multinomial logistic regression with scikit-learn's default penalty."""
        model = LogisticRegression(max_iter=1000).fit(inputs.double().numpy(), labels)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # two classes: scikit-learn keeps the difference of their logits
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        with torch.no_grad():
            self.head_.weight.copy_(torch.from_numpy(weight))
            self.head_.bias.copy_(torch.from_numpy(bias))

    def _train(self, fronts: Fronts, labels: torch.Tensor, progress: Progress) -> None:
        tuned, settings = self.mode == FINE_TUNED, self.settings
        epochs = settings.epochs if tuned else settings.scratch_epochs
        rate = settings.learning_rate if tuned else settings.scratch_learning_rate
        parameters = [p for module in (*self.network.trained(), self.head_) for p in module.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=rate)
        centre, scale = self.centre_.to(self.device), self.scale_.to(self.device)
        for module in self.network.trained():
            # The batch statistics of ImageNet are better than those of a few hundred like images.
            module.train(not tuned)
        for epoch in progress(range(epochs), epochs, "training the classifier"):
            order = np.random.default_rng([self.run.seed, epoch]).permutation(len(labels))
            total = 0.0
            for chosen in np.array_split(order, max(1, len(order) // self.run.batch_size)):
                batch = fronts[chosen]
                embeddings = self.network.back(batch.maps.to(self.device).float(), batch.pooled.to(self.device))
                loss = F.cross_entropy(self.head_((embeddings - centre) / scale), labels[chosen].to(self.device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += float(loss.detach()) * len(chosen)
            self.losses_.append(total / len(labels))
        if not tuned:
            self._settle_statistics(fronts)
        self.network.eval()

    @torch.no_grad()
    def _settle_statistics(self, fronts: Fronts) -> None:
        """Batch statistics of the final network: the running ones lag behind weights that have just changed."""
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the plain mean over all batches
        self._embeddings(fronts)
