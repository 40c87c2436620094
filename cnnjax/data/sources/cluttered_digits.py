"""`cluttered_digits`: the embedded dataset, made on first use; see `cnnjax.data.clutter`."""

import contextlib
import dataclasses
import io
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
    # TFDS talks of downloading, and there is none.
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with cache.whole_folder(folder) as part, quiet[0], quiet[1]:
        _builder(part, size).download_and_prepare()


def _read(folder: Path, size: int) -> Raw:
    from cnnjax.data import clutter_builder, records

    builder = _builder(folder, size)
    keys, facts = ("image", "label"), clutter_builder.FACTS
    splits = {name: records.read(builder, name, keys, None, facts) for name in builder.info.splits}
    return Raw(_info(size), **splits)


def _builder(folder: Path, size: int):
    from cnnjax.data.clutter_builder import CanvasConfig, ClutteredDigits

    config = CanvasConfig(name=f"{size}px", size=size)
    return ClutteredDigits(data_dir=folder, config=config, file_format="array_record")
