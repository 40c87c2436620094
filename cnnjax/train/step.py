"""One training step and one evaluation, as pure functions that know no devices.

With `axis_name` the gradients, statistics and metrics are joined over that device axis; without,
the functions see the whole batch.
"""

import dataclasses
from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from cnnjax.compute.training import without_gradient
from cnnjax.data.augment import augment, distort, normalise
from cnnjax.data.changes import Augment
from cnnjax.nets import auxiliary
from cnnjax.nets.context import Context, wide
from cnnjax.nets.net import Net
from cnnjax.train import average, mix, resolution, tune
from cnnjax.train.accumulate import in_parts
from cnnjax.train.mix import Targets
from cnnjax.train.optimizer import Hyper, make_optimizer
from cnnjax.train.recipe import Recipe
from cnnjax.train.scan import scannable, unstack


class State(struct.PyTreeNode):
    """What training changes."""

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any = struct.field(default_factory=dict)  # Variables, where an average is kept.

    @property
    def variables(self) -> dict[str, Any]:
        """The net's, as `net.init` returns them: the average where one is kept."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


class Batch(NamedTuple):
    """uint8 images [B, H, W, C], labels [B], and for each example a key [B] and, where they are
    drawn already, what `data.augment` draws by it [B, WORDS]."""

    images: jax.Array
    labels: jax.Array
    keys: jax.Array
    words: jax.Array | None = None


class Examples(NamedTuple):
    """What a net sees of a batch: images [B, H, W, C] changed at random, what they should be taken
    for, and keys [B]."""

    images: jax.Array
    targets: Targets
    keys: jax.Array


class Sums(struct.PyTreeNode):
    """Metrics as sums and a count, divided once."""

    loss: jax.Array
    correct: jax.Array
    count: jax.Array

    @classmethod
    def zero(cls) -> "Sums":
        return cls(*(jnp.zeros((), jnp.float32) for _ in range(3)))

    @classmethod
    def of(cls, losses: jax.Array, logits: jax.Array, targets: Targets) -> "Sums":
        """Of losses [B] and logits [B, classes]."""
        correct = (logits.argmax(-1).astype(jnp.int32) == targets.likeliest).sum()
        found = (losses.sum(), correct, losses.shape[0])
        return cls(*(jnp.asarray(x, jnp.float32) for x in found))


@dataclasses.dataclass(frozen=True)
class Task:
    """The static things of a training: hashable, so that a program is compiled once for it.

    `pixels`: the inputs are images of uint8, else the net's own floats, which are taken as they
    are. `cropped`: they come as what a random crop left of them.
    """

    net: Net
    recipe: Recipe
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flip: bool
    steps: int
    pixels: bool = True
    cropped: bool = False

    @classmethod
    def on_any_images(
        cls, net: Net, recipe: Recipe, image_shape: tuple[int, int, int], steps: int
    ) -> "Task":
        """Where only what a training costs is asked for, and its images need not be there."""
        channels = image_shape[2]
        return cls(net, recipe, image_shape, (0.5,) * channels, (0.25,) * channels, True, steps)

    @property
    def dtype(self) -> Any:
        return jnp.dtype(self.recipe.dtype)

    @property
    def param_dtype(self) -> Any:
        return wide(self.dtype)

    @property
    def augment(self) -> Augment:
        r = self.recipe
        return Augment(
            pad=r.pad_crop,
            flip=r.flip and self.flip,
            cutout=r.cutout,
            crop_scale=1.0 if self.cropped else r.crop_scale,
            randaugment=r.randaugment,
            jitter=r.jitter,
            erase=r.erase,
        )

    @property
    def input_dtype(self) -> Any:
        return jnp.uint8 if self.pixels else self.param_dtype

    def normalised(self, images: jax.Array) -> jax.Array:
        """uint8 [B, H, W, C] → what the net sees, in the compute type."""
        if not self.pixels:
            return images.astype(self.dtype)
        return normalise(images, jnp.array(self.mean), jnp.array(self.std), self.dtype)


def init(task: Task, key: jax.Array) -> State:
    """The state before the first step."""
    x = jnp.zeros((1, *task.image_shape), task.param_dtype)
    # Equal blocks are drawn by one scanned program, whether or not they are trained in one.
    stages = scannable(task.net, task.image_shape)
    ctx = Context(scan=frozenset(stages))
    return start(task, unstack(task.net.init(jax.random.fold_in(key, 0), x, context=ctx), stages))


def start(task: Task, variables: Any) -> State:
    """The state before the first step of a training that starts from the net's variables."""
    params = variables["params"]
    # Linen starts running statistics in float32 whatever the parameters are.
    stats = variables.get("batch_stats", {})
    stats = jax.tree.map(lambda s: s.astype(task.param_dtype), stats)
    hyper = Hyper.of(task.recipe)
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=stats,
        opt_state=make_optimizer(task.recipe, hyper, task.steps, task.net).init(params),
        average=average.begun(task.recipe, {"params": params, "batch_stats": stats}),
    )


