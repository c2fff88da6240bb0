"""What drawing one picture costs, without drawing it: every step of the loop on tensors that have shapes alone.

Multiply-accumulates of matrix products and convolutions, as `macs` counts them. The residual head is counted for its
first evaluation and for one more, which is multiplied by how many its solver takes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from hybridgen.assemble import assemble_data, assemble_sampler, assemble_shell
from hybridgen.backbones.causal import CausalState
from hybridgen.config.compose import Composed
from hybridgen.diffusion.path import LINEAR
from hybridgen.diffusion.solvers import Euler
from hybridgen.evaluation.cost import macs, parameters
from hybridgen.evaluation.savings import Savings
from hybridgen.model import HybridModel
from hybridgen.nn.attention import KeyValues
from hybridgen.orders.base import known_after
from hybridgen.samplers.sampler import Sampler
from hybridgen.samplers.schedules import settings_at
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Step

FLOAT = 4  # bytes
ONCE = ("tokenizer",)  # guidance gives it no second row


@dataclass(frozen=True)
class SamplingCost:
    """Of one picture.

    Args:
        parameters: of each part, and their `total`.
        macs: of each part, one row; what is painted on the way counts for the tokenizer, as decoding does.
        guided: the same with a null row beside it.
        spared: of one row, by reason: what the loop keeps instead of computing it again (see `spared.REASONS`).
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
    """Of an experiment, with its sampler's settings; nothing is computed, and no weight takes memory."""
    model = assemble_shell(composed, assemble_data(composed).spec).eval()
    sampler = assemble_sampler(composed)
    walk = _Walk(model, sampler)
    with torch.no_grad():
        walk.run()
    counted = {**walk.macs, "total": sum(walk.macs.values())}
    guided = {part: count * (1 if part in ONCE else 2) for part, count in walk.macs.items()}
    rows = 2 if walk.is_guided else 1
    weights = FLOAT * sum(p.numel() for p in [*model.parameters(), *model.buffers()])
    peak = {
        "weights": weights,
        "cache": rows * walk.cache,
        "activations": FLOAT * max(rows * walk.widest, walk.decoded),
    }
    return SamplingCost(
        parameters(model), counted, {**guided, "total": sum(guided.values())}, walk.kept, walk.steps,
        walk.evaluations, walk.cache, {**peak, "total": sum(peak.values())},
    )  # fmt: skip


