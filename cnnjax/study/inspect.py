"""What a net looks like inside, before and after training: gradient flow and effective field.

Costs two compilations, so it is done for the first replicate of a point, where it is asked for.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.compute.effective import EffectiveField, effective_field
from cnnjax.compute.gradients import gradient_flow
from cnnjax.data.source import Source
from cnnjax.study.pictures import shrunk
from cnnjax.train.loop import make_task
from cnnjax.train.recipe import Recipe

BATCH, IMAGES = 64, 8  # Validation images for the gradient flow, and for the effective field.
CELLS = 32  # The picture of the field has at most so many cells a side.


def inspect(
    net: Any, recipe: Recipe, source: Source, looks: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Of the net's variables at each of the named times (`start`, `end`) the gradient flow and the
    effective field, as plain data for `artifacts/inspection.json`.
    """
    task = make_task(net, recipe, source)
    batch = next(source.val.batches(min(BATCH, len(source.val))))
    images, labels = jax.jit(task.normalised)(batch.images), batch.labels
    found = {}
    for name, variables in looks.items():
        rows = gradient_flow(net, variables, images, labels)
        field = effective_field(net, variables, images[:IMAGES])
        found[name] = {"flow": rows, "field": _plain(field)}
    return found


def _plain(field: EffectiveField) -> dict[str, Any]:
    """The field with its gradient on a coarser grid, as shares of the largest."""
    top = float(field.gradient.max()) or 1.0
    cells = shrunk(field.gradient / top, CELLS)
    return {
        "size": field.size,
        "box": [list(axis) for axis in field.box],
        "image": list(field.gradient.shape),
        "gradient": np.round(cells, 4).tolist(),
    }
