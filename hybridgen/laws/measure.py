"""What laws measure with: gradients within three steps, what must stay as it was, how far apart two results are."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hybridgen.nn.draws import keyed

Module = TypeVar("Module", bound=nn.Module)


def stirred(module: Module, deviation: float = 0.1) -> Module:
    """A copy with random parameters, away from the zero start where many laws are trivial."""
    module, rng = copy.deepcopy(module).eval(), keyed("stirred")
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=deviation, generator=rng)
    return module


def reached_in_three_steps(module: nn.Module, loss: Callable[[int], Tensor]) -> None:
    """Three steps of Adam on `loss(step)`: every trainable parameter gets a gradient, a frozen one none and no change.

    All gradients are finite.
    """
    missed = set(dict(_trainable(module))) - gradients_of(module, loss, 3)
    assert not missed, f"no gradient within three steps: {', '.join(sorted(missed))}"


def gradients_of(module: nn.Module, loss: Callable[[int], Tensor], steps: int) -> set[str]:
    """Names of the parameters that got a gradient in some step of training; frozen ones are held to be still."""
    module.zero_grad()
    optimiser = torch.optim.Adam([p for _, p in _trainable(module)], lr=1e-2)
    frozen = {name: p.detach().clone() for name, p in module.named_parameters() if not p.requires_grad}
    reached = set()
    for step in range(steps):
        optimiser.zero_grad()
        loss(step).backward()
        for name, parameter in module.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), f"{name}: not finite"
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)
        optimiser.step()
    for name, parameter in module.named_parameters():
        if name in frozen:
            assert parameter.grad is None or not parameter.grad.any(), f"{name} is frozen, and gets a gradient"
            assert torch.equal(parameter, frozen[name]), f"{name} is frozen, and moved"
    return reached


@contextmanager
def unchanged(*arguments: Any) -> Iterator[None]:
    """Holds that tensors, wherever they are in `arguments`, and torch's global generator stay as they are."""
    tensors = list(_tensors(arguments))
    kept, state = [x.clone() for x in tensors], torch.get_rng_state()
    yield
    assert torch.equal(state, torch.get_rng_state()), "the global generator was moved"
    for x, before in zip(tensors, kept, strict=True):
        assert torch.equal(x, before), "an argument was changed in place"


def assert_same(given: Tensor, expected: Tensor, tolerance: float) -> None:
    """Entry by entry, to a tolerance for values of order 1; larger values are allowed as much of their size."""
    size = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance * size)


def assert_near(given: Tensor, expected: Tensor, share: float) -> None:
    """Relative L2 distance below `share`."""
    off = ((given - expected).norm() / expected.norm().clamp_min(1e-12)).item()
    assert off < share, f"off by {off:.2g} of the norm, more than {share}"


def _trainable(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def _tensors(thing: Any) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif is_dataclass(thing) and not isinstance(thing, type):
        for each in fields(thing):
            yield from _tensors(getattr(thing, each.name))
    elif isinstance(thing, Mapping):
        yield from _tensors([*thing.values()])
    elif isinstance(thing, Sequence) and not isinstance(thing, str):
        for each in thing:
            yield from _tensors(each)
