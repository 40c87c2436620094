"""A peer in a process of its own does what it does in ours, and its end is told."""

import functools
import os

import pytest

from cnnjax.errors import UserError
from cnnjax.peers import Program, Programs, apart


def counting(folder):
    """Writes how often it was called, and by which process."""

    def made():
        def call(count):
            with (folder / "calls").open("a") as file:
                file.write(f"{os.getpid()} {count}\n")

        return Program(call, 1.5, 64)

    return Programs(made, unable, anew=True)


def unable():
    raise UserError("it has no such net")


def ending():
    return Programs(lambda: os._exit(3), unable)


def lacking():
    raise ImportError("no module of that name")


opened = functools.partial(apart.opened, apart.on_cpu)


def test_calls_are_made_by_one_process_that_ends_with_them(tmp_path):
    with opened(counting, tmp_path) as programs:
        assert programs.anew
        program = programs.train_step()
        assert (program.compile_seconds, program.temp_bytes) == (1.5, 64)
        program.call(1)
        program.call(20)
        (first, one), (second, twenty) = (
            line.split() for line in (tmp_path / "calls").read_text().splitlines()
        )
        assert first == second != str(os.getpid()) and (one, twenty) == ("1", "20")
        with pytest.raises(UserError, match="it has no such net"):
            programs.inference()
        program.call(1)  # What it can't do ends nothing.
    with pytest.raises(ProcessLookupError):
        os.kill(int(first), 0)


def test_a_process_that_ends_is_told():
    with opened(ending) as programs, pytest.raises(UserError, match="^its process ended"):
        programs.train_step()
    with pytest.raises(UserError, match="^its process ended"), opened(os._exit, 3):
        pass


def test_what_can_not_be_made_is_told():
    why = "^it can't be imported: no module of that name$"
    with pytest.raises(UserError, match=why), opened(lacking):
        pass
    with pytest.raises(UserError, match="it has no such net"), opened(unable):
        pass
