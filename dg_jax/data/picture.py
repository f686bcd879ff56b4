"""Encodes picture files for a prepared dataset, and decodes them."""

import io
import itertools
import pathlib

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow warns above this: at four bytes a pixel it is 360 MB.
MOST_PIXELS = 89_478_485
MOST_BYTES = 256 * 2**20
_ORIENTATION = 0x0112
# Those of `image_tree.ENDINGS`. Pillow reads others too, but for PostScript it would run Ghostscript on the file.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_TILE = 1024


class DamagedError(Exception):
    """A file that cannot be read as a picture; the message says why."""


def encode(path: pathlib.Path, size: int) -> bytes:
    """Reads a picture and returns it at ``size`` × ``size`` pixels as PNG.

    A JPEG that has this size already is returned unchanged, byte for byte. EXIF rotation
    is applied. Transparent pixels become white. Grayscale, palette and CMYK become RGB.
    16-bit values keep their upper 8 bits. If there are several frames, the first is taken.

    Raises:
        DamagedError: the file is missing, is not a picture of these formats, is cut off, is larger than 256 MiB, or
            has more than 89 million pixels or values of 32 bits.
    """
    try:
        if not path.is_file():  # reading a named pipe would wait for ever
            raise DamagedError("not a regular file" if path.exists() else "there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise DamagedError(f"larger than {MOST_BYTES // 2**20} MiB")
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DamagedError(f"{image.width} x {image.height} pixels, more than {MOST_PIXELS}")
            image.load()
            upright = image.getexif().get(_ORIENTATION, 1) == 1
            if image.format == "JPEG" and image.mode == "RGB" and image.size == (size, size) and upright:
                return data
            ImageOps.exif_transpose(image, in_place=True)
            return to_png(_to_rgb(image), size)
    except DamagedError:
        raise
    except UnidentifiedImageError as error:
        raise DamagedError("not a picture") from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds on broken files
        raise DamagedError(" ".join(str(error).split()) or type(error).__name__) from error


def to_png(image: Image.Image, size: int) -> bytes:
    """Returns an RGB picture at ``size`` × ``size`` pixels as PNG, resized bilinearly if need be."""
    encoded = io.BytesIO()
    # Higher levels take longer and save little space.
    resized(image, size).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def resized(image: Image.Image, size: int) -> Image.Image:
    """Returns a picture at ``size`` × ``size`` pixels, resized bilinearly if need be."""
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)


def on_white(image: Image.Image) -> Image.Image:
    """Returns a picture with transparency as RGB on a white background.

    It works tile by tile: otherwise the largest pictures would be in memory several times.
    """
    result = Image.new("RGB", image.size)
    for left, top in itertools.product(range(0, image.width, _TILE), range(0, image.height, _TILE)):
        box = (left, top, min(left + _TILE, image.width), min(top + _TILE, image.height))
        tile = image.crop(box).convert("RGBA")
        result.paste(Image.alpha_composite(Image.new("RGBA", tile.size, "white"), tile).convert("RGB"), box)
    return result


def decode(encoded: bytes) -> np.ndarray:
    """Decodes an RGB picture to uint8 ``[H, W, 3]``."""
    with Image.open(io.BytesIO(encoded)) as image:
        return np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DamagedError("values of 32 bits, for which white is not defined")
    if image.has_transparency_data:
        return on_white(image)
    return image.convert("RGB")
