"""Count inspections for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """Counters of one service, in a registry of their own.

    Parameters
    ----------
    in_flight : callable
        Returns the number of images that are being inspected or wait for it.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, in_flight: Callable[[], float]):
        registry = self._registry = CollectorRegistry()
        self.inspections = Counter(
            "console_inspections", "Images inspected", ["category", "decision"], registry=registry
        )
        self.refused = Counter("console_refused", "Images not inspected", ["status"], registry=registry)
        self.seconds = Histogram(
            "console_inspection_seconds",
            "Seconds from upload to stored result",
            registry=registry,
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
        )
        self.batch = Histogram(
            "console_batch_images", "Images per forward pass", registry=registry, buckets=(1, 2, 4, 8, 16, 32)
        )
        Gauge("console_queue_images", "Images being inspected or waiting", registry=registry).set_function(in_flight)

    def text(self) -> bytes:
        """Return all counters in the text format of Prometheus."""
        return generate_latest(self._registry)
