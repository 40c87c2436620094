"""The TFDS builder of the cluttered digits. Importing this is what imports TFDS."""

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from cnnjax.data import clutter, pixels
from cnnjax.data.source import SIZES, Split

FACTS = {"scale": np.int32, "fragments": np.int32, "clutter": np.float32, "original": np.int32}


@dataclasses.dataclass(kw_only=True)
class CanvasConfig(tfds.core.BuilderConfig):
    """A canvas `size` pixels wide."""

    size: int = 32


class ClutteredDigits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """scikit-learn's digits at random scale and place among fragments of others."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list] = [
        CanvasConfig(name=f"{size}px", size=size) for size in range(SIZES[0], SIZES[1] + 1)
    ]
    # Nothing is downloaded; looking for checksums would take a package TFDS doesn't install.
    url_infos: ClassVar[dict] = {}

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        features = {
            "image": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features | FACTS),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # The order is the recipe's, not that of TFDS's hashes.
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = digits.images.astype(np.uint8)
        made = clutter.splits(images, digits.target, self.builder_config.size, clutter.Recipe())
        return {name: self._generate_examples(split) for name, split in made.items()}

    def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict]]:
        # PNG bytes, not arrays: encoding arrays needs TensorFlow.
        for i in range(len(split)):
            example = split[i]
            facts = {name: dtype(example[name]) for name, dtype in FACTS.items()}
            image = pixels.png(example["image"])
            yield i, {"image": image, "label": int(example["label"])} | facts


def builder(folder: Path, size: int) -> ClutteredDigits:
    """The builder of canvases of one size that reads and writes in `folder`."""
    return ClutteredDigits(data_dir=folder, config=f"{size}px", file_format="array_record")


def prepare(folder: Path, size: int) -> None:
    """Make the dataset in `folder`, quietly: TFDS talks of downloading, and there is none."""
    tfds.display_progress_bar(False)
    try:
        # Standard error is left as it is: the first to log would bind it for good.
        with contextlib.redirect_stdout(io.StringIO()):
            builder(folder, size).download_and_prepare()
    finally:
        tfds.display_progress_bar(True)
