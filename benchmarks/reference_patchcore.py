"""Compare our PatchCore with the reference implementation and anomalib's on the same features and memory bank.

    git clone https://github.com/amazon-science/patchcore-inspection REF
    git clone https://github.com/openvinotoolkit/anomalib ANO
    python benchmarks/reference_patchcore.py --reference REF [--anomalib ANO] [--category-dir D --weights F]

Their code runs from those folders and is not copied; of their dependencies only faiss and scipy are needed. All sides
get the same patch features and the same bank: random features, and with --category-dir (an MVTec category) features of
ResNet-18. The exit code is 0 if all values agree to 1e-4.

Intended differences, and how the comparison handles them:
- Distances. Their faiss index returns squared L2 distances; our scores are L2 distances. Their patch scores are
  compared after a square root. The order of images is the same; maps differ, because they smooth squared distances.
- Image score. The reference takes the largest patch score, and so do we with num_neighbors 1. Otherwise we weight it by
  equation 7 of the paper, which the reference code leaves out; this score is compared with anomalib's.
- Patches. The reference unfolds 3 x 3 positions and pools their values adaptively, to 1024 per layer and 1024 in total.
  We average each channel over the 3 x 3 positions, as anomalib does. The line below the table gives the rank
  correlation of the image scores when each side uses its own patch features.
- Maps. Both resample bilinearly (pixel centres aligned) and smooth with the same Gaussian of 4 px. anomalib repeats the
  nearest patch instead, so its maps are not compared.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torchvision.models import get_model

sys.path.insert(0, str(Path(__file__).resolve().parent / "contenders"))

from amazon_patchcore import load_reference

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastener.benchmarks.features import resnet18_weights
from fastener.commands import cli
from fastener.common.errors import UserError
from fastener.config import load_config
from fastener.datasets.images import read_image
from fastener.datasets.mvtec import load_category
from fastener.models.backbones import BACKBONES
from fastener.models.coreset import greedy_coreset
from fastener.models.feature_extractor import FeatureExtractor
from fastener.models.memory_bank import MemoryBank
from fastener.models.patchcore import PatchCore
from fastener.models.runtime.cnn import cnn_extractor
from fastener.models.runtime.weights import read_state_dict
from fastener.models.scores import Scores
from fastener.preprocessing.pipeline import Preprocessor

TOLERANCE = 1e-4
SIZE = (224, 224)
NEIGHBOURS = 9
LAYERS = ("layer2", "layer3")


@dataclass(frozen=True)
class Case:
    """Patch features, float32 (n, h, w, c), of n images, and a bank, float32 (m, c)."""

    name: str
    features: torch.Tensor
    bank: torch.Tensor


class Given(FeatureExtractor):
    """A feature extractor that returns given features."""

    def __init__(self, features: torch.Tensor):
        super().__init__(torch.nn.Identity())
        self.features = features

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        return self.features


def main() -> int:
    """Compare and print."""
    arguments = _arguments()
    if not (arguments.reference / "src" / "patchcore" / "common.py").is_file():
        raise UserError(
            f"--reference {arguments.reference}: no src/patchcore; clone amazon-science/patchcore-inspection"
        )
    reference = load_reference(arguments.reference)
    anomalib = load_anomalib(arguments.anomalib) if arguments.anomalib else None
    cases = [random_case()]
    photos = None
    if arguments.category_dir:
        weights = resnet18_weights(arguments.weights)
        photos = read_photos(arguments.category_dir, arguments.photos)
        cases.append(real_case(*photos, extractor(weights)))
    print("| features | compared | values up to | largest difference |")
    print("|---|---|---|---|")
    largest = 0.0
    for case in cases:
        pairs = compare_reference(case, reference)
        if anomalib is not None:
            pairs["image score, eq. 7, b = 9 (anomalib)"] = compare_anomalib(case, anomalib)
        for what, (ours, theirs) in pairs.items():
            difference = float(np.abs(ours - theirs).max())
            largest = max(largest, difference)
            print(f"| {case.name} | {what} | {np.abs(theirs).max():.4g} | {difference:.1e} |")
    if photos is not None:
        likeness = spearmanr(*whole_pipelines(*photos, reference, weights))[0]
        print(f"rank correlation of image scores, each side with its own patch features: {likeness:.2f}")
    agree = largest <= TOLERANCE
    print(f"{'AGREE' if agree else 'DIFFER'}: largest difference {largest:.1e}, tolerance {TOLERANCE:g}")
    return cli.EXIT_OK if agree else cli.EXIT_SOME_FAILED


def ours(case: Case, num_neighbors: int) -> Scores:
    """Score the features with this project's PatchCore."""
    patchcore = PatchCore(Given(case.features), num_neighbors=num_neighbors, smoothing_sigma=4.0)
    patchcore.bank_ = MemoryBank(case.bank)
    return patchcore.score(np.zeros((len(case.features), *SIZE, 3), np.uint8))


