"""Thousands of broken weight files: each gives finite tensors or one line, and nothing else.

1,000 by default; `CNNJAX_FUZZ=10000 pytest tests/test_transfer_fuzz.py` tries more. A failure names
the seed and leaves the file; `CNNJAX_FUZZ_SEED=N` tries that seed alone.
"""

import importlib.util
import io
import os
import pickle
import random
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnnjax.errors import UserError
from cnnjax.transfer.read import read
from tests import weight_files as files
from tests.weight_files import tensor

COUNT = int(os.environ.get("CNNJAX_FUZZ", "1000"))
SEED = os.environ.get("CNNJAX_FUZZ_SEED")
SLOWEST = 20  # Seconds for a file of a few kilobytes, on the busiest machine.
# Of 100 files; a folder of the project's own takes a trace of its net each.
SHARES = {"zip": 34, "pickles": 20, "safetensors": 10, "sharded": 6, "keras": 10, "keras 2": 10}
SHARES |= {"keras archive": 8, "own": 2}
NEEDS = {"safetensors": "safetensors", "sharded": "safetensors"}
NEEDS |= dict.fromkeys(("keras", "keras 2", "keras archive"), "h5py")

_rng = np.random.default_rng(0)
KERNEL = _rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
BIAS = _rng.normal(size=4).astype(np.float32)
STATE = {
    "state_dict": {
        "conv.weight": tensor(KERNEL),
        "conv.bias": tensor(BIAS),
        "half": tensor(BIAS.astype(np.float16)),
        "bits": tensor(BIAS.view(np.uint16), kind="BFloat16"),
        "count": tensor(np.array(3)),
    },
    "epoch": 3,
    "args": {"rate": 0.1, "names": ["a", None, True]},
}

CANARY = "canary_of_the_fuzz"
GLOBALS = [("os", "system"), ("builtins", "eval"), ("builtins", "exec"), (CANARY, "run")]
GLOBALS += [("posix", "system"), ("subprocess", "Popen"), ("torch", "load"), ("shutil", "rmtree")]
CALLS = [
    b"(X\x01\x00\x00\x001tR",
    b"X\x05\x00\x00\x00touch\x85R",
    b")R",
    b")\x81",
    b"}b",
    b"",
    b"0",
]
NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF]


def hostile(rng: random.Random) -> bytes:
    """A few instructions that want something run, or more memory than there is."""
    module, name = rng.choice(GLOBALS)
    named = rng.choice(
        [
            f"c{module}\n{name}\n".encode(),
            b"\x8c%c%b\x8c%c%b\x93" % (len(module), module.encode(), len(name), name.encode()),
            f"(X\x01\x00\x00\x001i{module}\n{name}\n".encode(),
            f"(c{module}\n{name}\nX\x01\x00\x00\x001o".encode(),
            b"\x82\x01",
            b"Pstorage\n",
            b"\x8d" + b"\x7f" * 8,
            b"r\xff\xff\xff\xff",
            b"\x96" + b"\x7f" * 8,
            b"\x95" + b"\xff" * 8,
        ]
    )
    return named + rng.choice(CALLS)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes set, cut, spliced, doubled or taken out."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        if not made:
            break
        at, other = rng.randrange(len(made)), rng.randrange(len(made))
        length = min(rng.choice([1, 2, 4, 8, 32, 200]), len(made) - max(at, other))
        match rng.randrange(7):
            case 0 | 1:
                made[at] ^= 1 << rng.randrange(8)
            case 2:
                made[at] = rng.choice(NUMBERS)
            case 3:
                made[at : at + length] = made[other : other + length]
            case 4:
                made[at:at] = made[other : other + length]
            case 5:
                del made[at : at + length]
            case 6 if rng.random() < 0.3:
                del made[at:]
    return bytes(made)


def poisoned(data: bytes, rng: random.Random) -> bytes:
    """A pickle with hostile instructions in it, mostly between two of its own."""
    import pickletools

    places = [at for _, _, at in pickletools.genops(data)]
    at = rng.choice(places) if rng.random() < 0.8 else rng.randrange(len(data))
    return data[:at] + hostile(rng) + data[at:]


def mutate_zip(whole: bytes, rng: random.Random, path: Path) -> None:
    """Half of the time inside the entries, with sums that are right again."""
    if rng.random() < 0.3:
        path.write_bytes(mutated(whole, rng))
        return
    made = dict(ENTRIES)
    name = rng.choice(list(made))
    match rng.randrange(6):
        case 0 | 1:
            made["archive/data.pkl"] = poisoned(made["archive/data.pkl"], rng)
        case 2 | 3:
            made["archive/data.pkl"] = mutated(made["archive/data.pkl"], rng)
        case 4:
            made[name] = mutated(made[name], rng)
        case 5:
            other = rng.choice(list(made))
            made[name], made[other] = made[other], made[name]
    listed = list(made.items())
    if rng.random() < 0.2:
        listed.remove(rng.choice(listed))
    if rng.random() < 0.1:
        listed.append(rng.choice(listed))
    files.write_zip(path, listed, rng.choice([0, 0, 0, 8]))


ENTRIES = files.entries(STATE)


