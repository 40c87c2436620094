"""The compiled functions of a training: many steps a dispatch, and inference a batch at a time."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.train import tune
from cnnjax.train.devices import Devices
from cnnjax.train.optimizer import Hyper
from cnnjax.train.recipe import Recipe
from cnnjax.train.scan import stack, unstack
from cnnjax.train.step import Batch, State, Sums, Task, init, logits_of, train_step


@dataclasses.dataclass(frozen=True)
class Program:
    """Compiled for one task, number of training images and set of devices.

    `advance(state, sums, images, labels, key, hyper, count, places)` takes `count` steps;
    `infer((params, batch_stats), images)` gives logits for one batch.
    """

    init: Callable[[jax.Array], State]
    advance: Callable[..., tuple[State, Sums]]
    infer: Callable[..., jax.Array]
    places: jax.Array
    batch_size: int
    compile_seconds: float


def make_program(task: Task, examples: int, devices: Devices) -> Program:
    """The program of the task; tasks that differ only in rate and decay share one."""
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
    key: jax.Array,
    hyper: Hyper,
    count: jax.Array,
    places: jax.Array,
) -> tuple[State, Sums]:
    """`count` steps on images [N, H, W, C] that live on the device, within one epoch.

    The order of an epoch is a permutation from the key and the epoch's number, so how the steps
    are cut into calls changes nothing.
    """
    size, stages = task.recipe.batch_size, devices.scanned(task.net, task.image_shape)
    context = dataclasses.replace(devices.context(), scan=frozenset(stages))
    steps = images.shape[0] // size
    epoch_key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step // steps)
    order = jax.random.permutation(epoch_key, jnp.arange(images.shape[0], dtype=jnp.int32))
    step_key = jax.random.fold_in(key, 2)

    def body(phase: tune.Phase, _: int, carry: tuple[State, Sums]) -> tuple[State, Sums]:
        state, sums = carry
        chosen = order[(state.step % steps) * size + places]
        batch = devices.shared(Batch(images[chosen], labels[chosen], places))
        state, new = train_step(
            task,
            context,
            state,
            batch,
            step_key,
            hyper,
            devices.axis_name,
            phase.frozen,
            phase.side,
        )
        return devices.kept(state), jax.tree.map(jnp.add, sums, new)

    carry, stop = (stack(state, stages), sums), state.step + count
    *early, last = tune.phases(task.net, task.recipe, task.steps)
    for phase in early:
        left = jnp.clip(jnp.minimum(stop, phase.end) - carry[0].step, 0, count)
        carry = lax.fori_loop(0, left, functools.partial(body, phase), carry)
    # The last goes on beyond its end where it is asked to, as when steps are timed.
    left = stop - carry[0].step
    state, sums = lax.fori_loop(0, left, functools.partial(body, last), carry)
    return devices.kept(unstack(state, stages)), sums


@functools.lru_cache(maxsize=64)
def _compile(task: Task, examples: int, devices: Devices) -> Program:
    start = time.perf_counter()
    first = devices.initial(functools.partial(init, task))
    advanced, inferred = (x.compile() for x in lowered(task, examples, devices))
    places = devices.positions(task.recipe.batch_size)
    seconds = time.perf_counter() - start
    return Program(first, advanced, inferred, places, task.recipe.batch_size, seconds)


def lowered(task: Task, examples: int, devices: Devices) -> tuple[Any, Any]:
    """`advance` and `infer` of `Program`, traced and not yet compiled, for devices that need not be
    there."""
    function, arguments = step_program(task, examples, devices)
    state, _, images, *_ = arguments
    size = task.recipe.batch_size
    advanced = devices.lower(function, *arguments, donate=(0, 1))
    batch = jax.ShapeDtypeStruct((size, *images.shape[1:]), images.dtype)
    inferred = devices.lower_batch(
        lambda weights, images: logits_of(task, devices.context(), *weights, images),
        (state.params, state.batch_stats),
        devices.abstract_batch(batch),
    )
    return advanced, inferred


def step_program(
    task: Task, examples: int, devices: Devices
) -> tuple[Callable[..., tuple[State, Sums]], tuple[Any, ...]]:
    """`advance` of `Program` as a function, and the shapes and types of its arguments."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(functools.partial(init, task), key)
    images = jax.ShapeDtypeStruct((examples, *task.image_shape), task.input_dtype)
    labels = jax.ShapeDtypeStruct((examples,), jnp.int32)
    hyper = jax.eval_shape(lambda: Hyper.of(task.recipe))
    count = jax.ShapeDtypeStruct((), jnp.int32)
    arguments = (
        devices.abstract_state(state),
        *devices.abstract((Sums.zero(), images, labels, key, hyper, count)),
        devices.abstract_positions(task.recipe.batch_size),
    )
    return functools.partial(advance, task, devices), arguments


def predict(
    infer: Callable[..., jax.Array],
    weights: Any,
    images: np.ndarray,
    devices: Devices,
    size: int,
) -> np.ndarray:
    """Images [N, H, W, C] → float32 logits [N, classes], `size` at a time."""
    found = batches(infer, weights, images, devices, size)
    return np.concatenate([x.astype(np.float32) for x in found])


def batches(
    infer: Callable[..., jax.Array],
    weights: Any,
    images: np.ndarray,
    devices: Devices,
    size: int,
) -> Iterator[np.ndarray]:
    """What `infer(weights, images)` gives for images [N, H, W, C], `size` at a time.

    The last batch is padded, so each example counts once and one shape is compiled.
    """
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        padded = np.zeros((size, *images.shape[1:]), images.dtype)
        padded[: len(batch)] = batch
        yield np.asarray(infer(weights, devices.put_batch(padded)))[: len(batch)]
