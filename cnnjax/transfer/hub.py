"""Weights on the Hugging Face hub by name, `hf:owner/name[@revision]`, through its own cache.

What the cache holds is used as it is: a run that is repeated reads the same weights, and needs no
network. Another state of the repository is asked for by its revision.
"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from cnnjax.errors import UserError
from cnnjax.transfer.shards import INDEX, shards
from cnnjax.transfer.weights import line

_PREFIX = "hf:"
# A name becomes a folder in the cache: nothing in it may lead out of there.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[A-Za-z0-9][\w./-]*)?", re.A)
# The safest first; then Keras' weights.
_FILES = ("model.safetensors", INDEX, "pytorch_model.bin")
_KERAS = (".weights.h5", ".keras")
_CONFIG = "config.json"
_CONFIG_SIZE = 1 << 20  # Bytes.


def claims(name: str | Path) -> bool:
    return isinstance(name, str) and name.startswith(_PREFIX)


def repository(name: str) -> str:
    """`owner/name` of a name on the hub, "" of a path."""
    return name.removeprefix(_PREFIX).partition("@")[0] if claims(name) else ""


def fetch(name: str) -> tuple[Path, dict[str, Any] | None]:
    """The file of weights in the cache, downloaded if need be, and the repository's config.json.

    Of weights in several files it is their index, with all of them beside it.

    Raises:
      UserError: a name of another form, no such repository or weights, no network, no library.
    """
    owner_name, revision = _parsed(name)
    try:
        from huggingface_hub import constants
    except ImportError:
        raise UserError(
            f"reading {name} needs huggingface_hub: pip install 'cnnjax[transfer]'"
        ) from None
    root = Path(constants.HF_HUB_CACHE)
    folder = _cached(owner_name, revision, root)
    file = _chosen(_names(folder)) if folder else None
    if folder is None or file is None or not _whole(folder, file, root, name):
        folder, file = _download(name, owner_name, revision, root)
    path = _inside(folder / file, root, name)
    if file == INDEX:
        path = folder / file  # Its files stand beside this link, not beside what it leads to.
        for shard in shards(path):
            _inside(folder / shard, root, name)
    if not (folder / _CONFIG).exists():
        return path, None
    return path, _read_config(_inside(folder / _CONFIG, root, name), name)


def _parsed(name: str) -> tuple[str, str | None]:
    body = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(body) or ".." in body or "--" in body or "//" in body:
        raise UserError(
            f"{name!r} is no name on the hub: write hf:owner/name or hf:owner/name@revision"
        )
    owner_name, _, revision = body.partition("@")
    return owner_name, revision or None


def _cached(owner_name: str, revision: str | None, root: Path) -> Path | None:
    """The folder of a revision in the cache, by the cache's documented layout."""
    repository = root / f"models--{owner_name.replace('/', '--')}"
    ref = repository / "refs" / (revision or "main")
    commit = ref.read_text("utf-8", "replace").strip() if ref.is_file() else revision
    if not commit or not re.fullmatch(r"[0-9a-f]{6,64}", commit):
        return None
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def _whole(folder: Path, file: str, root: Path, name: str) -> bool:
    """Whether all that an index names is in the cache."""
    if file != INDEX:
        return True
    _inside(folder / file, root, name)
    return all((folder / shard).is_symlink() or (folder / shard).exists()
               for shard in shards(folder / file))  # fmt: skip


def _download(name: str, owner_name: str, revision: str | None, root: Path) -> tuple[Path, str]:
    """(the folder of the revision in the cache, the file's name)."""
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"{name} is not in the cache {root}, and HF_HUB_OFFLINE is set: download it once with "
            "the network, or give a path"
        )
    try:
        listed = HfApi().list_repo_files(owner_name, revision=revision)
        file = _chosen(listed)
        if file is None:
            known = ", ".join((*_FILES, *(f"*{ending}" for ending in _KERAS)))
            raise UserError(f"{name} has no weights that can be read: none of {known}")
        fetch = partial(hf_hub_download, owner_name, revision=revision, cache_dir=root)
        folder = Path(fetch(file)).parent
        if _CONFIG in listed:
            fetch(_CONFIG)
        if file == INDEX:
            for shard in shards(folder / file):
                if shard not in listed:
                    raise UserError(f"{name} lacks {line(shard)}, which its {INDEX} names")
                fetch(shard)
        return folder, file
    except errors.GatedRepoError:
        raise UserError(f"{name} asks for consent: give it on the hub and set HF_TOKEN") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: the repository has no such revision") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"there is no {name} on the hub, or it is private: check the name, or set HF_TOKEN"
        ) from None
    except UserError:
        raise
    # Whatever its client for the network raises.
    except Exception as e:
        raise UserError(
            f"can't download {name} ({line(e)}): check the network, or give a path"
        ) from None


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _chosen(names: list[str]) -> str | None:
    """The file to read; files in folders of the repository are left alone."""
    keras = [n for end in _KERAS for n in sorted(names) if n.endswith(end) and "/" not in n]
    return next((name for name in (*_FILES, *keras) if name in names), None)


def _inside(path: Path, root: Path, name: str) -> Path:
    """The file itself: the cache's entries are links, but only within it."""
    found = path.resolve()
    if not found.is_relative_to(root.resolve()):
        raise UserError(f"{name} leads out of the cache {root} to {found}: remove that link")
    if not found.is_file():
        raise UserError(f"{name} is broken in the cache {root}: remove its folder there")
    return found


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        if path.stat().st_size > _CONFIG_SIZE:
            raise ValueError
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError
        return found
    except (ValueError, RecursionError):
        raise UserError(f"the {_CONFIG} of {name} is no JSON object: remove {path}") from None
