"""The two sets that travel with the package: real images that need no download.

Sources and licences: `files/README.md` beside this file; both sets are MIT.
"""

from pathlib import Path
from typing import Literal

from hybridgen.data.base import Data, Split, SplitName
from hybridgen.data.fingerprint import file_hash
from hybridgen.data.mosaic import load_split, mosaic_fingerprint, mosaic_spec
from hybridgen.media.base import Medium
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

_SHA256 = {
    "fashion28": "886affb9fc9dab622218ffa191bf7621303d8f78e059ca0a74efd22a87a718dd",
    "emoji32": "4eac51379774057c2b69a7c803c3375208a503a435987eaf938b3e223b47549b",
}
_CHANNELS = {"fashion28": 1, "emoji32": 3}


class Embedded(Data):
    """A small set inside the package: fashion28 (1, 28, 28), 10 classes; emoji32 (3, 32, 32), 8 classes.

    Args:
        name: which set.
    """

    def __init__(self, *, name: Literal["fashion28", "emoji32"] = "fashion28") -> None:
        self.name, self.channels = name, _CHANNELS[name]
        self.file = Path(__file__).parent / "files" / f"{name}.npz"

    @property
    def medium(self) -> Medium:
        """Images."""
        return ImageMedium.of(self.spec)

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        return mosaic_spec(self._verified(), str(self.file), self.channels)

    def split(self, name: SplitName) -> Split:
        """A split; `valid` is 5 % of the file's training images, class-balanced and fixed.

        Raises:
            UserError: the file is absent or is not the one that was shipped.
        """
        return load_split(self._verified(), str(self.file), self.channels, name)

    def fingerprint(self) -> str:
        """Hash of the shipped file and of how it is read; reads nothing."""
        return mosaic_fingerprint(_SHA256[self.name], self.channels)

    def _verified(self) -> bytes:
        try:
            content = self.file.read_bytes()
        except OSError:
            raise UserError(f"{self.file}: the embedded set is missing; install hybridgen again") from None
        if file_hash(content) != _SHA256[self.name]:
            raise UserError(f"{self.file}: not the file that was shipped (another SHA-256); install hybridgen again")
        return content
