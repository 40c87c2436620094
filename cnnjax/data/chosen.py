"""A dataset of some of its classes: a task of its own, such as the second half of the digits."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cnnjax.data.parts import Raw
from cnnjax.data.split import Split
from cnnjax.errors import UserError


def check(classes: Sequence[int]) -> None:
    """Refuse what is no choice of classes.

    Raises:
      UserError: fewer than two, or no whole numbers in rising order.
    """
    whole = isinstance(classes, tuple) and all(type(c) is int and c >= 0 for c in classes)
    if not whole or list(classes) != sorted(set(classes)) or len(classes) == 1:
        raise UserError(f"classes={classes!r}: use at least two whole numbers in rising order")


def of(raw: Raw, classes: Sequence[int]) -> Raw:
    """What is left of a dataset in memory; all of it where no classes are named.

    Raises:
      UserError: a class that it does not have.
    """
    if not classes:
        return raw
    info = raw.info
    if classes[-1] >= info.classes:
        raise UserError(
            f"classes: {info.name} has no class {classes[-1]}: they are numbered from 0 to "
            f"{info.classes - 1}"
        )
    names = tuple(info.class_names[c] for c in classes)
    note = f"of {info.classes} classes only {', '.join(names)}"
    kept = {name: _kept(getattr(raw, name), classes) for name in ("train", "val", "test")}
    info = dataclasses.replace(info, class_names=names, notes=(*info.notes, note))
    return Raw(info, **kept)


def _kept(split: Split | None, classes: Sequence[int]) -> Split | None:
    if split is None:
        return None
    there = split.take(np.flatnonzero(np.isin(split.labels, classes)))
    labels = np.searchsorted(classes, there.labels).astype(there.labels.dtype)
    return dataclasses.replace(there, labels=labels)
