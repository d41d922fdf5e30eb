"""Figures of the audit: what stands in them, read back from the figure."""

import numpy as np
import pandas as pd
import pytest
from fer_lib.analysis.reported import reading_table

from fer_lib.figures import audit as draw


def test_two_metrics_has_the_epochs_and_the_papers_numbers():
    epochs = pd.DataFrame({"binary_accuracy": [0.88, 0.892], "accuracy": [0.45, 0.56]})
    axes = draw.two_metrics(epochs, reading_table(epochs)).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    seen = drawn["epochs of this study, validation"]
    assert seen.get_xydata().tolist() == [[0.88, 0.45], [0.892, 0.56]]
    paper = drawn["the paper's FER-2013 numbers, were they BinaryAccuracy"]
    assert paper.get_xydata()[0].tolist() == pytest.approx([0.8921, 0.62235])
    assert axes.lines[1].get_xdata()[0] == pytest.approx(6 / 7)


def test_detectable_differences_fall_with_images():
    figure = draw.detectable_differences({"a quarter": 0.25, "a tenth": 0.1}, 1432, {"stages 3-4": 0.0092})
    quarter, tenth = figure.axes[0].lines[:2]
    assert (np.diff(quarter.get_ydata()) < 0).all() and (tenth.get_ydata() < quarter.get_ydata()).all()
    # Textbook: (1.96 + 0.84) sqrt(discordance / n) at the largest n, where the exact test is the same.
    assert quarter.get_ydata()[-1] == pytest.approx(280 * np.sqrt(0.25 / 20_000), rel=0.03)
    assert 0.92 in [pytest.approx(line.get_ydata()[0]) for line in figure.axes[0].lines[3:]]


def test_copies():
    rows = [("all", 100, 0.5), ("without", 90, 0.45), ("only", 10, 0.9)]
    table = pd.DataFrame(rows, columns=["images", "n", "accuracy"])
    table = table.assign(low=table["accuracy"] - 0.1, high=table["accuracy"] + 0.1, variant="resnet14v2", seed=0)
    axes = draw.with_and_without_copies(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["all (100)", "without (90)", "only (10)"]
    assert [float(np.ravel(d.get_xdata())[0]) for d in axes.lines if d.get_marker() == "o"] == [0.5, 0.45, 0.9]
    none = table.assign(n=[100, 100, 0])
    assert len(draw.with_and_without_copies(none).axes[0].texts) == 2
