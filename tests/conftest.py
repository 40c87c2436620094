"""What every test runs under: eight simulated CPU devices, strict types, caches of its own."""

import functools
import os
import tempfile
from importlib import metadata
from pathlib import Path

# Before jax or cnnjax is imported. Processes that a test starts inherit these, but not the eight
# devices: they see one, as a user's would.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _made = tempfile.TemporaryDirectory(prefix="cnnjax-tests-", ignore_cleanup_errors=True)
    os.environ.setdefault("CNNJAX_TESTS", _made.name)  # Or a home that outlives this run.
_tests = Path(os.environ["CNNJAX_TESTS"])
# Never the user's. A worker has its own, since JAX may read the half of what another writes; of all
# is the native code, which takes longest.
_cache = _tests / os.environ.get("PYTEST_XDIST_WORKER", "alone") / "cache"
_cache.mkdir(parents=True, exist_ok=True)
(_tests / "native").mkdir(exist_ok=True)
if not (_cache / "native").exists():
    (_cache / "native").symlink_to(_tests / "native")
os.environ["CNNJAX_CACHE"] = str(_cache)
os.environ["TFDS_DATA_DIR"] = str(_cache.parent / "tensorflow_datasets")
os.environ["JAX_PLATFORMS"] = "cpu"
# Programs run once or a few times here: what matters is how long they take to compile. (Level 0
# is no choice: there training on eight devices differs from one, and losses are not finite.)
_quick = ["--xla_backend_optimization_level=1"]
if metadata.version("jaxlib").startswith("0.10."):  # Later ones know no other emitters.
    _quick.append("--xla_cpu_use_fusion_emitters=false")  # Half the time for a training step.
os.environ["XLA_FLAGS"] = " ".join([*_quick, os.environ.get("XLA_FLAGS", "")]).strip()

import flax.linen as nn
import hypothesis
import jax
import optax
import pytest

from cnnjax.compute import forward, trace

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")

# What a test compiled, no other of its worker compiles again.
jax.config.update("jax_compilation_cache_dir", str(_cache / "programs"))
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

# Nor does another trace again what a test traced: those of a family's nets are read in many files.
for _module in (forward, trace):
    _module._cached = functools.lru_cache(maxsize=None)(_module._cached.__wrapped__)


def pytest_runtest_setup():
    # Any program, also after a test whose study wanted the long ones only.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


# An example that compiles takes as long as it takes.
hypothesis.settings.register_profile("cnnjax", deadline=None)
hypothesis.settings.load_profile("cnnjax")


@pytest.fixture(autouse=True, scope="session")
def _flax_and_optax_promote_as_they_like():
    """Strict promotion is asked of this project: Flax's norms and optax's moments mix types."""
    chain = optax.chain

    def lenient_chain(*parts):
        whole = chain(*parts)

        def update(*args, **kwargs):
            with jax.numpy_dtype_promotion("standard"):
                return whole.update(*args, **kwargs)

        return optax.GradientTransformationExtraArgs(whole.init, update)

    def call(method, args, kwargs, context):
        foreign = not type(context.module).__module__.startswith("cnnjax.")
        with jax.numpy_dtype_promotion("standard" if foreign else "strict"):
            return method(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, nn.intercept_methods(call):
        patch.setattr(optax, "chain", lenient_chain)
        yield
