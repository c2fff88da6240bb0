"""Pictures that say what made them, and files that lie."""

import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from hybridgen.media.image import ImageMedium
from hybridgen.media.png import SIGNATURE, png_bytes, read_provenance, to_image
from hybridgen.runs.weights import model_hash
from hybridgen.system.errors import UserError

MADE_BY = {"model": "3f2a", "config": "77", "seed": 5, "prompt": "Öl <&>", "sampler": {"head_steps": 8}}


def chunk(kind, data, check=None):
    return struct.pack(">I", len(data)) + kind + data + (check or struct.pack(">I", zlib.crc32(kind + data)))


def itxt(text, keyword=b"hybridgen", flags=b"\0\0"):
    return chunk(b"iTXt", keyword + b"\0" + flags + b"\0\0" + text)


HEADER = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0))
END = chunk(b"IEND", b"")


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_picture_comes_back_with_its_making(tmp_path, channels, mode):
    pixels = np.arange(channels * 12, dtype=np.uint8).reshape(channels, 3, 4)
    (tmp_path / "a.png").write_bytes(png_bytes(to_image(pixels), MADE_BY))
    found = read_provenance(tmp_path / "a.png")
    assert found.pop("version")
    assert found == MADE_BY
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image).reshape(3, 4, channels), np.moveaxis(pixels, 0, -1))


def test_anyone_can_tell_that_it_is_generated(tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes(Image.new("RGB", (2, 2)), {}))
    with Image.open(tmp_path / "a.png") as image:
        packet = image.text["XML:com.adobe.xmp"]
        description = image.getxmp()["xmpmeta"]["RDF"]["Description"] if _has_parser() else {}
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert f'Iptc4xmpExt:DigitalSourceType="{kind}"' in packet
    assert not description or description["DigitalSourceType"] == kind


def _has_parser():
    try:
        import defusedxml  # noqa: F401 - what Pillow reads XMP with
    except ImportError:
        return False
    return True


def test_nothing_is_written_when_it_cannot_be(tmp_path):
    with pytest.raises(UserError, match="5"):
        ImageMedium(channels=5).write(tmp_path / "a.png", torch.zeros(5, 2, 2, dtype=torch.uint8), {})
    with pytest.raises(UserError, match="JSON"):
        ImageMedium(channels=1).write(tmp_path / "a.png", torch.zeros(1, 2, 2, dtype=torch.uint8), {"seed": object()})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a PNG"),
        (b"<html>", "not a PNG"),
        (SIGNATURE, "ends early"),
        (SIGNATURE + HEADER + END, "no provenance"),
        (SIGNATURE + HEADER + itxt(b"{}", b"Comment") + END, "no provenance"),
        (SIGNATURE + HEADER + itxt(b"{"), "not valid JSON"),
        (SIGNATURE + HEADER + itxt(b"[" * 200_000), "not valid JSON"),
        (SIGNATURE + HEADER + itxt(b"[1]"), "list"),
        (SIGNATURE + HEADER + itxt(b"\xff"), "UTF-8"),
        (SIGNATURE + HEADER + itxt(b"{}", flags=b"\1\0"), "not as hybridgen writes it"),
        (SIGNATURE + HEADER + chunk(b"iTXt", b"hybridgen\0\0"), "not as hybridgen writes it"),
        (SIGNATURE + HEADER + chunk(b"iTXt", b"hybridgen\0\0\0\0\0{}", b"1234"), "checksum"),
        (SIGNATURE + HEADER + itxt(b" " * (1 << 21) + b"{}") + END, "no provenance"),
        (SIGNATURE + struct.pack(">I", 0xFFFFFFFF) + b"IDAT", "ends early"),
    ],
)
def test_hostile_pictures_are_one_clear_error(tmp_path, content, says):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        read_provenance(tmp_path / "a.png")
    assert str(tmp_path / "a.png") in str(error.value)


def test_pixels_are_never_decoded(tmp_path):
    """The header announces 50,000 x 50,000 pixels; reading the text of such a bomb is harmless."""
    (tmp_path / "a.png").write_bytes(SIGNATURE + HEADER + itxt(json.dumps(MADE_BY).encode()) + END)
    assert read_provenance(tmp_path / "a.png") == MADE_BY


def test_a_missing_picture_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_provenance(tmp_path / "a.png")


def test_the_broken_files_at_hand(shared):
    for path in sorted((shared / "data" / "broken").glob("*.png")):
        with pytest.raises(UserError):
            read_provenance(path)


def test_a_models_hash_is_that_of_its_weights(tmp_path):
    weights = {"a": torch.arange(6.0), "b": torch.zeros(2, 2)}
    save_file(weights, tmp_path / "1", {"config": "x"})
    save_file(weights, tmp_path / "2", {"config": "yy"})
    save_file(weights | {"b": torch.full((2, 2), 1e-7)}, tmp_path / "3")
    save_file({"a": weights["a"].reshape(2, 3), "b": weights["b"]}, tmp_path / "4")
    one, two, three, four = (model_hash(tmp_path / name) for name in "1234")
    assert one == two
    assert len({one, three, four}) == 3
    assert len(one) == 16


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, (2).to_bytes(8, "little") + b"[]"])
def test_a_broken_model_is_the_users_error(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(UserError, match="safetensors"):
        model_hash(tmp_path / "m")
