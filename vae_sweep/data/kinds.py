"""What a file is, by its first bytes: a picture whatever its name, or something else that can be named."""

import re
from dataclasses import dataclass
from pathlib import PurePath

from vae_sweep.environment import install

HEAD = 512  # bytes that tell


@dataclass(frozen=True)
class Kind:
    """name: in the singular; hint: what to do about it, or ""; told: by its bytes, not only by its name."""

    name: str
    picture: bool = False
    hint: str = ""
    told: bool = True


HEIC = Kind("HEIC picture", True, f"{install('heic')} reads them")
EMPTY = Kind("empty file")
UNREADABLE = Kind("unreadable file")

# `ftyp` boxes of ISO media files name a brand.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ZIP = Kind("zip archive", hint="data.root=FILE.zip reads one")
_ARRAYS = Kind("NumPy file", hint="data=arrays data.path=FILE reads it")
_BY_BYTES: tuple[tuple[str, Kind], ...] = (
    (r"\xff\xd8\xff", Kind("JPEG", True)),
    (r"\x89PNG\r\n\x1a\n", Kind("PNG", True)),
    (r"GIF8[79]a", Kind("GIF", True)),
    (r"RIFF....WEBP", Kind("WebP", True)),
    (r"II[*+]\x00|MM\x00[*+]", Kind("TIFF", True)),
    (r"BM.{4}\x00\x00\x00\x00", Kind("BMP", True)),
    (r"....ftypavi[fs]", Kind("AVIF", True)),
    (r"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", Kind("JPEG 2000", True)),
    (r"P[1-6]\s", Kind("PNM", True)),
    (r"version https://git-lfs", Kind("Git-LFS pointer", hint="`git lfs pull` fetches the pictures")),
    (r"\s*(?i:<!doctype html|<html)", Kind("HTML page", hint="what a server sends when a download fails")),
    (r"\s*(?:<\?xml[^>]*>\s*(?:<!--.*?-->\s*)*)?(?:<!DOCTYPE svg[^>]*>\s*)?<svg", Kind("SVG drawing")),
    (r"PK\x03\x04", _ZIP),
    (r"%PDF", Kind("PDF")),
    (r"\x93NUMPY", _ARRAYS),
    (r"\x1f\x8b", Kind("gzip file")),
)
_KNOWN = [(re.compile(pattern.encode("latin-1"), re.DOTALL), kind) for pattern, kind in _BY_BYTES]


def kind_of(head: bytes, name: str = "") -> Kind:
    """head: the first bytes of the file; name: tells what bytes do not."""
    if not head:
        return EMPTY
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return Kind("AVIF", True) if b"avif" in head[8:64] else HEIC
    for pattern, kind in _KNOWN:
        if pattern.match(head):
            return kind_by_name(name) if kind == _ZIP and _is_other(name) else kind
    return kind_by_name(name)


def _is_other(name: str) -> bool:
    """Of a zip archive whose name says that it is something more: arrays, a network, a document."""
    return PurePath(name).suffix.lower() not in ("", ".zip", ".cbz")


def kind_by_name(name: str) -> Kind:
    ending = PurePath(name).suffix.lower()
    if ending in (".npz", ".npy"):
        return _ARRAYS
    return Kind(f"{ending} file" if ending else "extensionless file", told=False)


def counted(kinds: dict[Kind, int]) -> str:
    """2 SVG drawings, 1 HEIC picture (pip install ...)"""
    told = []
    for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0].name)):
        hint = f" ({kind.hint})" if kind.hint else ""
        told.append(f"{count} {kind.name}{'s' if count > 1 and kind.name[-1] != 's' else ''}{hint}")
    return ", ".join(told)
