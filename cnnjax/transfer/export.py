"""A net's variables written with others' names, for their own programs to load."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cnnjax import nets
from cnnjax.errors import UserError, unknown
from cnnjax.nets.net import Net
from cnnjax.transfer import facts, fold, layout
from cnnjax.transfer.misfits import size
from cnnjax.transfer.names import tables
from cnnjax.transfer.rules import Table, bases
from cnnjax.transfer.slots import Slot, place, slots
from cnnjax.transfer.source_images import name_of


def export(
    net: Net,
    variables: Any,
    path: str | Path,
    source: str = "torchvision",
    input_shape: tuple[int, int, int] | None = None,
) -> None:
    """Write a `.safetensors` file that the source's own net of this kind loads, strictly.

    `source`: torchvision, or another whose files are PyTorch's. `input_shape` (H, W, C) matters
    where the head flattens the map; by default that of the net's own images.

    Raises:
      UserError: the source has no such net, or its net differs from this one; variables of another
        net.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file
    except ImportError:
        raise UserError("export needs safetensors: pip install 'cnnjax[transfer]'") from None

    tensors = renamed(net, variables, source, input_shape)
    path = Path(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(tensors, fresh, metadata={"format": "pt"})
        os.replace(fresh, path)
    except (OSError, SafetensorError) as e:
        raise UserError(f"can't write {path}: {e}") from None
    finally:
        fresh.unlink(missing_ok=True)


def renamed(
    net: Net,
    variables: Any,
    source: str = "torchvision",
    input_shape: tuple[int, int, int] | None = None,
) -> dict[str, np.ndarray]:
    """What `export` writes: tensors by their names and in their layout.

    Raises: as `export`.
    """
    if input_shape is None:
        name = name_of(net)
        input_shape = nets.native_shape(name) if name else (224, 224, 3)
    found = slots(net, tuple(input_shape))
    table = _table(net, source, found)
    known = bases(table, found)
    flat = {where: np.asarray(v) for where, v in flatten_dict(variables).items()}
    tensors: dict[str, np.ndarray] = {}
    for slot in found:
        if slot.path not in known:
            raise UserError(f"{table.title} has no name for {slot.path}: export another net")
        base, held = known[slot.path]
        values = _values(slot, flat, table)
        for leaf, value in values.items():
            name = layout.theirs("torch", base, slot, leaf)
            value = layout.torchs(value, slot, leaf, held)
            tensors[name] = np.ascontiguousarray(value, np.float32)
        if "var" in values:
            tensors[f"{base}.num_batches_tracked"] = np.zeros((), np.int64)
    return tensors


def _table(net: Net, source: str, found: tuple[Slot, ...]) -> Table:
    """The source's table for this net."""
    torchs = [table for table in tables() if table.framework == "torch"]
    if source not in {table.source for table in torchs}:
        raise unknown("source", source, {table.source for table in torchs})
    fitting = [table for table in torchs if table.source == source and table.fits(net)]
    if not fitting:
        raise UserError(f"{source} has no net of this kind: export it for another source")
    told = [(table, facts.differs(table, found)) for table in fitting]
    table, differs = next((pair for pair in told if not pair[1]), told[0])
    if differs:
        raise UserError(f"{table.title} is another net: {differs}, and train that")
    return table


def _values(slot: Slot, flat: dict[tuple[str, ...], np.ndarray], table: Table) -> dict:
    """The layer's variables, batch norm under their epsilon."""
    values = {leaf: flat.get(place(slot.path, leaf)) for leaf in slot.shapes}
    for leaf, value in values.items():
        if value is None or value.shape != slot.shapes[leaf]:
            has = "nothing" if value is None else size(value.shape)
            raise UserError(
                f"the variables are another net's: {slot.path} takes {leaf} of "
                f"{size(slot.shapes[leaf])} and there is {has}"
            )
    if table.epsilon is not None and {"scale", "var"} <= values.keys():
        values["scale"], values["var"] = fold.epsilon(
            values["scale"], values["var"], slot.epsilon, table.epsilon
        )
    return values
