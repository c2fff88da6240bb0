"""A codebook that does not collapse: moving averages, k-means at the start, revival of dead codes.

Sources: VQ-VAE (arXiv:1711.00937), appendix A.1, for the moving averages; the other two are the usual remedies.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hybridgen.nn.draws import Draws


class Codebook(nn.Module):
    """V vectors that follow the mean of what is assigned to them; no gradient reaches them.

    Processes that share a batch each pass the rows of all (`Draws.everyone`), so their codebooks stay equal.

    Args:
        vocab: V.
        channels: C.
        decay: of the moving averages, per training step.
        dead: a code is moved onto a random input when its average count falls below this fraction of the mean count.
        normalise: vectors have unit length.
    """

    vectors: Tensor  # (V, C)
    counts: Tensor  # (V,) moving average of how often a code is chosen in a batch
    sums: Tensor  # (V, C) moving average of the sum of the vectors that chose it
    started: Tensor  # () bool

    def __init__(self, vocab: int, channels: int, decay: float, dead: float, normalise: bool = False) -> None:
        super().__init__()
        self.decay, self.dead, self.normalise = decay, dead, normalise
        self.register_buffer("vectors", self._sized(torch.randn(vocab, channels)))
        self.register_buffer("counts", torch.ones(vocab))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("started", torch.tensor(False))

    def nearest(self, x: Float[Tensor, "M C"]) -> Int[Tensor, " M"]:
        """The nearest code, in float32."""
        return nearest_of(x, self.vectors)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "M C"], rng: Draws, rounds: int = 10) -> None:
        """k-means on x from a random choice of its rows; a second call does nothing."""
        if self.started:
            return
        self.vectors.copy_(self._sized(self._some(x, rng)))
        for _ in range(rounds):
            chosen = self._chosen(self.nearest(x))
            counts = chosen.sum(0)
            means = torch.where(counts[:, None] > 0, chosen.T @ x / counts.clamp_min(1)[:, None], self.vectors)
            self.vectors.copy_(self._sized(means))
        self.counts.fill_(x.shape[0] / len(self.vectors))
        self.sums.copy_(self.vectors * self.counts[:, None])
        self.started.fill_(True)

    @torch.no_grad()
    def follow(self, x: Float[Tensor, "M C"], codes: Int[Tensor, " M"], rng: Draws) -> None:
        """One step of the moving averages, then revival."""
        chosen = self._chosen(codes)
        self.counts.lerp_(chosen.sum(0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ x.float(), 1 - self.decay)
        dead = self.counts < self.dead * self.counts.mean()
        self._revive(dead, self._some(x.float(), rng))
        self.vectors.copy_(self._sized(self.sums / self.counts.clamp_min(1e-6)[:, None]))

    def _revive(self, dead: Bool[Tensor, " V"], fresh: Float[Tensor, "V C"]) -> None:
        counts = torch.where(dead, self.counts.mean(), self.counts)
        self.sums.copy_(torch.where(dead[:, None], fresh * counts[:, None], self.sums))
        self.counts.copy_(counts)

    def _sized(self, vectors: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
        return unit(vectors, 1) if self.normalise else vectors

    def _chosen(self, codes: Int[Tensor, " M"]) -> Float[Tensor, "M V"]:
        return torch.nn.functional.one_hot(codes, len(self.vectors)).float()

    def _some(self, x: Float[Tensor, "M C"], rng: Draws) -> Float[Tensor, "V C"]:
        u = rng.common(len(self.vectors)).to(x.device)
        return x[(u * x.shape[0]).long().clamp_max(x.shape[0] - 1)].float()


def nearest_of(x: Float[Tensor, "M C"], book: Float[Tensor, "V C"]) -> Int[Tensor, " M"]:
    """The row of `book` nearest to each row of x, in float32."""
    x, book = x.float(), book.float()
    return (book.square().sum(1) - 2 * x @ book.T).argmin(1)


def unit(x: Tensor, dim: int) -> Tensor:
    """x, of length 1 along `dim`."""
    return F.normalize(x, dim=dim)
