"""Image files as pixels: opened safely, brought to one square size, several at a time."""

import contextlib
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from fer_lib.datasets.archive import check_kind
from fer_lib.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
MAX_PIXELS = 50_000_000
ASPECTS = {"crop": ImageOps.fit, "pad": ImageOps.contain, "squash": Image.Image.resize}


@contextlib.contextmanager
def opened(files, name, formats=FORMATS):
    """Open an image file: a context with Pillow's image, not decoded yet; damage found in it is a DataError."""
    where, content = files.where(name), files.read(name)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height}"
                raise DataError("An image exceeds the limit", where, f"at most {MAX_PIXELS:,} pixels", size)
            yield image
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders let errors of many kinds through
        if not content.startswith((b"\x89PNG", b"\xff\xd8\xff")):
            check_kind(content[:512], where)
        found = "a file that cannot be identified" if "cannot identify" in str(error) else error
        raise DataError("A file is no image, or damaged", where, f"a {' or '.join(formats)}", found) from error


def decode(files, names, size, colour, aspect, formats=FORMATS):
    """Decode the files `names` of an open folder or archive into squares of `size` pixels.

    Args:
        colour: 3 channels (RGB); otherwise 1, luminance.
        aspect: `"crop"`: the largest square in the middle. Of KDEF's 562 x 762 pixels it keeps the whole width and
            rows 100 to 662: the publisher centred eyes and mouths on one grid, only hair and chest are cut off.
            `"pad"`: the whole image, its outermost pixels repeated beside it. `"squash"`: the whole, stretched.
        formats: those that are accepted, by Pillow's names.

    Returns:
        uint8 `(n, size, size, channels)` in the order of `names`; and for each its (width, height, Pillow's mode),
        or the DataError of a file that cannot be decoded, whose pixels are zero.
    """
    images = np.zeros((len(names), size, size, 3 if colour else 1), np.uint8)

    def fill(position):
        try:
            with opened(files, names[position], formats) as image:
                images[position] = _square(image, size, "RGB" if colour else "L", aspect)
                return *image.size, image.mode
        except DataError as error:
            return error

    # Threads, for Pillow decodes and resizes without Python's lock. No bar where stderr is a log file.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(fill, range(len(names)))
        return images, list(tqdm(results, "Decoding images", len(names), unit=" images", disable=None))


def _square(image, size, mode, aspect):
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"Pillow's mode {image.mode} instead of 8 bits a channel")
    image = ImageOps.exif_transpose(image).convert(mode)
    pixels = np.atleast_3d(ASPECTS[aspect](image, (size, size), Image.Resampling.LANCZOS))
    gaps = [size - side for side in pixels.shape[:2]]
    return np.pad(pixels, [*((gap // 2, gap - gap // 2) for gap in gaps), (0, 0)], mode="edge")
