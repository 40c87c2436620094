"""A training from its first or its last saved step to its end, in dispatches of about a second."""

import dataclasses
import functools
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.data.source import Source, Stream
from cnnjax.nets.net import Net
from cnnjax.train import checkpoints, hosts, probe, resolution, tune
from cnnjax.train import feed as feeds
from cnnjax.train.devices import Devices, check
from cnnjax.train.evaluation import evaluate
from cnnjax.train.given import fitted
from cnnjax.train.initial import drawn
from cnnjax.train.optimizer import rate
from cnnjax.train.program import Program, make_program
from cnnjax.train.recipe import LinearProbe, Recipe
from cnnjax.train.step import State, Sums, Task, init, start

SAVE_SECONDS = 20.0  # At most so much work is lost, and a dispatch.
DISPATCH_SECONDS = 0.8  # Python hears no signal inside a dispatch.


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What a training tells and asks while it runs."""

    progress: Callable[[int, int], None] = lambda step, steps: None
    epoch: Callable[[dict[str, Any]], None] = lambda row: None
    stop: Callable[[], bool] = lambda: False
    begins: Callable[[int], None] = lambda epoch: None  # After so many epochs done before.
    say: Callable[[str], None] = lambda line: None  # What the user should know of.


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training ended: `done`, `diverged` or `stopped`; seconds exclude compilation."""

    status: str
    state: State
    program: Program
    epochs: int
    steps: int
    seconds: float
    variables: Any  # The net's, as `net.init` returns them, where `state` may be of a part of it.
    seen: Callable[[Any], Any] = lambda split: split  # A split as the program takes it.


def make_task(net: Net, recipe: Recipe, source: Source) -> Task:
    """The static side of training `net` on `source`."""
    return Task(
        net=net,
        recipe=recipe,
        image_shape=tuple(source.info.image_shape),
        mean=tuple(float(x) for x in source.mean),
        std=tuple(float(x) for x in source.std),
        flip=source.info.flip,
        steps=recipe.steps(len(source.train)),
        cropped=isinstance(source.train, Stream),
    )


def train(
    net: Net,
    recipe: Recipe,
    source: Source,
    seed: int,
    devices: Devices,
    hooks: Hooks | None = None,
    saved: Path | None = None,
    variables: Any = None,
) -> Outcome:
    """Train, from `variables` where they are given, going on from the newest whole checkpoint in
    the folder `saved` where there is one. Of several processes all do the same, and the first one
    reads and writes.

    Raises:
      UserError: a batch that does not fit the devices or the data, a net that does not fit the
        images or the recipe, naming the layer or the field, variables of another net, or a streamed
        image that can't be decoded.
    """
    hooks = hooks or Hooks()
    check(recipe, len(source.train), devices)
    tune.check(net, recipe)
    resolution.check(net, recipe, source.info.image_shape)
    task = make_task(net, recipe, source)
    variables = variables and fitted(task, variables)
    carry_out = _probe if isinstance(recipe.fine_tune, LinearProbe) else _train
    return carry_out(task, source, seed, devices, hooks, saved, variables)


def _probe(
    task: Task,
    source: Source,
    seed: int,
    devices: Devices,
    hooks: Hooks,
    saved: Path | None,
    variables: Any,
) -> Outcome:
    """The last layer trained as a net of its own, on features of the images."""
    head = probe.head_task(task)
    variables = variables or initial(task, seed)
    lens = probe.lens(task, devices, variables)
    batches = lens.dispatches(source.train) + lens.dispatches(source.val)
    done = itertools.count(1)

    def each() -> None:
        hooks.progress(next(done), batches + head.steps)
        if hosts.agree(hooks.stop()).stop:
            raise probe.Stopped

    begun = time.perf_counter()
    try:
        features = lens.source(source, each)
    except probe.Stopped:
        program = make_program(head, len(source.train), devices)
        state = start(head, {"params": probe.last(variables["params"])})
        return Outcome("stopped", state, program, 0, 0, time.perf_counter() - begun, variables)
    before = time.perf_counter() - begun
    inner = dataclasses.replace(
        hooks,
        progress=lambda step, steps: hooks.progress(batches + step, batches + steps),
        epoch=lambda row: hooks.epoch(row | {"seconds": round(row["seconds"] + before, 3)}),
    )
    # A copy, since the first step takes its arrays over.
    given = {"params": jax.tree.map(jnp.array, probe.last(variables["params"]))}
    outcome = _train(head, features, seed, devices, inner, saved, given)
    compiled = outcome.program.compile_seconds + lens.compile_seconds
    return dataclasses.replace(
        outcome,
        program=dataclasses.replace(outcome.program, compile_seconds=compiled),
        seconds=outcome.seconds + before,
        variables=probe.joined(variables, outcome.variables["params"]),
        seen=lens.split,
    )


