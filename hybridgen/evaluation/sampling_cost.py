"""What drawing one sample costs, without drawing it: the sampling loop itself, on tensors that have shapes alone.

Multiply-accumulates of matrix products and convolutions, as `macs` counts them. The loop is `HybridModel.steps`; the
methods of the parts are wrapped, so that what they execute is counted. A draw of the residual is counted for its first
evaluation and for one more, which is multiplied by how many the solver takes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.assemble import assemble_data, assemble_sampler, assemble_shell
from hybridgen.config.compose import Composed
from hybridgen.diffusion.solvers import Euler, Solver
from hybridgen.evaluation.cost import macs, parameters
from hybridgen.evaluation.savings import Savings
from hybridgen.heads.base import CodeHead, ResidualHead
from hybridgen.model import HybridModel, StepRecord
from hybridgen.orders.base import known_after
from hybridgen.samplers.noise import Noise
from hybridgen.samplers.sampler import Sampler
from hybridgen.samplers.schedules import settings_of
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Grid

FLOAT = 4  # bytes
ONCE = ("tokenizer",)  # guidance gives it no second row
META = torch.device("meta")


@dataclass(frozen=True)
class SamplingCost:
    """Of one sample.

    Args:
        parameters: of each part, and their `total`.
        macs: of each part, one row; what is painted on the way counts for the tokenizer, as decoding does.
        guided: the same with a null row beside it.
        savings: of one row, by reason: what the loop keeps instead of computing it again (see `savings.REASONS`).
        steps: of the sampling loop.
        evaluations: of the residual head's network, over all steps.
        cache: bytes of keys and values that one row ends with, in float32.
        peak: estimate in float32 of bytes held at once: weights, cache and activations of the costliest part.
    """

    parameters: dict[str, int]
    macs: dict[str, int]
    guided: dict[str, int]
    savings: dict[str, int]
    steps: int
    evaluations: int
    cache: int
    peak: dict[str, int]


def sampling_cost(composed: Composed) -> SamplingCost:
    """The cost of an experiment with its sampler's settings; nothing is computed, and no weight takes memory."""
    model = assemble_shell(composed, assemble_data(composed).spec).eval()
    sampler = assemble_sampler(composed)
    found = _Counting(model)
    with torch.no_grad():
        found.run(sampler)
    counted = {**found.macs, "total": sum(found.macs.values())}
    guided = {part: count * (1 if part in ONCE else 2) for part, count in found.macs.items()}
    rows = 2 if _is_guided(model, sampler) else 1
    weights = FLOAT * sum(p.numel() for p in [*model.parameters(), *model.buffers()])
    peak = {
        "weights": weights,
        "cache": rows * found.cache,
        "activations": FLOAT * max(rows * found.widest, found.decoded),
    }
    return SamplingCost(
        parameters(model), counted, {**guided, "total": sum(guided.values())}, found.kept, found.steps,
        found.evaluations, found.cache, {**peak, "total": sum(peak.values())},
    )  # fmt: skip


def _is_guided(model: HybridModel, sampler: Sampler) -> bool:
    return any(now.is_guided for now in settings_of(sampler, known_after(model.order.plan(sampler.sets))))


class _Shapes(Noise):
    """Noise of one sample that has a shape alone."""

    def __init__(self) -> None:
        super().__init__([0], META)

    def uniform(self, purpose: str, step: int, *shape: int) -> Tensor:
        """(1, *shape)."""
        return torch.zeros(1, *shape, device=META)

    def normal(self, purpose: str, step: int, *shape: int) -> Tensor:
        """(1, *shape)."""
        return torch.zeros(1, *shape, device=META)


