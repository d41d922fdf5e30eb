"""The style of all figures: colours, labels, the theme, and every figure legible at 700 pixels."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from fer_lib.figures import style
from fer_lib.variants import PAIRWISE_LABELS

NETWORKS = ["resnet50v2", *(f"resnet50v2-nl{stages}" for stages in (1, 2, 3, 4, 12, 34, 123))]
COLOURS = {
    **style.PALETTE, "ink": style.INK, "quiet": style.QUIET, "baseline": style.BASELINE_COLOUR,
    "other stages": style.OTHER_STAGES,
}  # fmt: skip
# Machado, Oliveira and Fernandes (2009), severity 1, of linear RGB.
BLINDNESS = {
    "identity": np.eye(3),
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(colour):
    """Linear RGB of a colour (WCAG 2.2)."""
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lightness(rgb):
    """CIELAB of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("name", COLOURS)
def test_the_contrast_of_every_mark_on_white_is_at_least_three(name):
    luminance = linear(COLOURS[name]) @ [0.2126, 0.7152, 0.0722]
    assert 1.05 / (luminance + 0.05) >= 3


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_of_stages_differ_with_every_colour_blindness(blindness):
    colours = [*style.PALETTE.values(), style.BASELINE_COLOUR, style.QUIET]
    seen = [lightness(np.clip(BLINDNESS[blindness] @ linear(colour), 0, 1)) for colour in colours]
    # 2.3 is a just noticeable difference of colours beside each other.
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 15


def test_a_variants_look_does_not_depend_on_its_depth_and_differs_from_others():
    looks = [style.variant_style(name) for name in NETWORKS]
    assert len({look["color"] for look in looks}) == len(NETWORKS)
    assert style.variant_style("resnet14v2-nl3") == style.variant_style("resnet50v2-nl3")
    functions = ["", "-gaussian", "-dot_product", "-concatenation", "-identity", "-before_last"]
    of_one_stage = [tuple(style.variant_style(f"resnet50v2-nl3{function}").values()) for function in functions]
    assert len(set(of_one_stage)) == len(functions)
    assert set(style.MARKERS) == set(PAIRWISE_LABELS)


def test_styled_neither_takes_nor_leaves_settings_or_figures_and_draws_formulas_as_text():
    @style.styled
    def draw():
        figure, axes = style.new_figure(2)
        axes.set_xlabel("$\\frac$ of $x")
        axes.plot([0, 1])
        return figure

    expected = draw().axes[0].xaxis.label.get_size()
    before, shown = dict(mpl.colors.colorConverter.colors), plt.get_fignums()
    with mpl.rc_context({"axes.labelsize": 40, "axes.spines.top": True}):
        axes = draw().axes[0]
        assert mpl.rcParams["axes.labelsize"] == 40 and mpl.rcParams["axes.spines.top"]
    assert axes.xaxis.label.get_size() == expected < 12
    assert not axes.spines["top"].get_visible() and not axes.xaxis.label.get_parse_math()
    assert axes.lines[0].get_color() == to_rgb(style.PALETTE["blue"])
    assert mpl.colors.colorConverter.colors == before and plt.get_fignums() == shown


def test_fractions_are_percent():
    _, axes = style.new_figure(2)
    style.percent_axis(axes.xaxis)
    axes.set_xticks([-0.04, -0.0025, 0, 0.035, 1])
    axes.figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["−4 %", "−0.25 %", "0 %", "3.5 %", "100 %"]


def test_small_multiples_share_their_scales_and_label_each_column():
    figure, panels = style.small_multiples(5, 2)
    assert len(panels) == len(figure.axes) == 5
    panels[0].set_xlim(0, 7)
    assert panels[4].get_xlim() == (0, 7)
    labelled = [panel.xaxis.get_tick_params()["labelbottom"] for panel in panels]
    assert labelled == [False, True, True, True, True]


@pytest.mark.parametrize(
    "number, measure, expected",
    [
        (972, "attention_bytes", "972 B"),
        (1024, "attention_bytes", "1.0 KiB"),
        (1024**2 - 1, "activation_bytes", "1,024 KiB"),
        (25_187_328, "trainable_parameters", "25.2 M"),
        (1_000, "trainable_parameters", "1.0 k"),
        (0, "macs", "0"),
    ],
)
def test_amounts_in_words(number, measure, expected):
    assert style.amount(number, measure) == expected


def test_bars_stand_in_order_with_their_words_even_where_names_are_numbers_or_look_like_formulas():
    _, axes = style.new_figure(2)
    style.draw_bars(axes, ["2", "$x$"], [3, 0], ["three", "none"], "bars")
    assert [bar.get_width() for bar in axes.patches] == [3, 0]
    assert [text.get_text() for text in axes.texts] == ["three", "none"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "$x$"]
    assert axes.get_ylim() == (1.5, -0.5)  # the first on top
