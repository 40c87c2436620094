"""A trained net in a folder: `model.json` says what it is, `weights/` holds its arrays."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import nets, values
from cnnjax.compute.forward import abstract_variables
from cnnjax.data.source import Split, Stream
from cnnjax.errors import UserError
from cnnjax.nets.context import wide
from cnnjax.nets.net import Net
from cnnjax.train import checkpoint
from cnnjax.train.devices import Devices
from cnnjax.train.precision import precision
from cnnjax.train.program import Answers, predict
from cnnjax.train.recipe import Recipe
from cnnjax.train.step import Task, logits_of

FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A net with weights, and how images become its input."""

    net: Net
    variables: Any  # {"params": ..., "batch_stats": ...}, as `net.init` returns.
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    dtype: str = "float32"
    resolution: int = 0  # Height at which it sees images; 0: as they are.


def save_model(folder: Path, model: Model) -> None:
    """Write `model.json` and `weights/` into the folder, the weights first."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder / "weights", model.variables)
    about = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    del about["variables"]
    about |= {"format": FORMAT, "net": values.to_json(model.net)}
    (folder / "model.json").write_text(json.dumps(about, indent=1))


def load_model(folder: Path) -> Model:
    """What `save_model` wrote.

    Raises:
      UserError: there is no model, or it is damaged or of another version.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / "model.json").read_text())
        if about.pop("format") != FORMAT:
            raise UserError(f"{folder} was saved in another format; save it again")
        about = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
        nets.names()  # Imports them all: a block's type is known once its module is.
        net = values.from_json(about.pop("net"))
        shape = about["image_shape"]
        with precision(about["dtype"]):
            variables = checkpoint.restore(folder / "weights", _like(net, shape, about["dtype"]))
            variables = variables and jax.device_put(variables)
        if variables is None:
            raise UserError(f"{folder / 'weights'} is missing or damaged; train or copy it again")
        return Model(net=net, variables=variables, **about)
    except FileNotFoundError:
        raise UserError(f"there is no saved model in {folder}") from None
    except (KeyError, TypeError, json.JSONDecodeError) as e:
        raise UserError(f"{folder / 'model.json'} can't be read: {e}") from None


def _like(net: Net, shape: tuple[int, int, int], dtype: str) -> dict[str, Any]:
    """The variables' shapes and types."""
    found = abstract_variables(net, shape)
    made = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, wide(dtype)), found)
    return {"batch_stats": {}} | made


@functools.lru_cache(maxsize=8)
def _infer(task: Task, devices: Devices) -> Any:
    """Compiled by JAX at the first call for each size of batch."""

    def infer(weights: Any, images: jax.Array) -> jax.Array:
        return logits_of(task, devices.context(), *weights, images)

    return jax.jit(infer)


def predict_logits(model: Model, images: np.ndarray, devices: Devices, size: int) -> np.ndarray:
    """uint8 [N, H, W, C] → float32 logits [N, classes], `size` images a batch."""
    split = Split(images, np.zeros(len(images), np.int32))
    return answers(model, split, devices, size).outputs


def answers(model: Model, split: Split | Stream, devices: Devices, size: int) -> Answers:
    """Logits and labels of a split, `size` images a batch."""
    recipe = Recipe(dtype=model.dtype, test_resolution=model.resolution)
    task = Task(model.net, recipe, model.image_shape, model.mean, model.std, False, 1)
    infer = _infer(task, devices)
    weights = (model.variables["params"], model.variables.get("batch_stats", {}))
    return predict(infer, weights, split, devices, size)
