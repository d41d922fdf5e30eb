"""The files of a data set, in a folder, in an archive or alone: read in place, and decoded if they are images."""

import contextlib
import functools
import gzip
import io
import math
import os
import re
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from fer_lib.errors import DataError, shown
from fer_lib.files import open_regular

MAX_IMAGE_BYTES = 64 << 20
MAX_PIXELS = 80_000_000
MAX_DECODED_BYTES = 16 << 30
MAX_TABLE_BYTES = 1 << 30  # a CSV of FER-2013 has 300 MB
MAX_INFLATED_BYTES = 4 << 30
# Files that claim to be images; of others the content decides.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
ASPECTS: dict[str, Callable[..., Image.Image]] = {
    "crop": ImageOps.fit, "pad": ImageOps.contain, "squash": Image.Image.resize,
}  # fmt: skip

# Hidden files and folders, and what operating systems, servers and editors leave behind.
_CLUTTER = re.compile(
    r"(.*/)?((\.[^/]*|__MACOSX|@eaDir|#recycle|\$RECYCLE\.BIN|System Volume Information|lost\+found)(/.*)?"
    r"|thumbs\.db|desktop\.ini|icon\r)",
    re.IGNORECASE | re.DOTALL,
)
# Name -> size in bytes, and what opens it as a binary stream; the name of a folder ends with a slash.
Entries = dict[str, tuple[int, Callable[[], Any]]]


