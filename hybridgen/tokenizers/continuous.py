"""A convolutional KL autoencoder: one continuous latent, no codes.

Sources: VAE (arXiv:1312.6114); latent diffusion (arXiv:2112.10752), appendix G, for a small KL weight.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.errors import UserError
from hybridgen.nn.conv import ConvDecoder, ConvEncoder, coarse_grid
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.standardise import Standardise
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import blank_canvas
from hybridgen.tokenizers.plain import paint_plain
from hybridgen.types import Canvas, DataSpec, Step, Tokens, TokenSpec


class ContinuousTokenizer(Tokenizer):
    """Encodes to the mean of a Gaussian; trained with its noise. The residual is the whole latent.

    Args:
        data: what is tokenised.
        channels: C of the latent.
        widths: channels of each level of the encoder, fine to coarse; each level halves the grid.
        encoder_blocks: residual blocks a level in the encoder.
        decoder_blocks: the same in the decoder.
        kl_weight: of the divergence from N(0, 1), a number a latent entry.
        l1: weight of the absolute error beside the squared error.
    """

    def __init__(
        self,
        data: DataSpec,
        *,
        channels: Annotated[int, Ge(1)] = 16,
        widths: tuple[int, ...] = (32, 96),
        encoder_blocks: Annotated[int, Ge(0)] = 1,
        decoder_blocks: Annotated[int, Ge(0)] = 2,
        kl_weight: Annotated[float, Ge(0)] = 1e-4,
        l1: Annotated[float, Ge(0)] = 0.2,
    ) -> None:
        super().__init__()
        grid = coarse_grid(data.size, len(widths))
        if grid is None:
            raise UserError(
                f"widths: {len(widths)} levels halve {data.size} {len(widths)} times, and it does not divide"
            )
        dims = len(grid)
        self.spec = TokenSpec(grid, channels, (grid,), 0)
        self.kl_weight, self.l1 = kl_weight, l1
        self.encoder = ConvEncoder(data.channels, dims, 2 * channels, widths, encoder_blocks)
        self.decoder = ConvDecoder(data.channels, dims, channels, widths, decoder_blocks)
        self.units = Standardise(channels)

    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """The mean, standardised."""
        return Tokens(self.units(self._moments(x)[0]), [])

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The picture, clamped to [-1, 1]."""
        return self.decoder(self.units.inverse(latent)).clamp(-1, 1)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Reconstruction from a noisy latent, plus the divergence from N(0, 1)."""
        mean, log_var = self._moments(x)
        latent = mean + (0.5 * log_var).exp() * rng.normal(*mean.shape).to(mean)
        error = self.decoder(latent).float() - x
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean()
        mse, l1 = error.square().mean(), error.abs().mean()
        total = mse + self.l1 * l1 + self.kl_weight * kl
        return {"loss": total, "mse": mse.detach(), "l1": l1.detach(), "kl": kl.detach()}

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and deviation of the latents of x."""
        with torch.no_grad():
            self.units.measure(self._moments(x)[0])

    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """There are no codes."""
        raise UserError("the continuous tokenizer has no codes")

    def blank(self, batch: int) -> Canvas:
        """Zeros: the mean latent."""
        like = self.units.mean
        return blank_canvas(self.spec, torch.zeros(batch, self.spec.channels, *self.spec.grid, device=like.device))

    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The blank: there is no coarser scale."""
        return to_sequence(canvas.began(s))

    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The whole latent."""
        return to_sequence(tokens.latent)

    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """Puts the vectors where they belong."""
        return paint_plain(canvas, step, codes, vectors, self.spec)

    def _moments(self, x: Float[Tensor, "B X *size"]) -> tuple[Float[Tensor, "B C *grid"], Float[Tensor, "B C *grid"]]:
        """Mean and log-variance, the latter within sane bounds; float32."""
        mean, log_var = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_var.clamp(-20, 10)
