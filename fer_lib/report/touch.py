"""Attention to touch: the maps behind a figure, packed so small that the page can hold them."""

import base64
import io
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import BaseModel, StringConstraints

# A weight is a byte: its logarithm relative to uniform attention, from a quarter (0) to four times (255).
WIDEST = 2


class Face(BaseModel):
    """A face to point at: its class, and the image as a data URI."""

    name: str
    image: Annotated[str, StringConstraints(pattern=r"^data:image/png;base64,[A-Za-z0-9+/=]+$")]


class Block(BaseModel):
    """The maps of a block: `maps` holds a byte per weight, faces x positions x key rows x key columns, in base64.

    `positions` are (row, column) of the queries in parts of the image's side, `keys` is (rows, columns).
    """

    name: str
    positions: list[tuple[float, float]]
    keys: tuple[int, int]
    maps: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/=]+$")]


class Network(BaseModel):
    """A network and its blocks."""

    name: str
    blocks: list[Block]


class Touch(BaseModel):
    """All that the page's script draws: `touch` in the words of a figure (`figures/<name>.json`)."""

    faces: list[Face]
    networks: list[Network]


def touch_data(
    images: np.ndarray, names: list[str], networks: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
) -> dict:
    """Return the `Touch` of some faces as a dictionary for JSON.

    Args:
        images: uint8 `(faces, height, width)` or with 1 or 3 channels: generated faces or mean faces.
        names: a word for each face.
        networks: label of a network -> label of a block -> (positions, maps). Positions are float `(p, 2)`, (row,
            column) in parts of the side; maps are float `(faces, p, key rows, key columns)`, each summing to 1, or
            to 0 where a position attends to nothing.
    """
    faces = [Face(name=name, image=_png(image)) for name, image in zip(names, images, strict=True)]
    found = [
        Network(name=network, blocks=[_block(name, *values) for name, values in blocks.items()])
        for network, blocks in networks.items()
    ]
    return Touch(faces=faces, networks=found).model_dump()


def _block(name: str, positions: np.ndarray, maps: np.ndarray) -> Block:
    relative = np.asarray(maps, dtype=float) * maps[0, 0].size
    powers = np.log2(np.clip(relative, 2.0**-WIDEST, 2.0**WIDEST))
    packed = np.round((powers + WIDEST) / (2 * WIDEST) * 255).astype("uint8")
    text = base64.b64encode(packed.tobytes()).decode()
    return Block(name=name, positions=np.round(positions, 4).tolist(), keys=maps.shape[-2:], maps=text)


def _png(image: np.ndarray) -> str:
    Image.fromarray(image.squeeze()).save(buffer := io.BytesIO(), "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
