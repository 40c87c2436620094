"""A peer in a process of its own, as its users run it: with no other's allocator, threads or caches
but those of the machine."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import jax

from cnnjax.errors import UserError
from cnnjax.peers import Program, Programs

PATIENCE = 5.0  # Seconds that a process has to end by itself.


@contextlib.contextmanager
def opened(
    begin: Callable[[], None], make: Callable[..., Programs], *args: Any
) -> Iterator[Programs]:
    """The programs `make(*args)` of a process that begins with `begin()`, which ends after them.

    Raises (so do the programs):
      UserError: what the peer raised, what it can't import, or its process ended.
    """
    spawn = multiprocessing.get_context("spawn")  # Threads and a fork don't go together.
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, begin, make, args), daemon=True)
    process.start()
    theirs.close()

    def ask(*what: Any) -> Any:
        try:
            if what:
                ours.send(what)
            said = ours.recv()
        except (EOFError, OSError):
            raise UserError("its process ended") from None
        if isinstance(said, UserError):
            raise said
        return said

    def made(name: str) -> Program:
        return Program(lambda count: ask(name, count), *ask(name, None))

    try:
        anew = ask()  # What it imports is no part of what another is timed at.
        yield Programs(lambda: made("train_step"), lambda: made("inference"), anew)
    finally:
        ours.close()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()


def on_cpu() -> None:
    """JAX as it comes, on the CPU."""
    jax.config.update("jax_platforms", "cpu")


def _serve(
    pipe: Connection,
    begin: Callable[[], None],
    make: Callable[..., Programs],
    args: tuple[Any, ...],
) -> None:
    """Make what is asked for, or call it so many times over, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks.
    begin()
    try:
        programs = make(*args)
    except UserError as e:
        return pipe.send(e)
    except ImportError as e:  # It is installed, and yet something of it is not.
        return pipe.send(UserError(f"it can't be imported: {e}"))
    pipe.send(programs.anew)
    made: dict[str, Program] = {}
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, count = pipe.recv()
            try:
                if count is None:
                    made[name] = program = getattr(programs, name)()
                    pipe.send((program.compile_seconds, program.temp_bytes))
                else:
                    made[name].call(count)
                    pipe.send(None)
            except UserError as e:
                pipe.send(e)
