"""PyTorch's side: its modules in order of execution, as layers in our layout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.peers import carry
from tests.peers.carry import Layer

LINEAR = (nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
OURS = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def run(model: nn.Module, x: np.ndarray) -> tuple[list[Layer], np.ndarray]:
    """The model's layers in order of execution on images x [B, H, W, C], and its logits.

    Raises:
      AssertionError: modules with parameters that never ran, or ran twice.
    """
    found: dict[str, list[Layer]] = {}
    last = ()  # The last map's shape.

    def after(name: str, module: nn.Module, given: Any, out: Any) -> None:
        nonlocal last
        if own := _own(name, module, given[0], last):
            assert name not in found, f"{name} ran twice"
            found[name] = own
        if isinstance(out, torch.Tensor) and out.ndim == 4:
            last = tuple(out.shape[1:])

    out = _hooked(model, x, after)
    named = model.named_modules()
    idle = [name for name, m in named if [*m.parameters(recurse=False)] and name not in found]
    assert not idle, f"never ran: {', '.join(idle)}"
    return [layer for own in found.values() for layer in own], out


def _own(name: str, module: nn.Module, given: torch.Tensor, last: tuple[int, ...]) -> list[Layer]:
    held = {k: v.detach().numpy() for k, v in module.named_parameters(recurse=False)}
    if isinstance(module, NORMS):
        buffers = dict(module.named_buffers(recurse=False))
        buffers.pop("num_batches_tracked", None)
        held |= {k: v.numpy() for k, v in buffers.items()}
        return [Layer(name, "norm", {OURS[k]: v for k, v in held.items()}, module.eps)]
    if isinstance(module, LINEAR):
        kernel = carry.kernel_from_oihw(held.pop("weight"))
        flattened = given.ndim == 2 and len(last) == 3 and last[0] != len(kernel)
        if flattened and np.prod(last) == len(kernel):
            kernel = carry.kernel_after_flatten(kernel, last)
        return [Layer(name, "linear", {"kernel": kernel, **held})]
    return [Layer(f"{name}.{k}", "weight", {k: np.squeeze(v)}) for k, v in held.items()]


def maps(model: nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """What each of the model's modules gives, maps as [B, H, W, C]."""
    found = {}

    def after(name: str, module: nn.Module, given: Any, out: Any) -> None:
        if isinstance(out, torch.Tensor):
            found[name] = _channels_last(out).copy()  # Activations may change it in place.

    _hooked(model, x, after)
    return found


def logits(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """For images [B, H, W, C]; maps come back as [B, H, W, C] too."""
    with torch.no_grad():
        return _channels_last(model(_channels_first(x)))


def randomise(model: nn.Module, x: np.ndarray, rng: np.random.Generator) -> None:
    """Every value of the model drawn; running statistics are near those of x, yet not equal."""
    model.eval()
    for module in model.modules():
        linear = isinstance(module, LINEAR)
        for name, value in module.named_parameters(recurse=False):
            ours = "kernel" if linear and name == "weight" else OURS.get(name, name)
            _set(value, carry.draw(rng, ours, tuple(value.shape), value[0].numel()))

    def settle(norm: nn.BatchNorm2d, given: tuple[torch.Tensor, ...]) -> None:
        """Before the norm runs, so that maps keep their size behind it."""
        var, mean = torch.var_mean(given[0], dim=(0, 2, 3), correction=0)
        mean, var = carry.unsettle(rng, mean.numpy(), var.numpy())
        _set(norm.running_mean, mean)
        _set(norm.running_var, var)

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(settle) for norm in norms]
    logits(model, x)
    for handle in handles:
        handle.remove()


def check(
    net: Any,
    model: nn.Module,
    x: np.ndarray,
    rng: np.random.Generator,
    arrange: Callable[[list[Layer]], list[Layer]] = list,
) -> float:
    """That our net and the model, its values drawn, give equal logits for x; the difference.

    `arrange` brings the model's layers into our order.
    """
    randomise(model, x, rng)
    found, out = run(model, x)
    return carry.check(net, arrange(found), x, out, lambda: maps(model, x))


def _hooked(model: nn.Module, x: np.ndarray, after: Callable[..., None]) -> np.ndarray:
    """Run the model on x, calling `after` with each module's name, inputs and output."""
    handles = [
        module.register_forward_hook(
            lambda module, given, out, name=name: after(name, module, given, out)
        )
        for name, module in model.named_modules()
    ]
    out = logits(model, x)
    for handle in handles:
        handle.remove()
    return out


def _channels_first(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def _channels_last(out: torch.Tensor) -> np.ndarray:
    out = out.detach()
    return (out.permute(0, 2, 3, 1) if out.ndim == 4 else out).numpy()


def _set(tensor: torch.Tensor, value: np.ndarray) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(value))
