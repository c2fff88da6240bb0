"""Images: 8 bits per channel, written as PNG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float, UInt8
from torch import Tensor

from hybridgen.media.base import Medium, Sheet
from hybridgen.media.embed import element
from hybridgen.media.image_grid import image_grid
from hybridgen.media.image_read import as_tensor, fitted, open_image, upright
from hybridgen.media.png import png_bytes, read_provenance, to_image
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec, Grid

_WHITE = 127  # above it a mask keeps


@dataclass(frozen=True)
class ImageMedium(Medium):
    """Images of any size and encoding, brought to one size: the shorter side is resized, the centre is kept.

    Args:
        channels: 1 for grey, 3 for colour; 2 and 4 with alpha are written, and never read.
        size: height and width in pixels; one number for both.
    """

    name: ClassVar[str] = "image"
    unit: ClassVar[str] = "image"
    suffix: ClassVar[str] = ".png"
    suffixes: ClassVar[frozenset[str]] = frozenset(
        [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".avif", ".pgm", ".ppm"]
    )
    mirrors: ClassVar[tuple[int, ...]] = (-1,)
    dtype: ClassVar[torch.dtype] = torch.uint8
    span: ClassVar[float] = 255.0

    channels: Annotated[int, Ge(1)] = 3
    size: Annotated[int, Ge(1)] | tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] = 32

    def __post_init__(self) -> None:
        if min(self.grid) < 1:
            raise UserError(f"size: {list(self.grid)} is no size; each side has at least 1 pixel")

    @classmethod
    def of(cls, spec: DataSpec) -> "ImageMedium":
        """Images that look like this."""
        if len(spec.size) != 2:
            raise UserError(f"an image has two axes, not {len(spec.size)} ({'x'.join(map(str, spec.size))})")
        return cls(channels=spec.channels, size=(spec.size[0], spec.size[1]))

    @property
    def grid(self) -> Grid:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def store(self, x: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
        """Bytes, rounded."""
        return ((x.float().clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)

    def restore(self, stored: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Bytes 0..255 to [-1, 1]."""
        return stored.float() / 127.5 - 1.0

    def decode(self, content: bytes, place: str) -> UInt8[Tensor, "X H W"]:
        """Upright by EXIF, 8 bits, transparency on white, resized with antialiasing, cropped in the centre."""
        image = upright(open_image(io.BytesIO(content), place), self.channels, place)
        return as_tensor(fitted(image, self.grid))

    def decode_mask(self, content: bytes, place: str) -> Float[Tensor, "1 H W"]:
        """1 where the image is white, 0 where it is black."""
        grey = fitted(upright(open_image(io.BytesIO(content), place), 1, place), self.grid)
        return (as_tensor(grey) > _WHITE).float()

    def encode(self, stored: UInt8[Tensor, "X H W"], about: Mapping[str, Any]) -> bytes:
        """A PNG with two text chunks of provenance."""
        return png_bytes(to_image(stored.numpy()), about)

    def provenance(self, path: Path) -> dict[str, Any]:
        """The text chunk that we wrote."""
        return read_provenance(path)

    def show(self, stored: UInt8[Tensor, "X H W"], title: str) -> str:
        """An <img> without provenance, as small as can be."""
        out = io.BytesIO()
        to_image(stored.numpy()).save(out, format="PNG", optimize=True)
        return element(out.getvalue(), self.suffix, title)

    def sheet(
        self, stored: UInt8[Tensor, "N X H W"], about: Mapping[str, Any], *, columns: int | None = None,
        column_titles: Sequence[str] = (), row_titles: Sequence[str] = (),
    ) -> Sheet:  # fmt: skip
        """A grid on white; small images are enlarged by a whole factor."""
        grid = image_grid(stored.numpy(), columns, column_titles=column_titles, row_titles=row_titles)
        content = png_bytes(grid, about)
        return Sheet(self.suffix, content, element(content, self.suffix, escape(self.units), "sheet"))