def initial(task: Task, seed: int) -> dict[str, Any]:
    """The variables that a training from nothing starts from."""
    state = drawn(functools.partial(init, task))(jax.random.key(seed))
    return {"params": state.params, "batch_stats": state.batch_stats}


def _train(
    task: Task,
    source: Source,
    seed: int,
    devices: Devices,
    hooks: Hooks,
    saved: Path | None,
    variables: Any,
) -> Outcome:
    examples = None if isinstance(source.train, Stream) else len(source.train)
    program = make_program(task, examples, devices)
    key = devices.put(jax.random.key(seed))
    state = devices.put_state(start(task, variables) if variables else program.init(key))
    sums, seconds = devices.put((Sums.zero(), jnp.zeros(())))
    if saved and (found := _restored(saved, (state, sums, seconds), hooks.say)):
        state, (sums, seconds) = devices.put_state(found[0]), devices.put(found[1:])
    step, seconds = int(state.step), float(seconds)
    per_epoch = task.recipe.epoch_steps(len(source.train))
    hooks.begins(step // per_epoch)
    saved_at, count, began = time.monotonic(), 1, time.perf_counter()
    status, score, waited = "done", None, 0.0

    def elapsed() -> float:
        return seconds + time.perf_counter() - began

    def save() -> None:
        whole = devices.whole(state)
        if saved and hosts.leads():
            checkpoints.save(saved, step, (whole, sums, jnp.float32(elapsed())), score)

    with feeds.opened(program, task, source.train, seed, devices, state) as feed:
        while step < task.steps:
            count = min(count, per_epoch - step % per_epoch, task.steps - step)
            at = time.perf_counter()
            state, sums = feed.advance(state, sums, count)
            finite = math.isfinite(float(sums.loss))  # Waits for the dispatch.
            step += count
            took = (time.perf_counter() - at) / count
            hooks.progress(step, task.steps)
            if not finite:
                status = "diverged"
                break
            if step % per_epoch == 0 or step == task.steps:  # The last epoch may be cut short.
                row = {"epoch": -(-step // per_epoch)} | _epoch_row(task, step, sums)
                row |= evaluate(program, devices, state, source.val, "val").metrics
                row["seconds"], score = round(elapsed(), 3), row["val_accuracy"]
                if feed.waited is not None:
                    row["input_wait_seconds"] = round(feed.waited - waited, 3)
                    waited = feed.waited
                hooks.epoch(row)
                sums = devices.put(Sums.zero())
            # At most four times the last count: the first dispatch also pages things in.
            count = max(1, min(4 * count, int(DISPATCH_SECONDS / max(took, 1e-6))))
            late = time.monotonic() - saved_at > SAVE_SECONDS
            then = hosts.agree(hooks.stop(), late, count)
            count = then.steps
            if step < task.steps and (then.stop or then.time):
                save()
                saved_at = time.monotonic()
            if step < task.steps and then.stop:
                status = "stopped"
                break
    variables = devices.whole(state.variables)
    epochs = (step if status != "done" else step + per_epoch - 1) // per_epoch
    return Outcome(status, state, program, epochs, step, elapsed(), variables)


def _restored(folder: Path, like: Any, say: Callable[[str], None]) -> Any | None:
    """What the first process finds in the folder, in every process."""
    found = checkpoints.restore(folder, like, say) if hosts.leads() else None
    if not hosts.tell(found is not None):
        return None
    empty = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    return hosts.share(empty if found is None else found)


_rate = jax.jit(rate, static_argnums=0)


def _epoch_row(task: Task, step: int, sums: Sums) -> dict[str, Any]:
    count = float(sums.count)
    progress = jnp.float32(step / task.steps)
    return {
        "step": step,
        "train_loss": float(sums.loss) / count,
        "train_accuracy": float(sums.correct) / count,
        "learning_rate": float(task.recipe.peak_rate * _rate(task.recipe.schedule, progress)),
    }
