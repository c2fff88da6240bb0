"""A convolutional tokenizer with a pyramid of codes: next-scale codes alone, or with the residual they leave.

Sources: VAR (arXiv:2404.02905) for the codes; HART (arXiv:2410.10812, section 3.1) for the decoder of both.
Differs from HART by default: the last scale never has a phi, latents are standardised, and `joint` trains both
decodings from the start, which keeps more for the residual at small sizes. Each is an option.
"""

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import LightNetwork
from hybridgen.nn.draws import Draws
from hybridgen.nn.network import Network
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.nn.standardise import Standardise
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import blank_canvas, note
from hybridgen.tokenizers.codebook import Codebook, unit
from hybridgen.tokenizers.learnt_codebook import LearntCodebook
from hybridgen.tokenizers.phases import Phases, phase_at
from hybridgen.tokenizers.phi import PhiKind, PhiLast, Phis
from hybridgen.tokenizers.quantizers import Growth, PyramidQuantizer, Weights
from hybridgen.types import Canvas, DataSpec, Grid, Step, Tokens, TokenSpec


class PyramidTokenizer(Tokenizer):
    """Codes of each scale, coarse to fine, that sum to the latent up to a residual.

    Args:
        data: what is tokenised.
        scales: grids, coarse to fine; a number stands for that size in each dimension. The last must be the latent's
            grid; empty: that grid alone (a plain VQ tokenizer).
        vocab: V, codes in the codebook that all scales share. Few codes leave more to the residual.
        channels: C of the latent.
        widths: channels of each level of the encoder, fine to coarse; each level halves the grid.
        encoder_blocks: residual blocks a level in the encoder.
        decoder_blocks: the same in the decoder.
        net: other networks, in place of those of `widths` and blocks.
        codebook: how it learns: by moving averages of what is assigned to a code, or by the gradient of its loss.
        normalise: the encoder's vectors and the codebook's have unit length.
        latent_scale: multiplies the encoder's vectors; null: they are standardised by what training measures.
        phi: smoothing of enlarged maps: residual h + conv(h), blend (1 - ratio) h + ratio conv(h), or none.
        phi_count: how many phis the scales share; 0: each has its own.
        phi_ratio: of the blend.
        phi_last: whether the finest scale has one: never, while the tokenizer learns, or always. If always, a residual
            painted there does not give the latent back, so none may be trained.
        growth: direct enlarges each scale's vectors to the finest grid and smooths there; stepwise smooths them where
            they are, and enlarges the sum from scale to scale.
        phases: what the decoder is shown in training (see tokenizers/phases.py).
        lead: share of the training in which `joint` shows the latent only.
        tail: share of the training, at its end, in which only the decoder learns.
        quantizer_weight: of the quantiser's loss.
        commitment: of the encoder to the codes, inside it.
        entropy: of the term that keeps all codes in use, inside it (see tokenizers/entropy.py).
        entropy_temperature: of the soft assignment in that term.
        l1: weight of the absolute error beside the squared error.
        latent_weight: of the latent's mean square, which keeps it bounded.
        decay: of the codebook's moving averages.
        dead: a code is revived below this share of the mean count.
    """

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        data: DataSpec,
        *,
        scales: tuple[int | tuple[int, ...], ...] = (),
        vocab: Annotated[int, Ge(2)] = 512,
        channels: Annotated[int, Ge(1)] = 16,
        widths: tuple[int, ...] = (32, 96),
        encoder_blocks: Annotated[int, Ge(0)] = 1,
        decoder_blocks: Annotated[int, Ge(0)] = 2,
        net: Network | None = None,
        codebook: Literal["averages", "gradient"] = "averages",
        normalise: bool = False,
        latent_scale: Annotated[float, Gt(0)] | None = None,
        phi: PhiKind = "residual",
        phi_count: Annotated[int, Ge(0)] = 0,
        phi_ratio: Annotated[float, Ge(0), Le(1)] = 0.5,
        phi_last: PhiLast = "never",
        growth: Growth = "direct",
        phases: Phases = "codes",
        lead: Annotated[float, Ge(0), Lt(1)] = 0.1,
        tail: Annotated[float, Ge(0), Lt(1)] = 0.19,
        quantizer_weight: Annotated[float, Ge(0)] = 0.05,
        commitment: Annotated[float, Ge(0)] = 0.25,
        entropy: Annotated[float, Ge(0)] = 0.0,
        entropy_temperature: Annotated[float, Gt(0)] = 0.01,
        l1: Annotated[float, Ge(0)] = 0.2,
        latent_weight: Annotated[float, Ge(0)] = 1e-3,
        decay: Annotated[float, Gt(0), Lt(1)] = 0.98,
        dead: Annotated[float, Ge(0), Le(1)] = 0.03,
    ) -> None:
        super().__init__()
        dims = len(data.size)
        net = net or LightNetwork(widths=widths, encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks)
        grid = net.grid(data.size)
        self.spec = TokenSpec(grid, channels, _scales(scales, grid), vocab)
        self.phases, self.lead, self.tail = phases, lead, tail
        self.quantizer_weight, self.l1, self.latent_weight = quantizer_weight, l1, latent_weight
        self.normalise, self.fixed_units, self.supports_residual = (
            normalise,
            latent_scale is not None,
            phi_last != "always",
        )
        self.encoder = net.encoder(data.channels, dims, channels)
        self.decoder = net.decoder(data.channels, dims, channels)
        averages = codebook == "averages"
        self.quantizer = PyramidQuantizer(
            Codebook(vocab, channels, decay, dead, normalise)
            if averages
            else LearntCodebook(vocab, channels, normalise),
            self.spec.scales,
            Phis(channels, dims, len(self.spec.scales), phi, phi_count, phi_ratio, phi_last),
            growth,
            Weights(commitment, entropy, entropy_temperature),
        )
        self.units = Standardise(channels, latent_scale)
        self.phase = phase_at(phases, 0.0, lead, tail)

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
        """The picture, clamped to [-1, 1]."""
        return self.decoder(self.units.inverse(latent)).clamp(-1, 1)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Reconstruction of what the decoder is shown in this phase, plus the quantiser's loss."""
        frozen = self.phase.learns == "decoder"
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            raw = self.raw(x)
        losses = {"latent_square": raw.square().mean()}
        shown = raw
        if self.phase.latent_share < 1:
            with torch.autocast(x.device.type, enabled=False):
                learned = self.quantizer.learn(raw, rng, follow=not frozen)
            losses["quantizer"] = learned.losses["quantizer"]
            straight = (
                raw + (learned.painted - raw).detach()
            )  # straight through: the encoder learns as if nothing was rounded
            coin = rng.uniform(x.shape[0]).to(x.device) < self.phase.latent_share
            shown = torch.where(coin.view(-1, *[1] * (raw.dim() - 1)), raw, straight)
        error = self.decoder(shown).float() - x
        losses |= {"mse": error.square().mean(), "l1": error.abs().mean()}
        total = losses["mse"] + self.l1 * losses["l1"]
        if not frozen:
            total = total + self.latent_weight * losses["latent_square"]
            total = total + self.quantizer_weight * losses.get("quantizer", total.new_zeros(()))
        return {"loss": total, **{k: v.detach() for k, v in losses.items()}}

    def schedule(self, progress: float) -> None:
        """Enters the phase of `progress`; in the tail nothing but the decoder asks for gradients."""
        self.phase = phase_at(self.phases, progress, self.lead, self.tail)
        self.encoder.requires_grad_(self.phase.learns == "all")
        self.quantizer.requires_grad_(self.phase.learns == "all")

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and deviation of the latents of x."""
        with torch.no_grad():
            self.units.measure(self.raw(x))

    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """Vectors in units of the latent: the codebook's, without the mean, which the blank canvas carries."""
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
        """What is still missing when scale s begins, shrunk to it."""
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
