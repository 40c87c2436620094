"""`cluttered_digits`: the embedded dataset, made on first use; see `cnnjax.data.clutter`."""

import contextlib
import dataclasses
import shutil
from pathlib import Path

from cnnjax.data import cache, clutter
from cnnjax.data.source import Dataset, Info, Outline, Raw

NAMES = ("cluttered_digits",)
_VERSION = "1.0.0"


def claims(name: str) -> bool:
    return name in NAMES


def stamp(dataset: Dataset) -> str:
    recipe = dataclasses.asdict(clutter.Recipe())
    return f"{NAMES[0]}-{dataset.size}px-{_VERSION}-{cache.digest(recipe, dataset.size)}"


def outline(dataset: Dataset) -> Outline:
    sizes = {name: canvases for name, _, canvases in clutter.Recipe().originals}
    return Outline(_info(dataset.size), **sizes)


def read(dataset: Dataset) -> Raw:
    """From the cache; else from the TFDS dataset beside it, which is prepared if need be."""
    mark = stamp(dataset)

    def make() -> Raw:
        folder = cache.folder() / mark
        if folder.exists():
            # A damaged one shows as nearly any error, and then it is made anew.
            with contextlib.suppress(Exception):
                return _read(folder, dataset.size)
            shutil.rmtree(folder, ignore_errors=True)
        _prepare(folder, dataset.size)
        return _read(folder, dataset.size)

    return cache.remembered(mark, make)


def _info(size: int) -> Info:
    made = f"cluttered_digits {_VERSION}, made from scikit-learn's load_digits"
    return Info(
        name=NAMES[0],
        image_shape=(size, size, 1),
        class_names=tuple("0123456789"),
        flip=False,
        provenance=f"{made} (UCI handwritten digits), after Mnih et al. 2014",
    )


def _prepare(folder: Path, size: int) -> None:
    from cnnjax.data import clutter_builder

    with cache.whole_folder(folder) as part:
        clutter_builder.prepare(part, size)


def _read(folder: Path, size: int) -> Raw:
    from cnnjax.data import clutter_builder, records

    builder = clutter_builder.builder(folder, size)
    keys, facts = ("image", "label"), clutter_builder.FACTS
    splits = {name: records.read(builder, name, keys, None, facts) for name in builder.info.splits}
    return Raw(_info(size), **splits)