class _Walk:
    """The sampling loop with one row, every part's work counted."""

    def __init__(self, model: HybridModel, sampler: Sampler) -> None:
        self.model, self.sampler, self.macs = model, sampler, Counter[str]()
        self.steps = self.evaluations = self.cache = self.widest = self.decoded = 0
        self.is_guided, self.savings, self.kept = False, Savings(), dict[str, int]()
        self._counted: dict[object, int] = {}

    def run(self) -> None:
        """All steps, then the picture is decoded."""
        model, plan = self.model, self.model.order.plan(self.sampler.sets)
        condition, canvas = self._condition(), model.tokenizer.blank(1)
        state: list[Any] = []
        with self.savings.beginning(model.backbone):
            self._count("backbone", lambda: state.append(model.backbone.begin(condition)))
        self.savings.filled(_caches(state[0]))
        shuffle = torch.zeros(1, prod(model.tokenizer.spec.scales[-1]), device="meta")
        self.steps = len(plan)
        for j, (planned, known) in enumerate(zip(plan, known_after(plan), strict=True)):
            step = model.order.step(planned, shuffle, canvas, False)
            canvas = self._turn(condition, state[0], canvas, step, j, known)
            self.savings.filled(_caches(state[0]))
        self.kept = self.savings.by_reason(_caches(state[0]), self.steps)
        self.cache = FLOAT * sum(entry.k.numel() + entry.v.numel() for entry in _caches(state[0]))
        self._count("tokenizer", lambda: model.tokenizer.decode(canvas.latent))
        self.decoded = _widest_map(model, canvas)

    def _turn(self, condition: Condition, state: Any, canvas: Canvas, step: Step, j: int, known: float) -> Canvas:
        model, now, hidden = self.model, settings_at(self.sampler, j, self.steps, known), list[Tensor]()
        self.is_guided |= now.guidance != 1 or now.head_guidance != 1
        view = model.tokenizer.view(canvas, step.scale)
        self._count("backbone", lambda: hidden.append(model.backbone.advance(state, canvas, view, step)))
        n, vectors = (
            step.positions.shape[1],
            torch.zeros(1, step.positions.shape[1], canvas.latent.shape[1], device="meta"),
        )
        codes, head = None, model.code_head
        if head is not None:
            self.macs["code_head"] += self._once(("code_head", n), lambda: head.logits(hidden[0], condition))
            if j == 0 and isinstance(state, CausalState) and hidden[0].shape[1] < state.prefix.shape[1]:
                self.savings.prefix(state.prefix, lambda prefix: head.logits(prefix, condition))
            codes = torch.zeros(1, n, dtype=torch.long, device="meta")
            self.widest = max(self.widest, n * model.tokenizer.spec.vocab)
        if step.scale in model.residual_scales and now.head_steps > 0:
            self._residual(hidden[0], canvas, step, vectors if codes is not None else None, now.head_steps)
        painted: list[Canvas] = []
        self._count("tokenizer", lambda: painted.append(model.tokenizer.paint(canvas, step, codes, vectors)))
        self.widest = max(self.widest, 6 * hidden[0].numel())
        return painted[0]

    def _residual(self, hidden: Tensor, canvas: Canvas, step: Step, vectors: Tensor | None, steps: int) -> None:
        """One evaluation is what a second Euler step adds to a draw; where it adds nothing, one is all there is."""
        head, join, n = self.model.residual_head, self.model.join, step.positions.shape[1]
        assert head is not None and join is not None
        joined: list[Tensor] = []
        embeds = vectors is not None and join.kind != "hidden"
        embedded = self.model.backbone.embed(vectors) if embeds and vectors is not None else None
        self._count("join", lambda: joined.append(join(hidden, embedded, canvas.latent, step)))

        def cost(few: int) -> int:
            noise = torch.zeros(1, *head.noise_shape(n, Euler(), few), device="meta")
            return self._once((few, step.grid), lambda: head.draw(joined[0], step.grid, noise, Euler(), few))

        one, two = cost(1), cost(2)
        path = getattr(getattr(head, "objective", None), "path", LINEAR)
        evaluations = self.sampler.solver.evaluations(path, steps) if two > one else 1
        if evaluations is None:
            raise UserError(
                "sampler.solver: it chooses its steps as it goes; the cost of one with fixed steps is known"
            )
        self.evaluations += evaluations
        executed = one + (evaluations - 1) * (two - one)
        self.macs["residual_head"] += executed
        target = torch.zeros(1, n, canvas.latent.shape[1], device="meta")
        self.savings.head(head, target, joined[0], step.grid, evaluations, executed)

    def _condition(self) -> Condition:
        conditioner, made = self.model.conditioner, list[Condition]()
        batch = conditioner.blank(1, torch.device("meta"))
        self._count("conditioner", lambda: made.append(conditioner(batch, None)))
        return made[0]

    def _once(self, key: object, call: Callable[[], object]) -> int:
        """What `call` costs, which depends on `key` alone: many steps are alike."""
        if key not in self._counted:
            self._counted[key] = macs(call)
        return self._counted[key]

    def _count(self, part: str, call: Any) -> None:
        counted = macs(call)
        if counted:
            self.macs[part] += counted


def _caches(state: Any) -> list[Any]:
    """Every cache of keys and values inside a backbone's state."""
    if isinstance(state, KeyValues):
        return [state] if state.k is not None else []
    if isinstance(state, list | tuple):
        return [cache for entry in state for cache in _caches(entry)]
    if is_dataclass(state):
        return [cache for field in fields(state) for cache in _caches(getattr(state, field.name))]
    return []


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
