"""A study as a notebook sees it: parameters, faces, runs, and where figures and tables go."""

import io
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL.Image
from IPython.display import Image, Markdown, display

from fer_lib import datasets
from fer_lib.files import write_atomically
from fer_lib.parameters import Parameters
from fer_lib.training.runs import write_json
from fer_lib.variants import Variant

_DPI = 144
# Mean difference of a pixel's colours, of 255, that nobody sees.
_LEAST_SEEN = 0.5


@dataclass(frozen=True)
class Study:
    """One study, opened by a notebook.

    Attributes:
        parameters: what the notebook's `parameters` cell declared.
        folder: `outputs/<study>`.
    """

    parameters: Parameters
    folder: Path

    @classmethod
    def open(cls, namespace):
        """The study that a notebook's `parameters` cell describes.

        Args:
            namespace: the notebook's `globals()`, with `study_dir`, a path relative to the notebook.

        Raises:
            ParameterError: a parameter cannot be used.
        """
        return cls(Parameters.from_notebook(namespace), Path(namespace["study_dir"]))

    @cached_property
    def splits(self):
        """The faces; the runner hands their place over in `FER_DATA`, so that no path gets into a notebook."""
        return datasets.load(self.parameters, os.environ.get("FER_DATA"))

    def runs(self, variants=None, seeds=None):
        """The finished runs of these variants and seeds, all of the study's by default; missing ones are trained.

        Returns:
            list of `Run`, seed by seed.
        """
        from fer_lib.training.loop import train_run  # notebooks that only read need not wait for Keras

        return [
            train_run(self.parameters, variant, seed, self.splits, self.folder)
            for seed in seeds or self.parameters.seeds
            for variant in variants or self.parameters.variants
        ]

    def variants(self, pairwise="embedded_gaussian", placement="every"):
        """The study's variants with this function and placement, the baseline first."""
        found = [Variant.from_name(name) for name in self.parameters.variants]
        chosen = [v for v in found if v.stages and (v.pairwise, v.placement) == (pairwise, placement)]
        return [self.parameters.baseline, *(variant.name for variant in chosen)]

    def show_figure(self, figure, name, caption, alt):
        """Shows a figure with its caption and keeps it as `figures/<name>.png`, with the words beside it.

        Args:
            figure: a matplotlib `Figure`.
            name: number and words, such as `3.2-attention-memory`; the number opens the caption.
            caption: what it shows, of which runs and how many images, and how to read it.
            alt: the same for somebody who does not see it, in one or two sentences.
        """
        content = _png(figure)
        write_atomically(self.folder / "figures" / f"{name}.png", content)
        write_json(self.folder / "figures" / f"{name}.json", {"caption": caption, "alt": alt})
        figure.clear()  # else the inline backend shows it once more at the cell's end
        width = round(figure.get_figwidth() * 72)
        display(Image(content, width=width), metadata={"image/png": {"alt": alt, "width": width}})
        display(Markdown(f"**Figure {name.split('-')[0]}.** {caption}"))

    def show_table(self, table, name, caption, formats=None):
        """Shows a table with its caption and keeps it, unrounded, as `tables/<name>.csv`.

        Args:
            table: a DataFrame; its index is not kept, reset it where it matters.
            name: number and words, such as `2.1-accuracy`.
            caption: what it shows, of which runs and how many images.
            formats: dictionary of a column to a format such as `"{:.1%}"`, for the eye alone.
        """
        write_atomically(self.folder / "tables" / f"{name}.csv", table.to_csv(index=False))
        write_json(self.folder / "tables" / f"{name}.json", {"caption": caption, "formats": formats or {}})
        display(Markdown(f"**Table {name.split('-')[0]}.** {caption}"))
        display(table.style.format(formats, na_rep="–").hide(axis="index"))


def _png(figure):
    """The figure as a PNG of few bytes: grey where it is grey, of 256 colours where the eye finds no difference.

    A figure stands in the study's folder and in its notebook, and both may be committed.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", facecolor="white")
    with PIL.Image.open(buffer) as drawn:
        picture = drawn.convert("RGB")
    colours = np.asarray(picture, dtype="int16")
    if (colours == colours[..., :1]).all():
        picture = picture.convert("L")
    else:
        few = picture.quantize(256, PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
        # Lines and areas lose nothing; photographs in colour would.
        if np.abs(np.asarray(few.convert("RGB"), dtype="int16") - colours).mean() < _LEAST_SEEN:
            picture = few
    smaller = io.BytesIO()
    picture.save(smaller, "PNG", optimize=True, dpi=(_DPI, _DPI))
    return smaller.getvalue()
