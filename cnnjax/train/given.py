"""Variables that a training is given to start from, and whether they are its net's."""

from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.errors import UserError
from cnnjax.train.step import Task, init


def shapes(task: Task) -> dict[str, Any]:
    """The net's variables as shapes and types."""
    state = jax.eval_shape(lambda key: init(task, key), jax.random.key(0))
    return {"params": state.params, "batch_stats": state.batch_stats}


def fitted(task: Task, variables: Any) -> dict[str, Any]:
    """A copy of given variables in the parameters' type.

    Raises:
      UserError: they are another net's, naming the first that differs.
    """
    wanted, given = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): leaf
         for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (shapes(task), {"batch_stats": {}, **variables})
    )  # fmt: skip
    for name in sorted({**wanted, **given}):
        here, there = (jnp.shape(x[name]) if name in x else "none" for x in (wanted, given))
        if here != there:
            raise UserError(
                f"the weights to start from are another net's: {name} is {_sides(there)} there and "
                f"{_sides(here)} here; load them for this net with cnnjax.load_pretrained"
            )
    # A copy, since the first step takes its arrays over.
    return jax.tree.map(
        lambda x, new: jnp.array(new, x.dtype), shapes(task), {"batch_stats": {}, **variables}
    )


def _sides(shape: Any) -> str:
    return shape if isinstance(shape, str) else "×".join(map(str, shape)) or "a number"
