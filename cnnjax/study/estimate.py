"""How long runs will take: a prediction from MACs and activations, before anything ran.

On small nets moving activations takes as long as multiplying, so both count. The constants were
fitted to the default studies on two cores of a server processor; progress bars correct them by how
the first runs turned out.
"""

from typing import Any

from cnnjax import compute, data
from cnnjax.compute.trace import trace
from cnnjax.study.job import Job
from cnnjax.train.cost import training_macs
from cnnjax.train.recipe import LinearProbe

# Per core or device: MACs and activation elements a second, in training.
_SPEED = {"cpu": (3.6e10, 8e7), "gpu": (1.5e13, 1.0e11), "tpu": (3e13, 2e11)}
COMPILE_SECONDS = 4.0
LAYER_SECONDS = 0.15  # To compile the programs of a measurement.
OVERHEAD_SECONDS = 0.7  # Evaluation, records, the dashboard.


def run_seconds(run: Any, platform: str, parallel: int) -> float:
    """Seconds that a training (a `Run`) takes and is recorded, on `parallel` cores or devices."""
    outline = data.check(run.dataset)
    costs = compute.measure(run.net, outline.info.image_shape)
    size = run.recipe.batch_size
    step_macs = compute.train_step_macs(run.net, outline.info.image_shape, size)
    macs_rate, move_rate = _SPEED.get(platform, _SPEED["cpu"])
    step = (step_macs / macs_rate + costs["activations"] * size / move_rate) / parallel
    look = step / 3 / size  # At one image.
    # In whole steps: what is frozen has no backward pass.
    steps = training_macs(run.net, run.recipe, run.image_shape, outline.train) / step_macs
    probed = isinstance(run.recipe.fine_tune, LinearProbe)
    looks = (
        outline.val if probed else run.recipe.passes(outline.train) * outline.val + outline.train
    )
    return steps * step + looks * look + OVERHEAD_SECONDS


def probe_seconds(probe: Any, platform: str, parallel: int) -> float:
    """Seconds that a measurement (a `Probe`) takes: programs to compile, and steps."""
    costs = compute.measure(probe.net, probe.image_shape)
    macs_rate, move_rate = _SPEED.get(platform, _SPEED["cpu"])
    image = (3 * costs["macs"] / macs_rate + costs["activations"] / move_rate) / parallel
    layers = len(compute.layers(trace(probe.net, probe.image_shape)))
    steps = probe.instrument.steps * image * probe.batch_size
    return min(probe.instrument.seconds, LAYER_SECONDS * layers + steps + OVERHEAD_SECONDS)


def plan_seconds(runs: list[Job], platform: str, parallel: int) -> dict[str, float]:
    """Seconds of each run by key; the first of a shape also compiles."""
    found: dict[str, float] = {}
    shapes: set[Any] = set()
    for run in runs:
        if run.key not in found:
            compiling = 0.0 if run.shape in shapes else COMPILE_SECONDS
            shapes.add(run.shape)
            found[run.key] = run.seconds(platform, parallel) + compiling
    return found
