"""Attention to touch: the maps behind a figure, packed so small that the page can hold them."""

import base64
import io

import numpy as np
from PIL import Image

# A weight is a byte: its logarithm relative to uniform attention, from a quarter (0) to four times (255).
WIDEST = 2


def touch_data(
    images: np.ndarray, names: list[str], networks: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
) -> dict:
    """Return what the page's script draws, for JSON: `touch` in the words of a figure (`figures/<name>.json`).

    Args:
        images: uint8 `(faces, height, width)` or with 1 or 3 channels: generated faces or mean faces.
        names: a word for each face.
        networks: label of a network -> label of a block -> (positions, maps). Positions are float `(p, 2)`, (row,
            column) in parts of the side; maps are float `(faces, p, key rows, key columns)`, each summing to 1, or
            to 0 where a position attends to nothing.
    """
    faces = [{"name": name, "image": _png(image)} for name, image in zip(names, images, strict=True)]
    found = [
        {"name": network, "blocks": [_block(name, *values) for name, values in blocks.items()]}
        for network, blocks in networks.items()
    ]
    return {"faces": faces, "networks": found}


def _block(name: str, positions: np.ndarray, maps: np.ndarray) -> dict:
    relative = np.asarray(maps, dtype=float) * maps[0, 0].size
    powers = np.log2(np.clip(relative, 2.0**-WIDEST, 2.0**WIDEST))
    packed = np.round((powers + WIDEST) / (2 * WIDEST) * 255).astype("uint8")
    text, places = base64.b64encode(packed.tobytes()).decode(), np.round(positions, 4).tolist()
    return {"name": name, "positions": places, "keys": list(maps.shape[-2:]), "maps": text}


def _png(image: np.ndarray) -> str:
    Image.fromarray(image.squeeze()).save(buffer := io.BytesIO(), "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
