"""Counts against arithmetic done by hand and against TensorFlow's own profiler."""

import keras
import numpy as np
import pytest

from fer_lib.analysis.complexity import COSTS, cost_by_stage, count_costs, measure, stage_of
from fer_lib.models import NonLocal2D, resnet_v2


def one_block(shape=(6, 4, 16), **arguments):
    inputs = keras.Input(shape, name="images")
    return keras.Model(inputs, NonLocal2D(**arguments)(inputs))


def profiled_macs(model):
    """MACs of all convolutions and matrix products of one image, as TensorFlow's profiler counts them."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler import model_analyzer, option_builder

    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), "float32"))
    graph = convert_variables_to_constants_v2(concrete).graph
    options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
    profile = model_analyzer.profile(graph, cmd="op", options=options.with_empty_output().build())
    operations = 0
    while profile.children:
        profile = profile.children[0]
        if profile.name in ("Conv2D", "MatMul", "BatchMatMulV2"):
            operations += profile.float_ops
    return operations // 2


@pytest.fixture
def tensorflow():
    if keras.config.backend() != "tensorflow":
        pytest.skip(f"{keras.config.backend()}: the profiler is TensorFlow's")


def test_a_tiny_network_by_hand():
    inputs = keras.Input((6, 6, 2), name="images")
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv1_conv")(inputs)  # 2 x 2 x 4
    x = keras.layers.BatchNormalization(name="conv2_block1_preact_bn")(x)
    x = keras.layers.Activation("relu", name="conv2_block1_preact_relu")(x)
    x = NonLocal2D(name="conv2_block1_non_local")(x)
    x = keras.layers.GlobalMaxPooling2D(name="max_pool")(x)
    x = keras.layers.Dense(7, activation="softmax", name="predictions")(x)
    table = count_costs(keras.Model(inputs, x)).set_index("layer")

    assert list(table.index) == [
        "images", "conv1_conv", "conv2_block1_preact_bn", "conv2_block1_preact_relu", "conv2_block1_non_local",
        "max_pool", "predictions",
    ]  # fmt: skip
    assert list(table["stage"]) == [0, 0, 1, 1, 1, "head", "head"]
    assert table.loc["conv1_conv", "output_shape"] == (2, 2, 4)
    # Convolution 3*3*2*4 + 4; the block: theta, phi, g 3 * (4*2 + 2), w_z 2*4, gamma and beta; dense 4*7 + 7.
    assert list(table["trainable_parameters"]) == [0, 76, 8, 0, 46, 0, 35]
    assert list(table["parameters"]) == [0, 76, 16, 0, 54, 0, 35]
    # Four positions: convolution 4 * 4 * 18; projections 3 * 4*4*2, two products of 4*4*2, w_z 4*2*4, its
    # normalisation 4*4.
    assert list(table["macs"]) == [0, 288, 16, 0, 96 + 64 + 32 + 16, 0, 28]
    assert list(table["attention_macs"]) == [0, 0, 0, 0, 64, 0, 0]
    # The image is read by the convolution, 72 numbers; its output by the normalisation, 16; the normalisation's
    # by nothing; the activation's 16 by itself and the block. In the block theta, phi, g 3*8, attention 16, y 8,
    # w_z's output 16, and z, which the maximum reads, 16. The maximum's 4; the softmax's 7.
    numbers = [72, 16, 0, 16, 24 + 16 + 8 + 16 + 16, 4, 7]
    assert list(table["activation_bytes"]) == [4 * number for number in numbers]
    assert list(table["attention_bytes"]) == [0, 0, 0, 0, 4 * 16, 0, 0]


def test_macs_of_a_network_agree_with_the_profiler(tensorflow):
    model = resnet_v2(26, (96, 96, 1), non_local_stages=(1, 4))
    table = count_costs(model)
    normalisation = table.loc[table["type"] == "BatchNormalization", "macs"].sum()
    # The block's own normalisation counts its elements as well.
    normalisation += sum(int(np.prod(shape)) for shape in table.loc[table["type"] == "NonLocal2D", "output_shape"])
    assert table["macs"].sum() - normalisation == profiled_macs(model)


BLOCKS = [("embedded_gaussian", 16), ("gaussian", 16), ("concatenation", 16)]
BLOCKS += [("dot_product", 4), ("dot_product", 64)]  # on both sides of its choice of order


@pytest.mark.parametrize("subsample", [None, "keys", "input"])
@pytest.mark.parametrize(("pairwise", "channels"), BLOCKS)
def test_macs_of_a_block_agree_with_the_profiler(tensorflow, pairwise, channels, subsample):
    model = one_block((6, 4, channels), pairwise=pairwise, subsample=subsample)
    assert count_costs(model)["macs"].sum() - 6 * 4 * channels == profiled_macs(model)


@pytest.mark.parametrize(
    ("pairwise", "subsample", "products", "held"),
    [
        # N = 24 positions, C = 16 channels, D = 8; pooled M = 6. `held` is within the block, without x and z.
        ("embedded_gaussian", None, 2 * 24 * 24 * 8, 3 * 192 + 576),
        ("embedded_gaussian", "keys", 2 * 24 * 6 * 8, 3 * 192 + 2 * 48 + 144),
        ("embedded_gaussian", "input", 2 * 24 * 6 * 8, 192 + 2 * 48 + 96 + 144),
        ("gaussian", None, 24 * 24 * (16 + 8), 192 + 576),
        ("gaussian", "keys", 24 * 6 * (16 + 8), 192 + 96 + 48 + 144),
        ("gaussian", "input", 24 * 6 * (16 + 8), 48 + 96 + 144),
        ("dot_product", None, 2 * 24 * 8 * 8, 3 * 192 + 64),
        ("dot_product", "keys", (24 + 6) * 8 * 8, 3 * 192 + 2 * 48 + 64),
        ("concatenation", None, 2 * 24 * 8 + 24 * 24 * 8, 3 * 192 + 576),
        ("identity", None, 2 * 24 * 8, 3 * 192 + 24),
        ("uniform", None, 24 * 8, 192),
        ("uniform", "keys", 6 * 8, 192 + 48),
    ],
)
def test_products_and_memory_of_a_block_by_hand(pairwise, subsample, products, held):
    found = count_costs(one_block(pairwise=pairwise, subsample=subsample)).iloc[-1]
    assert found["attention_macs"] == products
    # y (24 x 8) and w_z's output (24 x 16) are held whatever the function.
    assert found["activation_bytes"] == 4 * (held + 24 * 8 + 24 * 16)
    positions = 0 if pairwise in ("identity", "uniform") else 24 * 6 if subsample else 24 * 24
    assert found["attention_bytes"] == 4 * positions


def test_the_data_format_does_not_matter():
    last = count_costs(one_block()).iloc[-1]
    first = count_costs(one_block((16, 6, 4), data_format="channels_first")).iloc[-1]
    assert list(first[list(COSTS)]) == list(last[list(COSTS)])


def test_parameters_and_stages_are_the_models_own():
    model = resnet_v2(14, (48, 48, 1), width=0.25, non_local_stages=(3,), pairwise="concatenation")
    table = count_costs(model)
    assert table["parameters"].sum() == model.count_params()
    assert table["trainable_parameters"].sum() == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    stages = table.groupby("stage", sort=False)[list(COSTS)].sum()
    assert list(stages.index) == [0, 1, 2, 3, 4, "head"]
    assert list(stages.index[stages["attention_bytes"] > 0]) == [3]
    assert stage_of("conv5_block3_non_local") == 4 and stage_of("post_bn") == "head"


def test_both_readings_of_the_papers_claim():
    table = cost_by_stage(50, (96, 96, 1))
    assert list(table.index) == ["baseline", "stage 1", "stage 2", "stage 3", "stage 4"]
    assert list(table["blocks"]) == [0, 3, 4, 6, 3]
    # Blocks x (2 C^2 + 3.5 C); positions: 24 x 24 (the last block of a stage on the halved map), and so on.
    channels, blocks = np.array([256, 512, 1024, 2048]), np.array([3, 4, 6, 3])
    assert list(table["added_trainable_parameters"][1:]) == list(blocks * (2 * channels**2 + 7 * channels // 2))
    squares = np.array([2 * 576**2 + 144**2, 3 * 144**2 + 36**2, 5 * 36**2 + 9**2, 3 * 9**2])
    assert list(table["added_attention_bytes"][1:]) == list(4 * squares)
    assert list(table["added_attention_macs"][1:]) == list(squares * channels)
    assert table["added_trainable_parameters"][1:].is_monotonic_increasing
    assert table["added_attention_bytes"][1:].is_monotonic_decreasing
    assert table.loc["baseline", "trainable_parameters"] == 23_527_431


def test_measured_times_leave_the_models_alone():
    stages = {"baseline": (), "stage 1": (1,)}
    models = {name: resnet_v2(14, (32, 32, 1), width=0.125, non_local_stages=own) for name, own in stages.items()}
    before = {name: model.get_weights() for name, model in models.items()}
    times = measure(models, batch_size=4, rounds=3)
    assert list(times["variant"]) == ["baseline", "stage 1"] * 3
    assert list(times["round"]) == [1, 1, 2, 2, 3, 3]
    medians = times.groupby("variant").median()
    assert (medians["inference_seconds"] > 0).all()
    assert (medians["inference_seconds"] < medians["training_seconds"]).all()
    assert all(all(map(np.array_equal, before[name], model.get_weights())) for name, model in models.items())


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="needs a fixed input size"):
        count_costs(resnet_v2(14, (None, None, 1), width=0.125))
    inputs = keras.Input((8, 8, 2))
    with pytest.raises(ValueError, match="does not know layers of type SeparableConv2D"):
        count_costs(keras.Model(inputs, keras.layers.SeparableConv2D(2, 3)(inputs)))
