"""Datasets: `load(Dataset("cifar10"))` is images in memory, split, with their statistics."""

from cnnjax.data.source import Dataset, Info, Outline, Source, Split, check, load, names

__all__ = ["Dataset", "Info", "Outline", "Source", "Split", "check", "load", "names"]
