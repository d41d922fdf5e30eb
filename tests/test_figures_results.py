"""What the figures of results draw, read back from their lines and texts and compared with the tables."""

import numpy as np
import pandas as pd
import pytest
from fer_lib.analysis.per_class import confusion_changes, confusion_shares, scores_table

from fer_lib.analysis import evaluation
from fer_lib.figures import confusion, groups, results, style
from fer_lib.training import runs

BASELINE = "resnet26v2"
# Ten networks, among them the longest label that a name can have.
VARIANTS = [
    BASELINE,
    *(f"{BASELINE}-nl{stages}" for stages in ("1", "2", "3", "4", "12", "34")),
    f"{BASELINE}-nl3-dot_product",
    f"{BASELINE}-nl3-none",
    f"{BASELINE}-nl34-concatenation-before_last",
]
LABELS = np.repeat(np.arange(7), [40, 5, 42, 75, 52, 52, 34])
IDS = np.array([f"face-{index:03}" for index in range(len(LABELS))])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten variants of three seeds in run folders, as training leaves them."""
    study = tmp_path_factory.mktemp("study")
    for seed in range(3):
        for index, variant in enumerate(VARIANTS):
            _write_run(study, variant, seed, accuracy=0.5 + 0.02 * index)
    return [runs.read_run(runs.run_folder(study, variant, seed)) for seed in range(3) for variant in VARIANTS]


@pytest.fixture(scope="module")
def few(many):
    """The baseline and two stages, one seed."""
    return [run for run in many if run.seed == 0 and run.variant in VARIANTS[:3]]


def _write_run(study, variant, seed, accuracy):
    draw = np.random.default_rng([seed, VARIANTS.index(variant)])
    said = np.where(draw.random(len(LABELS)) < accuracy, LABELS, draw.integers(0, 7, len(LABELS)))
    probabilities = draw.dirichlet(np.ones(7), len(LABELS)) + 2 * np.eye(7)[said]
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype("float32")
    folder = runs.run_folder(study, variant, seed)
    runs.write_predictions(folder, {"validation": runs.Predictions(IDS, LABELS, probabilities)})
    epochs = np.arange(1, 13)
    curve = accuracy * (1 - np.exp(-epochs / 4))
    history = {"epoch": epochs, "loss": 2 - curve, "accuracy": curve, "val_loss": 2.1 - curve}
    history |= {"val_accuracy": curve - 0.02, "val_binary_accuracy": 0.86 + curve / 20}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    runs.write_json(folder / "config.json", {"variant": variant, "seed": seed})
    runs.finish(folder, {"variant": variant, "seed": seed}, epochs=12)


def bars(axes):
    """The horizontal bars of a dot plot: (row, low, high), by row."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
    flat = [line for line in lines if line.get_ydata()[0] == line.get_ydata()[1] and line.get_linestyle() == "-"]
    return sorted((line.get_ydata()[0], *line.get_xdata()) for line in flat)


def by_row(limits):
    """(row, low, high) of a table of limits."""
    return [(row, *pair) for row, pair in enumerate(np.asarray(limits))]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_training_curves_draw_the_history(few):
    figure = results.training_curves(few[:1])
    accuracy, loss = figure.axes
    history = few[0].history
    dashed, solid = accuracy.lines
    assert dashed.get_linestyle() == "--" and dashed.get_ydata().tolist() == history["accuracy"].tolist()
    assert solid.get_linestyle() == "-" and solid.get_ydata().tolist() == history["val_accuracy"].tolist()
    assert loss.lines[1].get_ydata().tolist() == history["val_loss"].tolist()
    # The upper line bears the upper name: training in accuracy, validation in loss.
    assert {text.get_text(): text.get_va() for text in accuracy.texts}["training"] == "bottom"
    assert {text.get_text(): text.get_va() for text in loss.texts}["training"] == "top"


