"""A convolutional tokenizer with a pyramid of codes: next-scale codes alone, or with the residual they leave.

Sources: VAR (arXiv:2404.02905) for the codes; HART (arXiv:2410.10812, section 3.1) for the decoder of both.
Differs from HART by default: the last scale never has a phi, latents are standardised, and `joint` trains both
decodings from the start, which leaves more to the residual at small sizes. Each is an option.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import LightNetwork
from hybridgen.nn.draws import Draws
from hybridgen.nn.network import Network, last_weight
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.nn.standardise import Standardise
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.adversary import Adversary
from hybridgen.tokenizers.base import AT_ONCE, Reconstruction, Tokenizer
from hybridgen.tokenizers.canvas import blank_canvas, note
from hybridgen.tokenizers.codebook import unit
from hybridgen.tokenizers.codebook_learning import Averages, CodebookLearning
from hybridgen.tokenizers.loss_weights import LossWeights, errors
from hybridgen.tokenizers.perceptual import PerceptualLoss
from hybridgen.tokenizers.phases import CodesOnly, Phases
from hybridgen.tokenizers.phi import Phis, PhiStyle, ResidualPhi
from hybridgen.tokenizers.quantizers import Growth, PyramidQuantizer
from hybridgen.types import Canvas, DataSpec, Grid, Step, Tokens, TokenSpec


class PyramidTokenizer(Tokenizer):
    """Codes of each scale, coarse to fine, that sum to the latent up to a residual.

    Args:
        data: the data that is tokenised.
        scales: grids, coarse to fine; a number means that size in each dimension. The last must be the latent's grid;
            empty: that grid alone (a plain VQ tokenizer).
        vocab: V, codes in the codebook that all scales share. Few codes leave more to the residual.
        channels: C of the latent.
        net: the encoder and the decoder.
        codebook: how it learns: by moving averages of what is assigned to a code, or by the gradient of its loss.
        normalise: the encoder's vectors and the codebook's have unit length.
        latent_scale: multiplies the encoder's vectors; null: they are standardised by what training measures.
        phi: smoothing of enlarged maps.
        growth: "direct" enlarges each scale's vectors to the finest grid and smooths there; "stepwise" smooths them on
            their own grid, and enlarges the sum from scale to scale.
        phases: the decoder's input in the course of training.
        loss: weights of the losses.
        perceptual: one more term of the reconstruction's loss; null has none.
        adversary: a discriminator to be trained against; null has none.
    """

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        data: DataSpec,
        *,
        scales: tuple[int | tuple[int, ...], ...] = (),
        vocab: Annotated[int, Ge(2)] = 512,
        channels: Annotated[int, Ge(1)] = 16,
        net: Network = LightNetwork(),
        codebook: CodebookLearning = Averages(),
        normalise: bool = False,
        latent_scale: Annotated[float, Gt(0)] | None = None,
        phi: PhiStyle = ResidualPhi(),
        growth: Growth = "direct",
        phases: Phases = CodesOnly(),
        loss: LossWeights = LossWeights(),
        perceptual: PerceptualLoss | None = None,
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__()
        dims, grid = len(data.size), net.grid(data.size)
        self.spec = TokenSpec(grid, channels, _scales(scales, grid), vocab)
        self.phases, self.weights, self.normalise = phases, loss, normalise
        self.perceptual = None if perceptual is None else perceptual.measure(data)
        self.adversary = adversary
        self.fixed_units, self.supports_residual = latent_scale is not None, phi.last != "always"
        self.encoder = net.encoder(data.channels, dims, channels)
        self.decoder = net.decoder(data.channels, dims, channels)
        book = codebook.codebook(vocab, channels, normalise)
        phis = Phis(channels, dims, len(self.spec.scales), phi)
        self.quantizer = PyramidQuantizer(book, self.spec.scales, phis, growth, loss)
        self.units = Standardise(channels, latent_scale)
        self.phase = phases.at(0.0)

    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """Standardised latent, and codes of each scale; nearest codes and sums in float32."""
        raw = self.raw(x)
        codes, _ = self.quantizer.encode(raw)
        return Tokens(self.units(raw), codes)

    def raw(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The latent in the encoder's own units, float32."""
        raw = self.encoder(x).float()
        return unit(raw, 1) if self.normalise else raw

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The data of a latent, clamped to [-1, 1]."""
        return self.decoder(self.units.inverse(latent)).clamp(-1, 1)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Reconstruction from the decoder's input in this phase, plus the quantiser's loss."""
        return self.reconstruct(x, rng).losses

    def reconstruct(self, x: Float[Tensor, "B X *size"], rng: Draws) -> Reconstruction:
        """The pass behind `loss`."""
        frozen = self.phase.learns == "decoder"
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            raw = self.raw(x)
        losses = {"latent_square": raw.square().mean()}
        shown = raw
        if self.phase.latent_share < 1:
            with torch.autocast(x.device.type, enabled=False):
                learned = self.quantizer.learn(raw, rng, follow=not frozen)
            losses["quantizer"] = learned.losses["quantizer"]
            straight = raw + (learned.painted - raw).detach()  # the encoder learns as if nothing was rounded
            coin = rng.uniform(x.shape[0]).to(x.device) < self.phase.latent_share
            shown = torch.where(coin.view(-1, *[1] * (raw.dim() - 1)), raw, straight)
        given = self.decoder(shown).float()
        total, terms = errors(given, x, self.weights.l2, self.weights.l1, self.perceptual)
        losses |= terms
        if not frozen:
            total = total + self.weights.latent * losses["latent_square"]
            total = total + self.weights.quantizer * losses.get("quantizer", total.new_zeros(()))
        losses = {"loss": total, **{k: v.detach() for k, v in losses.items()}}
        return Reconstruction(given, losses, last_weight(self.decoder))

    def schedule(self, progress: float) -> None:
        """Enters the phase of `progress`; where the decoder alone learns, nothing else has gradients."""
        self.phase = self.phases.at(progress)
        self.encoder.requires_grad_(self.phase.learns == "all")
        self.quantizer.requires_grad_(self.phase.learns == "all")

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and standard deviation of the latents of x."""
        with torch.no_grad():
            self.units.measure(torch.cat([self.raw(some) for some in x.split(AT_ONCE)]))

    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """Vectors in units of the latent: the codebook's, without the mean, which the blank canvas has."""
        book = self.quantizer.codebook.vectors
        if codes.dtype == torch.long:
            return book[codes] / self.units.std
        return codes.to(book) @ (book / self.units.std)

    def blank(self, batch: int) -> Canvas:
        """Zero in the encoder's own units."""
        return blank_canvas(self.spec, self.units.empty(batch, self.spec.grid))

    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The latent as scale s began, shrunk to it."""
        return to_sequence(shrink(canvas.began(s), self.spec.scales[s]))

    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The difference to the latent as scale s begins, shrunk to it."""
        return to_sequence(shrink(tokens.latent - canvas.began(s), self.spec.scales[s]))

    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """Adds phi of the enlarged vectors of the step's scale to the latent as that scale began."""
        canvas = note(canvas, step, codes, vectors)
        raw = canvas.vectors[step.scale] * self.units.std
        added = self.quantizer.contribution(raw, step.scale)
        return canvas.with_(
            latent=canvas.before + added / rearrange(self.units.std, "C -> C" + " 1" * len(self.spec.grid))
        )


def _scales(scales: tuple[int | tuple[int, ...], ...], grid: Grid) -> tuple[Grid, ...]:
    """Scales as grids; the last one must be the latent's."""
    grids = tuple((s,) * len(grid) if isinstance(s, int) else s for s in scales) or (grid,)
    if grids[-1] != grid:
        raise UserError(f"scales: the last one is {grids[-1]}, but the latent's grid is {grid}")
    if any(len(g) != len(grid) or any(a < 1 or a > b for a, b in zip(g, grid, strict=True)) for g in grids):
        raise UserError(f"scales: each must have {len(grid)} sizes between 1 and {grid}; given {grids}")
    return grids
