"""Native convolutions, pools and sums, compiled for this machine's processor when first wanted.

Nothing is compiled at install: without a compiler, or where the compiler can't, all three are
XLA's. What was compiled is kept by its sources, compiler and processor, in a folder that several
machines may share.
"""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import jax
import jaxlib
from filelock import FileLock

from cnnjax.data import cache

HERE = Path(__file__).parent
# Products may be contracted into one rounding, as GCC does anyway and Clang is told to.
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-std=c++17", "-fPIC", "-w")
CALLS = (
    *("convolve", "finish", "measure", "return", "correlate"),
    *("pick", "place", "sums", "moments", "slopes"),
)
TARGETS = tuple(f"cnnjax_{name}" for name in CALLS)
SECONDS = 120  # A compilation takes 7 to 20.


class Missing(Exception):
    """Why there are none here, in a line."""


@functools.cache
def missing() -> str | None:
    """Why there are no native convolutions here, in a line; None where JAX knows them now."""
    try:
        library = _loaded()
        for name in TARGETS:
            call = jax.ffi.pycapsule(getattr(library, name))
            jax.ffi.register_ffi_target(name, call, platform="cpu")
    except Missing as e:
        return str(e)
    return None


def begin() -> None:
    """Have them compiled, where they are not yet, while something else is done."""

    def load() -> None:
        with contextlib.suppress(Missing):  # Who asks is told.
            _loaded()

    threading.Thread(target=load, daemon=True).start()


def _loaded() -> ctypes.CDLL:
    compiler = _compiler()
    path = cache.folder() / "native" / f"{_digest(compiler)}.so"
    if not path.exists():
        with _alone(path):
            if not path.exists():  # Nobody was faster.
                _compile(compiler, path)
    with contextlib.suppress(OSError):
        return ctypes.CDLL(str(path))
    path.unlink(missing_ok=True)  # Damaged: made anew.
    _compile(compiler, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as e:
        raise Missing(f"what {compiler} made can't be loaded: {e}") from None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other thread or process is at it, where its folder can be locked."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock"), timeout=SECONDS, fallback_to_soft=False)
            held.enter_context(lock)
        yield


def _compiler() -> str:
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise Missing("no C++ compiler is on the PATH (c++, g++ or clang++)")
    return found


def _compile(compiler: str, path: Path) -> None:
    """In a folder beside its place, and moved there: a kill or a second process leaves no half
    file. All sources are compiled at once."""
    parts = path.with_name(f".{uuid.uuid4().hex}.part")
    sources = sorted(HERE.glob("*.cpp"))
    objects = [parts / f"{source.stem}.o" for source in sources]
    command = (compiler, *FLAGS, f"-I{jax.ffi.include_dir()}")
    try:
        parts.mkdir(parents=True)
        cache.sweep(path.parent)
        pairs = zip(sources, objects, strict=True)
        _run(*((*command, "-c", s, "-o", o) for s, o in pairs))
        _run((*command, "-shared", *objects, "-o", parts / path.name))
        (parts / path.name).replace(path)
    except subprocess.TimeoutExpired:
        raise Missing(f"{compiler} took over {SECONDS} s to compile them") from None
    except OSError as e:
        raise Missing(f"they can't be compiled into {path.parent}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _run(*commands: tuple[str | Path, ...]) -> None:
    """All at once; a process that ends meanwhile does not wait for them."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    running: list[subprocess.Popen[str]] = []

    def end() -> None:
        for process in running:
            process.kill()

    atexit.register(end)
    try:
        running += [subprocess.Popen(command, **streams) for command in commands]
        until = time.monotonic() + SECONDS
        for (compiler, *_), process in zip(commands, running, strict=True):
            _, said = process.communicate(timeout=max(0.0, until - time.monotonic()))
            if process.returncode:
                lines = [line for line in said.splitlines() if "error" in line] or ["it failed"]
                raise Missing(f"{compiler} can't compile them: {lines[0].strip()[:200]}")
    finally:
        end()
        for process in running:
            process.communicate()
        atexit.unregister(end)


def _digest(compiler: str) -> str:
    """Of everything that what is compiled depends on."""
    parts = [file.read_bytes() for file in sorted(HERE.iterdir()) if file.suffix in (".cpp", ".h")]
    parts += [" ".join(FLAGS).encode(), jaxlib.__version__.encode(), _processor().encode()]
    try:
        version = subprocess.run((compiler, "--version"), capture_output=True, timeout=SECONDS)
        parts.append(version.stdout)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Missing(f"{compiler} does not start: {e}") from None
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """What it can do, where it says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
