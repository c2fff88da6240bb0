"""Official code beside ours in one process: its modules imported apart, its draws and ours replaced by constants.

The checkouts are folders that the user cloned; nothing of them is copied here.
"""

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import MagicMock, patch

import torch
import torch._dynamo  # first, as torchvision: they ask every module for its file, and some checkouts' have none
import torchvision  # noqa: F401
from torch import Tensor, nn

from hybridgen.samplers.noise import Noise

DRAWN = 0.5  # what every draw gives while outputs are compared: where a draw stands then does not matter


@contextmanager
def modules_of(checkout: Path) -> Iterator[None]:
    """Within the block `import` finds the checkout's modules; they are forgotten afterwards.

    The repositories share names (`models`, `diffusion`, `utils`), so that no two can be imported at once.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(checkout))
    try:
        with _absent_packages():
            yield
    finally:
        sys.path.remove(str(checkout))
        for name in set(sys.modules) - before:
            if str(checkout) in f"{sys.modules[name].__spec__}":  # its file, or its folder where it has none
                del sys.modules[name]


def module(name: str) -> types.ModuleType:
    """One of the checkout's modules."""
    return importlib.import_module(name)


@contextmanager
def _absent_packages() -> Iterator[None]:
    """What the official code imports and does not need for sampling on a CPU: empty where it is not installed.

    HART's normalisation is a CUDA kernel; the formula it computes stands in, as in the reference data.
    """
    names = ["transformers", "huggingface_hub", "torchdiffeq", "diffusers", "diffusers.models", "hart_backend"]
    stubs: dict[str, types.ModuleType] = {name: MagicMock(__path__=[], __spec__=None) for name in names}
    stubs["transformers"].PreTrainedModel, stubs["transformers"].PretrainedConfig = _Pretrained, _Config
    stubs["huggingface_hub"].PyTorchModelHubMixin = object
    kernels = stubs["hart_backend"].fused_kernels = MagicMock(rms_norm=_rms_norm)
    stubs["hart_backend.fused_kernels"] = kernels
    stubs = {name: stub for name, stub in stubs.items() if name not in sys.modules}
    sys.modules.update(stubs)
    try:
        yield
    finally:  # the stubs alone: what else was imported meanwhile stays
        for name in stubs:
            del sys.modules[name]


class _Config:
    """A configuration without a library around it."""

    def __init__(self, **_: object) -> None:
        pass


class _Pretrained(nn.Module):
    """A module without a library around it."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.config = config


def _rms_norm(out: Tensor, x: Tensor, weight: Tensor, eps: float, quantise: bool) -> None:
    out.copy_(nn.functional.rms_norm(x, x.shape[-1:], weight, eps))


@contextmanager
def on_cpu() -> Iterator[None]:
    """The official code says `.cuda()` where it means "where the model is"."""
    with patch.object(Tensor, "cuda", lambda self, *_, **__: self), patch.object(nn.Module, "cuda", lambda self: self):
        yield


@contextmanager
def constant_draws() -> Iterator[None]:
    """Every draw of both codes gives `DRAWN`, and sets are taken from the end of the grid."""
    same = lambda *shape, **_: torch.full(_shape(shape), DRAWN)  # noqa: E731
    like = lambda x, **_: torch.full_like(x, DRAWN)  # noqa: E731
    with ExitStack() as stack:
        stack.enter_context(patch("numpy.random.shuffle", lambda order: None))
        stack.enter_context(patch.object(torch, "randn", same))
        stack.enter_context(patch.object(torch, "randn_like", like))
        for kind in ("uniform", "normal", "gumbel"):
            stack.enter_context(patch.object(Noise, kind, _constant))
        yield


def _constant(self: Noise, purpose: str, step: int, *shape: int) -> Tensor:
    if purpose == "order":
        return (torch.arange(shape[0], 0, -1) / (shape[0] + 1)).expand(len(self.seeds), -1)
    return torch.full((len(self.seeds), *shape), DRAWN)


def _shape(given: tuple) -> tuple[int, ...]:
    return tuple(given) if isinstance(given[0], int) else tuple(given[0])


def randomise(official: nn.Module) -> nn.Module:
    """Small random numbers where initialisation leaves zeros, so that no path is idle."""
    torch.manual_seed(0)
    with torch.no_grad():
        for p in official.parameters():
            if not p.count_nonzero():
                p.normal_(std=0.02)
    return official.eval()
