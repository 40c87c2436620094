"""Frozen values: what nets, recipes and runs are made of; they print, hash, compare and serialise.

A value's JSON carries its type as a tag. Its key is a hash of the canonical JSON in which fields
that hold their default are left out, so that a field added later orphans no old result.
"""

import ast
import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any, dataclass_transform

from cnnjax.errors import UserError, unknown

_HIDDEN = ("parent", "name")  # Linen's own fields: where a module stands, not what it is.
_types: dict[str, type] = {}


@dataclass_transform(frozen_default=True)
def value(cls: type) -> type:
    """Make `cls` a frozen dataclass whose instances can be written as JSON and read back."""
    return register(dataclasses.dataclass(frozen=True)(cls))


def register(cls: type) -> type:
    """Give a dataclass (a Linen module is one) its JSON tag.

    Raises:
      TypeError: another module's type has it.
    """
    other = _types.setdefault(tag(cls), cls)
    if other.__module__ != cls.__module__:
        raise TypeError(f"{cls.__module__} and {other.__module__} both have a type {tag(cls)!r}")
    _types[tag(cls)] = cls
    return cls


def tag(cls: type) -> str:
    """`Residual` for the project's own types, `module:Name` for others'."""
    own = cls.__module__.split(".")[0] == "cnnjax"
    return cls.__qualname__ if own else f"{cls.__module__}:{cls.__qualname__}"


def fields(v: Any) -> list[dataclasses.Field]:
    """The fields that make the value what it is."""
    found = dataclasses.fields(v)
    linen = any(f.name == "parent" for f in found)
    return [f for f in found if not (linen and f.name in _HIDDEN)]


def is_value(v: Any) -> bool:
    return dataclasses.is_dataclass(v) and not isinstance(v, type)


def to_json(v: Any, defaults: bool = True) -> Any:
    """Plain JSON data; with `defaults=False` fields that hold their default are left out."""
    if is_value(v):
        kept = [f for f in fields(v) if defaults or not _is_default(f, getattr(v, f.name))]
        return {"type": tag(type(v))} | {
            f.name: to_json(getattr(v, f.name), defaults) for f in kept
        }
    if isinstance(v, tuple | list):
        return [to_json(x, defaults) for x in v]
    if isinstance(v, bool | int | float | str) or v is None:
        return v
    raise TypeError(f"{v!r} can't be part of a value: use numbers, text, tuples and frozen values")


def from_json(data: Any) -> Any:
    """The value that `to_json` wrote; lists become tuples. Nothing is imported for it.

    Raises:
      UserError: a type of a module that has not been imported, or a type or field that this
        version does not know, named.
    """
    if isinstance(data, Mapping):
        cls = _resolve(str(data.get("type")))
        given = {k: from_json(x) for k, x in data.items() if k != "type"}
        names = {f.name for f in fields(cls)}
        for name in given:
            if name not in names:
                raise unknown(f"field of {data['type']}", name, names)
        return cls(**given)
    if isinstance(data, list):
        return tuple(from_json(x) for x in data)
    return data


def key(v: Any) -> str:
    """16 hexadecimal digits that stay the same between processes and versions."""
    text = json.dumps(to_json(v, defaults=False), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse(text: str, family: Mapping[str, type], kind: str) -> Any:
    """Read `sgd` or `sgd(momentum=0.8)` as a value of one of the family's types.

    Raises:
      UserError: an unknown name or field, or an argument that is not a plain literal.
    """
    name, _, rest = text.strip().partition("(")
    if name not in family:
        raise unknown(kind, name, family)
    try:
        call = ast.parse(f"f({rest}" if rest else "f()", mode="eval").body
        given = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        if call.args:
            raise ValueError
    except (SyntaxError, ValueError, AttributeError):
        raise UserError(
            f"can't read {kind} {text!r}: write {name} or {name}(field=value)"
        ) from None
    names = [f.name for f in fields(family[name])]
    for field in given:
        if field not in names:
            raise unknown(f"field of {name}", field, names)
    return family[name](**given)


def _is_default(field: dataclasses.Field, v: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return v == field.default and type(v) is type(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return v == field.default_factory()
    return False


def _resolve(name: str) -> type:
    module, colon, _ = name.partition(":")
    if name not in _types and colon and module not in sys.modules:
        # To import it would run whatever code the data ask for.
        raise UserError(
            f"the type {name!r} is of the module {module!r}: import it first, if you trust it"
        )
    if name not in _types:
        raise unknown("type", name, _types)
    return _types[name]
