"""`NAME[/CONFIG][:VERSION]`: image classification that TFDS has prepared as array_record.

Prepared datasets lie in `$TFDS_DATA_DIR` or `~/tensorflow_datasets` and are only read there.
"""

import dataclasses
import difflib
import functools
import importlib.util
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnjax.data import cache
from cnnjax.data.source import Dataset, Info, Outline, Raw, Stream, flippable, names
from cnnjax.errors import UserError, nearest

if TYPE_CHECKING:
    import tensorflow_datasets

NAMES = ()
_NAME = re.compile(r"([A-Za-z]\w*)(?:/(\w[\w.+-]*))?(?::(\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_SIDE = 64  # Pixels, for images of varied sizes when no resolution is asked for.


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What to read: the features and splits, and the side to resize to, None for as they are."""

    info: Info
    keys: tuple[str, str]
    splits: dict[str, str]
    side: int | None


def claims(name: str) -> bool:
    """Nothing: it gets what no other source claims."""
    return False


def stamp(dataset: Dataset) -> str:
    folder = _find(dataset.name)
    files = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir())
    identity = cache.digest(str(folder.resolve()), files)
    side = f"{dataset.resolution}px" if dataset.resolution else "native"
    return f"tfds-{'-'.join(folder.parts[len(_root().parts) :])}-{side}-{identity}"


def outline(dataset: Dataset) -> Outline:
    """From the cache, without importing TFDS, once it is known."""

    def make() -> Outline:
        builder = _builder(dataset.name)
        plan = _plan(builder, dataset)
        sizes = {
            name: builder.info.splits[split].num_examples for name, split in plan.splits.items()
        }
        return Outline(plan.info, sizes["train"], sizes.get("val"), sizes.get("test"))

    return cache.outlined(stamp(dataset), make)


def nbytes(dataset: Dataset) -> int:
    found = outline(dataset)
    examples = found.train + (found.val or 0) + (found.test or 0)
    return examples * math.prod(found.info.image_shape)


def stream(dataset: Dataset) -> Raw:
    """Raises UserError: images that are no squares, where no resolution is asked for."""
    return _stream(dataset.name, stamp(dataset), dataset.resolution, dataset.eval_crop)


@functools.lru_cache(maxsize=4)
def _stream(name: str, stamp: str, resolution: int | None, share: float) -> Raw:
    from cnnjax.data import records

    builder = _builder(name)
    plan = _plan(builder, Dataset(name, resolution=resolution))
    height, width, channels = plan.info.image_shape
    if height != width:
        raise UserError(f"{name}: {height}×{width} images are streamed as squares: set resolution")
    made = {}
    for split, at in plan.splits.items():
        n = builder.info.splits[at].num_examples
        store = records.Records(str(builder.data_dir), at, plan.keys, n)
        mark = f"{stamp}-{at}-{cache.digest(share)}"
        made[split] = Stream(store, np.arange(n), (height, height, channels), share, mark)
    return Raw(plan.info, made["train"], made.get("val"), made.get("test"))


def read(dataset: Dataset) -> Raw:
    """From the cache, without importing TFDS; else decoded and resized in one pass."""

    def make() -> Raw:
        from cnnjax.data import records

        builder = _builder(dataset.name)
        plan = _plan(builder, dataset)
        _fits_memory(builder, plan)
        made = {
            name: records.read(builder, split, plan.keys, plan.side)
            for name, split in plan.splits.items()
        }
        return Raw(plan.info, made["train"], made.get("val"), made.get("test"))

    return cache.remembered(stamp(dataset), make)


def _root() -> Path:
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _find(name: str) -> Path:
    """The folder of the newest prepared version, or of the one that is named."""
    if not (parts := _NAME.fullmatch(name)):
        raise _unknown(name)
    base, config, version = parts.groups()
    folder = _root() / base / (config or "")
    prepared = _versions(folder)
    if not prepared and not config:
        configs = sorted(f.name for f in folder.glob("*/") if _versions(f))
        if len(configs) > 1:
            raise UserError(
                f"{base} is prepared as {', '.join(configs)}: write {base}/{configs[0]}"
            )
        prepared = _versions(folder / configs[0]) if configs else {}
    if version:
        prepared = {v: f for v, f in prepared.items() if v == version}
    if not prepared:
        raise _not_prepared(name, base, config, version)
    readable = [f for f in prepared.values() if any(f.glob("*.array_record*"))]
    if not readable:
        raise UserError(
            f"{name} under {_root()} is prepared in a format that needs TensorFlow to read: "
            f"delete it and run {_command(base, config, version)}"
        )
    return readable[-1]


def _versions(folder: Path) -> dict[str, Path]:
    """Prepared versions, oldest first."""
    found = [
        f.parent for f in folder.glob("*/dataset_info.json") if _VERSION.fullmatch(f.parent.name)
    ]
    return {f.name: f for f in sorted(found, key=lambda f: [int(n) for n in f.name.split(".")])}


def _builder(name: str) -> "tensorflow_datasets.core.DatasetBuilder":
    import tensorflow_datasets as tfds

    folder = _find(name)
    try:
        return tfds.builder_from_directory(folder)
    # Its JSON files may be broken in many ways, and TFDS checks few of them.
    except Exception as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise UserError(f"can't read {folder} ({reason}): prepare it again") from None


def _plan(builder: "tensorflow_datasets.core.DatasetBuilder", dataset: Dataset) -> _Plan:
    """Raises UserError: no image classification, or no training split."""
    import tensorflow_datasets as tfds

    info, name = builder.info, dataset.name
    keys = info.supervised_keys or ("image", "label")
    features = info.features if isinstance(info.features, dict | tfds.features.FeaturesDict) else {}
    image, label = (features[k] if isinstance(k, str) and k in features else None for k in keys[:2])
    pictures = isinstance(image, tfds.features.Image) and str(image.np_dtype) == "uint8"
    if not pictures or not isinstance(label, tfds.features.ClassLabel):
        raise UserError(
            f"{name} is no image classification (8-bit images with one class label each); "
            f"its features are {', '.join(sorted(features))}"
        )
    shape, notes = tuple(image.shape), ()
    side = dataset.resolution
    if side is None and None in shape[:2]:
        side = _SIDE
        notes = (f"images of varied sizes, resized to {side} pixels; set resolution for another",)
    shape = (side or shape[0], side or shape[1], shape[2] or 3)
    splits = _splits(builder, keys[1], name)
    if "test" in splits and splits["test"] != "test":
        notes += (f"test: the split {splits['test']!r}, since none with labels is called test",)
    version = f"TFDS {info.full_name}"
    told = Info(info.name, shape, tuple(label.names), flippable(info.full_name), version, notes)
    return _Plan(told, keys[:2], splits, side)


def _splits(builder: "tensorflow_datasets.core.DatasetBuilder", label: str, name: str) -> dict:
    """Which of its splits serve as train, val and test; those without labels serve as none."""
    from cnnjax.data import records

    there = {split for split, found in builder.info.splits.items() if found.num_examples}
    if "train" not in there:
        raise UserError(
            f"{name} has no training split; it has {', '.join(sorted(there)) or 'none'}"
        )
    if "test" in there and records.first_label(builder, "test", label) < 0:
        there.remove("test")
    val = next((split for split in ("validation", "val", "valid") if split in there), None)
    chosen = {"train": "train"}
    if "test" in there:
        return chosen | {"test": "test"} | ({"val": val} if val else {})
    return chosen | ({"test": val} if val else {})


def _fits_memory(builder: "tensorflow_datasets.core.DatasetBuilder", plan: _Plan) -> None:
    height, width, channels = plan.info.image_shape
    n = sum(builder.info.splits[split].num_examples for split in plan.splits.values())
    need = n * height * width * channels
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > have:
        gib = f"{need / 2**30:.0f} GiB of memory, and there are {have / 2**30:.0f}"
        raise UserError(
            f"{plan.info.name} at {height}x{width} needs {gib}: stream it or lower the resolution"
        )


def _not_prepared(name: str, base: str, config: str | None, version: str | None) -> UserError:
    others = list(_versions(_root() / base / (config or "")))
    known = base in _catalogue() or others or (_root() / base).is_dir()
    if not known:
        return _unknown(name)
    there = f" (there: {', '.join(others)})" if others else ""
    return UserError(
        f"{name} is not prepared under {_root()}{there}: run {_command(base, config, version)}, "
        "or set TFDS_DATA_DIR to where it is"
    )


def _command(base: str, config: str | None, version: str | None) -> str:
    full = base + (f"/{config}" if config else "") + (f":{version}" if version else "")
    made = f"tfds.builder('{full}', file_format='array_record').download_and_prepare()"
    return f"pip install -e '.[tf]' && python -c \"import tensorflow_datasets as tfds; {made}\""


def _unknown(name: str) -> UserError:
    prepared = [f.name for f in _root().glob("*/") if any(f.rglob("dataset_info.json"))]
    short = {*names(), *prepared}
    near = difflib.get_close_matches(name.lower(), short | _catalogue(), n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = nearest("", short)
    return UserError(f"unknown dataset {name!r}: {hint}{listed}, TFDS names, folder:PATH, PATH.npz")


def _catalogue() -> set[str]:
    """Names of TFDS's own datasets, by the files it comes with: listing them takes TensorFlow."""
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None or not spec.origin:
        return set()
    home = Path(spec.origin).parent
    packages = {f.name for f in (home / "datasets").glob("*/") if not f.name.startswith("_")}
    return packages | {f.stem for f in (home / "url_checksums").glob("*.txt")}
