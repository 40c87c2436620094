"""How a net's replicates answered on the test images: what is taken for what, and the hardest."""

import dataclasses
import functools
import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnjax.errors import UserError
from cnnjax.report import words
from cnnjax.report.drawer import png
from cnnjax.study import files
from cnnjax.study.results import Folder
from cnnjax.study.stored import Pictures, named

TABLE, SQUARE, HARDEST, PAIRS = 12, 200, 10, 6  # Classes as figures, as a picture; what is listed.


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Of each test example its label, the answer and the label's probability, [N]."""

    labels: np.ndarray
    answers: np.ndarray
    chances: np.ndarray
    classes: int


def read(folder: Folder, keys: Sequence[str]) -> list[Answers]:
    """The runs' answers, as far as they are of the same examples as the first's."""
    found = [x for x in (_stamped(folder, key) for key in keys) if x]
    return [x for x in found if x.classes == found[0].classes
            and np.array_equal(x.labels, found[0].labels)]  # fmt: skip


def confusion(every: Sequence[Answers]) -> np.ndarray:
    """[label, answer]: how often, over all replicates."""
    n = every[0].classes
    return np.bincount(_pairs(every), minlength=n * n).reshape(n, n)


def confused(every: Sequence[Answers]) -> list[tuple[int, int, int]]:
    """(label, answer, how often) of what is most often wrong, over all replicates."""
    n = every[0].classes
    pairs, counts = np.unique(_pairs(every), return_counts=True)
    wrong = pairs // n != pairs % n
    pairs, counts = pairs[wrong], counts[wrong]
    most = np.argsort(-counts, kind="stable")[:PAIRS]
    return [(int(pairs[i] // n), int(pairs[i] % n), int(counts[i])) for i in most]


def _pairs(every: Sequence[Answers]) -> np.ndarray:
    return np.concatenate([x.labels * x.classes + x.answers for x in every])


def hardest(every: Sequence[Answers], among: Sequence[int] = ()) -> list[int]:
    """The examples whose label is least probable, mean over replicates, hardest first: of all, or
    of those given."""
    chances = np.mean([x.chances for x in every], axis=0)
    rows = np.array([i for i in among if 0 <= i < len(chances)] or range(len(chances)), int)
    return rows[np.argsort(chances[rows], kind="stable")][:HARDEST].tolist()


def _stamped(folder: Folder, key: str) -> Answers | None:
    stamp = files.stamp(folder.run_dir(key) / "predictions.npz")
    return _read(folder.path, key, stamp) if stamp else None


@functools.lru_cache(maxsize=128)  # The report is written after every run; most files stay.
def _read(path: Path, key: str, stamp: tuple[int, int]) -> Answers | None:
    try:
        data = Folder(path).read_predictions(key, ("label", "logits"))
        labels, logits = data["label"], data["logits"]
    except (UserError, KeyError):  # Gathering has warned of it.
        return None
    sized = logits.ndim == 2 and labels.shape == logits.shape[:1] and logits.size > 0
    if not sized or labels.dtype.kind not in "iu" or logits.dtype.kind != "f":
        return None
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        return None
    labels = labels.astype(np.int64)
    wide = logits.astype(np.float32, copy=False)
    own = wide[np.arange(len(labels)), labels]
    with np.errstate(all="ignore"):
        chances = np.nan_to_num(np.exp(own - np.logaddexp.reduce(wide, axis=-1)))
    return Answers(labels, wide.argmax(-1), chances, logits.shape[1])


def sections(folder: Folder, keys: Sequence[str], kept: Pictures | None) -> str:
    """What is taken for what, and the hardest examples; nothing of runs without predictions."""
    every = read(folder, keys)
    if not every:
        return ""
    names = kept.classes if kept else ()
    return _confusion(every, names) + _hardest(every, kept, names)


def _confusion(every: Sequence[Answers], names: Sequence[str]) -> str:
    n = every[0].classes
    items = "".join(
        f"<li>{html.escape(named(names, a))} → {html.escape(named(names, b))} "
        f'<span class="quiet">{count}×</span></li>'
        for a, b, count in confused(every)
    )
    shown = ""
    if n <= TABLE:
        shown = _figures(confusion(every), names)
    elif n <= SQUARE:
        counts = confusion(every)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        picture = png.plot(np.round(255 * np.sqrt(shares)).astype(np.uint8))
        shown = png.tag(picture, counts.shape, f"Answers by label, {n} by {n} classes", 400 / n)
    seeds = words.count(len(every), "replicate")
    return (
        '<section><h3>What is taken for what</h3><p class="quiet">Test images by label (rows) and '
        f"answer (columns), counted over {seeds}.</p>{shown}"
        + (f'<h4>Most often confused</h4><ol class="pairs">{items}</ol>' if items else "")
        + "</section>"
    )


def _figures(counts: np.ndarray, names: Sequence[str]) -> str:
    """The counts as a table, each cell as dark as its share of the label's."""
    shares = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    heads = [html.escape(named(names, i)) for i in range(len(counts))]
    lines = "".join(
        f'<tr><th scope="row">{head}</th>'
        + "".join(
            f'<td style="--h:{round(100 * share)}"{" class=right" if i == j else ""}>{count}</td>'
            for j, (count, share) in enumerate(zip(row, shares[i], strict=True))
        )
        + "</tr>"
        for i, (head, row) in enumerate(zip(heads, counts.tolist(), strict=True))
    )
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    turned = " turned" if max(len(named(names, i)) for i in range(len(counts))) > 3 else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'<table class="confusion{turned}"><thead><tr><td></td>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _hardest(every: Sequence[Answers], kept: Pictures | None, names: Sequence[str]) -> str:
    """Tiles of the hardest examples; only those of which the first replicate left a picture, where
    it left any."""
    index = kept.hardest_index if kept else ()
    tiles = []
    for i in hardest(every, index):
        label, answers = int(every[0].labels[i]), [int(x.answers[i]) for x in every]
        answer = max(dict.fromkeys(answers), key=answers.count)
        told = f"{html.escape(named(names, label))} → {html.escape(named(names, answer))}"
        many = len(every) > 1
        right = f"<small>{answers.count(label)} of {len(every)} right</small>" if many else ""
        chance = float(np.mean([x.chances[i] for x in every]))
        shown = f'<span class="blank">no. {i}</span>'
        if i in index:
            image = kept.hardest[index.index(i)]
            alt = f"Test image {i}, labelled {named(names, label)}"
            shown = png.tag(png.photo(image), image.shape, alt)
        tiles.append(
            f"<li>{shown}<span>{told}</span><small>label {100 * chance:.2g}%</small>{right}</li>"
        )
    which = "Of those that the first replicate got most wrong: l" if index else "L"
    mean = f", mean over {len(every)} replicates" if len(every) > 1 else ""
    return (
        f'<section><h3>Hardest examples</h3><p class="quiet">{which}abel → answer, and the '
        f"probability of the label{mean}, least first.</p>"
        f'<ol class="hardest">{"".join(tiles)}</ol></section>'
    )
