"""The project's own models: a folder that `Trained.save` wrote, or a run's of a study."""

import json
from pathlib import Path

import numpy as np

from cnnjax import values
from cnnjax.errors import UserError
from cnnjax.transfer.weights import Weights, line

SHOWN = "a folder of this project's (results/STUDY/runs/KEY, or what .save wrote)"


def claims(path: Path) -> bool:
    return (path / "model.json").is_file()


def files(path: Path) -> list[Path]:
    """What the weights are read from; a run's folder holds much beside."""
    return [path / "model.json", *(p for p in (path / "weights").rglob("*") if p.is_file())]


def read(path: Path) -> Weights:
    """Tensors such as "params/stage1/block1/conv/kernel"; the net and its images in `about`.

    Raises:
      UserError: the folder is damaged, or its net is of a module that is not imported.
    """
    from flax.traverse_util import flatten_dict

    from cnnjax.train.model import load_model

    told = path / "model.json"
    try:
        model = load_model(path)
    except UserError as e:
        raise e if str(path) in str(e) else UserError(f"{told}: {e}") from None
    # A net that was changed by hand fails anywhere in its own code.
    except Exception as e:
        raise UserError(f"{told} can't be read: {line(e)}") from None
    tensors = {name: np.array(x) for name, x in flatten_dict(model.variables, sep="/").items()}
    about = {
        "net": values.to_json(model.net),
        "image_shape": model.image_shape,
        "mean": model.mean,
        "std": model.std,
        "class_names": model.class_names,
        "dtype": model.dtype,
    }
    return Weights(tensors, "cnnjax", str(path), json.loads(json.dumps(about)))
