"""Pictures of a net: what it looks at in a few images, its first filters, its maps."""

import functools
import html

import numpy as np

from cnnjax.report.drawer import png
from cnnjax.study import files, stored
from cnnjax.study.results import Folder
from cnnjax.study.stored import Pictures, named

_WIDTH = 560  # Pixels that a sheet of tiles takes in the drawer, about.


def read(folder: Folder, key: str) -> Pictures | None:
    """The run's pictures, remembered for as long as their file stays."""
    stamp = files.stamp(folder.run_dir(key) / "artifacts" / stored.PICTURES)
    return _read(folder.path, key, stamp) if stamp else None


@functools.lru_cache(maxsize=64)  # The report is written after every run; most pictures stay.
def _read(path: object, key: str, stamp: tuple[int, int]) -> Pictures | None:
    return stored.read_pictures(Folder(path), key)


@functools.lru_cache(maxsize=64)
def sections(p: Pictures) -> str:
    """What there is of it, as sections of the drawer."""
    return _looked(p) + _filters(p) + _maps(p)


def _looked(p: Pictures) -> str:
    if not len(p.images):
        return ""
    heads = "".join(f'<th scope="col">{_answer(p, i)}</th>' for i in range(len(p.images)))
    rows = [
        ("image", "Validation image {}", p.images, png.photo),
        ("saliency", "Saliency of image {}: where its label hangs on it", p.saliency, png.plot),
        ("effective field", "Effective receptive field on image {}", p.field, png.plot),
    ]
    lines = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(
            f"<td>{png.tag(encoded(x), x.shape, alt.format(i))}</td>"
            for i, x in enumerate(values, 1)
        )
        + "</tr>"
        for name, alt, values, encoded in rows
        if len(values)
    )
    return (
        "<section><h3>What it looks at</h3>"
        '<p class="quiet">Validation images, what they are and what the first replicate says. '
        "Saliency is how far each pixel moves the label’s logit (Simonyan et al. 2014), the "
        "effective field how far it moves the unit in the middle of the last map (Luo et al. "
        "2016); white is most.</p>"
        f'<table class="seen"><thead><tr><td></td>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></section>"
    )


def _answer(p: Pictures, i: int) -> str:
    """`cat → dog`, and how likely the net finds that it is a cat."""
    if not p.labels:
        return f"image {i + 1}"
    text = html.escape(named(p.classes, p.labels[i]))
    if p.answers and p.answers[i] != p.labels[i]:
        text += f" → <b>{html.escape(named(p.classes, p.answers[i]))}</b>"
    return text + (f"<small>{100 * p.chances[i]:.0f}%</small>" if p.chances else "")


def _filters(p: Pictures) -> str:
    n = len(p.filters)
    if not n:
        return ""
    high, wide = p.filters.shape[1:3]
    columns = min(n, 16)
    alt = f"The first {n} filters of {p.first or 'the first layer'}, {high}×{wide} pixels each"
    picture = png.sheet(p.filters, columns)
    scale = min(12.0, _WIDTH / picture.shape[1])
    return (
        f'<section><h3>First filters</h3><p class="quiet">{html.escape(p.first)}, {high}×{wide}; '
        "grey is zero.</p>"
        f"{png.tag(png.tiles(picture), picture.shape, alt, scale)}</section>"
    )


def _maps(p: Pictures) -> str:
    if not p.maps:
        return ""
    lines = []
    for name, values in p.maps:
        high, wide, channels = values.shape[1:]
        strips = [png.sheet(np.moveaxis(v, -1, 0)[..., None], channels)[..., 0] for v in values]
        alt = f"{channels} maps of {name} on image"
        cells = "".join(
            png.tag(png.plot(x, gaps=True), x.shape, f"{alt} {i}", _WIDTH / x.shape[1])
            for i, x in enumerate(strips, 1)
        )
        told = f'{html.escape(name)} <span class="quiet">{high}×{wide}</span>'
        lines.append(f"<h4>{told}</h4>{cells}")
    return (
        '<section class="maps"><h3>Feature maps</h3><p class="quiet">Of each layer the channels '
        f"that vary most, on the first {len(p.maps[0][1])} of the images above; white is "
        f"most.</p>{''.join(lines)}</section>"
    )
