"""What Keras, and programs that run exported models, expect of a layer: `NonLocal2D` in all its functions."""

import doctest
import json
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from fer_lib.models import NonLocal2D

FUNCTIONS = ("embedded_gaussian", "gaussian", "dot_product", "concatenation", "uniform", "identity")
CASES = [
    *((name, {}) for name in FUNCTIONS),
    *((name, {"subsample": what}) for name in FUNCTIONS[:-1] for what in ("keys", "input")),
    ("embedded_gaussian", {"normalize_input": True, "scale": True}),
]
# Smaller and larger than 4 channels, at which the dot product changes its order.
SIZES = ((1, 4, 2), (3, 7, 6))


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def model_with_block(pairwise, height=None, width=None, **arguments):
    """A model of one block that changes its input, called once, as Keras asks for before an export."""
    block = NonLocal2D(pairwise, zero_init=False, kernel_initializer="he_normal", **arguments)
    inputs = keras.Input((height, width, 8), name="images")
    model = keras.Model(inputs, block(inputs))
    model(images(1, height or 4, width or 4, 8))
    return model


# ---- shapes ----


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("pairwise", "arguments"), CASES)
def test_shapes_and_dtypes_are_known_before_the_layer_is_built(pairwise, arguments, dtype):
    layer = NonLocal2D(pairwise, dtype=dtype, **arguments)
    keys = 2 * 3 if "subsample" in arguments else 5 * 6
    shapes = ((2, 5, 6, 8), (2, 30, keys))
    assert layer.compute_output_shape((2, 5, 6, 8)) == shapes[0]
    assert layer.compute_output_shape((2, 5, 6, 8), return_attention=True) == shapes
    specs = layer.compute_output_spec(keras.KerasTensor((2, 5, 6, 8), "float32"), return_attention=True)
    assert not layer.built
    called = layer(images(2, 5, 6, 8), return_attention=True)
    for spec, tensor, shape in zip(specs, called, shapes, strict=True):
        assert tuple(spec.shape) == tuple(tensor.shape) == shape
        assert spec.dtype == keras.backend.standardize_dtype(tensor.dtype)


