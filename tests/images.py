"""Images for tests: read as a medium reads them, and folders of them as data sets."""

import io

from hybridgen.data.folder import Folder
from hybridgen.media.base import read_bytes
from hybridgen.media.image import ImageMedium
from hybridgen.media.image_read import open_image, upright


def read_image(file, channels=3):
    """A file's image, upright, before it is resized."""
    return upright(open_image(io.BytesIO(read_bytes(file)), str(file)), channels, str(file))


def image_folder(root=None, size=32, channels=3, **options):
    """A folder of images as a data set."""
    return Folder(root=root, medium=ImageMedium(channels=channels, size=size), **options)
