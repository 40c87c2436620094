"""What does a convolutional network buy with its compute?

The names below are the library's front door; JAX is imported when one of them is first used.
"""

import importlib
from typing import Any

_WHERE = {
    "get": "cnnjax.nets",
    "names": "cnnjax.nets",
    "measure": "cnnjax.compute",
    "summary": "cnnjax.api",
    "fit": "cnnjax.api",
    "load": "cnnjax.api",
    "load_pretrained": "cnnjax.transfer.pretrained",
    "export": "cnnjax.transfer.export",
    "Trained": "cnnjax.api",
    "Pretrained": "cnnjax.transfer.pretrained",
    "Net": "cnnjax.nets.net",
    "Dataset": "cnnjax.data",
    "Recipe": "cnnjax.train.recipe",
    "UserError": "cnnjax.errors",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'cnnjax' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
