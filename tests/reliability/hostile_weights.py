"""Malicious files of weights: safetensors, and PyTorch's pickles."""

import io
import json
import os
import pathlib
import pickle
import struct
import tarfile
import zipfile


def _safetensors(header, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _tensor(**changes) -> dict:
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}


def _many() -> bytes:
    empty = b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(30_000))
    return _safetensors(b"{" + empty + b"}")


SAFETENSORS = {
    "header-of-18-exabytes": lambda: _safetensors({}, length=2**64 - 1),
    "header-of-negative-length": lambda: _safetensors({}, length=2**63),
    "header-beyond-the-file": lambda: _safetensors({}, length=500),
    "header-is-no-json": lambda: _safetensors(b"not json"),
    "header-is-a-list": lambda: _safetensors([]),
    "header-is-not-utf-8": lambda: _safetensors(b'{"\xff":{}}'),
    "header-nested": lambda: _safetensors(b'{"a":' + b"[" * 500_000),
    "header-of-many-tensors": _many,
    "offsets-overlap": lambda: _safetensors({"a": _tensor(), "b": _tensor(data_offsets=[2, 6])}, bytes(6)),
    "offsets-beyond-the-file": lambda: _safetensors({"a": _tensor(shape=[100], data_offsets=[0, 400])}, bytes(8)),
    "offsets-reversed": lambda: _safetensors({"a": _tensor(data_offsets=[4, 0])}, bytes(4)),
    "offsets-negative": lambda: _safetensors({"a": _tensor(data_offsets=[-4, 0])}, bytes(4)),
    "dtype-unknown": lambda: _safetensors({"a": _tensor(dtype="F31")}, bytes(4)),
    "dtype-wrong": lambda: _safetensors({"conv1.bias": _tensor(dtype="I32")}, bytes(4)),
    "shape-and-offsets-differ": lambda: _safetensors({"a": _tensor(shape=[7])}, bytes(4)),
    "shape-overflows": lambda: _safetensors({"a": _tensor(shape=[2**33, 2**33])}, bytes(4)),
    "metadata-is-a-number": lambda: _safetensors({"__metadata__": {"model": 3}}),
    "metadata-with-escapes": lambda: _safetensors({"__metadata__": {"model": "\x1b[2J\n"}}),
    "name-with-escapes": lambda: _safetensors({"\x1b[2J\n": _tensor(data_offsets=[4, 0])}, bytes(4)),
    "pickle": lambda: pickle.dumps(Payload(pathlib.Path("ran"))),
    "empty": lambda: b"",
}


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def _pth(torch, content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def _repacked(torch, change) -> bytes:
    """A valid file of one tensor, whose archive ``change(archive, name, data)`` writes again, entry by entry."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_pth(torch, {"a": torch.zeros(3)}))) as whole,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name in whole.namelist():
            change(archive, name, whole.read(name))
    return file.getvalue()


def _bomb(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    with archive.open(name, "w") as entry:
        for _ in range(600 if name.endswith("data/0") else 0):
            entry.write(bytes(2**20))
        entry.write(data)


def _outside(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(name, data)
    if name.endswith("data/0"):
        archive.writestr("../../escaped", b"x")


def _tar() -> bytes:
    file, content = io.BytesIO(), pickle.dumps(0)
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("storages", "tensors", "pickle", "../escaped"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


# Each is called with PyTorch and the folder that a payload would make.
PTH = {
    "payload": lambda torch, folder: _pth(torch, {"a": Payload(folder)}),
    "payload-in-the-old-format": lambda torch, folder: _pth(
        torch, {"a": Payload(folder)}, _use_new_zipfile_serialization=False
    ),
    "payload-in-a-plain-pickle": lambda torch, folder: pickle.dumps(Payload(folder)),
    "archive-bomb": lambda torch, folder: _repacked(torch, _bomb),
    "archive-that-leaves-its-folder": lambda torch, folder: _repacked(torch, _outside),
    "tar-that-leaves-its-folder": lambda torch, folder: _tar(),
    "numbers-that-are-not-there": lambda torch, folder: _pth(torch, {"a": torch.empty(10**12, device="meta")}),
    "one-number-a-billion-times": lambda torch, folder: _pth(torch, {"a": torch.zeros(1).expand(10**6, 10**3)}),
    "two-gigabytes-by-thirty-letters": lambda torch, folder: b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "nested": lambda torch, folder: b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b".",
    "a-name-with-escapes": lambda torch, folder: _pth(torch, {"\x1b[2J\n": 3}),
}
