"""Who carries out a study's runs where `--executor` names nobody: workers that share the cores out,
or this process.

The small nets of most studies leave cores waiting for each other; a run a core lets none wait.
"""

import math
from collections.abc import Sequence
from typing import Any

from cnnjax import compute
from cnnjax.data.source import check, streamed
from cnnjax.errors import UserError
from cnnjax.study import environment, estimate
from cnnjax.study.executors import inline, local
from cnnjax.study.launch import Launch, told
from cnnjax.study.plan import Point

LEAST = 60.0  # Seconds in all: workers take some to start.
EACH = 2  # Runs a worker, at least: at the end of a study some have nothing to do.
PROCESS = 700 << 20  # Bytes of a process with JAX and its programs.


def usual(points: Sequence[Point], devices: int, platform: str) -> tuple[str, Any]:
    """The executor's name and its options, for these points in a process that sees `devices`.

    They follow from the whole plan, whatever of it is done, so that a study that goes on has the
    hardware that it began with.
    """
    alone = "inline", inline.Options()
    if platform != "cpu" or devices > 1 or not all(point.trains for point in points):
        return alone
    jobs = list({job.key: job for point in points for job in point.runs({})}.values())
    cores = len(environment.cores())
    count = min(local.most(cores), len(jobs) // EACH)
    if count < 2 or sum(estimate.plan_seconds(jobs, platform, cores).values()) < LEAST:
        return alone
    if not all(_can_be_told(point.run) for point in points):
        return alone
    if (free := environment.free_memory()) is not None:
        count = min(count, free // run_bytes(jobs))
    return ("local", local.Options(workers=count)) if count > 1 else alone


def _can_be_told(run: Any) -> bool:
    try:
        told(run, Launch(""))
    except UserError:
        return False
    return True


def run_bytes(runs: Sequence[Any]) -> int:
    """Memory of a process that carries out the largest of the trainings, about: its images, and
    twice what a step keeps for its backward pass."""
    images = 0
    for dataset in {run.dataset for run in runs}:
        outline = check(dataset)
        if not streamed(dataset):
            count = outline.train + outline.val + outline.test
            images = max(images, count * math.prod(outline.info.image_shape))

    def step(run: Any) -> float:
        return run.batch_size * compute.measure(run.net, run.image_shape)["activations"]

    largest = max(runs, key=step)
    kept = compute.train_memory(largest.net, largest.image_shape, largest.batch_size)
    return PROCESS + images + 2 * kept