def test_shapes_of_unknown_sizes_and_of_channels_first():
    layer = NonLocal2D(subsample="keys")
    assert layer.compute_output_shape([None, None, 6, 8], return_attention=True)[1] == (None, None, None)
    layer = NonLocal2D(subsample="keys", data_format="channels_first")
    assert layer.compute_output_shape((None, 8, 5, 6), return_attention=True)[1] == (None, 30, 6)
    with pytest.raises(ValueError, match="rank 4"):
        layer.compute_output_shape((None, 5, 6))


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_in_a_sequential_model_and_over_time(pairwise):
    model = keras.Sequential([NonLocal2D(pairwise), keras.layers.Conv2D(3, 1)])
    assert model.compute_output_shape((None, 5, 6, 8)) == (None, 5, 6, 3)
    assert model.predict(images(2, 5, 6, 8), verbose=0).shape == (2, 5, 6, 3)

    block = NonLocal2D(pairwise, zero_init=False, kernel_initializer="he_normal")
    over_time = keras.layers.TimeDistributed(block)
    x = images(2, 3, 5, 6, 8)
    assert over_time.compute_output_shape(x.shape) == x.shape
    assert over_time(keras.Input(x.shape[1:])).shape == (None, *x.shape[1:])
    np.testing.assert_allclose(numpy(over_time(x))[:, 1], numpy(block(x[:, 1])), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_trains(pairwise):
    x = images(16, 4, 6, 8)
    model = model_with_block(pairwise, 4, 6)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    first, *_, last = model.fit(x, 2 * x + 1, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert last < 0.5 * first


# ---- initialisers ----


def twos(shape, dtype=None):
    return 2 * keras.ops.ones(shape, dtype)


def kernels(initializer, pairwise="concatenation"):
    layer = NonLocal2D(pairwise, kernel_initializer=initializer)
    layer.build((None, 4, 4, 8))
    return {name: numpy(getattr(layer, name).kernel) for name in ("theta", "phi", "g")} | {"w_f": numpy(layer.w_f)}


@pytest.mark.parametrize(
    "initializer", [twos, keras.initializers.Constant(2), lambda shape, dtype=None: twos(shape, dtype)]
)
def test_functions_and_constants_as_initialisers(initializer):
    assert all((kernel == 2).all() for kernel in kernels(initializer).values())


@pytest.mark.parametrize(
    "initializer",
    [
        None,
        "glorot_uniform",
        keras.initializers.HeNormal,
        keras.initializers.RandomNormal(),
        keras.initializers.RandomUniform(-1, 1, seed=3),
        keras.initializers.HeNormal(seed=keras.random.SeedGenerator(3)),
    ],
)
def test_no_two_projections_start_equal(initializer):
    drawn = kernels(initializer)
    for one, other in (("theta", "phi"), ("phi", "g"), ("theta", "g")):
        assert np.abs(drawn[one] - drawn[other]).max() > 1e-3


def test_a_seeded_initialiser_gives_the_same_layer_again():
    first, again, another = (kernels(keras.initializers.HeNormal(seed=seed)) for seed in (3, 3, 4))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert np.abs(first[name] - another[name]).max() > 1e-3


# ---- configuration ----


def test_configuration_is_json_whatever_numpy_types_came_in():
    given = {
        "pairwise": np.str_("gaussian"), "inner_channels": np.int64(3), "subsample": np.str_("input"),
        "normalize_input": np.bool_(True), "zero_init": np.bool_(False), "scale": np.bool_(True),
        "momentum": np.float32(0.5), "epsilon": np.float64(1e-3), "data_format": np.str_("channels_first"),
    }  # fmt: skip
    layer = NonLocal2D(**given, kernel_initializer=keras.initializers.RandomNormal(stddev=np.float32(0.5)))
    config = json.loads(json.dumps(layer.get_config()))
    assert {key: config[key] for key in given} == given
    assert NonLocal2D.from_config(config).get_config() == layer.get_config()


LOADS = """
import sys
import fer_lib
assert not {"keras", "numpy", "tensorflow", "jax", "torch"} & set(sys.modules), "importing the package loads Keras"
import keras
import fer_lib.models
print(keras.models.load_model(sys.argv[1]).layers[-1].pairwise)
"""


def test_importing_the_models_is_enough_to_load_one(tmp_path):
    model_with_block("concatenation", 4, 4).save(tmp_path / "model.keras")
    no_site = ["-S"] if sys.flags.no_site else []
    run = subprocess.run(
        [sys.executable, *no_site, "-c", LOADS, str(tmp_path / "model.keras")], capture_output=True, text=True
    )
    assert run.stdout.split() == ["concatenation"], run.stderr[-2000:]


@pytest.mark.parametrize("subsample", ["keys", "input"])
@pytest.mark.parametrize(("size", "one_key"), [((3, 3), True), ((2, 3), True), ((3, 4), False), ((4, 4), False)])
def test_one_key_position_is_warned_about(size, one_key, subsample):
    layer = NonLocal2D(subsample=subsample, name="last_block")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer.build((None, *size, 8))
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == one_key
    if one_key:
        assert messages[0].startswith(
            f"last_block: `subsample` leaves one key position of a {size[0]} x {size[1]} map"
        )


def test_the_example_of_the_docstring_is_true():
    assert doctest.testmod(sys.modules[NonLocal2D.__module__]) == (0, 2)


# ---- exported ----


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("pairwise", "arguments"), CASES)
def test_an_onnx_file_of_any_size_runs(pairwise, arguments, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip({"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnx"}[keras.config.backend()])
    model = model_with_block(pairwise, **arguments)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for size in SIZES:
        x = images(*size, 8)
        (found,) = session.run(None, {session.get_inputs()[0].name: x})
        np.testing.assert_allclose(found, numpy(model(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("pairwise", "arguments"), CASES)
def test_a_saved_model_of_any_size_runs(pairwise, arguments, tmp_path):
    if keras.config.backend() != "tensorflow":
        pytest.skip("SavedModel is TensorFlow's")
    import tensorflow as tf

    model = model_with_block(pairwise, **arguments)
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for size in SIZES:
        x = images(*size, 8)
        np.testing.assert_allclose(loaded.serve(x).numpy(), numpy(model(x)), rtol=1e-5, atol=1e-5)


def test_a_dot_product_of_unknown_size_chooses_its_order_at_run_time():
    if keras.config.backend() != "tensorflow":
        pytest.skip("the size is known when the other backends run")
    import tensorflow as tf

    layer = NonLocal2D("dot_product")
    layer.build((None, None, None, 8))

    def branches(height, width):
        graph = tf.function(layer).get_concrete_function(tf.TensorSpec((None, height, width, 8))).graph
        return [operation.type for operation in graph.get_operations() if operation.type.endswith("If")]

    assert len(branches(None, None)) == 1
    assert not branches(4, 2)


@pytest.mark.parametrize(("pairwise", "arguments"), CASES)
def test_no_product_broadcasts_a_matrix_over_the_batch(pairwise, arguments):
    if keras.config.backend() != "tensorflow":
        pytest.skip("oneDNN under TensorFlow 2.21 corrupts the heap in training such products, now and then")
    import tensorflow as tf

    layer = NonLocal2D(pairwise, **arguments)
    layer.build((None, 4, 6, 8))
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((5, 4, 6, 8))).graph
    products = [operation for operation in graph.get_operations() if operation.type.startswith("BatchMatMul")]
    assert all(x.shape[0] == 5 for product in products for x in product.inputs)
    assert products or pairwise in ("identity", "uniform")
