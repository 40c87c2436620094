"""A linear probe: the last dense layer as a net of its own, on features that are computed once.

It is the training of the whole net in which all but that layer is frozen, in inference and without
augmentation: the same steps on the same examples, less what would be computed again in each epoch.
"""

import dataclasses
import functools
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import flax.linen as nn
import jax
import numpy as np

from cnnjax.compute.forward import abstract_variables
from cnnjax.data.source import Source, Split, Stream
from cnnjax.errors import UserError
from cnnjax.nets.context import Context
from cnnjax.nets.net import Flatten, Head, Net
from cnnjax.train.devices import Devices
from cnnjax.train.given import shapes
from cnnjax.train.program import batches
from cnnjax.train.recipe import Recipe, unaugmented
from cnnjax.train.step import Task, logits_of

LAYER = ("head", "logits")
KEPT = 8  # Splits whose features stay in memory.


class Stopped(Exception):
    """The user asked to stop before all features were there."""


@functools.lru_cache(maxsize=64)
def last_layer(net: Any, image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Inputs and outputs of the net's last layer.

    Raises:
      UserError: it is no dense layer of that name.
    """
    params = abstract_variables(net, image_shape)["params"]
    layer = params.get(LAYER[0], {}).get(LAYER[1], {})
    if set(layer) != {"kernel", "bias"} or layer["kernel"].ndim != 2:
        raise UserError(
            "fine_tune: a probe needs a net that ends in one dense layer, head/logits; this one "
            f"ends in a {type(net.head).__name__} without: use fine_tune=full or fine_tune=gradual"
        )
    return layer["kernel"].shape


def head_task(task: Task) -> Task:
    """The training of the last layer on its inputs as images of 1×1.

    Raises:
      UserError: as `last_layer`.
    """
    features, classes = last_layer(task.net, task.image_shape)
    base = Recipe()
    still = {name: getattr(base, name) for name in ("fine_tune", "layer_decay", "frozen_norms")}
    recipe = dataclasses.replace(unaugmented(task.recipe), **still)
    return dataclasses.replace(
        task,
        net=Net(stages=(), head=Head(classes, reduce=Flatten())),
        recipe=recipe,
        image_shape=(1, 1, features),
        flip=False,
        pixels=False,
    )


def last(params: Any) -> dict[str, Any]:
    """Of the net's parameters those of the last layer's net."""
    return {LAYER[0]: {LAYER[1]: params[LAYER[0]][LAYER[1]]}}


def joined(variables: Any, head: Any) -> dict[str, Any]:
    """The net's variables with the last layer's parameters from its own net."""
    params = variables["params"]
    new = params | {LAYER[0]: params[LAYER[0]] | head[LAYER[0]]}
    return {"params": new, "batch_stats": variables.get("batch_stats", {})}


def features_of(task: Task, context: Context, weights: Any, images: jax.Array) -> jax.Array:
    """uint8 [B, H, W, C] → what reaches the last layer in inference: [B, features]."""

    def tap(call: Callable, args: Any, kwargs: Any, at: nn.module.InterceptorContext) -> Any:
        here = at.method_name == "__call__" and at.module.path == LAYER
        return args[0] if here else call(*args, **kwargs)

    with nn.intercept_methods(tap):
        return logits_of(task, context, *weights, images)


class Lens:
    """A net up to its last layer, and the features of the images that it saw last."""

    def __init__(self, task: Task, devices: Devices, weights: Any):
        begun = time.perf_counter()
        self._devices, self._size = devices, task.recipe.batch_size
        self._weights = devices.put(weights)
        self._infer = _compiled(task, devices)
        # By the examples' content: datasets that differ in their training images share the others.
        self._known: OrderedDict[str, Split] = OrderedDict()
        self._names: WeakKeyDictionary[Split | Stream, str] = WeakKeyDictionary()
        self.compile_seconds = time.perf_counter() - begun

    def dispatches(self, split: Split | Stream) -> int:
        """How many batches have still to be computed for the split."""
        return 0 if self._name(split) in self._known else -(-len(split) // self._size)

    def split(self, split: Split | Stream, each: Callable[[], None] = lambda: None) -> Split:
        """The split with features [N, 1, 1, F] in place of images; `each` is called after a batch,
        and may raise."""
        name = self._name(split)
        if name not in self._known:
            found = []
            for part in batches(self._infer, self._weights, split, self._devices, self._size):
                found.append(part)
                each()
            features, labels = map(np.concatenate, zip(*found, strict=True))
            self._known[name] = Split(features[:, None, None, :], labels, split.extra)
        self._known.move_to_end(name)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return self._known[name]

    def _name(self, split: Split | Stream) -> str:
        if split not in self._names:
            content = (
                (split.stamp, split.rows)
                if isinstance(split, Stream)
                else (split.images, split.labels)
            )
            self._names[split] = _digest((content, split.extra))
        return self._names[split]

    def source(self, source: Source, each: Callable[[], None]) -> Source:
        """Training and validation as the last layer sees them; test waits until it is read."""
        train, val = self.split(source.train, each), self.split(source.val, each)
        info = dataclasses.replace(source.info, image_shape=train.images.shape[1:])
        return dataclasses.replace(source, info=info, train=train, val=val)


def lens(task: Task, devices: Devices, variables: Any) -> Lens:
    """That of an earlier training in this process, where only the last layer and what trains it
    differ: so a study computes its features once."""
    recipe = Recipe(batch_size=task.recipe.batch_size, dtype=task.recipe.dtype)
    seeing = dataclasses.replace(task, recipe=recipe, steps=1)
    params = {k: v for k, v in variables["params"].items() if k != LAYER[0]}
    above = {k: v for k, v in variables["params"][LAYER[0]].items() if k != LAYER[1]}
    body = (params, above, variables.get("batch_stats", {}))
    weights = (variables["params"], variables.get("batch_stats", {}))
    return _lens(seeing, devices, _Weights(weights, _digest(body)))


@dataclasses.dataclass(frozen=True)
class _Weights:
    """Arrays that are known by their content."""

    arrays: Any = dataclasses.field(compare=False)
    digest: str


@functools.lru_cache(maxsize=2)
def _lens(task: Task, devices: Devices, weights: _Weights) -> Lens:
    return Lens(task, devices, weights.arrays)


@functools.lru_cache(maxsize=8)
def _compiled(task: Task, devices: Devices) -> Callable[..., jax.Array]:
    whole = shapes(task)
    place = devices.put(np.zeros(())).sharding
    weights = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
        (whole["params"], whole["batch_stats"]),
    )
    images = devices.put_batch(np.zeros((task.recipe.batch_size, *task.image_shape), np.uint8))
    infer = functools.partial(features_of, task, devices.context())
    return devices.lower_batch(infer, weights, images).compile()


def _digest(tree: Any) -> str:
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()
