"""KDEF's pictures as pixels: decoded at reduced scale, several at a time, straight into one array."""

import io
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from fer_lib.errors import DataError

# The largest standard deviation of a colour channel, 0..255. Generated portraits, 4,890 of them, have 20 and more;
# noise on a black frame is far below it, and averaged away by decoding at a reduced scale.
BLANK_DEVIATION = 5.0
BLANK = "blank"
UNREADABLE = "damaged or no picture"
OTHER_SIZE = "of another size than the rest"
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, DataError, Image.DecompressionBombError)


class Header(NamedTuple):
    """What a JPEG says of itself: its size in pixels, and its mode (Pillow's `RGB`, or `L` for grey)."""

    width: int
    height: int
    mode: str


def decode_pictures(files, names, size, colour=True, aspect="crop"):
    """Decodes JPEGs of one common size.

    Args:
        files: an open folder or zip (`archive.open_files`).
        names: a list of the names of its files to decode.
        size: side of the square in pixels, or None for the pictures as they are.
        colour: 3 channels (RGB); otherwise 1, JPEG's own luminance.
        aspect: `"crop"`, `"pad"` or `"squash"`, see `rectangle`.

    Returns:
        uint8 `(n, size, size, channels)`, or `(n, height, width, channels)`, in the order of `names`, undefined
        where there is a fault; a dict of position -> fault (`BLANK`, `UNREADABLE` or `OTHER_SIZE`); and the
        `Header` that most pictures have, None where none can be read.
    """
    # Threads, for Pillow decodes and resizes without Python's lock, and a zip can be shared.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        headers = list(pool.map(lambda name: _header(files, name), names))
        common = _commonest(header for header in headers if header is not None)
        shape = (size, size) if size is not None else (common.height, common.width) if common else (1, 1)
        images = np.empty((len(names), *shape, 3 if colour else 1), np.uint8)

        def fill(position):
            header = headers[position]
            if header is None or header[:2] != common[:2]:
                return UNREADABLE if header is None else OTHER_SIZE
            try:
                images[position] = _decode(files, names[position], size, colour, aspect)
            except _DAMAGE:
                return UNREADABLE
            return BLANK if images[position].std(axis=(0, 1)).max() < BLANK_DEVIATION else None

        # disable=None: no bar where stderr is a log file or a notebook that is being executed.
        bar = tqdm(pool.map(fill, range(len(names))), "Decoding KDEF", len(names), unit=" images", disable=None)
        faults = {position: fault for position, fault in enumerate(bar) if fault}
    return images, faults, common


def rectangle(width, height, aspect):
    """The part (left, top, right, bottom) of a picture that is shown.

    `"crop"`: the largest square in the middle. Of KDEF's 562 x 762 pixels it keeps the whole width and the rows
    100 to 662: the publisher centred eyes and mouths on one grid, and only hair and chest are cut off.
    `"pad"`: the whole picture as it is proportioned, between repetitions of its outermost columns: at 762 pixels
    every pixel of KDEF, unchanged.
    `"squash"`: the whole picture, so that a square made of it shows faces 26 % too broad.
    """
    if aspect != "crop":
        return (0, 0, width, height)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (left, top, left + side, top + side)


def _header(files, name):
    """The `Header` of one file, without decoding it; None where there is none."""
    try:
        with files.open(name) as stream, Image.open(stream, formats=("JPEG",)) as image:
            return Header(*image.size, image.mode)
    except _DAMAGE:
        return None


def _commonest(headers):
    # By number, then by size, so that the answer does not depend on the order of the files.
    return max(((number, header) for header, number in Counter(headers).items()), default=(0, None))[1]


def _decode(files, name, size, colour, aspect):
    """The pixels of one file, (size, size, channels) or (height, width, channels) uint8."""
    mode = "RGB" if colour else "L"
    with files.open(name) as stream:
        encoded = io.BytesIO(stream.read())
    with Image.open(encoded, formats=("JPEG",)) as image:
        if size is None:
            image.draft(mode, image.size)
            pixels = np.asarray(image.convert(mode))
        else:
            target = _fitted(*image.size, size) if aspect == "pad" else (size, size)
            pixels = np.asarray(_at_size(image, target, mode, rectangle(*image.size, aspect)))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if size is None else _padded(pixels, size)


def _fitted(width, height, size):
    """The largest (width, height) of these proportions in a square of `size` pixels."""
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))


def _padded(pixels, size):
    """A square with the picture in its middle, its outermost pixels repeated around it."""
    missing = [size - side for side in pixels.shape[:2]]
    return np.pad(pixels, [*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)], mode="edge")


def _at_size(image, target, mode, box):
    """The rectangle `box` of a JPEG at the `target` (width, height) in pixels.

    JPEG can be decoded at 1/2, 1/4 or 1/8 for less work: at the smallest of these that still has the pixels asked
    for, and what is left is resampled with a filter that averages.
    """
    width, height = image.size
    least = (width * target[0] / (box[2] - box[0]), height * target[1] / (box[3] - box[1]))
    drafted = image.draft(mode, tuple(int(np.ceil(side)) for side in least))
    scale = drafted[1][2] / width if drafted else 1
    # KDEF's 562 is no multiple of 4: the rectangle is scaled with its fractions, not rounded to pixels.
    scaled = tuple(side * scale for side in box)
    return image.convert(mode).resize(target, Image.Resampling.LANCZOS, box=scaled)