def compare_reference(case: Case, reference: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Compute our values and the reference's, by the name of the quantity."""
    n, h, w, c = case.features.shape
    scorer = reference.common.NearestNeighbourScorer(1, reference.common.FaissNN(False, 1))
    scorer.fit([case.bank.numpy()])
    patches = case.features.reshape(-1, c)
    theirs = np.sqrt(np.maximum(scorer.predict([patches.numpy()])[0], 0))
    segmentor = reference.common.RescaleSegmentor(torch.device("cpu"), SIZE)
    maps = np.stack(segmentor.convert_to_segmentation(theirs.reshape(n, h, w)))
    maker = reference.patchcore.PatchMaker(3, stride=1)
    images = maker.score(maker.unpatch_scores(theirs, n))
    distances = MemoryBank(case.bank).search(patches)[0][:, 0].numpy()
    scores = ours(case, num_neighbors=1)
    return {
        "patch distance (reference)": (distances, theirs),
        "image score, b = 1 (reference)": (scores.images, images),
        "map (reference)": (scores.maps, maps),
    }


def compare_anomalib(case: Case, anomalib: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compute image scores by equation 7: ours and anomalib's."""
    n, h, w, c = case.features.shape
    model = anomalib.PatchcoreModel.__new__(anomalib.PatchcoreModel)
    torch.nn.Module.__init__(model)
    model.num_neighbors, model.memory_bank = NEIGHBOURS, case.bank
    embedding = case.features.reshape(-1, c)
    distances, locations = model.nearest_neighbors(embedding, 1)
    theirs = model.compute_anomaly_score(distances.reshape(n, h * w), locations.reshape(n, h * w), embedding)
    return ours(case, NEIGHBOURS).images, theirs.numpy()


def random_case() -> Case:
    """Draw small Gaussian features, and a bank that is a coreset of other Gaussian features."""
    rng = np.random.default_rng(0)
    train = torch.from_numpy(rng.normal(size=(1000, 32)).astype(np.float32))
    features = torch.from_numpy(rng.normal(size=(8, 14, 14, 32)).astype(np.float32))
    return Case("random", features, train[torch.from_numpy(greedy_coreset(train, 100).indices)])


def real_case(train: np.ndarray, test: np.ndarray, extract: FeatureExtractor) -> Case:
    """Compute ResNet-18 features of test photos, and a bank of 10 % of the training photos' features."""
    patches = extract(train).flatten(0, 2)
    picks = greedy_coreset(patches, round(0.1 * len(patches))).indices
    return Case("ResNet-18", extract(test), patches[torch.from_numpy(picks)])


def whole_pipelines(
    train: np.ndarray, test: np.ndarray, reference: Any, weights: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Score the test photos (ours, theirs), each side with its own patch features and a bank of all patches."""
    network = get_model("resnet18", weights=None).eval()
    network.load_state_dict(read_state_dict(weights), strict=False)
    model = reference.patchcore.PatchCore(torch.device("cpu"))
    model.load(network, LAYERS, torch.device("cpu"), (3, *SIZE), 1024, 1024)
    model.anomaly_scorer.fit([np.concatenate([np.asarray(model._embed(normalised(photo))) for photo in train])])
    theirs = np.concatenate([model._predict(normalised(photo))[0] for photo in test])
    extract = extractor(weights)
    case = Case("own", extract(test), extract(train).flatten(0, 2))
    return ours(case, num_neighbors=1).images, theirs


def normalised(photo: np.ndarray) -> torch.Tensor:
    """Normalise a photo, uint8 RGB (H, W, 3), to float32 (1, 3, H, W) as torchvision's networks expect it."""
    values = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    backbone = BACKBONES["resnet18"]
    return (values - torch.tensor(backbone.mean)[:, None, None]) / torch.tensor(backbone.std)[:, None, None]


def extractor(weights: Path) -> FeatureExtractor:
    """Build the extractor of ResNet-18 with all 384 channels."""
    return cnn_extractor(BACKBONES["resnet18"], weights, LAYERS)[0]


def read_photos(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read ``count`` training and ``count`` test photos, spread over a category, by configs/mvtec_paper.yaml."""
    config = load_config(Path(__file__).resolve().parents[1] / "configs" / "mvtec_paper.yaml")
    prepare = Preprocessor(config.preprocess)
    category = load_category(folder.parent, folder.name)
    both = []
    for paths in (list(category.train), [image.path for image in category.test]):
        chosen = paths[:: max(1, len(paths) // count)][:count]
        both.append(np.stack([prepare(read_image(path)).image for path in chosen]))
    return both[0], both[1]


def load_anomalib(folder: Path) -> Any:
    """Load anomalib's module torch_model, with stand-ins for the parts that the image score does not use."""
    here = folder / "src" / "anomalib" / "models" / "image" / "patchcore"
    if not (here / "torch_model.py").is_file():
        raise UserError(f"--anomalib {folder}: no src/anomalib there; clone openvinotoolkit/anomalib")
    unused = ("DynamicBufferMixin", "KCenterGreedy", "TimmFeatureExtractor", "GaussianBlur2d", "InferenceBatch")
    for name in ("anomalib", "anomalib.data", "anomalib.models", "anomalib.models.components"):
        module = types.ModuleType(name)
        vars(module).update({part: type(part, (), {}) for part in unused})
        sys.modules[name] = module
    package = types.ModuleType("anomalib_patchcore")
    package.__path__ = [str(here)]
    sys.modules["anomalib_patchcore"] = package
    return importlib.import_module("anomalib_patchcore.torch_model")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="a clone of patchcore-inspection")
    parser.add_argument("--anomalib", type=Path, metavar="DIR", help="a clone of anomalib")
    parser.add_argument("--category-dir", type=Path, metavar="D", help="an MVTec category's folder, for real features")
    parser.add_argument(
        "--photos", type=int, default=12, metavar="N", help="photos to train on, and to score (default: 12)"
    )
    parser.add_argument("--weights", type=Path, metavar="F", help="weights of ResNet-18, if not in a standard place")
    return parser.parse_args()


if __name__ == "__main__":
    cli.run(main)
