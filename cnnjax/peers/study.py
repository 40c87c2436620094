"""A study as one writes it by hand in another framework: every net trained from every seed, with
accuracies on validation after each epoch and on test images at the end, and nothing kept.

Run as `python -m cnnjax.peers.study PEER FILE`, FILE being the JSON of a `Sweep`; with `data` as
PEER it makes the dataset alone, which is then in the cache.
"""

import importlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax import nets, values
from cnnjax.data import Dataset, load
from cnnjax.nets.net import Net
from cnnjax.values import value

Trainer = Callable[[np.ndarray, np.ndarray, float], None]  # images, labels, rate: one step.
Judge = Callable[[np.ndarray], np.ndarray]  # images → classes.


@value
class Sweep:
    """The nets and how each is trained: SGD with momentum, one cycle of the learning rate."""

    nets: tuple[Net, ...]
    dataset: Dataset
    seeds: int = 3
    epochs: int = 11
    batch_size: int = 32
    learning_rate: float = 0.2


def run(
    sweep: Sweep, start: Callable[[Net, tuple[int, int, int], int], tuple[Trainer, Judge]]
) -> Iterator[float]:
    """Each training's test accuracy; `start(net, image_shape, seed)` begins one."""
    source = load(sweep.dataset)
    shape, size = source.info.image_shape, sweep.batch_size
    splits = {
        name: ((split.images / np.float32(255) - source.mean) / source.std, split.labels)
        for name, split in (("train", source.train), ("val", source.val), ("test", source.test))
    }
    images, labels = splits["train"]
    steps = sweep.epochs * (len(labels) // size)
    for net in sweep.nets:
        for seed in range(sweep.seeds):
            train, judge = start(net, shape, seed)
            draws, step = np.random.default_rng(seed), 0
            for _ in range(sweep.epochs):
                order = draws.permutation(len(labels))
                for rows in order[: len(labels) // size * size].reshape(-1, size):
                    train(images[rows], labels[rows], sweep.learning_rate * cycle(step / steps))
                    step += 1
                accuracy(judge, *splits["val"], size)
            yield accuracy(judge, *splits["test"], size)


def cycle(progress: float, peak: float = 0.1) -> float:
    """Up in a line, down in a cosine."""
    if progress < peak:
        return 0.04 + 0.96 * progress / peak
    return 0.5 + 0.5 * math.cos(math.pi * (progress - peak) / (1 - peak))


def accuracy(judge: Judge, images: np.ndarray, labels: np.ndarray, size: int) -> float:
    """The last batch may be smaller."""
    found = [judge(images[i : i + size]) for i in range(0, len(labels), size)]
    return float(np.mean(np.concatenate(found) == labels))


def torch(net: Net, shape: tuple[int, int, int], seed: int) -> tuple[Trainer, Judge]:
    import torch
    from torch.nn.functional import cross_entropy

    from cnnjax.peers.torch_net import build

    torch.manual_seed(seed)
    model = build(net, shape)
    rule = torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)

    def put(images: np.ndarray) -> Any:  # NHWC in memory is channels last.
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def train(images: np.ndarray, labels: np.ndarray, rate: float) -> None:
        model.train()
        rule.param_groups[0]["lr"] = rate
        rule.zero_grad(set_to_none=True)
        cross_entropy(model(put(images)), torch.from_numpy(labels).long()).backward()
        rule.step()

    def judge(images: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.inference_mode():
            return model(put(images)).argmax(1).numpy()

    return train, judge


def flax(net: Net, shape: tuple[int, int, int], seed: int) -> tuple[Trainer, Judge]:
    import jax
    import jax.numpy as jnp
    import optax

    variables = net.init(jax.random.key(seed), jnp.zeros((1, *shape)))
    params, stats = variables["params"], variables.get("batch_stats", {})
    rule = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9, nesterov=True)
    chain = optax.chain(optax.add_decayed_weights(5e-4), rule)

    @jax.jit
    def step(params, stats, moments, images, labels, rate):
        def loss(params):
            logits, new = net.apply(
                {"params": params, "batch_stats": stats}, images, train=True,
                mutable=["batch_stats"],
            )  # fmt: skip
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), new.get("batch_stats", {})

        gradients, new = jax.grad(loss, has_aux=True)(params)
        moments[1].hyperparams["learning_rate"] = rate
        updates, moments = chain.update(gradients, moments, params)
        return optax.apply_updates(params, updates), new, moments

    @jax.jit
    def infer(params, stats, images):
        return net.apply({"params": params, "batch_stats": stats}, images).argmax(1)

    state = [params, stats, chain.init(params)]

    def train(images: np.ndarray, labels: np.ndarray, rate: float) -> None:
        state[:] = step(*state, images, labels, jnp.float32(rate))

    return train, lambda images: np.asarray(infer(*state[:2], images))


def main(peer: str, file: str) -> None:
    nets.names()  # Imports them all: a block's type is known once its module is.
    sweep = values.from_json(json.loads(Path(file).read_text()))
    if peer == "data":
        load(sweep.dataset)
    else:
        print(json.dumps(list(run(sweep, {"torch": torch, "flax": flax}[peer]))))


if __name__ == "__main__":
    # The module by its name, under which the types in the file are known.
    importlib.import_module("cnnjax.peers.study").main(*sys.argv[1:])
