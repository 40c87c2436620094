"""cnnjax itself, as the others are measured: the program of a training, and inference."""

from collections.abc import Callable
from typing import Any

from cnnjax.peers import Program, Programs
from cnnjax.train.clock import temp_bytes
from cnnjax.train.devices import local
from cnnjax.train.recipe import Recipe
from cnnjax.train.speed import Bench, built
from cnnjax.train.step import Task


def make(net: Any, image_shape: tuple[int, int, int], batch_size: int, seed: int = 0) -> Programs:
    """On one device."""
    recipe = Recipe(batch_size=batch_size)
    devices = local(count=1)

    def program(make: Callable[[Bench], Any]) -> Program:
        bench = Bench(Task.on_any_images(net, recipe, image_shape, recipe.epochs), devices, seed)
        call, compiled, seconds = built(lambda: make(bench))
        return Program(call, seconds, temp_bytes(compiled))

    return Programs(
        lambda: program(Bench.training),
        lambda: program(lambda bench: bench.inference(devices, batch_size)),
        anew=True,
    )
