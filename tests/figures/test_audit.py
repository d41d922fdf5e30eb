"""Figures of the audit: what is drawn, read back from the figure."""

import numpy as np
import pandas as pd
import pytest

from fer_lib.figures import audit as figures


def test_two_metrics_has_the_epochs_and_the_papers_numbers():
    epochs = pd.DataFrame({"binary_accuracy": [0.88, 0.892], "accuracy": [0.45, 0.56]})
    # By hand: 1 - 3.5 (1 - 0.8921) = 0.62235.
    readings = pd.DataFrame(
        {"dataset": ["fer2013", "kdef"], "reported": [0.8921, 0.7602], "if_confident": [0.62235, 0.1607]}
    )
    axes = figures.two_metrics(epochs, readings).axes[0]
    drawn = {line.get_label(): line for line in axes.lines}
    assert axes.collections[0].get_offsets().tolist() == [[0.88, 0.45], [0.892, 0.56]]
    paper = drawn["the paper's FER-2013 accuracies, read as BinaryAccuracy"]
    assert paper.get_xydata()[0].tolist() == [0.8921, 0.62235]
    confident = axes.lines[0].get_xydata()
    assert np.interp(0.8921, *confident.T) == pytest.approx(0.62235)
    assert axes.lines[1].get_xdata()[0] == pytest.approx(6 / 7)
    assert [text.get_text() for text in axes.texts][1:] == ["all-negative baseline: 85.7 %", "chance: 14.3 %"]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(labels) == len(set(labels)) == 3
