"""Every kind of file that a download may hold, encoded, decoded, and compared with what Pillow reads."""

import functools
import io
import os

import numpy as np
import pytest
from PIL import Image

from dg_jax.data import picture
from tests.data.made_trees import photo, save


def decoded(encoded):
    return picture.decode(encoded).astype(int)


def test_a_jpeg_of_the_size_is_kept_byte_for_byte(tmp_path):
    path = save(tmp_path / "a.jpg", photo(0), quality=80)
    assert picture.encode(path, 227) == path.read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp", "a.ppm", "A.JPG", "B.JPEG"])
def test_other_sizes_and_kinds_are_resized_and_stored_losslessly(tmp_path, name):
    path = save(tmp_path / name, photo(1, 300, 200), **({"lossless": True} if "webp" in name else {}))
    encoded = picture.encode(path, 227)
    assert encoded.startswith(b"\x89PNG")
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB").resize((227, 227), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decoded(encoded), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = photo(3)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposition from upright to stored
    turned = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", turned, quality=98, exif=exif)
    difference = np.abs(decoded(picture.encode(path, 227)) - np.asarray(upright))
    assert difference.mean() < 2


def test_cmyk_grayscale_and_palette_become_rgb(tmp_path):
    original = photo(4)
    for name, mode in (
        ("a.jpg", "CMYK"),
        ("b.jpg", "L"),
        ("c.png", "L"),
        ("d.png", "P"),
        ("e.png", "1"),
        ("f.gif", "P"),
    ):
        converted = original.convert(mode)
        path = save(tmp_path / name, converted)
        result = decoded(picture.encode(path, 227))
        assert result.shape == (227, 227, 3)
        assert np.abs(result - np.asarray(converted.convert("RGB"))).mean() < 3, name


def test_transparent_pixels_become_white(tmp_path):
    with_alpha = photo(5).convert("RGBA")
    alpha = np.zeros((227, 227), np.uint8)
    alpha[:100] = 255
    with_alpha.putalpha(Image.fromarray(alpha))
    palette = photo(5).quantize(16)
    for path in (
        save(tmp_path / "a.png", with_alpha),
        save(tmp_path / "la.png", with_alpha.convert("LA")),
        save(tmp_path / "p.png", palette, transparency=palette.getpixel((0, 226))),
    ):
        result = decoded(picture.encode(path, 227))
        np.testing.assert_array_equal(result[226, 0], 255)
        assert np.any(result[:90] < 250), path


def test_a_picture_with_16_bits_keeps_the_upper_8(tmp_path):
    values = np.linspace(0, 65535, 227 * 227).reshape(227, 227).astype(np.uint16)
    path = save(tmp_path / "a.png", Image.fromarray(values))
    result = decoded(picture.encode(path, 227))
    np.testing.assert_array_equal(result, np.repeat((values // 256)[..., None], 3, axis=2))


def test_the_first_of_several_frames_is_taken(tmp_path):
    path = tmp_path / "a.gif"
    Image.new("RGB", (227, 227), "red").save(path, save_all=True, append_images=[Image.new("RGB", (227, 227), "blue")])
    np.testing.assert_array_equal(decoded(picture.encode(path, 227))[5, 5], [255, 0, 0])


@functools.cache
def broken_files():
    jpeg, png = io.BytesIO(), io.BytesIO()
    photo(6).save(jpeg, "JPEG")
    photo(6).save(png, "PNG")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    floats = io.BytesIO()
    Image.fromarray(np.ones((9, 9), np.float32)).save(floats, "TIFF")
    return {
        "empty.jpg": b"",
        "text.jpg": b"<html>Quota exceeded</html>",
        "cut.jpg": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "cut.png": png.getvalue()[: len(png.getvalue()) // 2],
        "head.png": png.getvalue()[:40],
        "bomb.png": bomb.getvalue(),
        "floats.tif": floats.getvalue(),
        "no_width.bmp": b"BM" + bytes(60),
    }


@pytest.mark.parametrize("name", broken_files())
def test_what_cannot_be_read_says_why(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(broken_files()[name])
    with pytest.raises(picture.DamagedError, match=r"\w") as caught:
        picture.encode(path, 227)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_to_be_a_picture_is_not_read(tmp_path, monkeypatch):
    path = save(tmp_path / "a.jpg", photo(7))
    monkeypatch.setattr(picture, "MOST_BYTES", 100)
    with pytest.raises(picture.DamagedError, match="larger than"):
        picture.encode(path, 227)


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(picture.DamagedError, match="not a regular file"):
        picture.encode(tmp_path / "a.jpg", 227)


def test_pictures_one_pixel_wide_are_resized(tmp_path):
    for shape in ((1, 5000), (5000, 1), (1, 1)):
        path = save(tmp_path / "a.png", photo(8, *shape))
        assert decoded(picture.encode(path, 227)).shape == (227, 227, 3)
