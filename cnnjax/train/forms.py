"""The forms that one convolution is computed in, chosen by its shape for XLA on the CPU.

Measured on one core of an AMD EPYC (AVX-512), jax 0.10.2, milliseconds plain → as chosen here:
packed, 32 images of 32×32: 1→8 channels 3×3 1.7 → 0.2, 3→16 5×5 4.8 → 1.2, 16→16 3×3 3.1 → 2.1;
by taps, 32 maps of 2×2, 512→512: 530 → 8; weight gradients in chunks, 128 images: 32→32 at 16×16
11.5 → 7.7, 3→64 at 32×32 29 → 7.7. Where a form was no faster, its shapes are left out.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.nets.context import wide

LAYOUT = ("NHWC", "HWIO", "NHWC")
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

NARROW = 16  # Channels that come in, up to which outputs are packed.
CHUNK = 8  # Examples of a chunk, and of one where few channels or many weights go out.
LARGE_CHUNK = 32
CHUNKED_BYTES = 2**21  # Of images and gradients together; what is smaller stays in the cache.
MANY_WEIGHTS = 2**19


def convolve(
    x: jax.Array, w: jax.Array, stride: Pair, pads: Pads, dilation: Pair, holes: Pair = (1, 1)
) -> jax.Array:
    """[B, H, W, C] by [kh, kw, C, O] → [B, H', W', O]; `holes` stand between the pixels of x."""
    sizes = [h * (n - 1) + 1 for h, n in zip(holes, x.shape[1:3], strict=True)]
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[:2], strict=True)]
    if any(n < span for n, span in zip(sizes, spans, strict=True)):
        # Of maps smaller than the kernel XLA makes loops 70 times slower than products.
        return by_taps(_padded(x, ((0, 0), (0, 0)), holes), w, stride, pads, dilation)
    count = _packed(x, w, stride, dilation)
    if count > 1:
        return _pack(x, w, stride, pads, holes, count)
    return _plain(x, w, stride, pads, dilation, holes)


def correlate(x: jax.Array, g: jax.Array, stride: Pair, pads: Pads, dilation: Pair) -> jax.Array:
    """The sum over examples of each image [B, H, W, C] convolved with its own [B, h, w, O] as a
    kernel → [kh, kw, C, O]: a weight gradient, in which stride and dilation change places."""
    batch = x.shape[0]
    if all(sum(pair) + n == d * (o - 1) + 1 for pair, n, d, o in
           zip(pads, x.shape[1:3], dilation, g.shape[1:3], strict=True)):  # fmt: skip
        # Of one place of the kernel: one product.
        seen = _padded(x, pads)[:, :: dilation[0], :: dilation[1]]
        return jnp.einsum("bhwi,bhwo->io", seen, g)[None, None]

    def part(x: jax.Array, g: jax.Array) -> jax.Array:
        # Examples are the channels.
        x, g = x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)
        return _plain(x, g, stride, pads, dilation).transpose(1, 2, 0, 3)

    found = jax.eval_shape(part, x, g)
    least = LARGE_CHUNK if g.shape[3] <= NARROW or found.size > MANY_WEIGHTS else CHUNK
    size = math.gcd(batch, least)
    if size < CHUNK or size == batch or (x.size + g.size) * x.dtype.itemsize <= CHUNKED_BYTES:
        return part(x, g)

    def add(total: jax.Array, chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + part(*chunk).astype(wide(found.dtype)), None

    chunks = tuple(a.reshape(batch // size, size, *a.shape[1:]) for a in (x, g))
    return lax.scan(add, jnp.zeros(found.shape, wide(found.dtype)), chunks)[0].astype(found.dtype)


def _plain(x, w, stride, pads, dilation, holes=(1, 1)) -> jax.Array:
    return lax.conv_general_dilated(
        x, w, stride, pads, lhs_dilation=holes, rhs_dilation=dilation, dimension_numbers=LAYOUT
    )


def _packed(x: jax.Array, w: jax.Array, stride: Pair, dilation: Pair) -> int:
    """How many pixels of a row to compute at a time, as so many times the channels: XLA takes its
    time for each place of the kernel, which few channels hardly fill."""
    (_, columns, come, go), across = w.shape, stride[1]
    if come > NARROW or columns < 3 or dilation[1] > 1 or (across > 1 and come > 4):
        return 1
    full = (64 if come <= 4 else 32) // go
    return 2 ** min(3, max(0, full.bit_length() - 1))


def _pack(x, w, stride: Pair, pads: Pads, holes: Pair, count: int) -> jax.Array:
    """`count` neighbouring outputs of a row as channels of one, the kernel once for each beside
    zeros."""
    (down, across), (low, high), features = stride, pads[1], w.shape[3]
    width = holes[1] * (x.shape[2] - 1) + 1 + low + high
    out = (width - w.shape[1]) // across + 1
    rounds = -(-out // count)
    beside = across * (count - 1)
    copies = [
        jnp.pad(w, ((0, 0), (across * i, beside - across * i), (0, 0), (0, 0)))
        for i in range(count)
    ]
    needed = across * count * (rounds - 1) + w.shape[1] + beside
    pads = (pads[0], (low, high + needed - width))
    y = _plain(x, jnp.concatenate(copies, axis=3), (down, across * count), pads, (1, 1), holes)
    return y.reshape(*y.shape[:2], rounds * count, features)[:, :, :out]


def by_taps(x, w, stride: Pair, pads: Pads, dilation: Pair, groups: int = 1) -> jax.Array:
    """One product a tap of the kernel [kh, kw, C / groups, O]: elementwise where each channel is a
    group of its own."""
    b, *sizes, c = x.shape
    rows, columns, per, out = w.shape
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[:2], strict=True)]
    counts = [
        (n + low + high - span) // s + 1
        for n, (low, high), span, s in zip(sizes, pads, spans, stride, strict=True)
    ]
    x = _padded(x, pads)
    x = x.reshape(*x.shape[:3], groups, c // groups)
    w = w.reshape(rows, columns, per, groups, out // groups)

    def tap(i: int, j: int) -> jax.Array:
        first = (0, i * dilation[0], j * dilation[1], 0, 0)
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first[1:3], counts, stride, strict=True)]
        seen = lax.slice(x, first, (b, *last, *x.shape[3:]), (1, *stride, 1, 1))
        if groups == 1:
            return jnp.einsum("bhwi,io->bhwo", seen[:, :, :, 0], w[i, j, :, 0])
        if per == 1:
            return seen * w[i, j, 0]
        return jnp.einsum("bhwgi,igo->bhwgo", seen, w[i, j])

    def meets(i: int, axis: int) -> bool:
        """Whether any output's tap `i` lies on the map and not on its padding."""
        low, _ = pads[axis]
        at = [i * dilation[axis] + s * stride[axis] - low for s in range(counts[axis])]
        return any(0 <= place < sizes[axis] for place in at)

    taps = [(i, j) for i in range(rows) for j in range(columns) if meets(i, 0) and meets(j, 1)]
    if not taps:
        return jnp.zeros((b, *counts, out), jnp.result_type(x, w))
    total = functools.reduce(jnp.add, [tap(*at).astype(wide(x.dtype)) for at in taps])
    return total.astype(x.dtype).reshape(b, *counts, out)


def _padded(x: jax.Array, pads: Pads, holes: Pair = (1, 1)) -> jax.Array:
    """With zeros around, or cropped where a padding is negative, and between the pixels."""
    along = [(low, high, h - 1) for (low, high), h in zip(pads, holes, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *along, (0, 0, 0)])