def mutate_pickles(whole: bytes, rng: random.Random, path: Path) -> None:
    head = whole.index(b".", 12) + 1  # The magic number and what it ends with.
    if rng.random() < 0.4:
        at = rng.randrange(head, len(whole))
        path.write_bytes(whole[:at] + hostile(rng) + whole[at:])
    elif rng.random() < 0.1:
        path.write_bytes(pickle.dumps({"x": np.zeros(2), "y": random.Random}))
    else:
        path.write_bytes(mutated(whole, rng))


def mutate_folder(_: bytes, rng: random.Random, path: Path) -> None:
    """One of its files, half of the time that which tells of the others."""
    chosen = rng.choice(sorted(x for x in path.rglob("*") if x.is_file()))
    if rng.random() < 0.5:
        (chosen,) = path.glob("model*.json")
    chosen.write_bytes(mutated(chosen.read_bytes(), rng))


def mutate_bytes(whole: bytes, rng: random.Random, path: Path) -> None:
    """A header's bytes more often than the numbers', which no format but the zip has sums of."""
    head = rng.choice([len(whole), 100, 600])
    path.write_bytes(mutated(whole[:head], rng) + whole[head:])


def mutate_archive(whole: bytes, rng: random.Random, path: Path) -> None:
    """Half of the time the weights in it, with sums that are right again."""
    if rng.random() < 0.5:
        path.write_bytes(mutated(whole, rng))
        return
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        made = {name: archive.read(name) for name in archive.namelist()}
    head = rng.choice([100, 600, 10_000])
    h5 = made["model.weights.h5"]
    made["model.weights.h5"] = mutated(h5[:head], rng) + h5[head:]
    files.write_zip(path, made, rng.choice([0, 0, 0, 8]))


def write_archive(path: Path) -> Path:
    h5 = files.write_keras(path.with_name("h5"), {"a": [KERNEL, BIAS], "b": [BIAS]}).read_bytes()
    return files.write_zip(path, files.keras_entries(h5))


MUTATE = {"zip": mutate_zip, "pickles": mutate_pickles, "keras archive": mutate_archive}
MUTATE |= {"sharded": mutate_folder, "own": mutate_folder}
WRITE = {
    "zip": lambda path: files.write_pth(path, STATE),
    "pickles": lambda path: files.write_old_pth(path, STATE),
    "safetensors": lambda path: files.write_safetensors(
        path, {"a": ("F32", KERNEL), "b": ("BF16", BIAS.view(np.uint16))}, {"format": "pt"}
    ),
    "sharded": lambda path: files.write_sharded(
        path, {f"model-{i}.safetensors": {f"w{i}": ("F32", KERNEL)} for i in (1, 2, 3)}
    ),
    "keras archive": write_archive,
    "keras": lambda path: files.write_keras(path, {"a": [KERNEL, BIAS], "b": [BIAS]}),
    "keras 2": lambda path: files.write_old_keras(
        path, {"a": {"a/kernel:0": KERNEL, "a/bias:0": BIAS}, "b": {"b/beta:0": BIAS}}
    ),
    "own": files.write_own,
}


@pytest.fixture
def nothing_is_run(tmp_path, monkeypatch):
    """A module that tells when it is imported, and Python's own report of what is run."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{CANARY}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    assert importlib.util.find_spec(CANARY)
    seen, watching = [], [False]
    events = {"pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "socket.connect"}

    def watch(event, arguments):
        if watching[0] and event in events:
            seen.append((event, str(arguments)))

    sys.addaudithook(watch)
    yield watching  # Only while a file is read; a hook stays for as long as Python does.
    watching[0] = False
    assert not (tmp_path / "ran").exists() and CANARY not in sys.modules
    assert seen == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", SHARES)
def test_a_broken_file_gives_finite_tensors_or_one_line(kind, tmp_path, nothing_is_run):
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind], reason="install the extra `transfer`")
    path, original = tmp_path / "x", tmp_path / "original"
    WRITE[kind](original)
    whole = original.read_bytes() if original.is_file() else b""
    read(original)  # Imports what it needs.
    watching = nothing_is_run
    seeds = [int(SEED)] if SEED else range(max(COUNT * SHARES[kind] // 100, 1))
    refused, slowest = 0, 0.0
    for seed in seeds:
        rng = random.Random(f"{kind} {seed}")
        if original.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(original, path)
        MUTATE.get(kind, mutate_bytes)(whole, rng, path)
        start = time.monotonic()
        watching[0] = True
        try:
            found = read(path)
        except UserError as e:
            assert str(e).isprintable() and str(tmp_path) in str(e), f"seed {seed}: {e!r}"
            refused += 1
        except BaseException as e:
            raise AssertionError(f"seed {seed} of {kind}: {path}") from e
        else:
            assert found.tensors, f"seed {seed}"
            for name, x in found.tensors.items():
                assert isinstance(name, str) and x.dtype.isnative, f"seed {seed}"
                finite = not np.issubdtype(x.dtype, np.inexact) or np.isfinite(x).all()
                assert finite, f"seed {seed}: {name}"
        watching[0] = False
        slowest = max(slowest, time.monotonic() - start)
        assert slowest < SLOWEST, f"seed {seed} of {kind} took {slowest:.0f} s"
    print(f"{kind}: {len(seeds)} files, {refused} refused, {slowest:.2f} s the slowest")
    assert SEED or refused >= len(seeds) // 5, "the mutations hardly break anything"
