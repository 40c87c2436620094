"""The compiled functions of a training: many steps a dispatch, and inference a batch at a time."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.data.source import Split, Stream
from cnnjax.train import tune
from cnnjax.train.devices import Devices
from cnnjax.train.draws import Draws, draws, step_keys
from cnnjax.train.optimizer import Hyper
from cnnjax.train.recipe import Recipe
from cnnjax.train.scan import stack, unstack
from cnnjax.train.step import Batch, State, Sums, Task, init, logits_of, train_step


@dataclasses.dataclass(frozen=True)
class Program:
    """Compiled for one task, number of training images and set of devices.

    `advance(state, sums, images, labels, drawn, hyper, count, places)` takes `count` steps on
    images that live on the device; of a stream, `steps` has for each phase of the training the step
    before which it ends and `advance(state, sums, key, hyper, images, labels, places)`, one step on
    a batch. `infer((params, batch_stats), images)` gives logits for one batch.
    """

    init: Callable[[jax.Array], State]
    advance: Callable[..., tuple[State, Sums]] | None
    steps: tuple[tuple[int, Callable[..., tuple[State, Sums]]], ...]
    infer: Callable[..., jax.Array]
    places: jax.Array
    batch_size: int
    compile_seconds: float


def make_program(task: Task, examples: int | None, devices: Devices) -> Program:
    """The program of the task, on so many images or, where it is None, on a stream; tasks that
    differ only in rate and decay share one."""
    base = Recipe()
    recipe = dataclasses.replace(
        task.recipe, learning_rate=base.learning_rate, weight_decay=base.weight_decay
    )
    return _compile(dataclasses.replace(task, recipe=recipe), examples, devices)


def advance(
    task: Task,
    devices: Devices,
    state: State,
    sums: Sums,
    images: jax.Array,
    labels: jax.Array,
    drawn: Draws,
    hyper: Hyper,
    count: jax.Array,
    places: jax.Array,
) -> tuple[State, Sums]:
    """`count` steps on images [N, H, W, C] that live on the device, within the epoch drawn."""
    stages = devices.scanned(task.net, task.image_shape)

    def body(phase: tune.Phase, _: int, carry: tuple[State, Sums]) -> tuple[State, Sums]:
        state, sums = carry
        rows, keys, words = drawn.at(state.step, places)
        batch = Batch(images[rows], labels[rows], keys, words)
        return _step(task, devices, phase, state, sums, batch, hyper)

    carry, stop = (stack(state, stages), sums), state.step + count
    *early, last = tune.phases(task.net, task.recipe, task.steps)
    for phase in early:
        left = jnp.clip(jnp.minimum(stop, phase.end) - carry[0].step, 0, count)
        carry = lax.fori_loop(0, left, functools.partial(body, phase), carry)
    # The last goes on beyond its end where it is asked to, as when steps are timed.
    left = stop - carry[0].step
    state, sums = lax.fori_loop(0, left, functools.partial(body, last), carry)
    return devices.kept(unstack(state, stages)), sums


def advance_batch(
    task: Task,
    devices: Devices,
    phase: tune.Phase,
    state: State,
    sums: Sums,
    key: jax.Array,
    hyper: Hyper,
    images: jax.Array,
    labels: jax.Array,
    places: jax.Array,
) -> tuple[State, Sums]:
    """One step on a batch, in a phase of the training."""
    stages = devices.scanned(task.net, task.image_shape)
    batch = Batch(images, labels, step_keys(key, state.step, places))
    state, sums = _step(task, devices, phase, stack(state, stages), sums, batch, hyper)
    return devices.kept(unstack(state, stages)), sums


def _step(
    task: Task,
    devices: Devices,
    phase: tune.Phase,
    state: State,
    sums: Sums,
    batch: Batch,
    hyper: Hyper,
) -> tuple[State, Sums]:
    """A step with equal blocks stacked."""
    stages = devices.scanned(task.net, task.image_shape)
    context = dataclasses.replace(devices.context(alone=True), scan=frozenset(stages))
    batch = devices.shared(batch)
    state, new = train_step(
        task, context, state, batch, hyper, devices.axis_name, phase.frozen, phase.side
    )
    return devices.kept(state), jax.tree.map(jnp.add, sums, new)


@functools.lru_cache(maxsize=64)
def _compile(task: Task, examples: int | None, devices: Devices) -> Program:
    start = time.perf_counter()
    first = devices.initial(functools.partial(init, task))
    steps, advanced = (), None
    if examples is None:
        phases = tune.phases(task.net, task.recipe, task.steps)
        steps = tuple((p.end, lowered_step(task, p, devices).compile()) for p in phases)
        inferred = _lowered_infer(task, devices).compile()
    else:
        advanced, inferred = (x.compile() for x in lowered(task, examples, devices))
    places = devices.positions(task.recipe.batch_size)
    seconds = time.perf_counter() - start
    return Program(first, advanced, steps, inferred, places, task.recipe.batch_size, seconds)


def lowered(task: Task, examples: int, devices: Devices) -> tuple[Any, Any]:
    """`advance` and `infer` of `Program`, traced and not yet compiled, for devices that need not be
    there."""
    function, arguments = step_program(task, examples, devices)
    return devices.lower(function, *arguments, donate=(0, 1)), _lowered_infer(task, devices)


def step_program(
    task: Task, examples: int, devices: Devices
) -> tuple[Callable[..., tuple[State, Sums]], tuple[Any, ...]]:
    """`advance` of `Program` as a function, and the shapes and types of its arguments."""
    images = jax.ShapeDtypeStruct((examples, *task.image_shape), task.input_dtype)
    labels = jax.ShapeDtypeStruct((examples,), jnp.int32)
    state, sums, key, hyper = _abstract(task, devices)
    draw = functools.partial(draws, examples=examples, size=task.recipe.batch_size)
    drawn = jax.eval_shape(draw, key, 0)
    arguments = (
        state,
        sums,
        *devices.abstract((images, labels, drawn)),
        hyper,
        devices.abstract(jax.ShapeDtypeStruct((), jnp.int32)),
        devices.abstract_positions(task.recipe.batch_size),
    )
    return functools.partial(advance, task, devices), arguments


def lowered_step(task: Task, phase: tune.Phase, devices: Devices) -> Any:
    """`advance_batch`, traced and not yet compiled."""
    size = task.recipe.batch_size
    batch = (
        jax.ShapeDtypeStruct((size, *task.image_shape), task.input_dtype),
        jax.ShapeDtypeStruct((size,), jnp.int32),
    )
    return devices.lower(
        functools.partial(advance_batch, task, devices, phase),
        *_abstract(task, devices),
        *devices.abstract_own(batch),
        devices.abstract_positions(size),
        donate=(0,),
        own=3,
    )


def _lowered_infer(task: Task, devices: Devices) -> Any:
    state, *_ = _abstract(task, devices)
    images = jax.ShapeDtypeStruct((task.recipe.batch_size, *task.image_shape), task.input_dtype)
    return devices.lower_batch(
        lambda weights, images: logits_of(task, devices.context(), *weights, images),
        (state.params, state.batch_stats),
        devices.abstract_batch(images),
    )


def _abstract(task: Task, devices: Devices) -> tuple[State, Sums, Any, Hyper]:
    """State, sums, key and hyper as shapes and types."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(functools.partial(init, task), key)
    hyper = jax.eval_shape(lambda: Hyper.of(task.recipe))
    return devices.abstract_state(state), *devices.abstract((Sums.zero(), key, hyper))


class Answers(NamedTuple):
    """Outputs [N, ...] and labels [N] of a split or a batch of it, each example once."""

    outputs: np.ndarray
    labels: np.ndarray


def predict(
    infer: Callable[..., jax.Array],
    weights: Any,
    split: Split | Stream,
    devices: Devices,
    size: int,
) -> Answers:
    """What `infer` gives for a split in float32, `size` at a time."""
    found = list(batches(infer, weights, split, devices, size))
    outputs, labels = map(np.concatenate, zip(*found, strict=True))
    return Answers(outputs.astype(np.float32), labels)


def batches(
    infer: Callable[..., jax.Array],
    weights: Any,
    split: Split | Stream,
    devices: Devices,
    size: int,
) -> Iterator[Answers]:
    """What `infer(weights, images)` gives for a split, `size` at a time; the last batch is padded
    before and cut after, so that one shape is compiled."""
    left = len(split)
    for images, labels in split.batches(size, devices.share(size), devices.data_workers):
        outputs = np.asarray(infer(weights, devices.put_share(images)))
        yield Answers(outputs[:left], devices.gathered(labels)[:left])
        left -= size
