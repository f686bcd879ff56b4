"""Malicious picture files, by name; small on disk, whatever size they claim."""

import io
import struct
import zlib

from PIL import Image

_ORIENTED = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # EXIF: turned by a quarter
_LARGEST = 9459  # the side of the largest square picture that is read


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, colour: int = 2, extra: bytes = b"", row: int | None = None) -> bytes:
    """A PNG of zeros with ``row`` bytes in each row; None: no rows. Colours: 0 gray, 2 RGB, 3 palette, 6 RGBA."""
    packer = zlib.compressobj(1)
    rows = b"" if row is None else bytes(1 + row)
    data = b"".join(packer.compress(rows) for _ in range(height if rows else 0)) + packer.flush()
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((300, 300), 50).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def _app1(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def _gif(width: int, height: int, frames: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


def _animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (40, 40), (i, 0, 0)) for i in range(200)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def _exif(block: bytes, times: int = 1) -> bytes:
    jpeg = _saved("JPEG")
    return jpeg[:2] + _app1(b"Exif\0\0" + block) * times + jpeg[2:]


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


# Name -> the function that makes the file, and whether the file can be read.
PICTURES = {
    "bomb-gray.png": (lambda: _png(10_000, 10_000, 0, row=10_000), False),
    "bomb-of-a-header.png": (lambda: _png(60_000, 60_000), False),
    "bomb-that-pillow-only-warns-of.png": (lambda: _png(13_000, 13_000), False),
    "bomb.gif": (lambda: _gif(65_535, 65_535, 1), False),
    "bomb.bmp": (lambda: _bmp(2**31 - 1, -(2**31) + 1), False),
    "bomb-of-text.png": (lambda: _png(9, 9, 2, _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26))), 27), False),
    "bomb-of-colours.png": (lambda: _png(9, 9, 2, _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**26))), 27), False),
    "largest.png": (lambda: _png(_LARGEST, _LARGEST, 6, _chunk(b"eXIf", _ORIENTED), 4 * _LARGEST), True),
    "0x0.png": (lambda: _png(0, 0), False),
    "0x0.gif": (lambda: _gif(0, 0, 1), False),
    "0x0.bmp": (lambda: _bmp(0, 0), False),
    "0x0.ppm": (lambda: b"P6 0 0 255\n", False),
    "5x0.png": (lambda: _png(5, 0), False),
    "100000x1.png": (lambda: _png(100_000, 1, 0, row=100_000), True),
    "1x100000.png": (lambda: _png(1, 100_000, 0, row=1), True),
    "page.jpg": (lambda: b"<html><script>alert(1)</script></html>", False),
    "postscript.jpg": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", False),
    "icon.png": (lambda: _saved("ICO"), False),
    "archive.png": (lambda: b"PK\x03\x04" + bytes(100), False),
    "cut.jpg": (lambda: _saved("JPEG")[:5000], False),
    "cut.png": (lambda: _saved("PNG")[:5000], False),
    "cut.webp": (lambda: _saved("WEBP")[:500], False),
    "cut.tif": (lambda: _saved("TIFF")[:5000], False),
    "cut.gif": (lambda: _saved("GIF")[:900], False),
    "animated.gif": (lambda: _animated("GIF"), True),
    "animated.webp": (lambda: _animated("WEBP"), True),
    "animated.png": (lambda: _animated("PNG"), True),
    "exif-of-15-mb.jpg": (lambda: _exif(b"II*\0\x08\0\0\0" + b"\xff" * 65_000, 230), True),
    "exif-loop.jpg": (lambda: _exif(b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"), True),
    "exif-turned-99-ways.jpg": (lambda: _exif(_ORIENTED.replace(b"\x06", b"\x63")), True),
    "loop.tif": (lambda: b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0\x08\0\0\0", False),
    "strips.tif": (lambda: b"II*\0\x08\0\0\0\x01\0\x11\x01\x04\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0", False),
    "maxval.ppm": (lambda: b"P6 5 5 99999999999\n" + bytes(75), False),
    "digits.ppm": (lambda: b"P6 " + b"9" * 1_000_000, False),
}
