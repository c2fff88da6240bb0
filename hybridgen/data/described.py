"""Data that are described, not there: what a published model was trained on, which nobody ships.

A model needs to know what its data look like long before it needs the data: their channels, size and classes.
"""

from typing import Annotated, Literal

from annotated_types import Ge

from hybridgen.data.base import Data, Split, SplitName
from hybridgen.media.base import Medium
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


class Described(Data):
    """What a data set would offer; reading it is refused.

    Args:
        channels: X.
        size: of each dimension.
        classes: how many; 0: without labels.
        names: of the classes: their numbers, or those of ImageNet-1k (the first word for each, as timm lists them).
    """

    def __init__(
        self,
        *,
        channels: Annotated[int, Ge(1)] = 3,
        size: tuple[int, ...] = (256, 256),
        classes: Annotated[int, Ge(0)] = 0,
        names: Literal["numbers", "imagenet"] = "numbers",
    ) -> None:
        if not size or min(size) < 1:
            raise UserError(f"size: {list(size)} is no size; one number of at least 1 for each dimension is needed")
        if names == "imagenet" and classes != 1000:
            raise UserError(f"names: 'imagenet' are names of 1000 classes, not of {classes}")
        self.channels, self.size, self.classes, self.names = channels, size, classes, names

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        names = _imagenet() if self.names == "imagenet" else tuple(map(str, range(self.classes)))
        return DataSpec(self.channels, self.size, names)

    @property
    def medium(self) -> Medium:
        """Images: what all published models here were trained on."""
        return ImageMedium.of(self.spec)

    def split(self, name: SplitName) -> Split:
        """Refuses.

        Raises:
            UserError: always; it says what to give instead.
        """
        raise UserError(
            f"data: these data are described, not there ({self.channels} x {'x'.join(map(str, self.size))}, "
            f"{self.classes} classes)\n  give your own, such as data=folder data.root=DIR; "
            "`hybridgen list data` shows what there is"
        )

    def fingerprint(self) -> str:
        """The description itself."""
        return f"described:{self.channels}:{'x'.join(map(str, self.size))}:{self.classes}"


def _imagenet() -> tuple[str, ...]:
    """One word a class; where two classes share it, the later one also says its number."""
    from timm.data import ImageNetInfo  # late: importing timm takes seconds

    info, names = ImageNetInfo("imagenet-1k"), dict[str, None]()
    for i in range(1000):
        name = str(info.index_to_description(i)).partition(",")[0].strip()
        names[f"{name} ({i})" if name in names else name] = None
    return tuple(names)
