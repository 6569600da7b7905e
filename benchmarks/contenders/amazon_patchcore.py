"""Run amazon-science/patchcore-inspection from a clone of it; this needs faiss and scipy beside torch.

The settings follow its README: both embeddings of length 1024, the approximate greedy sampler, 10 %. Each pick of its
approximate selection takes nearly the same time. With ``picks``, only this number of picks is made, and the time of the
others is extrapolated.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from protocol import answer

BATCH = 2  # the default of its scripts
SIZE = (224, 224)
LAYERS = ("layer2", "layer3")
EMBEDDING = 1024


def load_reference(folder: Path) -> Any:
    """Import the package ``patchcore`` from a clone. timm may be missing: ResNet-18 does not need it."""
    if importlib.util.find_spec("timm") is None:
        sys.modules["timm"] = types.ModuleType("timm")
    sys.path.insert(0, str(folder / "src"))
    importlib.import_module("patchcore.patchcore")
    return importlib.import_module("patchcore")


class Watch:
    """Wrap a sampler of the reference, and record the time of each distance computation and the picks."""

    def __init__(self, reference: Any, kind: str, share: float, dim: int):
        samplers = reference.sampler
        kinds = {"exact": samplers.GreedyCoresetSampler, "approximate": samplers.ApproximateGreedyCoresetSampler}
        self.sampler = kinds[kind](share, torch.device("cpu"), dimension_to_project_features_to=dim)
        self.moments: list[float] = []
        self.picks = np.empty(0, int)
        self._differences = self.sampler._compute_batchwise_differences
        self._select = self.sampler._compute_greedy_coreset_indices
        self.sampler._compute_batchwise_differences = self.differences
        self.sampler._compute_greedy_coreset_indices = self.select

    def differences(self, *matrices: torch.Tensor) -> torch.Tensor:
        self.moments.append(time.perf_counter())
        result: torch.Tensor = self._differences(*matrices)
        return result

    def select(self, features: torch.Tensor) -> np.ndarray:
        self.picks = np.asarray(self._select(features))
        return self.picks

    def seconds_left(self, keep: int) -> float:
        """Estimate the seconds of the picks that were not made."""
        left = keep - len(self.picks)
        return 0.0 if left <= 0 else left * float(np.median(np.diff(self.moments)))


def coreset(
    folder: str, features: str, keep: int, indices: str, kind: str, dim: int, picks: int | None = None
) -> dict[str, Any]:
    """Pick ``keep`` rows of the array in the file ``features``, and write their indices to the file ``indices``.

    ``dim`` is the length of a row after the sampler's random projection.
    """
    rows = np.load(features).astype(np.float32)
    watch = Watch(load_reference(Path(folder)), kind, (min(keep, picks or keep) + 0.5) / len(rows), dim)
    start = time.perf_counter()
    with torch.no_grad():
        watch.sampler.run(rows)
    seconds = time.perf_counter() - start
    np.save(indices, watch.picks)
    return {"seconds": seconds + watch.seconds_left(keep), "estimated": len(watch.picks) < keep}


def fit(
    folder: str, images: list[str], weights: str, keep: float, picks: int | None = None, workers: int = 2
) -> dict[str, Any]:
    """Fit from image files with the approximate sampler; the exact one needs a distance for each pair of patches."""
    reference = load_reference(Path(folder))
    loader = torch.utils.data.DataLoader(Photos(images), BATCH, num_workers=workers)
    rows = len(images) * (SIZE[0] // 8) * (SIZE[1] // 8)
    share = min(keep, (picks + 0.5) / rows) if picks else keep
    watch = Watch(reference, "approximate", share, 128)
    model = network(reference, weights, watch.sampler)
    start = time.perf_counter()
    model.fit(loader)
    left = watch.seconds_left(int(keep * rows))
    return {"seconds": time.perf_counter() - start + left, "estimated": left > 0}


def inspect(
    folder: str, images: list[str], weights: str, bank: list[int], batch: int, warm_up: int = 3
) -> dict[str, Any]:
    """Inspect image files, ``batch`` at a time, with scores and maps.

    The bank is random and has the shape ``bank``, because the values of its rows do not change the time.
    """
    reference = load_reference(Path(folder))
    model = network(reference, weights, reference.sampler.IdentitySampler())
    drawn = np.random.default_rng(0).standard_normal((bank[0], EMBEDDING)).astype(np.float32)
    model.anomaly_scorer.fit(detection_features=[drawn])
    photos = Photos(images)
    seconds = []
    for at in range(0, len(images) - batch + 1, batch):
        start = time.perf_counter()
        model.predict(torch.stack([photos[at + i] for i in range(batch)]))
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[warm_up:]}


class Photos(torch.utils.data.Dataset[torch.Tensor]):
    """Image files, read and prepared as the reference does, from any layout of folders."""

    def __init__(self, files: list[str]):
        from torchvision import transforms

        self.files = files
        steps = [transforms.Resize(256), transforms.CenterCrop(SIZE[0]), transforms.ToTensor()]
        scale = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
        self.prepare = transforms.Compose([*steps, scale])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image

        prepared: torch.Tensor = self.prepare(Image.open(self.files[index]).convert("RGB"))
        return prepared


def network(reference: Any, weights: str, sampler: Any) -> Any:
    """Build the reference's PatchCore on torchvision's ResNet-18 with the weights in a file."""
    from torchvision.models import get_model

    backbone = get_model("resnet18", weights=None).eval()
    backbone.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    model = reference.patchcore.PatchCore(torch.device("cpu"))
    nearest = reference.common.FaissNN(False, torch.get_num_threads())
    model.load(
        backbone,
        LAYERS,
        torch.device("cpu"),
        (3, *SIZE),
        EMBEDDING,
        EMBEDDING,
        featuresampler=sampler,
        nn_method=nearest,
    )
    return model


if __name__ == "__main__":
    answer({"coreset": coreset, "fit": fit, "inspect": inspect}, f"torch {torch.__version__}")
