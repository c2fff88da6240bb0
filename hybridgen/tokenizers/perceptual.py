"""A perceptual term of a tokenizer's reconstruction loss: LPIPS for images, spectrograms for sound."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.lpips import SMALLEST, Features, lpips_network
from hybridgen.nn.stft import stft_distance
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


class Measure(ABC):
    """A distance between data, with gradient. It has no weights of the tokenizer's, and is no module: none is saved."""

    name: str  # under which it is logged
    weight: float

    @abstractmethod
    def __call__(self, given: Float[Tensor, "B X *size"], x: Float[Tensor, "B X *size"]) -> Float[Tensor, ""]:
        """Mean distance of `given` from the data x; zero where they are equal."""


class PerceptualLoss(ABC):
    """Settings of a perceptual term, which make its distance. Cards: registry/perceptual/."""

    @abstractmethod
    def measure(self, data: DataSpec) -> Measure:
        """The distance between data of this shape; a file that it needs is read when it is first called.

        Raises:
            UserError: it does not serve such data.
        """


@dataclass(frozen=True, kw_only=True)
class Lpips(PerceptualLoss):
    """LPIPS: distances between the features of a frozen network, for images with one or three channels.

    Args:
        file: convolutions of `net` by torchvision's names, `features.<i>.weight`, as .safetensors or .pth.
        net: whose features; published tokenizers take VGG16.
        weight: of this term beside the squared and the absolute error.
    """

    file: str
    net: Features = "vgg"
    weight: Annotated[float, Ge(0)] = 1.0

    def measure(self, data: DataSpec) -> Measure:
        """An `LpipsMeasure`."""
        if len(data.size) != 2 or data.channels not in (1, 3):
            raise UserError(
                f"perceptual: LPIPS looks at images of 1 or 3 channels, not at {data.channels} x {data.size}"
            )
        if min(data.size) < SMALLEST[self.net]:
            raise UserError(f"perceptual: LPIPS needs images of {SMALLEST[self.net]} pixels; these have {data.size}")
        return LpipsMeasure(self)


class LpipsMeasure(Measure):
    """The network is read at the first call, so that a trained tokenizer is used without the file."""

    name = "lpips"

    def __init__(self, settings: Lpips) -> None:
        self.settings, self.weight = settings, settings.weight
        self.net: Any = None

    def __call__(self, given: Float[Tensor, "B X *size"], x: Float[Tensor, "B X *size"]) -> Float[Tensor, ""]:
        """Mean LPIPS; grey is repeated to three channels. Images are not clamped."""
        if self.net is None:
            self.net = lpips_network(self.settings.file, self.settings.net, "perceptual.file")
        self.net.to(x.device)
        return self.net(given.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1)).float().mean()


@dataclass(frozen=True, kw_only=True)
class Stft(PerceptualLoss):
    """The multi-resolution STFT distance, for sound (arXiv:1910.11480).

    Args:
        ffts: sizes of the transforms, one for each resolution, in samples.
        windows: lengths of their Hann windows.
        hops: samples from one frame to the next.
        weight: of this term beside the squared and the absolute error.
    """

    ffts: tuple[Annotated[int, Ge(2)], ...] = (1024, 2048, 512)
    windows: tuple[Annotated[int, Ge(2)], ...] = (600, 1200, 240)
    hops: tuple[Annotated[int, Ge(1)], ...] = (120, 240, 50)
    weight: Annotated[float, Ge(0)] = 1.0

    def __post_init__(self) -> None:
        if not len(self.ffts) == len(self.windows) == len(self.hops) > 0:
            raise UserError(f"ffts, windows, hops: as many of each; given {self.ffts}, {self.windows}, {self.hops}")
        if any(window > fft for fft, window in zip(self.ffts, self.windows, strict=True)):
            raise UserError(f"windows: none is longer than its transform; given {self.windows} for ffts={self.ffts}")

    def measure(self, data: DataSpec) -> Measure:
        """A `StftMeasure`."""
        if len(data.size) != 1:
            raise UserError(f"perceptual: the STFT distance hears sound, one dimension, not data of size {data.size}")
        if data.size[0] <= max(self.ffts) // 2:
            raise UserError(f"perceptual: ffts: {max(self.ffts)} is too large for sound of {data.size[0]} samples")
        return StftMeasure(self)


class StftMeasure(Measure):
    """Spectral convergence and log-magnitude distance, the mean over resolutions."""

    name = "stft"

    def __init__(self, settings: Stft) -> None:
        self.resolutions = tuple(zip(settings.ffts, settings.windows, settings.hops, strict=True))
        self.weight = settings.weight

    def __call__(self, given: Float[Tensor, "B X *size"], x: Float[Tensor, "B X *size"]) -> Float[Tensor, ""]:
        """Each channel is a signal of its own."""
        return stft_distance(given, x, self.resolutions)
