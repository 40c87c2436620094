"""Pickles read as data: their instructions are followed here, and nothing is imported or called.

A filtered `pickle.Unpickler` still calls what passes the filter and allocates what the file asks
for. Here a global is only its name, and a table says what value a call of that name stands for.
"""

import dataclasses
import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from cnnjax.transfer.weights import line

_MAKE = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLE = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERAL = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_LITERAL |= {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "BINUNICODE8"}
_LITERAL |= {"SHORT_BINUNICODE", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"}
_PLAIN = (str, bytes, int, float, type(None))


@dataclasses.dataclass(frozen=True)
class Global:
    """A name such as `torch.FloatStorage` that a pickle mentions; it is never looked up."""

    name: str


class Forbidden(Exception):
    """The pickle asks for a global that is not in the table; `str` is its name."""


def load(
    stream: io.BytesIO,
    makers: Mapping[str, Callable[..., Any] | None],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of the pickle at the stream's position, which moves behind it.

    `makers`: what a call of a global gives; None for one that may be mentioned but not called.
    `persistent`: what stands for a persistent id. Sets come as lists; what objects would be given
    beyond their arguments (BUILD) is left out.

    Raises:
      Forbidden: a global that `makers` doesn't have, before anything is made of it.
      Exception: of nearly any kind, where the pickle is damaged.
    """
    machine = _Machine(makers, persistent)
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            break
        machine.step(opcode.name, argument)
    (value,) = machine.stack
    return value


class _Machine:
    """The stack, the stacks below the marks, and the memo."""

    def __init__(self, makers: Mapping[str, Callable[..., Any] | None], persistent: Any) -> None:
        self.makers = makers
        self.persistent = persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, instruction: str, argument: Any) -> None:
        push, pop = self.stack.append, self.stack.pop
        match instruction:
            case "PROTO" | "FRAME":
                pass
            case name if name in _LITERAL:
                push(argument)
            case name if name in _CONSTANT:
                push(_CONSTANT[name])
            case name if name in _MAKE:
                push(_MAKE[name]())
            case name if name in _TUPLE:
                items = [pop() for _ in range(_TUPLE[name])]
                push(tuple(reversed(items)))
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "POP":
                pop() if self.stack else self.marked()
            case "POP_MARK":
                self.marked()
            case "DUP":
                push(self.stack[-1])
            case "TUPLE" | "FROZENSET":
                items = tuple(self.marked())
                self.stack.append(items)
            case "LIST":
                items = self.marked()
                self.stack.append(items)
            case "DICT":
                items = self.marked()
                self.stack.append(filled({}, items))
            case "APPEND":
                self.extend([pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.marked())
            case "SETITEM":
                value, key = pop(), pop()
                filled(self.stack[-1], [key, value])
            case "SETITEMS":
                items = self.marked()
                filled(self.stack[-1], items)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "GLOBAL":
                push(self.named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = pop(), pop()
                push(self.named(module, name))
            case "REDUCE" | "NEWOBJ":
                arguments, made = pop(), pop()
                push(self.call(made, arguments))
            case "NEWOBJ_EX":
                keywords, arguments, made = pop(), pop(), pop()
                push(self.call(made, arguments if not keywords else None))
            case "INST":
                made = self.named(*argument.split(" ", 1))
                arguments = tuple(self.marked())
                self.stack.append(self.call(made, arguments))
            case "OBJ":
                made, *arguments = self.marked()
                self.stack.append(self.call(made, tuple(arguments)))
            case "BUILD":
                pop()
                push(pop())  # An error where nothing is that could have been built.
            case "BINPERSID":
                push(self.persistent(pop()))
            case name:
                raise ValueError(f"a pickle of weights has no {name}")

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def named(self, module: Any, name: Any) -> Global:
        if type(module) is not str or type(name) is not str:
            raise ValueError("a global without a name")
        path = f"{module}.{name}"
        if path not in self.makers:
            raise Forbidden(line(path))
        return Global(path)

    def call(self, made: Any, arguments: Any) -> Any:
        if not isinstance(made, Global) or type(arguments) is not tuple:
            raise ValueError("a call of what is no name")
        if self.makers[made.name] is None:
            raise Forbidden(f"a call of {made.name}")
        return self.makers[made.name](*arguments)

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("items for what is no list")
        self.stack[-1].extend(items)


def filled(target: dict, items: list[Any]) -> dict:
    """The dict with pairs added: `items` is key, value, key, value, ..."""
    if type(target) is not dict or len(items) % 2:
        raise ValueError("pairs for what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Tuples in tuples would be hashed to any depth.
        if not isinstance(key, _PLAIN):
            raise ValueError(f"a dict's key is a {type(key).__name__}")
        target[key] = value
    return target
