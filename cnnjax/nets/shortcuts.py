"""What leads past a residual block's branch: shortcut(x, y, ctx, step, norm) → joined."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.nets.context import Context, Step
from cnnjax.nets.layers import conv
from cnnjax.nets.norms import NoNorm
from cnnjax.values import value


@value
class NoShortcut:
    """Leaves the shortcut out: the plain twin of a residual net (He et al. 2015, §4.2)."""

    def __call__(self, x: jax.Array, y: jax.Array, ctx: Context, step: Step, norm: Any):
        return y


@value
class IdentityShortcut:
    """y + x where nothing is strided and their shapes are equal, y elsewhere (Sandler et al. 2018,
    fig. 4). A stride that was traded for dilation stays one."""

    def __call__(self, x: jax.Array, y: jax.Array, ctx: Context, step: Step, norm: Any):
        strided = step.by > 1 or step.rate != step.after
        return y if strided or x.shape != y.shape else y + x


@value
class PadShortcut:
    """Option A of He et al. 2015, §3.3: subsample, zeros for the new channels, no parameters."""

    def __call__(self, x: jax.Array, y: jax.Array, ctx: Context, step: Step, norm: Any):
        x = lax.slice(x, (0, 0, 0, 0), x.shape, (1, step.by, step.by, 1))
        extra = y.shape[-1] - x.shape[-1]
        if extra < 0:  # A narrower block keeps the first channels.
            return y + x[..., : y.shape[-1]]
        before = extra // 2
        return y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (before, extra - before)))


@value
class ProjectionShortcut:
    """Option B of He et al. 2015, §3.3: a 1×1 convolution where the shape changes.

    Where a stride was traded for dilation the projection stays, as if the shape had changed.
    """

    def __call__(self, x: jax.Array, y: jax.Array, ctx: Context, step: Step, norm: Any):
        features = y.shape[-1]
        same = step.by == 1 and step.rate == step.after and x.shape[-1] == features
        if same:
            return y + x
        bias = isinstance(norm, NoNorm)
        x = conv(x, ctx, features, 1, stride=step, bias=bias, name="shortcut_conv")
        return y + norm(x, ctx, "shortcut_norm")


SHORTCUTS = {
    "pad": PadShortcut,
    "projection": ProjectionShortcut,
    "identity": IdentityShortcut,
    "none": NoShortcut,
}
