"""What blocks attend to: distance and entropy by hand, maps against the layer's own attention, files of a run."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest

from fer_lib.analysis import attention, recorder
from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.parameters import build_parameters, read_parameters
from fer_lib.training import loop as training
from fer_lib.training import runs
from fer_lib.training.recipe import build_classifier

numpy = keras.ops.convert_to_numpy
VARIANT = "resnet14v2-nl23"
PARAMETERS = build_parameters(
    {"image_size": 32, "width": 0.25, "epochs": 1, "batch_size": 16, "variants": ["resnet14v2", VARIANT]}
)
# Two by two cells of an image of 8 pixels: centres at 2 and 6.
PLACES = recorder.centres((2, 2), 8)


def test_centres_and_cells_by_hand():
    assert PLACES.tolist() == [[2, 2], [2, 6], [6, 2], [6, 6]]
    # 5 x 5 pooled to 2 x 2: cells of 4 pixels in an image of 10, the last 2 pixels left out.
    assert recorder.centres((2, 2), 10, (5, 5)).tolist() == [[2, 2], [2, 6], [6, 2], [6, 6]]
    assert recorder.cell_of((0.77, 0.5), (3, 3)) == 2 * 3 + 1
    assert recorder.cell_of((0.29, 0.32), (12, 12)) == 3 * 12 + 3


NEIGHBOUR = [[1, 3, 0, 0], [3, 1, 0, 0], [0, 0, 1, 3], [0, 0, 3, 1]]  # 4 pixels away with 3/4, itself with 1/4


@pytest.mark.parametrize(
    ("weights", "distance", "entropy"),
    [
        (np.full((4, 4), 0.25), (0 + 4 + 4 + math.sqrt(32)) / 4, 1),
        (np.eye(4), 0, 0),
        (np.array(NEIGHBOUR), 3, -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(4)),
    ],
)
def test_distance_and_entropy_by_hand(weights, distance, entropy):
    attention = weights[None].astype("float32")
    found = recorder.summarise(attention, PLACES, PLACES)
    assert numpy(found["distance"]) == pytest.approx([distance])
    assert numpy(found["entropy"]) == pytest.approx([entropy], rel=1e-6)


def test_signs_do_not_count_and_silent_queries_neither():
    weights = np.zeros((2, 4, 4), "float32")
    weights[0, 0] = [0, -2, 0, 2]  # 4 and sqrt(32) pixels away; the other three attend to nothing
    found = recorder.summarise(weights, PLACES, PLACES)
    first, silent = numpy(found["distance"])
    assert first == pytest.approx(2 + math.sqrt(8)) and np.isnan(silent)
    assert numpy(found["dead"]).tolist() == [0.75, 1]
    assert numpy(recorder.shares(weights))[0, 0].tolist() == [0, 0.5, 0, 0.5]
    assert numpy(recorder.shares(weights))[1].sum() == 0


def test_distance_to_pooled_keys():
    queries, keys = recorder.centres((2, 2), 8), recorder.centres((1, 1), 8, (2, 2))
    assert keys.tolist() == [[4, 4]]
    found = recorder.summarise(np.ones((1, 4, 1), "float32"), queries, keys)
    assert numpy(found["distance"]) == pytest.approx([math.sqrt(8)])
    assert np.isnan(numpy(found["entropy"])).all()
    block = NonLocal2D(subsample="keys")
    block(keras.Input((5, 5, 4)))
    assert recorder.grids(block) == ((5, 5), (2, 2))


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "dot_product", "concatenation", "identity"])
def test_observer_agrees_with_the_layer(pairwise):
    classifier = resnet_v2(14, (32, 32, 1), non_local_stages=(2,), pairwise=pairwise, width=0.25, stem="small")
    block = classifier.get_layer("conv3_block1_non_local")
    for weight in block.weights:  # a block that does something
        if not weight.path.endswith("moving_variance"):
            weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    images = np.random.default_rng(0).random((3, 32, 32, 1), dtype="float32")
    seen = recorder.observer(classifier, 32)(images)["conv3_block1_non_local"]
    x = numpy(keras.Model(classifier.input, block.input)(images))
    z, weights = (numpy(part) for part in block(x, return_attention=True))
    sizes = np.abs(weights)
    sizes /= sizes.sum(-1, keepdims=True)
    chosen = [recorder.cell_of(place, (4, 4)) for place in attention.POSITIONS.values()]
    np.testing.assert_allclose(numpy(seen["shares"]), sizes[:, chosen], atol=1e-5)
    update = np.linalg.norm((z - x).reshape(3, -1), axis=1) / np.linalg.norm(x.reshape(3, -1), axis=1)
    assert update.min() > 0
    np.testing.assert_allclose(numpy(seen["relative_update"]), update, rtol=1e-3)


@pytest.fixture(scope="module")
def kept(tiny_splits, tmp_path_factory):
    """A run, and the folder's files that `record_attention` gives for it, written as training writes them."""
    run = training.train_run(PARAMETERS, VARIANT, 0, tiny_splits, tmp_path_factory.mktemp("study"))
    assert attention.read(run) is None
    without_blocks = build_classifier(PARAMETERS, "resnet14v2", 0)
    assert recorder.record_attention(PARAMETERS, run, without_blocks, tiny_splits.validation) == {}
    classifier = training.restore_classifier(PARAMETERS, run)
    for name, content in recorder.record_attention(PARAMETERS, run, classifier, tiny_splits.validation).items():
        (run.folder / name).write_bytes(content)
    return run


