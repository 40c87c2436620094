"""Prepared TFDS datasets, read without TensorFlow. Importing this is what imports TFDS."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from cnnjax.data import pixels
from cnnjax.data.split import Split
from cnnjax.data.stream import Encoded
from cnnjax.errors import UserError

_BATCH = 1024  # Records decoded before they are resized: bounds what large images take.


def read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    keys: tuple[str, str],
    side: int | None,
    facts: Mapping[str, type] | None = None,
) -> Split:
    """One split of an array_record dataset.

    Args:
      keys: the features that hold the image and the label.
      side: pixels to resize images to, or None for images that are all of one size.
      facts: features to keep beside them, and their dtypes.

    Raises:
      UserError: an image that can't be decoded.
    """
    image, label = keys
    records = _records(builder, split, {label, *(facts or {})})
    channels = builder.info.features[image].shape[-1] or 3
    images, labels, columns = [], [], {name: [] for name in facts or {}}
    for start in range(0, len(records), _BATCH):
        chunk = range(start, min(start + _BATCH, len(records)))
        batch = records.__getitems__(list(chunk))
        try:
            decoded = [pixels.decode(r[image], channels) for r in batch]
        except ValueError as e:
            where = f"{builder.info.full_name} under {Path(builder.data_dir)}"
            raise UserError(f"can't decode an image of {where} ({e}): prepare it again") from None
        images.append(np.stack(decoded if side is None else [pixels.fit(x, side) for x in decoded]))
        labels += [r[label] for r in batch]
        for name, column in columns.items():
            column += [r[name] for r in batch]
    extra = {name: np.array(column, facts[name]) for name, column in columns.items()}
    return Split(np.concatenate(images), np.array(labels, np.int32), extra)


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """A split of an array_record dataset as a store of examples; `keys` name image and label."""

    folder: str
    split: str
    keys: tuple[str, str]
    examples: int

    def __len__(self) -> int:
        return self.examples

    def __getitem__(self, i: int) -> Encoded:
        image, label = self.keys
        record = self._source[i]
        return Encoded(record[image], int(record[label]))

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files, which each process has of its own."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @functools.cached_property
    def _source(self) -> Any:
        return _records(tfds.builder_from_directory(self.folder), self.split, {self.keys[1]})

    def unreadable(self, i: int, reason: str) -> UserError:
        where = f"number {i} of {self.split!r} under {self.folder}"
        return UserError(f"can't decode the image {where} ({reason}): prepare it again")


def first_label(builder: tfds.core.DatasetBuilder, split: str, label: str) -> int:
    """The first example's label: negative in splits whose labels are kept secret."""
    return int(_records(builder, split, {label})[0][label])


def _records(builder: tfds.core.DatasetBuilder, split: str, decoded: set[str]):
    """Records with all but the `decoded` features left as bytes.

    Images too: TFDS would decode them with OpenCV where that is installed and with Pillow where
    not, and the two differ.
    """
    features = builder.info.features
    skipped = {name: tfds.decode.SkipDecoding() for name in features if name not in decoded}
    return builder.as_data_source(split, decoders=skipped)