class _Counting:
    """Wraps the methods of a model's parts, then runs its sampling loop with one row and counts what they execute.

    The wrappers stay on the model, which is of no use for anything else afterwards.
    """

    def __init__(self, model: HybridModel) -> None:
        self.model, self.macs = model, Counter[str]()
        self.steps = self.evaluations = self.cache = self.widest = self.decoded = self.prefix = 0
        self.savings, self.kept = Savings(), dict[str, int]()
        self.state: Any = None
        self._counted: dict[object, int] = {}
        self._painting = 0
        self._wrap(model.backbone, "begin", self._begin)
        self._wrap(model.backbone, "advance", lambda call: self._count("backbone", call))
        self._wrap(model.tokenizer, "paint", self._paint)
        if model.code_head is not None:
            self._wrap_code_head(model.code_head)
        if model.residual_head is not None and model.join is not None:
            self._wrap(model.join, "forward", lambda call: self._count("join", call))
            self._wrap_residual_head(model.residual_head)

    def run(self, sampler: Sampler) -> None:
        """All steps, then the sample is decoded."""
        model = self.model
        given = self._count("conditioner", lambda: model.conditioner(model.conditioner.blank(1, META), None))
        one_row = replace(sampler, guidance=1.0, head_guidance=None, ramp="constant", by="random")
        for done in model.steps(given, _Shapes(), one_row):
            self._after(done)
        self.kept = self.savings.by_reason(model.backbone.cached(self.state), self.steps)
        self.cache = FLOAT * sum(
            held.numel()
            for entry in model.backbone.cached(self.state)
            for held in (entry.k, entry.v)
            if held is not None
        )
        self._count("tokenizer", lambda: model.tokenizer.decode(done.canvas.latent))
        self.decoded = _widest_map(model, done.canvas)

    def _after(self, done: StepRecord) -> None:
        """What a step leaves to be measured. A join's convolution paints before the step does, which does not count."""
        self.steps += 1
        if self._painting:
            self.macs["tokenizer"] += self._painting
        self.savings.filled(self.model.backbone.cached(self.state))
        if self.model.code_head is not None:
            self.widest = max(self.widest, done.step.positions.shape[1] * self.model.tokenizer.spec.vocab)
        self.widest = max(self.widest, 6 * done.hidden.numel())

    def _begin(self, call: Callable[[], Any]) -> Any:
        with self.savings.beginning(self.model.backbone):
            self.state = self._count("backbone", call)
        held = self.model.backbone.cached(self.state)
        self.prefix = held[0].k.shape[2] if held and held[0].k is not None else 0
        self.savings.filled(held)
        return self.state

    def _paint(self, call: Callable[[], Canvas]) -> Canvas:
        self._painting, canvas = _counted(call)
        return canvas

    def _wrap_code_head(self, head: CodeHead) -> None:
        """Logits are counted once for each number of positions; codes are drawn for nothing, and all are 0."""
        logits = head.logits

        def counted(hidden: Tensor, condition: Condition) -> Tensor:
            self.macs["code_head"] += self._once(("code_head", hidden.shape[1]), lambda: logits(hidden, condition))
            if self.steps == 0 and hidden.shape[1] < self.prefix:  # drawn from the end of a prefix
                self.savings.prefix(hidden.new_zeros(1, self.prefix, hidden.shape[2]), lambda x: logits(x, condition))
            return logits(hidden, condition)

        def draw(logits: Tensor, *_: Any, **__: Any) -> Tensor:
            return torch.zeros(logits.shape[:2], dtype=torch.long, device=META)

        setattr(head, head.logits.__name__, counted)
        setattr(head, head.draw.__name__, draw)

    def _wrap_residual_head(self, head: ResidualHead) -> None:
        """A draw costs its first evaluation, and what a second Euler step adds for each further one."""
        real = head.draw

        def draw(hidden: Tensor, grid: Grid, noise: Tensor, solver: Solver, steps: int, *_: float) -> Tensor:
            n, channels = noise.shape[2:]

            def cost(few: int) -> int:
                start = torch.zeros(1, *head.noise_shape(n, Euler(), few), device=META)
                return self._once((few, grid), lambda: real(hidden, grid, start, Euler(), few))

            evaluations, target = head.evaluations(solver, steps), torch.zeros(1, n, channels, device=META)
            if evaluations is None:
                raise UserError(
                    "sampler.solver: it chooses its steps as it goes; the cost of one with fixed steps is known"
                )
            executed = cost(1) + ((evaluations - 1) * (cost(2) - cost(1)) if evaluations > 1 else 0)
            self.evaluations += evaluations
            self.macs["residual_head"] += executed
            self.savings.head(head, target, hidden, grid, evaluations, executed)
            return target

        setattr(head, head.draw.__name__, draw)

    def _wrap(self, part: nn.Module, name: str, count: Callable[[Callable[[], Any]], Any]) -> None:
        """From now on the method runs through `count`."""
        method = getattr(part, name)
        setattr(part, name, lambda *args, **kwargs: count(lambda: method(*args, **kwargs)))

    def _once(self, key: object, call: Callable[[], object]) -> int:
        """What `call` costs, which depends on `key` alone: many steps are alike."""
        if key not in self._counted:
            self._counted[key] = macs(call)
        return self._counted[key]

    def _count(self, part: str, call: Callable[[], Any]) -> Any:
        """What `call` gives; its cost is added to the part."""
        count, result = _counted(call)
        if count:
            self.macs[part] += count
        return result


def _counted(call: Callable[[], Any]) -> tuple[int, Any]:
    """The cost of a call and what it gives."""
    results: list[Any] = []
    return macs(lambda: results.append(call())), results[0]


def _widest_map(model: HybridModel, canvas: Canvas) -> int:
    """Numbers in the four largest maps of the decoder: about what its finest level holds at once."""
    sizes: list[int] = []
    hooks = [
        module.register_forward_hook(lambda _, args, out: sizes.append(out.numel()))
        for module in model.tokenizer.modules()
        if type(module).__name__.startswith("Conv")
    ]
    try:
        model.tokenizer.decode(canvas.latent)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sorted(sizes)[-4:])
