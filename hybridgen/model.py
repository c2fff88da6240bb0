"""The generator: the page to read first.

    p(sample | c) = decode( prod over steps of  p(codes | hidden) . p(residual | hidden, codes) )

`loss` paints the true tokens and asks each head to predict them; `sample` fills a canvas step by step (`steps`). Which
system this is depends on the parts alone: without a residual head a sample is made of codes, without a code head of
the residual.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.backbones.base import Backbone
from hybridgen.conditioners.base import Conditioner
from hybridgen.heads.base import CodeHead, ResidualHead
from hybridgen.heads.join import Join, JoinKind
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import take, to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.orders.base import Order, known_after
from hybridgen.samplers.mix import gumbel_mixture
from hybridgen.samplers.noise import Noise
from hybridgen.samplers.sampler import Sampler
from hybridgen.samplers.schedules import StepSettings, guide, settings_of
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import Replay, replay
from hybridgen.types import Canvas, Condition, Grid, Step, StepLayout, Tokens


@dataclass
class StepRecord:
    """One step of the sampling loop: what the heads saw, and the canvas before and after it."""

    step: Step
    hidden: Float[Tensor, "rows n D"]
    before: Canvas
    canvas: Canvas


@dataclass
class Given:
    """A sample to complete: its tokens, and where they are to be kept."""

    tokens: Tokens
    known: Float[Tensor, "B 1 *grid"]  # 1 keeps, 0 draws; a coarse position is kept when all of it is


class HybridModel(nn.Module):
    """Draws codes, then the residual they leave unsaid.

    Args:
        tokenizer, conditioner, order, backbone: the parts that every model has.
        code_head, residual_head: at least one of them.
        join: the residual head's input: hidden | hidden + embedded codes | the layer norm, or the root mean square
            norm, of that sum.
        join_conv: add a convolution of what the codes painted to it.
        residual_at: scales that carry a residual: the last, or all.
        residual_from: the codes whose residual is learnt: drawn from the model's own logits, the true codes, or the
            likeliest codes.
        residual_top_k: those codes are drawn from this many of the likeliest; 0 takes all.
        residual_top_p: those codes are drawn from the likeliest that together reach this probability.
        draws: how many times and noises each hidden vector is trained on per step.
        code_weight: weight of the codes' cross-entropy in the loss.
        residual_weight: weight of the residual's loss.
    """

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        tokenizer: Tokenizer,
        conditioner: Conditioner,
        order: Order,
        backbone: Backbone,
        code_head: CodeHead | None,
        residual_head: ResidualHead | None,
        *,
        join: JoinKind = "norm",
        join_conv: bool = False,
        residual_at: Literal["last", "all"] = "last",
        residual_from: Literal["sampled", "truth", "argmax"] = "truth",
        residual_top_k: Annotated[int, Ge(0)] = 0,
        residual_top_p: Annotated[float, Gt(0), Le(1)] = 1.0,
        draws: Annotated[int, Ge(1)] = 1,
        code_weight: Annotated[float, Ge(0)] = 1.0,
        residual_weight: Annotated[float, Ge(0)] = 1.0,
    ) -> None:
        super().__init__()
        if code_head is None and residual_head is None:
            raise UserError("a model needs a code head or a residual head; both are null")
        if residual_head is not None and not tokenizer.supports_residual:
            raise UserError(
                "the tokenizer changes what is painted at the finest scale (phi.last: always), so a residual would not "
                "give the latent back; set phi.last=training or residual_head=null"
            )
        if code_head is not None and backbone.per_step:
            raise UserError(
                "the backbone gives one hidden vector per step, too few to draw codes from; set code_head=null"
            )
        self.tokenizer, self.conditioner, self.order, self.backbone = tokenizer, conditioner, order, backbone
        self.code_head, self.residual_head = code_head, residual_head
        self.residual_from, self.draws = residual_from, draws
        self.residual_top_k, self.residual_top_p = residual_top_k, residual_top_p
        self.code_weight, self.residual_weight = code_weight, residual_weight
        at_scales = order.scales if residual_at == "all" else order.scales[-1:]
        self.residual_scales = at_scales if residual_head is not None else ()
        self.join = Join(tokenizer.spec, backbone.width, join, join_conv) if residual_head is not None else None

    def loss(self, tokens: Tokens, batch: Mapping[str, Any], rng: Draws) -> dict[str, Tensor]:
        """Losses of a training batch; "loss" is the one to minimise. Order and dropped conditions come from `rng`."""
        condition = self.conditioner(batch, rng)
        return self.loss_at(tokens, condition, self.order.training(tokens.latent.shape[0], rng), rng)

    def loss_at(self, tokens: Tokens, condition: Condition, due: StepLayout, rng: Draws) -> dict[str, Tensor]:
        """The same with the condition and the layout of what is due handed in."""
        due = StepLayout(due.positions.to(tokens.latent.device), due.sizes, due.scales, due.grids)
        with torch.no_grad():  # the tokenizer is frozen: no gradient reaches it through what it paints
            truth = replay(self.tokenizer, tokens, self.order.scales, self.residual_scales)
        hidden = self.backbone(truth.canvas, truth.views, due, condition)
        total, losses, logits = hidden.new_zeros((), dtype=torch.float32), {}, None
        if self.code_head is not None:
            logits = self.code_head.logits(hidden, condition)
            codes = torch.cat([take(tokens.codes[s], due.positions[:, cut]) for s, cut in due.spans()], 1)
            code_losses = self.code_head.loss(logits, codes)  # (B, N)
            losses["code"] = code_losses.mean()
            losses |= {f"code_scale{s}": code_losses[:, cut].mean().detach() for s, cut in due.spans()}
            total = total + self.code_weight * losses["code"]
        if self.residual_head is not None:
            losses["residual"] = self._residual_loss(tokens, truth, due, hidden, logits, rng)
            total = total + self.residual_weight * losses["residual"]
        return {"loss": total, **{name: value.detach() for name, value in losses.items()}}

    def residual_targets(self, tokens: Tokens) -> Float[Tensor, "M C"]:
        """Targets of the residual head, given the true codes; its normaliser is measured on them."""
        truth = replay(self.tokenizer, tokens, self.order.scales, self.residual_scales)
        targets = []
        for s in self.residual_scales:
            painted = self.tokenizer.lookup(tokens.codes[s], s) if self.code_head is not None else 0.0
            targets.append(rearrange(truth.owed[s] - painted, "B n C -> (B n) C"))
        return torch.cat(targets)

    @torch.no_grad()
    def sample(
        self, condition: Condition, seeds: Sequence[int], sampler: Sampler,
        given: Given | None = None, record: list[StepRecord] | None = None,
    ) -> Float[Tensor, "B X *size"]:  # fmt: skip
        """Samples of these seeds, in [-1, 1]; `record` collects every step.

        Raises:
            UserError: the sampler chooses by confidence, and the parts cannot.
        """
        noise = Noise(seeds, self.tokenizer.blank(1).latent.device)
        return self.sample_at(condition, noise, sampler, given, record)

    @torch.no_grad()
    def sample_at(
        self, condition: Condition, noise: Noise, sampler: Sampler,
        given: Given | None = None, record: list[StepRecord] | None = None,
    ) -> Float[Tensor, "B X *size"]:  # fmt: skip
        """The same with the noise handed in."""
        canvas = self.tokenizer.blank(len(noise.seeds))
        for done in self.steps(condition, noise, sampler, given):
            canvas = done.canvas
            if record is not None:
                record.append(done)
        return self.tokenizer.decode(canvas.latent)

    def steps(
        self, condition: Condition, noise: Noise, sampler: Sampler, given: Given | None = None
    ) -> Iterator[StepRecord]:
        """The sampling loop, one record per step; the canvas of the last one is finished. No gradient is kept.

        The caller may stop early, and may decode any canvas on the way: nothing is changed in place.

        Raises:
            UserError: the sampler chooses by confidence, and the parts cannot.
        """
        self._check_choice(sampler)
        canvas, plan = self.tokenizer.blank(len(noise.seeds)), self.order.plan(sampler.sets)
        settings = settings_of(sampler, known_after(plan))
        if any(now.is_guided for now in settings):
            condition = condition.guided()
        with torch.no_grad():
            state = self.backbone.begin(condition)
        shuffle = noise.uniform("order", 0, prod(self.tokenizer.spec.scales[-1]))
        for j, planned in enumerate(plan):
            with torch.no_grad():  # not around `yield`: the caller's own mode stays
                before, step = canvas, self.order.step(planned, shuffle, canvas, sampler.by == "confidence")
                hidden = self.backbone.advance(state, canvas, self.tokenizer.view(canvas, step.scale), step)
                step, codes, vectors = self._draw(hidden, condition, canvas, step, noise, settings[j], j)
                if given is not None:
                    codes, vectors = self._keep_given(given, canvas, step, codes, vectors)
                canvas = self.tokenizer.paint(canvas, step, codes, vectors)
            yield StepRecord(step, hidden, before, canvas)

    def _check_choice(self, sampler: Sampler) -> None:
        """Raises where positions cannot be chosen by confidence: it draws some again, and ranks them by their codes."""
        if sampler.by == "random":
            return
        if self.code_head is None:
            raise UserError("sampler.by: 'confidence' ranks codes, and this model draws none; use 'random'")
        if not self.backbone.revisits:
            raise UserError(
                "sampler.by: 'confidence' feeds positions again, and this backbone sees each once; use 'random'"
            )

    def _draw(
        self, hidden: Tensor, condition: Condition, canvas: Canvas, step: Step, noise: Noise, now: StepSettings, j: int
    ) -> tuple[Step, Tensor | None, Tensor]:
        """Codes, then the residual they leave: what step j paints, and at which positions."""
        batch, codes, vectors, logits = canvas.latent.shape[0], None, None, None
        if self.code_head is not None:
            logits = guide(self.code_head.logits(hidden, condition), now.guidance, batch)
            codes, vectors = self._draw_codes(logits, step, noise, now, j)
        if step.scale in self.residual_scales and now.head_steps > 0:
            shown = vectors
            if codes is not None and now.mix and now.mix_tells == "code":
                shown = self.tokenizer.lookup(codes, step.scale)
            residual = self._draw_residual(hidden, canvas, step, codes, shown, noise, now, j)
            vectors = residual if vectors is None else vectors + residual
        if vectors is None:  # no codes, and the residual was left out: nothing is painted
            vectors = canvas.latent.new_zeros(*step.positions.shape, canvas.latent.shape[1])
        if step.keep and self.code_head is not None and logits is not None and codes is not None:
            return _keep_surest(self.code_head.log_prob(logits, codes), codes, vectors, step, noise, j)
        return step, codes, vectors

    def _residual_loss(
        self, tokens: Tokens, truth: Replay, due: StepLayout, hidden: Tensor, logits: Tensor | None, rng: Draws
    ) -> Tensor:
        """Mean loss of the residual over all positions that carry one; equal grids share one call of the head."""
        assert self.residual_head is not None and self.join is not None
        groups: dict[Grid, list[tuple[Tensor, Tensor]]] = {}
        for index, (step, cut) in enumerate(due.columns()):
            if step.scale not in self.residual_scales:
                continue
            h = hidden[:, index : index + 1] if self.backbone.per_step else hidden[:, cut]
            target, codes, vectors = take(truth.owed[step.scale], step.positions), None, None
            if logits is not None:
                codes = self._codes_of_target(tokens, logits[:, cut], step, rng)
                vectors = self.tokenizer.lookup(codes, step.scale)
                target = target - vectors
            joined = self._join(h, truth.before[step.scale], step, codes, vectors)
            groups.setdefault(step.grid, []).append((target, joined))
        total = hidden.new_zeros((), dtype=torch.float32)
        for grid, pairs in groups.items():
            target, joined = (
                repeat(torch.stack(p, 1), "B g n C -> (B g k) n C", k=self.draws) for p in zip(*pairs, strict=True)
            )
            loss = self.residual_head.loss(target, joined, grid, rng)
            total = total + loss.mean() * len(pairs) * prod(grid)
        return total / sum(len(pairs) * prod(grid) for grid, pairs in groups.items())

    def _codes_of_target(self, tokens: Tokens, logits: Tensor, step: Step, rng: Draws) -> Tensor:
        if self.residual_from == "truth":
            return take(tokens.codes[step.scale], step.positions)
        assert self.code_head is not None
        uniform = rng.uniform(*logits.shape[:2], self.code_head.uniforms).to(logits.device)
        temperature = 1.0 if self.residual_from == "sampled" else 0.0
        return self.code_head.draw(logits.detach(), uniform, temperature, self.residual_top_k, self.residual_top_p)

    def _join(self, hidden: Tensor, before: Canvas, step: Step, codes: Tensor | None, vectors: Tensor | None) -> Tensor:
        assert self.join is not None
        embedded, painted = None, before.latent
        if vectors is not None:
            embedded = self.backbone.embed(vectors) if self.join.kind != "hidden" else None
            if self.join.conv is not None:
                with torch.no_grad():
                    painted = self.tokenizer.paint(before, step, codes, vectors).latent
        return self.join(hidden, embedded, painted, step)

    def _draw_codes(self, logits: Tensor, step: Step, noise: Noise, now: StepSettings, j: int) -> tuple[Tensor, Tensor]:
        """Codes of one step and the vectors that they paint."""
        assert self.code_head is not None
        uniform = noise.uniform("codes", j, step.positions.shape[1], self.code_head.uniforms)
        if not now.mix:
            codes = self.code_head.draw(logits, uniform, now.temperature, now.top_k, now.top_p)
            return codes, self.tokenizer.lookup(codes, step.scale)
        kept = self.code_head.filtered(logits, now.temperature, now.top_k, now.top_p)
        codes = self.code_head.draw(kept, uniform, temperature=0.0 if now.temperature == 0 else 1.0)
        weights = gumbel_mixture(kept, noise.gumbel("mix", j, *logits.shape[1:]), now.mix, now.mix_gain)
        return codes, self.tokenizer.lookup(weights, step.scale)

    def _draw_residual(
        self, hidden: Tensor, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Tensor | None,
        noise: Noise, now: StepSettings, j: int,
    ) -> Tensor:  # fmt: skip
        assert self.residual_head is not None
        joined = self._join(hidden, canvas, step, codes, vectors)
        if now.head_guidance == 1:
            joined = joined[: canvas.latent.shape[0]]
        shape = self.residual_head.noise_shape(step.positions.shape[1], now.solver, now.head_steps)
        start, how = noise.normal("residual", j, *shape), (now.head_guidance, now.head_temperature)
        return self.residual_head.draw(joined, step.grid, start, now.solver, now.head_steps, *how)

    def _keep_given(
        self, given: Given, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """The drawn codes and vectors, replaced by those of the given sample where it is to be kept."""
        s = step.scale
        share = to_sequence(shrink(given.known, self.tokenizer.spec.scales[s]))
        kept = take(share, step.positions)[..., 0] > 0.999  # (B, n): the area mean of all ones, up to rounding
        if codes is not None:
            own = take(given.tokens.codes[s], step.positions)
            codes, own_vectors = torch.where(kept, own, codes), self.tokenizer.lookup(own, s)
        if codes is None or s in self.residual_scales:
            own_vectors = take(self.tokenizer.owed(given.tokens, canvas, s), step.positions)
        return codes, torch.where(kept[..., None], own_vectors, vectors)


def _keep_surest(
    log_prob: Tensor, codes: Tensor, vectors: Tensor, step: Step, noise: Noise, j: int
) -> tuple[Step, Tensor, Tensor]:
    """Keeps the `step.keep` positions whose codes are likeliest, with Gumbel noise (MaskGIT, arXiv:2202.04200)."""
    surest = log_prob + noise.gumbel("confidence", j, codes.shape[1])
    index = surest.topk(step.keep, dim=1).indices
    kept = Step(step.scale, take(step.positions, index), (step.keep,))
    return kept, take(codes, index), take(vectors, index)