def test_what_a_run_keeps_of_its_attention(kept, tiny_splits):
    seen, faces = attention.read(kept), tiny_splits.validation
    blocks = {"conv3_block1_non_local": 2, "conv4_block1_non_local": 3}
    assert set(seen.maps) == {(state, block) for state in attention.STATES for block in blocks}
    expected = attention.choose_images(kept)
    assert seen.images.equals(expected) and len(expected) == 7
    assert seen.maps["trained", "conv3_block1_non_local"].shape == (7, 3, 4, 4)
    np.testing.assert_allclose(seen.maps["trained", "conv4_block1_non_local"].sum((2, 3)), 1, rtol=1e-5)
    assert len(seen.table) == 2 * 2 * 8  # states, blocks, classes and all of them
    assert dict(zip(seen.table["block"], seen.table["stage"], strict=True)) == blocks
    everything = seen.table[seen.table["of"] == attention.ALL]
    assert (everything["images"] == len(faces)).all()
    untrained, trained = (everything[everything["state"] == state] for state in attention.STATES)
    assert (untrained["relative_update"] == 0).all()  # the identity at the start
    assert untrained["entropy"].to_numpy() == pytest.approx([1, 1], abs=1e-3)  # and almost uniform weights
    assert untrained["distance"].to_numpy() == pytest.approx(untrained["uniform_distance"].to_numpy(), rel=1e-2)
    assert (trained["relative_update"] > 0).all() and (trained["update_median"] > 0).all()
    assert (everything["dead"] == 0).all()  # a softmax leaves no query without a weight
    assert seen.ablation["blocks"].tolist() == ["as trained", "uniform attention", "ablated"]
    assert seen.ablation["accuracy"][0] == kept.predictions().correct.mean()
    assert seen.ablation["changed"][0] == 0


def test_committed_runs_have_the_files_that_training_writes_today(kept):
    study = Path(__file__).parents[2] / "outputs/fer2013_grid"
    found = runs.study_runs(study, read_parameters(study / "params.yaml"))
    (committed,) = [run for run in found if (run.variant, run.seed) == ("resnet50v2-nl4", 0)]
    old, new = attention.read(committed), attention.read(kept)
    for name in ("table", "ablation", "images"):
        assert list(getattr(old, name)) == list(getattr(new, name))
    assert list(old.ablation["blocks"]) == list(new.ablation["blocks"])
    assert old.maps["trained", "conv5_block1_non_local"].shape == (7, 3, 3, 3)
    # Ablated on another device than it was trained on, both in bfloat16: a few images may differ.
    assert old.ablation["accuracy"][0] == pytest.approx(committed.predictions().correct.mean(), abs=5 / 1432)


def test_ablation_by_hand(tiny_splits):
    faces = tiny_splits.validation
    classifier = build_classifier(PARAMETERS, VARIANT, 0)
    generator = np.random.default_rng(0)
    head = classifier.get_layer("predictions").kernel
    head.assign(generator.normal(size=head.shape, scale=10))  # so that the predicted classes are many
    identity = training.predict(PARAMETERS, classifier, faces)  # as every block is at the start
    for block in (layer for layer in classifier.layers if isinstance(layer, NonLocal2D)):
        block.normalization.gamma.assign(np.full(block.normalization.gamma.shape, 50.0))
        block.w_z.kernel.assign(generator.normal(size=block.w_z.kernel.shape))
    trained = training.predict(PARAMETERS, classifier, faces)
    assert (trained.y_pred != identity.y_pred).any()
    table = recorder.ablate(PARAMETERS, classifier, faces).set_index("blocks")
    assert table.loc["as trained", "accuracy"] == trained.correct.mean()
    assert table.loc["ablated", "accuracy"] == identity.correct.mean()
    assert table.loc["ablated", "changed"] == (trained.y_pred != identity.y_pred).mean()
