"""Mistakes of the user's: said in one line that tells what to do, never a traceback."""

import difflib
import itertools
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend; `launch.py` prints its one line and exits with status 2."""


def nearest(word: str, options: Iterable[str]) -> str:
    """`"did you mean 'depth'? "` where an option is near, else `""`, then the list of options."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=len(options) or 1, cutoff=0.5)
    # Of equally near ones that which begins alike.
    best = max(near, key=lambda x: (_likeness(word, x), _alike(word, x)), default=None)
    hint = f"did you mean {best!r}? " if best else ""
    return f"{hint}There are: {', '.join(options)}"


def _alike(a: str, b: str) -> int:
    """How many letters they share from the beginning."""
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


def _likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def unknown(kind: str, word: str, options: Iterable[str]) -> UserError:
    """The error for a name that is not there, with its nearest match and the list."""
    return UserError(f"unknown {kind} {word!r}: {nearest(word, options)}")
