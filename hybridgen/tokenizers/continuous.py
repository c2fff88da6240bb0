"""A convolutional KL autoencoder: one continuous latent, no codes.

Sources: VAE (arXiv:1312.6114); latent diffusion (arXiv:2112.10752), appendix G, for a small KL weight.
"""

from typing import Annotated

from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import LightNetwork
from hybridgen.nn.draws import Draws
from hybridgen.nn.network import Network, last_weight
from hybridgen.tokenizers.adversary import Adversary
from hybridgen.tokenizers.base import Reconstruction
from hybridgen.tokenizers.loss_weights import errors
from hybridgen.tokenizers.perceptual import PerceptualLoss
from hybridgen.tokenizers.plain import PlainTokenizer
from hybridgen.types import DataSpec


class ContinuousTokenizer(PlainTokenizer):
    """Encodes to the mean of a Gaussian; trained with its noise. The residual is the whole latent.

    Args:
        data: the data that is tokenised.
        channels: C of the latent.
        net: the encoder and the decoder.
        latent_scale: multiplies the encoder's vectors; null: they are standardised by what training measures.
        log_var_bounds: the log-variance is clamped between these two.
        kl_weight: weight of the divergence from N(0, 1), which is a mean over the latent's entries.
        l2: weight of the squared error.
        l1: weight of the absolute error.
        perceptual: one more term of the reconstruction's loss; null has none.
        adversary: a discriminator to be trained against; null has none.
    """

    def __init__(
        self,
        data: DataSpec,
        *,
        channels: Annotated[int, Ge(1)] = 16,
        net: Network = LightNetwork(),
        latent_scale: Annotated[float, Gt(0)] | None = None,
        log_var_bounds: tuple[float, float] = (-20.0, 10.0),
        kl_weight: Annotated[float, Ge(0)] = 1e-4,
        l2: Annotated[float, Ge(0)] = 1.0,
        l1: Annotated[float, Ge(0)] = 0.2,
        perceptual: PerceptualLoss | None = None,
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__(net.grid(data.size), channels, latent_scale)
        self.kl_weight, self.l2, self.l1, self.log_var_bounds = kl_weight, l2, l1, log_var_bounds
        self.perceptual = None if perceptual is None else perceptual.measure(data)
        self.adversary = adversary
        self.encoder = net.encoder(data.channels, len(data.size), 2 * channels)
        self.decoder = net.decoder(data.channels, len(data.size), channels)

    def latent(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The mean."""
        return self.moments(x)[0]

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The data of a latent, clamped to [-1, 1]."""
        return self.decoder(self.units.inverse(latent)).clamp(-1, 1)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Reconstruction from a noisy latent, plus the divergence from N(0, 1)."""
        return self.reconstruct(x, rng).losses

    def reconstruct(self, x: Float[Tensor, "B X *size"], rng: Draws) -> Reconstruction:
        """The pass behind `loss`."""
        mean, log_var = self.moments(x)
        latent = draw(mean, log_var, rng.normal(*mean.shape).to(mean))
        given = self.decoder(latent).float()
        kl = divergence(mean, log_var).mean()
        total, terms = errors(given, x, self.l2, self.l1, self.perceptual)
        total = total + self.kl_weight * kl
        losses = {"loss": total, **{k: v.detach() for k, v in terms.items()}, "kl": kl.detach()}
        return Reconstruction(given, losses, last_weight(self.decoder))

    def moments(self, x: Float[Tensor, "B X *size"]) -> tuple[Float[Tensor, "B C *grid"], Float[Tensor, "B C *grid"]]:
        """Mean and log-variance in the encoder's own units, the latter clamped; float32."""
        mean, log_var = self.encoder(x).float().chunk(2, dim=1)
        return mean, log_var.clamp(*self.log_var_bounds)


def draw(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """A draw from the Gaussian, given standard normal noise."""
    return mean + (0.5 * log_var).exp() * noise


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL divergence of the Gaussian from N(0, 1), entry by entry, in nats."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
