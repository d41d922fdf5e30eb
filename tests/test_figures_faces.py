"""The style of all figures, and the figures of faces: what is drawn is what the data hold."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from fer_lib.datasets.checks import check
from fer_lib.datasets.faces import CLASS_NAMES, FaceSet, Splits
from fer_lib.figures import faces as figures
from fer_lib.figures import style

NETWORKS = ["resnet50v2", *(f"resnet50v2-nl{stages}" for stages in (1, 2, 3, 4, 12, 34))]


def noise(labels, prefix, channels=1, seed=0):
    """A FaceSet of 8 x 6 noise."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 6, channels)).astype("uint8")
    ids = np.array([f"{prefix}/{index}" for index in range(len(labels))])
    return FaceSet(images, np.array(labels, "int64"), ids)


@pytest.fixture(scope="module")
def flawed():
    """Train 0 angry, 1 and 2 the same picture as happy and sad; validation 1 is train 0, but labelled fear."""
    train, validation = noise([0, 3, 5, 1], "train", seed=1), noise([6, 2], "validation", seed=2)
    train.images[2] = train.images[1]
    train.images[3] = 90
    validation.images[1] = train.images[0]
    splits = Splits(train, validation, None, "synthetic", "paper")
    return splits, check(splits)


def drawn(axes):
    return [np.asarray(place.images[0].get_array()) for place in axes if place.images]


def titles(figure):
    return [place.get_title() or place.get_title(loc="left") for place in figure.axes]


# Style


def test_colours_of_variants_differ_and_do_not_depend_on_the_company():
    colours = style.variant_colours(NETWORKS)
    assert len(set(colours.values())) == len(NETWORKS)
    assert style.variant_colours(["resnet50v2-nl3"])["resnet50v2-nl3"] == colours["resnet50v2-nl3"]
    assert style.variant_colours(["resnet14v2-nl3"])["resnet14v2-nl3"] == colours["resnet50v2-nl3"]


def test_every_function_of_a_stage_has_its_own_tint():
    functions = ["gaussian", "dot_product", "concatenation", "none"]
    names = ["resnet50v2-nl3", *(f"resnet50v2-nl3-{function}" for function in functions)]
    names += ["resnet50v2-nl3-gaussian-before_last", "resnet50v2-nl123"]
    assert len(set(style.variant_colours(names).values())) == len(names)


@pytest.mark.parametrize("share, expected", [(0, (1.0, 0.0, 0.0)), (0.4, (1.0, 0.4, 0.4)), (1, (1.0, 1.0, 1.0))])
def test_lighter_mixes_with_white(share, expected):
    assert to_rgb(style.lighter("#ff0000", share)) == pytest.approx(expected, abs=1 / 255)


def test_styled_neither_takes_nor_leaves_settings():
    @style.styled
    def draw():
        figure, axes = style.new_figure(2)
        axes.set_xlabel("x")
        axes.plot([0, 1])
        return figure

    with mpl.rc_context({"axes.labelsize": 40, "xtick.labelsize": 40}):
        figure = draw()
        assert mpl.rcParams["axes.labelsize"] == 40 and mpl.rcParams["axes.spines.top"]
    axes = figure.axes[0]
    sizes = [axes.xaxis.label.get_size(), *(tick.get_size() for tick in axes.get_xticklabels())]
    assert set(sizes) == {style.RC["axes.labelsize"], style.RC["xtick.labelsize"]}
    assert not axes.spines["top"].get_visible()


def test_pyplot_keeps_no_figure(flawed):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figures.samples(flawed[0].train)
    assert plt.get_fignums() == before


# Counts and samples


def test_bars_are_the_counts():
    counts = pd.DataFrame({"angry": [30, 2], "happy": [70, 8], "total": [100, 10]}, index=["train", "validation"])
    figure = figures.class_counts(counts)
    assert titles(figure) == ["train, 100 images", "validation, 10 images"]
    for axes, (_, row) in zip(figure.axes, counts.iterrows(), strict=True):
        assert [bar.get_width() for bar in axes.patches] == [row["angry"], row["happy"]]
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["30 (30.0%)", "70 (70.0%)"]
    top, bottom = figure.axes[0].get_ylim()[::-1]
    assert top < bottom  # the first class on top


def test_samples_are_of_their_class_without_repetition():
    faces = noise([label for label in range(7) for _ in range(5 if label else 2)], "train")
    figure = figures.samples(faces, per_class=4, seed=3)
    grid = np.array(figure.axes, object).reshape(7, 4)
    for label, row in enumerate(grid):
        shown = [image.tobytes() for image in drawn(row)]
        of_class = {faces.images[i, ..., 0].tobytes() for i in np.flatnonzero(faces.labels == label)}
        assert len(shown) == len(set(shown)) == (4 if label else 2)
        assert set(shown) <= of_class
        assert row[0].get_ylabel() == CLASS_NAMES[label]


def test_another_seed_draws_other_samples():
    faces = noise([0] * 50, "train")
    first, again, other = (
        [image.tobytes() for image in drawn(figures.samples(faces, 5, seed).axes)] for seed in (0, 0, 1)
    )
    assert first == again and first != other


def test_image_table_leaves_missing_places_empty():
    colour = np.full((8, 6, 3), (10, 200, 30), "uint8")
    figure = figures.image_table({("a", "S"): colour, ("b", "FL"): colour}, ["a", "b"], ["FL", "S"])
    assert [bool(place.images) for place in figure.axes] == [False, True, True, False]
    assert np.array_equal(figure.axes[1].images[0].get_array(), colour)
    assert titles(figure)[:2] == ["FL", "S"] and figure.axes[2].get_ylabel() == "b"


