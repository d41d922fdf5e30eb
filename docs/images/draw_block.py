"""Draws block.png for the README: a generated face with the attention of one position, and the block beside it.

Run by `make readme`, from the study of `make study`.
"""

import io
from pathlib import Path

from PIL import Image

from fer_lib import datasets
from fer_lib.analysis import attention
from fer_lib.figures.attention import attention_maps
from fer_lib.figures.stages import block_diagram
from fer_lib.parameters import read_parameters
from fer_lib.training.runs import read_run, run_folder

STUDY, VARIANT, POSITION, CLASS = Path("outputs/demo"), "resnet14v2-nl1", "mouth", "happy"


def as_image(figure, height):
    """The figure as a Pillow image of so many pixels in height."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight", facecolor="white")
    image = Image.open(buffer).convert("RGB")
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def main():
    """Write `block.png` beside this file."""
    parameters = read_parameters(STUDY / "params.yaml")
    found = attention.read(read_run(run_folder(STUDY, VARIANT, parameters.seeds[0])))
    images = datasets.load(parameters).validation
    row = list(found.images["class"]).index(CLASS)
    place = list(attention.POSITIONS).index(POSITION)
    shown = images.images[[list(images.ids).index(found.images["id"].iloc[row])]]
    maps = found.maps["trained", list(found.maps)[-1][1]][row : row + 1, place : place + 1]
    face = as_image(attention_maps(shown, maps, {POSITION: attention.POSITIONS[POSITION]}, [CLASS]), 400)
    block = as_image(block_diagram(), 320)
    whole = Image.new("RGB", (face.width + block.width + 40, 400), "white")
    whole.paste(face, (0, 0))
    whole.paste(block, (face.width + 40, 40))
    whole.save(Path(__file__).with_name("block.png"), optimize=True)


if __name__ == "__main__":
    main()
