"""PyTorch, eager or compiled by torch.compile, channels last, on as many threads as there are
cores."""

from collections.abc import Callable
from typing import Any

from cnnjax.peers import Program, Programs, first_call
from cnnjax.study.environment import cores


def eager(net: Any, image_shape: tuple[int, int, int], batch_size: int, seed: int = 0) -> Programs:
    """Module by module."""
    return _programs(net, image_shape, batch_size, seed, lambda model: model)


def compiled(
    net: Any, image_shape: tuple[int, int, int], batch_size: int, seed: int = 0
) -> Programs:
    """By torch.compile as it comes."""
    import torch

    return _programs(net, image_shape, batch_size, seed, torch.compile)


def _programs(
    net: Any, shape: tuple[int, int, int], batch: int, seed: int, by: Callable[[Any], Any]
) -> Programs:
    import torch

    from cnnjax.peers.torch_net import build

    torch.set_num_threads(len(cores()))
    torch.manual_seed(seed)
    high, wide, channels = shape
    images = torch.randn(batch, channels, high, wide).to(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.long)

    def training() -> Program:
        model = build(net, shape).train()
        run = by(model)
        rule = torch.optim.SGD(model.parameters(), 0.0, 0.9, weight_decay=5e-4, nesterov=True)

        def call(count: int) -> None:
            for _ in range(count):
                rule.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(run(images), labels).backward()
                rule.step()

        return Program(call, first_call(call) if run is not model else None)

    def inference() -> Program:
        model = build(net, shape).eval()
        run = by(model)

        def call(count: int) -> None:
            with torch.inference_mode():
                for _ in range(count):
                    run(images)

        return Program(call, first_call(call) if run is not model else None)

    return Programs(training, inference)