def test_images_keep_black_and_white():
    _, axes = style.new_figure(1)
    style.show_image(axes, np.full((4, 4, 1), 128, "uint8"))
    assert axes.images[0].get_clim() == (0, 255)


def test_one_person_is_gathered_from_all_splits():
    def photographs(rows):
        labels, angles, persons, sessions = zip(*rows, strict=True)
        faces = noise(labels, "kdef", channels=3, seed=len(rows))
        described = pd.DataFrame({"subject": persons, "session": sessions, "angle": angles})
        return FaceSet(faces.images, faces.labels, faces.ids, metadata=described)

    train = photographs([(0, "S", "F02", "A"), (3, "S", "F01", "A"), (3, "HL", "F01", "B")])
    validation = photographs([(3, "HL", "F01", "A"), (0, "HL", "F01", "A")])
    splits = Splits(train, validation, None, "kdef", "random")
    grid = np.array(figures.one_person(splits, ["HL", "S"]).axes, object).reshape(7, 2)
    shown = {(row, column) for row in range(7) for column in range(2) if grid[row, column].images}
    assert shown == {(0, 0), (3, 0), (3, 1)}
    assert np.array_equal(grid[3, 1].images[0].get_array(), train.images[1])
    assert np.array_equal(grid[3, 0].images[0].get_array(), validation.images[0])
    other = figures.one_person(splits, ["S"], subject="F02")
    assert np.array_equal(other.axes[0].images[0].get_array(), train.images[0])


def test_gallery_keeps_images_and_words_together():
    faces = noise([0] * 5, "train")
    figure = figures.gallery(faces.images, list("abcde"), columns=3)
    assert [place.get_title() for place in figure.axes[:5]] == list("abcde")
    assert all(np.array_equal(a, b[..., 0]) for a, b in zip(drawn(figure.axes), faces.images, strict=True))
    with pytest.raises(ValueError, match="5 and 4"):
        figures.gallery(faces.images, list("abcd"))


def test_mean_faces_show_where_classes_differ_whatever_their_brightness():
    # Angry is flat; happy has one pixel 48 grey values lighter than its surroundings, and is 60 lighter all over.
    images = np.full((3, 4, 4, 1), 100, "uint8")
    images[2] = 160
    images[2, 1, 2] = 208
    faces = FaceSet(images, np.array([0, 0, 3]), np.array(["a", "b", "c"]))
    figure = figures.mean_faces(faces)
    assert titles(figure)[:2] == ["angry\nn = 2", "happy\nn = 1"]
    angry, happy = (np.asarray(figure.axes[index].images[0].get_array()) for index in (2, 3))
    # The peak is 48 x 15/16 above its face's mean, and half of that above the mean of the two classes.
    assert happy[1, 2] == pytest.approx(24 * 15 / 16) and happy[0, 0] == pytest.approx(-24 / 16)
    assert np.allclose(angry, -happy)


# Flaws


def test_copies_across_splits_show_both_places_and_mark_other_labels(flawed):
    splits, flaws = flawed
    figure = figures.copies_across_splits(splits, flaws)
    assert [place.get_title() for place in figure.axes] == ["validation\nfear", "train\nangry"]
    assert np.array_equal(*drawn(figure.axes)) and np.array_equal(
        drawn(figure.axes)[0], splits.train.images[0, ..., 0]
    )
    assert figure.axes[1].title.get_color() != figure.axes[0].title.get_color()


def test_same_sitting_shows_each_picture_over_the_one_that_it_is_known_by():
    train, validation = (
        noise([0, 1, 2], "train", channels=3, seed=1),
        noise([0, 1], "validation", channels=3, seed=2),
    )
    known = pd.DataFrame(
        {"id": ["validation/1", "train/0", "validation/0"], "known_by": ["train/2", "", "train/1"]}
    )
    figure = figures.same_sitting(Splits(train, validation, None, "kdef", "subject"), known)
    assert titles(figure) == ["validation/1", "validation/0", "train/2", "train/1"]
    expected = [validation.images[1], validation.images[0], train.images[2], train.images[1]]
    assert all(np.array_equal(*pair) for pair in zip(drawn(figure.axes), expected, strict=True))


def test_contradicting_labels_show_a_group_once(flawed):
    splits, flaws = flawed
    figure = figures.contradicting_labels(splits, flaws)
    shown = np.array([place.get_title() for place in figure.axes]).reshape(2, -1).T.tolist()
    assert sorted(shown) == [["train\nangry", "validation\nfear"], ["train\nhappy", "train\nsad"]]


def test_constant_images_are_the_blank_ones(flawed):
    figure = figures.constant_images(*flawed)
    assert [place.get_title() for place in figure.axes] == ["train\ndisgust"]
    assert (drawn(figure.axes)[0] == 90).all()


def test_a_limit_keeps_the_pairs_few(flawed):
    assert len(figures.contradicting_labels(*flawed, limit=1).axes) == 2


def test_nothing_to_show_is_refused():
    clean = Splits(noise([0, 1], "train", seed=5), noise([2], "validation", seed=6), None, "synthetic", "paper")
    with pytest.raises(ValueError, match="at least one pair"):
        figures.copies_across_splits(clean, check(clean))


def test_sharpness_of_a_split_sums_to_one_with_outliers_at_the_edges():
    rng = np.random.default_rng(0)
    sharpness = {"train": np.append(rng.lognormal(7, 0.5, 999), 0.0), "validation": rng.lognormal(7.3, 0.5, 200)}
    axes = figures.sharpness_by_split(sharpness).axes[0]
    for shares in axes.patches:
        assert shares.get_data().values.sum() == pytest.approx(1)
    medians = [line.get_xdata()[0] for line in axes.lines]
    assert medians == pytest.approx(
        [np.sort(values)[len(values) // 2 - 1 :][:2].mean() for values in sharpness.values()]
    )