def test_curves_by_variant_have_a_panel_each_over_the_baseline(many):
    figure = results.curves_by_variant(many, BASELINE)
    assert [axes.get_title("left").replace("\n", " ") for axes in figure.axes] == [
        style.label_of(name) for name in VARIANTS[1:]
    ]
    assert all(len(axes.lines) == 6 for axes in figure.axes)  # three seeds of each


def test_two_accuracies_draw_both_metrics_and_the_floor(few):
    axes = results.two_accuracies(few[:1]).axes[0]
    binary, seven, floor = axes.lines
    assert binary.get_ydata().tolist() == few[0].history["val_binary_accuracy"].tolist()
    assert seven.get_ydata().tolist() == few[0].history["val_accuracy"].tolist()
    assert floor.get_ydata()[0] == pytest.approx(6 / 7)
    assert any("85.7%" in text for text in texts(axes))


def test_accuracy_by_variant_draws_the_intervals_of_the_table(many):
    summary = evaluation.summary_table(many)
    axes = results.accuracy_by_variant(summary, evaluation.accuracy_table(many)).axes[0]
    np.testing.assert_allclose(bars(axes), by_row(summary[["low", "high"]]))
    assert [label.get_text() for label in axes.get_yticklabels()] == [style.label_of(name) for name in VARIANTS]
    assert texts(axes)[0] == f"{summary['mean'][0]:.1%}"
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [3] * len(VARIANTS)


def test_forest_plot_draws_differences_in_points_and_corrected_p_values(few):
    comparison = evaluation.pooled_comparison_table(few, BASELINE)
    axes = results.forest_plot(comparison).axes[0]
    limits = 100 * comparison[["low", "high"]].to_numpy()
    np.testing.assert_allclose(bars(axes), by_row(limits))
    low, high = axes.get_xlim()
    assert low == -high and high > np.abs(limits).max()
    assert f"{comparison['p_holm'][0]:.2g}" in texts(axes)


def test_forest_plot_names_tiny_p_values_as_such(few):
    comparison = evaluation.pooled_comparison_table(few, BASELINE).assign(p_holm=1e-9, difference=-0.0123)
    assert {"< 0.001", "−1.2"} <= set(texts(results.forest_plot(comparison).axes[0]))


def test_reliability_draws_bins_of_ten_images_and_more(few):
    table = evaluation.reliability_table(few[0])
    axes, counts = results.reliability({"seed 0": table}).axes
    enough = table[table["n"] >= 10]
    assert axes.containers[0].lines[0].get_xdata().tolist() == enough["confidence"].tolist()
    assert axes.containers[0].lines[0].get_ydata().tolist() == enough["accuracy"].tolist()
    assert counts.patches[0].get_data().values.tolist() == table["n"].tolist()


def test_confusion_matrices_print_percent(few):
    shares = confusion_shares(few)
    axes = confusion.confusion_matrices(shares).axes[0]
    first = 100 * shares[BASELINE].to_numpy()
    np.testing.assert_allclose(axes.images[0].get_array(), first)
    assert texts(axes)[0] == f"{first[0, 0]:.0f}"


def test_confusion_differences_frame_what_is_more_than_chance(few):
    changes = confusion_changes(few, BASELINE)
    changes["p_holm"] = 1.0
    framed = (changes["variant"] == VARIANTS[2]) & (changes["label"] == "happy") & (changes["prediction"] == "sad")
    changes.loc[framed, "p_holm"] = 0.01
    first, second = confusion.confusion_differences(changes).axes
    assert not first.patches
    assert second.patches[0].get_xy() == (5 - 0.5, 3 - 0.5)  # column sad, row happy
    value = 100 * changes.loc[framed, "difference"].item()
    assert second.images[0].get_array()[3, 5] == pytest.approx(value)


