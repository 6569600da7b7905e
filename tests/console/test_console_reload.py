"""Models that are loaded while others inspect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from console_factory import console, send
from data_factory import tiny_config

from fastener.inspection.inspector import Inspector

# Sums are no modules: torch.fx traces the network to cut behind one, and changes nn.Module for all threads meanwhile.
LAYERS = {"plain": ("layer1", "layer2"), "traced": ("layer1.0.add", "layer2.0.add")}


@pytest.mark.usefixtures("one_thread")
def test_loading_a_model_leaves_inspections_with_another_alone(
    resnet18_weights: Path, good_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTENER_WEIGHTS_DIR", str(resnet18_weights.parent))
    models = tmp_path / "models"
    models.mkdir()
    for name, layers in LAYERS.items():
        model = {"backbone": "resnet18", "layers": layers, "coreset_ratio": 0.1}
        config = tiny_config(model=model, evidence=["cnn"], preprocess={"size": 64, "enabled": False})
        Inspector.fit(good_photos[:4], config).save(models / f"{name}.pkl")
    with console(models, tmp_path) as client, ThreadPoolExecutor(3) as pool:
        first = send(client, good_photos[0], "plain", return_visualizations=False).json()["anomaly_score"]
        answers = [pool.submit(send, client, good_photos[0], "plain", return_visualizations=False) for _ in range(30)]
        reloads = [client.post("/model/reload/traced").status_code for _ in range(3)]
        found = [answer.result() for answer in answers]
    assert reloads == [200] * 3
    assert [answer.status_code for answer in found] == [200] * 30
    assert [answer.json()["anomaly_score"] for answer in found] == [pytest.approx(first, rel=1e-5)] * 30
