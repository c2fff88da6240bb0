"""Residual quantisation over a pyramid of scales that share one codebook.

Source: VAR (arXiv:2404.02905), algorithms 1 and 2. f_s = f_{s-1} + phi_s(enlarge(e_{k_s})), where k_s is the code
nearest to what shrink(z - f_{s-1}) leaves.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.nn.conv import CONV, zero
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_grid, to_sequence
from hybridgen.nn.resize import enlarge, shrink
from hybridgen.tokenizers.codebook import Codebook
from hybridgen.types import Grid

PhiKind = Literal["residual", "blend", "none"]


class Phi(nn.Module):
    """What smooths an enlarged map: h + conv(h), zero at the start, or VAR's (h + conv(h)) / 2 blend."""

    def __init__(self, channels: int, dims: int, kind: PhiKind) -> None:
        super().__init__()
        self.kind = kind
        self.conv = CONV[dims](channels, channels, 3, padding=1)
        if kind == "residual":
            zero(self.conv)

    def forward(self, h: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Same shape as h."""
        return h + self.conv(h) if self.kind == "residual" else 0.5 * h + 0.5 * self.conv(h)


class PyramidQuantizer(nn.Module):
    """Codes of a map, coarse to fine, and the map that they sum to. Works in the encoder's own units, in float32.

    The finest scale has no phi: only then does painting codes plus residual give the latent back (law 1).

    Args:
        codebook: shared by all scales.
        scales: grids, coarse to fine; the last one is the latent's grid.
        phi: kind of smoothing on the coarser scales, one module each.
        commitment: weight of pulling the encoder towards the codes.
    """

    def __init__(self, codebook: Codebook, scales: tuple[Grid, ...], phi: PhiKind, commitment: float) -> None:
        super().__init__()
        self.codebook, self.scales, self.commitment = codebook, scales, commitment
        channels, dims = codebook.vectors.shape[1], len(scales[-1])
        kinds = [phi] * (len(scales) - 1)
        self.phi = nn.ModuleList(
            [*(nn.Identity() if k == "none" else Phi(channels, dims, k) for k in kinds), nn.Identity()]
        )

    def encode(
        self, latent: Float[Tensor, "B C *grid"]
    ) -> tuple[list[Int[Tensor, "B n_s"]], Float[Tensor, "B C *grid"]]:
        """Codes of each scale, and the sum that they paint."""
        codes, painted = [], torch.zeros_like(latent, dtype=torch.float32)
        for s in range(len(self.scales)):
            _, chosen = self._choose(latent, painted, s)
            codes.append(chosen)
            painted = painted + self.contribution(self.codebook.vectors[chosen], s)
        return codes, painted

    def contribution(self, vectors: Float[Tensor, "B n C"], s: int) -> Float[Tensor, "B C *grid"]:
        """What the vectors of scale s add to the map."""
        return self.phi[s](enlarge(to_grid(vectors.float(), self.scales[s]), self.scales[-1]))

    def learn(
        self, latent: Float[Tensor, "B C *grid"], rng: Draws, follow: bool
    ) -> tuple[Float[Tensor, "B C *grid"], Tensor]:
        """The painted sum (gradient to phi) and the quantiser's loss; `follow`: the codebook moves too.

        Loss: mean over scales of commitment |z - sg f_s|^2 + |sg z - f_s|^2 (methods.md, section 1).
        """
        still = latent.detach()
        if not self.codebook.started:
            rows = [rng.everyone(to_sequence(shrink(still, g))).flatten(0, 1) for g in self.scales]
            self.codebook.start(torch.cat(rows), rng)
        painted, losses, seen, chosen = torch.zeros_like(still), [], [], []
        for s in range(len(self.scales)):
            left, codes = self._choose(still, painted.detach(), s)
            seen.append(rng.everyone(left).flatten(0, 1))
            chosen.append(rng.everyone(codes).flatten())
            painted = painted + self.contribution(self.codebook.vectors[codes], s)
            pull = (latent - painted.detach()).square().mean()
            losses.append(self.commitment * pull + (still - painted).square().mean())
        if follow:
            self.codebook.follow(torch.cat(seen), torch.cat(chosen), rng)
        return painted, torch.stack(losses).mean()

    def _choose(self, latent: Tensor, painted: Tensor, s: int) -> tuple[Float[Tensor, "B n C"], Int[Tensor, "B n"]]:
        left = to_sequence(shrink(latent.float() - painted, self.scales[s]))
        return left, self.codebook.nearest(left.flatten(0, 1)).unflatten(0, left.shape[:2])
