"""A convolutional KL autoencoder: one continuous latent, no codes.

Sources: VAE (arXiv:1312.6114); latent diffusion (arXiv:2112.10752), appendix G, for a small KL weight.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import LightNetwork
from hybridgen.nn.draws import Draws
from hybridgen.nn.network import Network
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.standardise import Standardise
from hybridgen.system.errors import UserError
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
        net: other networks, in place of those of `widths` and blocks.
        latent_scale: multiplies the encoder's vectors; null: they are standardised by what training measures.
        log_var_bounds: between which the log-variance is kept.
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
        net: Network | None = None,
        latent_scale: Annotated[float, Gt(0)] | None = None,
        log_var_bounds: tuple[float, float] = (-20.0, 10.0),
        kl_weight: Annotated[float, Ge(0)] = 1e-4,
        l1: Annotated[float, Ge(0)] = 0.2,
    ) -> None:
        super().__init__()
        net = net or LightNetwork(widths=widths, encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks)
        grid, dims = net.grid(data.size), len(data.size)
        self.spec = TokenSpec(grid, channels, (grid,), 0)
        self.kl_weight, self.l1, self.log_var_bounds = kl_weight, l1, log_var_bounds
        self.fixed_units = latent_scale is not None
        self.encoder = net.encoder(data.channels, dims, 2 * channels)
        self.decoder = net.decoder(data.channels, dims, channels)
        self.units = Standardise(channels, latent_scale)

    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """The mean, standardised."""
        return Tokens(self.units(self.moments(x)[0]), [])

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The picture, clamped to [-1, 1]."""
        return self.decoder(self.units.inverse(latent)).clamp(-1, 1)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Reconstruction from a noisy latent, plus the divergence from N(0, 1)."""
        mean, log_var = self.moments(x)
        latent = draw(mean, log_var, rng.normal(*mean.shape).to(mean))
        error = self.decoder(latent).float() - x
        kl = divergence(mean, log_var).mean()
        mse, l1 = error.square().mean(), error.abs().mean()
        total = mse + self.l1 * l1 + self.kl_weight * kl
        return {"loss": total, "mse": mse.detach(), "l1": l1.detach(), "kl": kl.detach()}

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and deviation of the latents of x."""
        with torch.no_grad():
            self.units.measure(self.moments(x)[0])

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

    def moments(self, x: Float[Tensor, "B X *size"]) -> tuple[Float[Tensor, "B C *grid"], Float[Tensor, "B C *grid"]]:
        """Mean and log-variance in the encoder's own units, the latter within sane bounds; float32."""
        mean, log_var = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_var.clamp(*self.log_var_bounds)


def draw(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """A draw from the Gaussian, given standard normal noise."""
    return mean + (0.5 * log_var).exp() * noise


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of the Gaussian from N(0, 1), entry by entry, in nats."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