def train_step(
    task: Task,
    context: Context,
    state: State,
    batch: Batch,
    hyper: Hyper,
    axis_name: str | None = None,
    frozen: frozenset[str] = frozenset(),
    side: int = 0,
) -> tuple[State, Sums]:
    """Gradient, update, and the sums of the batch before the update.

    What is in the net's scopes in `frozen` stays as it is. Images are seen at the height `side`, as
    they are for 0.

    The losses of auxiliary heads join the gradient by their weights, and stay out of the sums. Of
    mixed images the label with the larger share counts as correct. Random draws come from the
    examples' keys alone.
    """
    recipe, keys = task.recipe, batch.keys
    size = resolution.at(batch.images.shape[1:], side)[:2]
    images = task.normalised(distort(batch.images, keys, task.augment, size))
    images = augment(images, keys, task.augment, batch.words)
    images, targets = mix.mixed(images, batch.labels, keys, recipe, axis_name)
    pooled = axis_name if recipe.batch_norm == "global" else None
    context = dataclasses.replace(context, dtype=task.dtype, axis_name=pooled)
    net = tune.held(task.net, recipe, frozen)

    def loss_of(params: Any, stats: Any, examples: Examples) -> tuple[jax.Array, Any]:
        params = without_gradient(params, frozen)
        logits, new = net.apply(
            {"params": params, "batch_stats": stats},
            examples.images,
            train=True,
            context=dataclasses.replace(context, keys=examples.keys),
            mutable=["batch_stats", auxiliary.COLLECTION],
        )
        losses = loss(logits, examples.targets, recipe.label_smoothing)
        total = losses.mean()
        for head in auxiliary.sowed(new):
            beside = loss(head.logits, examples.targets, recipe.label_smoothing)
            total += head.weight * beside.mean()
        return total, (new.get("batch_stats", {}), Sums.of(losses, logits, examples.targets))

    def gradient_of(stats: Any, examples: Examples) -> tuple[Any, Any, Sums]:
        derive = jax.grad(loss_of, has_aux=True)
        if context.gradient:
            derive = context.gradient(derive)
        gradient, (stats, sums) = derive(state.params, stats, examples)
        return gradient, stats, sums

    examples = Examples(images, targets, keys)
    gradient, batch_stats, sums = in_parts(
        recipe.accumulate, gradient_of, state.batch_stats, examples
    )
    if axis_name:
        # Running statistics are averaged even where each device has its own batch statistics:
        # there is one state.
        still = set(batch_stats) if recipe.frozen_norms else frozen
        gradient = _joined(gradient, frozen, axis_name)
        batch_stats = _joined(batch_stats, still, axis_name)
        sums = lax.psum(sums, axis_name)
    optimizer = make_optimizer(recipe, hyper, task.steps, task.net, frozen)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    variables = {"params": params, "batch_stats": batch_stats}
    new = state.replace(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        average=average.renewed(recipe, state.average, variables, state.step),
    )
    return new, sums


def _joined(tree: Any, still: Collection[str], axis_name: str) -> Any:
    """The mean over the devices, but of what does not change, which a mean would round."""
    return tree | lax.pmean({k: v for k, v in tree.items() if k not in still}, axis_name)


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """[B, classes], [B] → [B]; smoothed targets after Szegedy et al. 2016, §7."""
    target = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    if smoothing:
        target = optax.smooth_labels(target, smoothing)
    return optax.softmax_cross_entropy(logits, target)


def loss(logits: jax.Array, targets: Targets, smoothing: float = 0.0) -> jax.Array:
    """[B, classes] → [B]: the cross-entropy, of mixed images by the shares of both labels."""
    losses = cross_entropy(logits, targets.labels, smoothing)
    if targets.share is None:
        return losses
    share = targets.share.astype(losses.dtype)
    return share * losses + (1 - share) * cross_entropy(logits, targets.others, smoothing)


def logits_of(
    task: Task, context: Context, params: Any, batch_stats: Any, images: jax.Array
) -> jax.Array:
    """uint8 [B, H, W, C] → logits [B, classes] in inference."""
    ctx = dataclasses.replace(context, dtype=task.dtype)
    variables = {"params": params, "batch_stats": batch_stats}
    images = task.normalised(resolution.seen(images, task.recipe.test_resolution))

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        return task.net.apply(variables, images, train=False, context=ctx)

    if context.inference:
        infer = context.inference(infer)
    return infer(variables, images)