def test_class_scores_draw_recall_filled_and_precision_open(few):
    scores = scores_table(few[:1])
    axes = groups.class_scores(scores).axes[0]
    assert axes.get_yticklabels()[0].get_text() == "happy (75)"  # the class of most images first
    happy = scores.set_index("class").loc["happy"]
    assert bars(axes)[0][1:] == pytest.approx((happy["recall_low"], happy["recall_high"]))
    assert bars(axes)[1][1:] == pytest.approx((happy["precision_low"], happy["precision_high"]))


def test_class_recall_has_a_panel_a_class(many):
    scores = scores_table(many)
    figure = groups.class_recall(scores, BASELINE)
    disgust = figure.axes[1]
    assert disgust.get_title("left") == "disgust (5)"
    expected = scores[scores["class"] == "disgust"][["recall_low", "recall_high"]]
    np.testing.assert_allclose(bars(disgust), by_row(expected))


def test_group_accuracy_orders_angles_from_side_to_side(few):
    metadata = pd.DataFrame({"angle": np.resize(["S", "FR", "HL", "FL", "HR"], len(IDS))}, index=IDS)
    tables = [
        evaluation.by_group(run, metadata, "angle").assign(variant=run.variant, seed=run.seed) for run in few
    ]
    figure = groups.group_accuracy(pd.concat(tables), "angle")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["FL", "HL", "S", "HR", "FR"]
    straight = tables[1].set_index("angle").loc["S"]
    assert bars(figure.axes[1])[2] == pytest.approx((2, straight["low"], straight["high"]))


def test_people_draw_a_dot_each_and_the_median(few):
    metadata = pd.DataFrame({"subject": np.resize(["F01", "F02", "M01"], len(IDS))}, index=IDS)
    tables = [evaluation.by_group(few[0], metadata, "subject").assign(variant=BASELINE, seed=0)]
    dots, median = groups.people(pd.concat(tables)).axes[0].lines
    assert sorted(dots.get_xdata()) == sorted(tables[0]["accuracy"])
    assert median.get_xdata()[0] == tables[0]["accuracy"].median()


def _figures(many):
    scores = scores_table(many)
    yield results.curves_by_variant(many, BASELINE)
    yield results.accuracy_by_variant(evaluation.summary_table(many), evaluation.accuracy_table(many))
    yield results.forest_plot(evaluation.pooled_comparison_table(many, BASELINE))
    yield confusion.confusion_matrices(confusion_shares(many))
    yield confusion.confusion_differences(confusion_changes(many, BASELINE))
    yield groups.class_recall(scores, BASELINE)


def test_ten_variants_of_three_seeds_stay_legible(many):
    """At 700 pixels: nothing printed smaller than 9 points, no two texts on one another, all within the figure."""
    for figure in _figures(many):
        assert round(figure.get_figwidth() * 72) <= 700
        shown = [text for text in _texts_of(figure) if text.get_visible() and text.get_text()]
        assert min(text.get_fontsize() for text in shown) >= 9
        boxes = [text.get_window_extent() for text in shown]
        assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 1
        assert not _overlaps(boxes), [shown[i].get_text() for pair in _overlaps(boxes) for i in pair]


def _texts_of(figure):
    """Every text that is drawn: matplotlib keeps labels of ticks beyond the axes too, which are not."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (*axes.texts, axes._left_title, axes.xaxis.label, axes.yaxis.label)
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield from (tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)


def _overlaps(boxes):
    corners = np.array([[box.x0 + 1, box.y0 + 1, box.x1 - 1, box.y1 - 1] for box in boxes])
    left, low, right, high = corners.T
    meet = (left[:, None] < right) & (left < right[:, None]) & (low[:, None] < high) & (low < high[:, None])
    return np.argwhere(np.triu(meet, 1)).tolist()


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [([0, 0.5, 1], ["0%", "50%", "100%"]), ([0.14, 0.145, -0.29], ["14%", "14.5%", "-29%"])],
)
def test_shares_on_an_axis_have_the_digits_of_its_ticks(ticks, expected):
    assert [style.in_percent()(tick) for tick in ticks] == expected
