"""Mistakes of the user's: said in one line that tells what to do, never a traceback."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake the user can mend; `launch.py` prints its one line and exits with status 2."""


def nearest(word: str, options: Iterable[str]) -> str:
    """`"did you mean 'depth'? "` where an option is near, else `""`, then the list of options."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}There are: {', '.join(options)}"


def unknown(kind: str, word: str, options: Iterable[str]) -> UserError:
    """The error for a name that is not there, with its nearest match and the list."""
    return UserError(f"unknown {kind} {word!r}: {nearest(word, options)}")
