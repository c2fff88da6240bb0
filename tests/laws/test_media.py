"""The laws of media, over every medium."""

import pytest

from hybridgen.laws.media import MEDIUM_LAWS
from hybridgen.media.image import ImageMedium

MEDIA = [ImageMedium(), ImageMedium(channels=1, size=(5, 9)), ImageMedium(channels=3, size=(12, 3))]


@pytest.mark.parametrize("law", MEDIUM_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("medium", MEDIA, ids=repr)
def test_law(medium, law):
    law(medium)
