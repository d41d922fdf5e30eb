"""Draw attention.webp for the README: a pointer moves over a generated face, and its position's attention shows.

Run by `make readme`, from the study of `make study`.
"""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fer_lib import datasets
from fer_lib.analysis import attention, recorder
from fer_lib.figures.attention import WIDEST
from fer_lib.parameters import read_parameters
from fer_lib.training.loop import restore_classifier
from fer_lib.training.runs import read_run, run_folder

STUDY, VARIANT, CLASS, SIDE = Path("outputs/demo"), "resnet14v2-nl1", "surprise", 360
# Corners of the pointer's way, (row, column) in parts of the side: brow, eyes, nose, mouth and back.
WAY = [(0.29, 0.32), (0.39, 0.32), (0.39, 0.68), (0.58, 0.5), (0.77, 0.5), (0.77, 0.3), (0.29, 0.32)]
STEPS, MILLISECONDS = 7, 160
LESS, MORE = np.array([0, 62, 116]), np.array([242, 121, 0])


def overlay(weights: np.ndarray) -> Image.Image:
    """The colours of one map, RGBA: blue where a weight is less than uniform, orange where it is more."""
    powers = np.log2(np.clip(weights * weights.size, 2.0**-WIDEST, 2.0**WIDEST)) / WIDEST
    colours = np.where(powers[..., None] < 0, LESS, MORE)
    alpha = np.abs(powers) * np.where(powers < 0, 0.5, 0.8) * 255
    rgba = np.concatenate([colours, alpha[..., None]], axis=-1).astype("uint8")
    return Image.fromarray(rgba, "RGBA").resize((SIDE, SIDE), Image.Resampling.NEAREST)


def main() -> None:
    """Write `attention.webp` beside this file."""
    parameters = read_parameters(STUDY / "params.yaml").model_copy(update={"precision": "float32"})
    run = read_run(run_folder(STUDY, VARIANT, parameters.seeds[0]))
    images, shown = datasets.load(parameters).validation, attention.read(run).images
    ids = list(shown["id"][shown["class"] == CLASS])
    face = images.images[[list(images.ids).index(ids[0])]]
    maps = recorder.all_maps(restore_classifier(parameters, run), face, parameters.image_size)
    ((rows, columns), keys), weights = next(iter(maps.values()))
    still = Image.fromarray(face[0].squeeze()).convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    corners = np.array(WAY)
    way = np.concatenate([np.linspace(a, b, STEPS, endpoint=False) for a, b in itertools.pairwise(corners)])
    frames = []
    for row, column in way:
        cell = int(row * rows) * columns + int(column * columns)
        frame = Image.alpha_composite(still, overlay(weights[0, cell].reshape(keys)))
        place = [column * SIDE - 9, row * SIDE - 9, column * SIDE + 9, row * SIDE + 9]
        ImageDraw.Draw(frame).ellipse(place, fill="#111", outline="white", width=4)
        frames.append(frame.convert("RGB"))
    path = Path(__file__).with_name("attention.webp")
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, quality=70)


if __name__ == "__main__":
    main()
