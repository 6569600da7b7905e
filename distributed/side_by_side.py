"""Run pieces of work that know nothing of each other side by side, each on one worker of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import ray

from fastener.common.errors import UserError
from fastener.distributed.ray_engine import DIED, RETRIES, Shipped, Workers, local_copy, use_cores

Key = TypeVar("Key")
Answer = TypeVar("Answer")


def side_by_side(
    work: Mapping[Key, Callable[[Path | None], Answer]],
    weights: Path | None,
    workers: Workers,
    warn: Callable[[str], None],
) -> Iterator[tuple[Key, Answer | UserError]]:
    """Call each piece of ``work`` with the file of ``weights`` on a worker; yield what it returns as it is done.

    A piece whose worker dies is started again, three times at most, which ``warn`` is told. A piece that raises
    UserError, or whose worker dies again and again, gives this error and stops no other. Pieces travel by pickle, and
    start in the order of ``work``.
    """
    shipped = None if weights is None else Shipped.of(weights)
    # Ray itself would repeat in silence.
    task = _call.options(num_cpus=1 if workers.gpus else workers.cores, num_gpus=workers.gpus, max_retries=0)
    deaths = dict.fromkeys(work, 0)
    waiting = {task.remote(call, shipped, workers.cores): key for key, call in work.items()}
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        key = waiting.pop(done)
        try:
            answer: Answer | UserError = ray.get(done)
        except DIED:
            deaths[key] += 1
            if deaths[key] <= RETRIES:
                warn(f"{key}: its worker died; it is done again, and nothing is lost")
                waiting[task.remote(work[key], shipped, workers.cores)] = key
                continue
            answer = UserError("its worker died again and again, as when out of memory")
        yield key, answer


@ray.remote
def _call(call: Callable[[Path | None], Answer], weights: Shipped | None, cores: int) -> Answer | UserError:
    use_cores(cores)
    with local_copy(weights) as file:
        try:
            return call(file)
        except UserError as error:
            return UserError(str(error))
