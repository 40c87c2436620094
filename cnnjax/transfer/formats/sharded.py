"""Safetensors in several files, by their index; `cnnjax.transfer.shards` has its form."""

from pathlib import Path

from cnnjax.errors import UserError
from cnnjax.transfer.formats import safetensors
from cnnjax.transfer.shards import ENDING, INDEX, inside, shards
from cnnjax.transfer.weights import Weights, line

SHOWN = f"their {INDEX}, or a folder with one"
_SHOWN = 3


def claims(path: Path) -> bool:
    """By its name: what is in it is any JSON."""
    return (path / INDEX).is_file() or (path.is_file() and path.name.endswith(ENDING))


def files(path: Path) -> list[Path]:
    index = _index(path)
    return [index, *(inside(index.parent, name) and index.parent / name for name in shards(index))]


def read(path: Path) -> Weights:
    """The tensors of all files that the index names, each in that which it says, and no others.

    Raises:
      UserError: a file is missing, damaged or elsewhere, or holds other tensors than it should.
    """
    index = _index(path)
    found: dict = {}
    about: dict = {}
    for name, named in shards(index).items():
        shard = safetensors.read(inside(index.parent, name))
        if twice := found.keys() & shard.tensors.keys():
            raise UserError(f"{index}: {_some(twice)} is in two files, one of them {line(name)}")
        if missing := named - shard.tensors.keys():
            raise UserError(f"{index}: {_some(missing)} is not in {line(name)}: download it again")
        if extra := shard.tensors.keys() - named:
            raise UserError(f"{index}: {_some(extra)} in {line(name)} is not in the index")
        found |= shard.tensors
        about |= shard.about
    return Weights(found, "torch", str(path), about)


def _index(path: Path) -> Path:
    return path / INDEX if path.is_dir() else path


def _some(names: set[str]) -> str:
    shown = ", ".join(line(name) for name in sorted(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