class Header(NamedTuple):
    """What an image file says of itself; `mode` is Pillow's."""

    width: int
    height: int
    mode: str
    transparent: bool


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a sentence: `a, b, c and 4 more`."""
    names = list(names)
    more = len(names) - most
    return ", ".join(map(shown, names[:most])) + (f" and {more:,} more" if more > 0 else "")


class Files:
    """Files that are read in place, in the folder, archive or file `path`; names have `/` between folders."""

    def __init__(self, path: Path, entries: Entries) -> None:
        # Windows writes `\\`, and tar `./`.
        parts = {name: re.split(r"[/\\]", name) for name in entries}
        names = {"/".join(part for part in parts[name] if part not in ("", ".")): name for name in entries}
        folders = {name for name, entry in names.items() if entry[-1:] in ("/", "\\")}
        self.path, self._entries = path, {name: entries[names[name]] for name in names.keys() - folders}
        self.names = sorted(name for name in self._entries if not _CLUTTER.fullmatch(name))
        self.clutter = sorted(self._entries.keys() - set(self.names))
        folders |= {name.rpartition("/")[0] for name in self.names}
        self.folders = sorted(folder for folder in folders if folder and not _CLUTTER.fullmatch(folder))

    @functools.cached_property
    def images(self) -> list[str]:
        """The names of the images, by their suffix or, where it is another one, by their content."""
        return [name for name in self.names if name.lower().endswith(SUFFIXES) or self._is_image(name)]

    def _is_image(self, name: str) -> bool:
        try:
            with self.open(name) as stream, Image.open(stream, formats=FORMATS):
                return True
        except DataError:
            return False

    def named(self, *file_names: str) -> list[str]:
        """List the files whose names, without folders and in lower case, are among these."""
        return [name for name in self.names if name.rpartition("/")[2].lower() in file_names]

    def where(self, name: str) -> str:
        """Return the place of a file for messages."""
        return str(self.path) if self.path.name.startswith(name) else f"{self.path}: {name}"

    @contextlib.contextmanager
    def open(self, name: str, most: int = MAX_TABLE_BYTES) -> Iterator[IO[bytes]]:
        """Open a file of at most `most` bytes: a context with a binary stream; DataError where it is damaged."""
        size, open_stream = self._entries[name]
        with damage(self.where(name)):
            _limit(self.where(name), size, most, "bytes")
            with open_stream() as stream:
                yield stream

    def read(self, name: str) -> bytes:
        """Return the bytes of an image file, which must not exceed MAX_IMAGE_BYTES."""
        with self.open(name, MAX_IMAGE_BYTES) as stream:
            # A header may lie about the size, and zipfile then inflates up to 1 GiB at once.
            return stream.read(MAX_IMAGE_BYTES + 1)


@contextlib.contextmanager
def open_files(path: Path) -> Iterator[Files]:
    """Open a folder, an archive (zip, tar, tar.gz) or a single file, gzipped or not: yields `Files`.

    DataError where it is of another kind, truncated, encrypted, or exceeds a limit.
    """
    with contextlib.ExitStack() as stack:
        with damage(path):
            files = Files(path, _entries(path, stack))
        yield files


def _entries(path: Path, stack: contextlib.ExitStack) -> Entries:
    """The entries of a folder or archive, or the file itself; the last two stay open until the stack is closed."""
    if path.is_dir():
        files = list_folder(path).items()
        return {name: (status.st_size, functools.partial(open_regular, path / name)) for name, status in files}
    file, name = stack.enter_context(open_regular(path)), path.name
    if file.peek(2).startswith(b"\x1f\x8b"):
        file, name = stack.enter_context(_inflated(file, path)), path.stem
    head = file.peek(512)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        archive = stack.enter_context(zipfile.ZipFile(file))
        infos = archive.infolist()
        return {info.filename: (info.file_size, functools.partial(archive.open, info)) for info in infos}
    if head[257:262] == b"ustar":
        tar = stack.enter_context(tarfile.TarFile(fileobj=file))
        names = {member.name + "/" * member.isdir(): member for member in tar}
        # None for a device: no context, and so damage.
        return {name: (member.size, functools.partial(tar.extractfile, member)) for name, member in names.items()}
    if path.suffix.lower() in (".zip", ".tar"):
        found, advice = f"it begins with {head[:32]!r}", "Download it again, or extract it and give the folder"
        raise DataError("The file is not a zip or tar archive", path, None, found, advice)
    return {name: (os.fstat(file.fileno()).st_size, lambda: contextlib.nullcontext(file))}


def decode(
    files: Files, names: list[str], size: int, colour: bool, aspect: str
) -> tuple[np.ndarray, list[Header | DataError]]:
    """Decode the files `names` of an open folder or archive into squares of `size` pixels, RGB or luminance.

    `aspect`: `"crop"`: the largest square in the middle. Of KDEF's 562 x 762 pixels it keeps the whole width and
    rows 100 to 662: only hair and chest are cut off. `"pad"`: the whole image, its outermost pixels repeated
    beside it. `"squash"`: the whole, stretched. Returns uint8 `(n, size, size, channels)` in the order of `names`;
    and for each its `Header`, or the DataError of a file that cannot be decoded, whose pixels are zero.
    """
    shape = (size, size, 3 if colour else 1)
    _limit(files.path, len(names) * math.prod(shape), MAX_DECODED_BYTES, "bytes of decoded images")
    images = np.zeros((len(names), *shape), np.uint8)
    lock = threading.Lock()  # the files of a tar share one position

    def fill(position: int) -> Header | DataError:
        name = names[position]
        try:
            with lock:
                content = files.read(name)
            images[position], header = _decoded(content, files.where(name), shape, aspect)
            return header
        except DataError as error:
            return error

    # Threads, for Pillow decodes and resizes without Python's lock. No bar where stderr is a log file.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(fill, range(len(names)))
        return images, list(tqdm(results, "Decoding images", len(names), unit=" images", disable=None))


def _decoded(content: bytes, where: str, shape: tuple[int, int, int], aspect: str) -> tuple[np.ndarray, Header]:
    """The pixels of one image in the shape (size, size, channels), and its header."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _limit(where, image.width * image.height, MAX_PIXELS, "pixels")
            if image.mode.startswith(("I", "F")):
                found, advice = f"Pillow's mode {image.mode}", "Convert it to 8 bits per channel"
                raise DataError("An image has more than 8 bits per channel", where, "8 bits", found, advice)
            upright: Image.Image = ImageOps.exif_transpose(image)
            transparent = False
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                transparent = bool(np.asarray(upright)[..., 3].min() < 255)
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            upright = upright.convert("RGB" if shape[2] == 3 else "L")
            square = ASPECTS[aspect](upright, shape[:2], Image.Resampling.LANCZOS)
            pixels = np.atleast_3d(np.asarray(square))
            gaps = [whole - part for whole, part in zip(shape, pixels.shape, strict=True)]
            padded = np.pad(pixels, [(gap // 2, gap - gap // 2) for gap in gaps], "edge")
            return padded, Header(*image.size, image.mode, transparent)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders let errors of many kinds through
        found = f"it begins with {content[:32]!r}" if "cannot identify" in str(error) else str(error)
        advice = "Convert it to JPEG or PNG, or get it again"
        raise DataError("A file is no image, or damaged", where, " or ".join(FORMATS), found, advice) from error


def list_folder(path: Path) -> dict[str, os.stat_result]:
    """List what is in a folder and below, links followed: name, with a slash after that of a folder -> status."""
    statuses: dict[str, os.stat_result] = {}

    def refuse(error: OSError) -> None:
        raise error

    with damage(path):
        for folder, below, names in os.walk(path, onerror=refuse, followlinks=True):
            for name in (*names, *(f"{name}/" for name in below)):
                place = os.path.join(folder, name)
                try:
                    status = os.stat(place)
                except FileNotFoundError:  # a link that leads nowhere: an error for who opens it
                    status = os.lstat(place)
                statuses[place.removeprefix(os.path.join(path, ""))] = status
    return statuses


@contextlib.contextmanager
def damage(where: object) -> Iterator[None]:
    """Turn whatever is raised while a file is read into a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile, tarfile and the decompressors let errors of many kinds through
        if isinstance(error, OSError) and error.errno:
            raise DataError("A file cannot be read", error.filename or where, found=error.strerror) from error
        advice = "Download it again, or extract it and give the folder"
        raise DataError("A file is truncated or damaged", where, None, error, advice) from error


def _inflated(file: IO[bytes], path: Path) -> Any:
    """The uncompressed content, in a temporary file."""
    whole = tempfile.TemporaryFile()  # noqa: SIM115, the caller's context
    with gzip.open(file) as stream:
        while piece := stream.read(1 << 20):
            _limit(path, whole.tell() + len(piece), MAX_INFLATED_BYTES, "bytes")
            whole.write(piece)
    whole.seek(0)
    return whole


def _limit(where: object, value: int, most: int, unit: str) -> None:
    if value > most:
        raise DataError(f"The number of {unit} exceeds the limit", where, f"at most {most:,}", f"{value:,}")
