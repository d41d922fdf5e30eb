"""Many pictures at once: in this process or in several, with the same result."""

import io
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from PIL import Image
from tqdm import tqdm

JPEG_QUALITY = 90


def draw_all(draw, jobs, processes=1):
    """Yields `draw(job)` of each job, in their order.

    Args:
        draw: a function at the top level of its module (other processes import it).
        jobs: a list; each job holds all that its picture depends on, its own random seed included.
        processes: how many draw.
    """
    bar = tqdm(total=len(jobs), desc="Drawing faces", unit=" images", disable=None)
    with bar:
        for picture in _drawn(draw, jobs, processes):
            bar.update()
            yield picture


def _drawn(draw, jobs, processes):
    if processes == 1:
        yield from map(draw, jobs)
        return
    # "spawn": a fork of a process in which a backend runs threads can hang.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(draw, jobs, chunksize=64)


def as_jpeg(pixels):
    """JPEG bytes of a uint8 array, (height, width) or (height, width, 3)."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()
