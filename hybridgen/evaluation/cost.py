"""What a model costs: parameters by part, and multiply-accumulates of any call."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from hybridgen.evaluation.figure_spec import FigureSpec

FIGURES = (
    FigureSpec("parameters/total", "parameters", format=",.0f", better="low"),
    FigureSpec("parameters/*", "parameters of the *", format=",.0f", better="low", chief=False),
    FigureSpec("macs", "MACs per sample", format=",.0f", better="low"),
)


def parameters(model: nn.Module) -> dict[str, int]:
    """Parameters of each direct part, trainable or not, and their sum as `total`, in which shared ones count once."""
    counts = {name: _count(part) for name, part in model.named_children() if _count(part)}
    own = sum(p.numel() for p in model.parameters(recurse=False))
    return {**counts, **({"own": own} if own else {}), "total": _count(model)}


class _Products(TorchDispatchMode):
    """Counts as `FlopCounterMode` does, for a whole call: it follows no modules, which is most of that one's time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation; one that is made of others is taken apart first."""
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:
                result = func.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
        out = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=out)
        return out


def macs(call: Callable[[], object]) -> int:
    """Multiply-accumulates of matrix products and convolutions in `call`; norms and activations are not counted.

    Works on any device; on meta tensors nothing is computed. Attention is taken apart into its products, since
    the counter knows no fused attention on the CPU and would count none of it.
    """
    with _Products() as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.flops // 2


def macs_by_part(model: nn.Module, call: Callable[[], object]) -> dict[str, int]:
    """`macs` of each direct part of `model` during `call`, and their sum with everything else as `total`."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        call()
    top = type(model).__name__
    by_module = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    inner = (name for name, _ in model.named_children())
    parts = {name: by_module.get(f"{top}.{name}", by_module.get(name, 0)) for name in inner}
    return {**{name: count for name, count in parts.items() if count}, "total": by_module.get("Global", 0)}


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
