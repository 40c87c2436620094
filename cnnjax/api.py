"""A net trained, evaluated, used and saved in a line each."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax import compute, data, nets
from cnnjax.data import Dataset
from cnnjax.errors import UserError
from cnnjax.nets.net import Net
from cnnjax.study.pretraining import seen_as
from cnnjax.study.worker import model_of
from cnnjax.train import devices as placement
from cnnjax.train import recipes
from cnnjax.train.loop import Hooks, train
from cnnjax.train.model import Model, answers, load_model, predict_logits, save_model
from cnnjax.train.precision import precision
from cnnjax.train.recipe import make_recipe


def summary(net: Net | str, input_shape: Sequence[int] | None = None) -> None:
    """Print the per-layer table of a net, or of the net of that name, on images (H, W, C)."""
    if isinstance(net, str):
        input_shape = input_shape or nets.native_shape(net)
        net = nets.get(net, input_shape=tuple(input_shape))
    if input_shape is None:
        raise UserError("summary needs the input shape, such as summary(net, (32, 32, 3))")
    print(compute.summary(net, input_shape))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained net. `history` has a row an epoch, as in a run's curve.jsonl."""

    model: Model
    history: tuple[dict[str, Any], ...] = ()
    status: str = "done"

    @property
    def net(self) -> Net:
        return self.model.net

    @property
    def variables(self) -> Any:
        """As `net.init` returns them and `net.apply` takes them."""
        return self.model.variables

    def predict(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """Images [N, H, W, C] as they come, uint8 or in [0, 1] → probabilities [N, classes].

        Raises:
          UserError: images of another shape or range than the net was trained on.
        """
        logits = self._logits(_as_uint8(images, self.model.image_shape), batch_size)
        exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exp / exp.sum(axis=-1, keepdims=True)

    def evaluate(
        self,
        dataset: str | Dataset,
        split: str = "test",
        batch_size: int = 128,
        data_workers: int = 0,
    ) -> dict[str, float]:
        """Accuracy, loss and the number of examples on a split of a dataset, each example once.

        `data_workers` is as in `fit`.

        Raises:
          UserError: a dataset of other images or classes, or no such split.
        """
        source = data.load(_dataset(dataset))
        if split not in ("train", "val", "test"):
            raise UserError(f"split: {split!r} is none of train, val, test")
        examples = getattr(source, split)
        if source.info.classes != len(self.model.class_names):
            raise UserError(
                f"{source.info.name} has {source.info.classes} classes, the net "
                f"{len(self.model.class_names)}"
            )
        if tuple(source.info.image_shape) != tuple(self.model.image_shape):
            raise _misfit(source.info.image_shape, self.model.image_shape)
        with precision(self.model.dtype):
            where = placement.local(count=1, data_workers=data_workers)
            logits, labels = answers(self.model, examples, where, batch_size)
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        right = logits.argmax(-1) == labels
        loss = -log_p[np.arange(len(right)), labels].mean()
        return {"accuracy": float(right.mean()), "loss": float(loss), "examples": len(right)}

    def save(self, folder: str | Path) -> None:
        """Write the net, its weights and its history into a folder, for `cnnjax.load`."""
        save_model(Path(folder), self.model)
        rows = "".join(json.dumps(row) + "\n" for row in self.history)
        (Path(folder) / "curve.jsonl").write_text(rows)

    def _logits(self, images: np.ndarray, batch_size: int) -> np.ndarray:
        with precision(self.model.dtype):
            return predict_logits(self.model, images, placement.local(count=1), batch_size)


def fit(
    net: Net | str,
    dataset: str | Dataset = "cluttered_digits",
    *,
    seed: int = 0,
    parallel: str = "pmap",
    devices: int | None = None,
    scan: bool | None = None,
    remat: bool = False,
    data_workers: int = 0,
    pretrained: Any = None,
    recipe: str | None = None,
    **fields: Any,
) -> Trained:
    """Train a net, or the net of that name, on a dataset; `fields` are fields of `Recipe`, and
    stand above those of the recipe of that name (`cnnjax.train.recipes`).

    `pretrained` is what `cnnjax.load_pretrained` gives for the net: the training starts from those
    weights, and sees images as they did. `parallel`, `devices`, `scan` and `remat` say how it is
    computed and change nothing but rounding; `data_workers`, by how many processes a streamed
    dataset is decoded, changes nothing. With some, a script must start under
    `if __name__ == "__main__":`.

    Raises:
      UserError: an unknown name or field with the nearest match, a value out of range, or weights
        of another net.
    """
    chosen = make_recipe(recipes.get(recipe) if recipe else None, **fields)
    if pretrained is not None and not hasattr(pretrained, "variables"):
        raise UserError(
            f"pretrained: {pretrained!r} is no net's weights: give what "
            "cnnjax.load_pretrained(net, path) returns"
        )
    with precision(chosen.dtype):
        source = data.load(_dataset(dataset))
        if isinstance(net, str):
            net = nets.get(net, source.info.classes, tuple(source.info.image_shape))
        variables = pretrained and pretrained.variables
        source = seen_as(source, pretrained.preprocess) if pretrained else source
        history: list[dict[str, Any]] = []
        where = placement.local(parallel, devices, scan, remat, data_workers)
        hooks = Hooks(epoch=history.append)
        outcome = train(net, chosen, source, seed, where, hooks, variables=variables)
        model = model_of(net, chosen, source, outcome.variables)
    return Trained(model, tuple(history), outcome.status)


def load(folder: str | Path) -> Trained:
    """What `Trained.save` wrote, or the net of a study's run (`results/STUDY/runs/KEY`).

    Raises:
      UserError: there is no model, or it is damaged.
    """
    model = load_model(Path(folder))
    curve = Path(folder) / "curve.jsonl"
    rows = curve.read_text().splitlines() if curve.exists() else []
    return Trained(model, tuple(json.loads(row) for row in rows))


def _dataset(dataset: str | Dataset) -> Dataset:
    return Dataset(dataset) if isinstance(dataset, str) else dataset


def _as_uint8(images: Any, shape: tuple[int, int, int]) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[None]
    if images.shape[1:] != tuple(shape):
        raise _misfit(images.shape[1:], shape)
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) or images.min() < 0 or images.max() > 1:
        raise UserError("give images as uint8, or as floats in [0, 1]")
    return np.round(images * 255).astype(np.uint8)


def _misfit(given: Sequence[int], wanted: Sequence[int]) -> UserError:
    return UserError(f"images of {tuple(given)} given, the net takes {tuple(wanted)}")
