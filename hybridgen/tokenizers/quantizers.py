"""Residual quantisation over a pyramid of scales that share one codebook.

Source: VAR (arXiv:2404.02905), algorithms 1 and 2. f_s = f_{s-1} + phi_s(enlarge(e_{k_s})), where k_s is the code
nearest to what shrink(z - f_{s-1}) leaves.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_grid, to_sequence
from hybridgen.nn.resize import enlarge, shrink
from hybridgen.tokenizers.codebook import Codebook
from hybridgen.tokenizers.entropy import entropy_loss
from hybridgen.tokenizers.learnt_codebook import LearntCodebook
from hybridgen.tokenizers.loss_weights import LossWeights
from hybridgen.tokenizers.phi import Phis
from hybridgen.types import Grid

Growth = Literal["direct", "stepwise"]


@dataclass
class Learned:
    """The result of a training pass: the painted sum, with gradient to phi and a learnt codebook; codes; losses.

    The loss "quantizer" is minimised; the other losses are its terms without their weights.
    """

    painted: Float[Tensor, "B C *grid"]
    codes: list[Int[Tensor, "B _"]]
    losses: dict[str, Tensor]


class PyramidQuantizer(nn.Module):
    """Codes of a map, coarse to fine, and the map that they sum to. Works in the encoder's own units, in float32.

    Only where the finest scale has no phi does painting codes plus residual give the latent back (law 1).

    Args:
        codebook: shared by all scales.
        scales: grids, coarse to fine; the last one is the latent's grid.
        phi: smoothing of each scale.
        growth: "direct" enlarges each scale's vectors to the finest grid and smooths there; "stepwise" smooths them on
            their own grid, and enlarges the sum from scale to scale.
        weights: weights of the losses.
    """

    def __init__(
        self,
        codebook: Codebook | LearntCodebook,
        scales: tuple[Grid, ...],
        phi: Phis,
        growth: Growth,
        weights: LossWeights,
    ) -> None:
        super().__init__()
        self.codebook, self.scales, self.growth, self.weights = codebook, scales, growth, weights
        self.phi = phi

    def encode(
        self, latent: Float[Tensor, "B C *grid"]
    ) -> tuple[list[Int[Tensor, "B n_s"]], Float[Tensor, "B C *grid"]]:
        """Codes of each scale, and the sum that they paint."""
        codes, painted = [], torch.zeros_like(latent, dtype=torch.float32)
        for s in range(len(self.scales)):
            chosen = self._choose(shrink(latent.float() - painted, self.scales[s]))
            codes.append(chosen)
            painted = painted + self.contribution(self.codebook.vectors[chosen], s)
        return codes, painted

    def contribution(
        self, vectors: Float[Tensor, "B n C"], s: int, learning: bool = False
    ) -> Float[Tensor, "B C *grid"]:
        """The addition of the vectors of scale s to the map."""
        h = to_grid(vectors.float(), self.scales[s])
        if self.growth == "direct":
            return self.phi.smooth(enlarge(h, self.scales[-1]), s, learning)
        h = self.phi.smooth(h, s, learning)
        for grid in self.scales[s + 1 :]:  # enlarging is linear, so each term is enlarged as the sum is
            h = enlarge(h, grid)
        return h

    def learn(self, latent: Float[Tensor, "B C *grid"], rng: Draws, follow: bool) -> Learned:
        """The painted sum and the quantiser's loss; `follow`: moving averages are updated too.

        Loss: mean over scales of commitment |z - sg f_s|^2 + |sg z - f_s|^2 (methods.md, section 1), and, if it has a
        weight, the entropy term.
        """
        still = latent.detach()
        source = (
            latent if self.weights.entropy else still
        )  # only the entropy term needs the gradient from what is left to z
        if not self.codebook.started:
            rows = [rng.everyone(to_sequence(shrink(still, g))).flatten(0, 1) for g in self.scales]
            self.codebook.start(torch.cat(rows), rng)
        painted, terms, seen, codes = torch.zeros_like(still), list[dict[str, Tensor]](), [], []
        for s, grid in enumerate(self.scales):
            left = shrink(source - painted.detach(), grid)
            chosen = self._choose(left.detach())
            seen.append(rng.everyone(to_sequence(left.detach())).flatten(0, 1))
            codes.append(chosen)
            painted = painted + self.contribution(self.codebook.vectors[chosen], s, learning=True)
            terms.append(self._terms(latent, painted, left))
        if follow:
            everyones = [rng.everyone(chosen).flatten() for chosen in codes]
            self.codebook.follow(torch.cat(seen), torch.cat(everyones), rng)
        losses = {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}
        return Learned(painted, codes, losses)

    def _terms(self, latent: Tensor, painted: Tensor, left: Tensor) -> dict[str, Tensor]:
        """The losses of one scale."""
        commitment = (latent - painted.detach()).square().mean()
        codebook = (latent.detach() - painted).square().mean()
        terms = {"commitment": commitment, "codebook": codebook}
        total = self.weights.commitment * commitment + codebook
        if self.weights.entropy:
            rows = to_sequence(left).flatten(0, 1)
            terms["entropy"] = entropy_loss(rows, self.codebook.vectors, self.weights.entropy_temperature)
            total = total + self.weights.entropy * terms["entropy"]
        return terms | {"quantizer": total}

    def _choose(self, left: Float[Tensor, "B C *small"]) -> Int[Tensor, "B n"]:
        rows = to_sequence(left)
        return self.codebook.nearest(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
