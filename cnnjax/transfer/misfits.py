"""What does not fit between a file and a net, told in one line."""

import dataclasses
import difflib
from collections.abc import Iterable

from cnnjax.errors import UserError

SHOWN = 5


@dataclasses.dataclass
class Misfits:
    """Collected while weights are merged; `check` raises what there is."""

    where: str  # The file.
    title: str  # Whose names it was read by.
    explained: int  # Tensors of the file by those names,
    every: int  # of how many.
    missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # Name, our layer.
    shapes: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # Told, our layer.
    unexpected: list[str] = dataclasses.field(default_factory=list)
    broken: list[str] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """Raise a UserError if anything does not fit."""
        parts = [*self._parts()]
        if not parts:
            return
        raise UserError(
            f"{self.where} does not fit the net (read as {self.title}, whose names explain "
            f"{self.explained} of its {self.every} tensors): {'; '.join(parts)}"
        )

    def _parts(self) -> Iterable[str]:
        if self.missing:
            shown = [self._missing(*pair) for pair in self.missing[:SHOWN]]
            yield _listed("missing", shown, len(self.missing))
        if self.shapes:
            first = {layer: told for told, layer in reversed(self.shapes)}  # Of each layer.
            shown = [told for told, layer in self.shapes if first[layer] == told]
            yield _listed("of another shape", shown[:SHOWN], len(first))
        if self.unexpected:
            yield _listed("unexpected", self.unexpected[:SHOWN], len(self.unexpected))
        if self.broken:
            yield _listed("of no use", self.broken[:SHOWN], len(self.broken))
        if hint := self._hint():
            yield hint

    def _missing(self, name: str, layer: str) -> str:
        near = difflib.get_close_matches(name, self.unexpected, n=1, cutoff=0.8)
        return f"{name or 'any name'} for {layer}" + (f" (near: {near[0]})" if near else "")

    def _hint(self) -> str:
        """Where all that lacks is in the head: how to do without."""
        layers = dict.fromkeys(layer for _, layer in (*self.missing, *self.shapes))
        classes = {
            n: n.startswith("head/logits") or n.endswith("/auxiliary/logits") for n in layers
        }
        if not layers or not all(of or n.startswith("head/") for n, of in classes.items()):
            return ""
        scopes = tuple(dict.fromkeys("head" if of else n for n, of in classes.items()))
        said = f'"{scopes[0]}"' if len(scopes) == 1 else str(scopes).replace("'", '"')
        why = "the classes differ: " if all(classes.values()) and not self.missing else ""
        return f"{why}to start {'them' if why else 'these layers'} anew give reinit={said}"


def _listed(what: str, told: list[str], every: int) -> str:
    more = f" and {every - len(told)} more" if every > len(told) else ""
    return f"{every} {what}: {', '.join(told)}{more}"


def size(shape: tuple[int, ...]) -> str:
    """3×3×64×64"""
    return "×".join(map(str, shape)) or "a number"
