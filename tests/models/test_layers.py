"""The two faster layers against Keras' own: outputs, gradients, moving statistics; the reference is float64."""

import keras
import numpy as np
import pytest
from keras import ops

from fer_lib.models import NonLocal2D, resnet_v2
from fer_lib.models.layers import BatchNormalization, Conv2D

tensorflow_only = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="the layers are Keras' own")
# Of the largest number: rounding of sums in float32; of results that are rounded to 8 bits.
TOLERANCES = {"float32": 5e-6, "mixed_bfloat16": 1e-2}
HOW = [("float32", False), ("float32", True), ("mixed_bfloat16", False)]


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float64"))


def rounded(*shape, seed):
    """Normal numbers with 8 significant bits, which every type holds exactly."""
    numbers = np.random.default_rng(seed).normal(0.3, 1, shape)
    return numpy(ops.cast(numbers, "bfloat16"))


def largest_errors(actual, expected):
    """By name, the largest difference as a share of the largest number (of 1 where all are smaller)."""
    assert actual.keys() == expected.keys()
    assert all(actual[name].shape == value.shape for name, value in expected.items())
    scales = {name: max(1, np.abs(value).max()) for name, value in expected.items()}
    return {name: np.abs(actual[name] - value).max() / scales[name] for name, value in expected.items()}


def numbers(kind, dtype, shape, weights, steps=1, jit_compile=False, **arguments):
    """Outputs of a layer's last step in training, gradients of inputs and weights by name, and all its weights."""
    import tensorflow as tf

    layer = kind(dtype=dtype, **arguments)
    layer.build(shape)
    layer.set_weights([weights(weight.name, weight.shape) for weight in layer.weights])
    arguments = {"training": True} if isinstance(layer, keras.layers.BatchNormalization) else {}

    @tf.function(jit_compile=jit_compile)
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **arguments)
            total = tf.reduce_sum(tf.cast(y, tf.float64) * upstream)
        variables = [weight.value for weight in layer.trainable_weights]
        return y, tape.gradient(total, [x, *variables])

    for index in range(steps):
        x = tf.constant(rounded(*shape, seed=index), layer.compute_dtype)
        upstream = tf.constant(rounded(*layer.compute_output_shape(shape), seed=100 + index), tf.float64)
        y, gradients = step(x, upstream)
    found = {"outputs": y, **{f"new {weight.name}": weight for weight in layer.weights}}
    names = ["inputs", *(weight.name for weight in layer.trainable_weights)]
    found |= {f"gradient of {name}": gradient for name, gradient in zip(names, gradients, strict=True)}
    return {name: numpy(value) for name, value in found.items()}


def norm_weights(name, shape):
    return np.abs(rounded(*shape, seed=7)) + 0.5 if name != "beta" else rounded(*shape, seed=8)


def kernel_weights(name, shape):
    return rounded(*shape, seed=len(name))


def assert_as_exact_as_keras(own, keras_own, dtype, *arguments, jit_compile=False, **options):
    exact = numbers(keras_own, "float64", *arguments, **options)
    errors = largest_errors(numbers(own, dtype, *arguments, jit_compile=jit_compile, **options), exact)
    of_keras = largest_errors(numbers(keras_own, dtype, *arguments, **options), exact)
    for name, error in errors.items():
        # Keras sums a bias' gradient in bfloat16, which is further off than the rounding of its result.
        assert error <= max(TOLERANCES[dtype], of_keras[name]), name


@tensorflow_only
@pytest.mark.parametrize(("dtype", "jit_compile"), HOW)
@pytest.mark.parametrize("shape", [(6, 5, 7, 16), (1, 3, 3, 5), (1, 1, 1, 4), (9, 1, 1, 3)])
def test_fused_normalisation_gives_what_keras_composes(shape, jit_compile, dtype):
    kinds = BatchNormalization, keras.layers.BatchNormalization
    options = {"steps": 4, "epsilon": 1.001e-5, "momentum": 0.9, "jit_compile": jit_compile}
    assert_as_exact_as_keras(*kinds, dtype, shape, norm_weights, **options)


@tensorflow_only
@pytest.mark.parametrize(("dtype", "jit_compile"), HOW)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_products_give_what_keras_convolves(size, stride, padding, jit_compile, dtype, monkeypatch):
    monkeypatch.setattr(Conv2D, "_products_win", lambda layer: True)
    options = {"filters": 4, "kernel_size": size, "strides": stride, "padding": padding}
    shape, options["jit_compile"] = (2, 9, 8, 5), jit_compile
    assert_as_exact_as_keras(Conv2D, keras.layers.Conv2D, dtype, shape, kernel_weights, **options)


@tensorflow_only
@pytest.mark.parametrize(("dtype", "products"), [("float32", False), ("mixed_bfloat16", True)])
def test_operations_are_those_that_win(dtype, products):
    import tensorflow as tf

    keras.config.set_dtype_policy(dtype)
    try:
        model = resnet_v2(14, (32, 32, 1), width=0.25, non_local_stages=(2,))
    finally:
        keras.config.set_dtype_policy("float32")

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=True))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    graph = step.get_concrete_function(tf.TensorSpec((4, 32, 32, 1))).graph
    operations = [operation.type for operation in graph.get_operations()]
    layers = [getattr(layer, "normalization", layer) for layer in model.layers]
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(type(layer) is BatchNormalization for layer in norms)
    assert operations.count("FusedBatchNormV3") == operations.count("FusedBatchNormGradV3") == len(norms)
    convolutions = operations.count("Conv2D")
    # With products, only the stem and the 3 x 3 convolutions of stride 2 keep their own gradient.
    assert operations.count("Conv2DBackpropFilter") == (4 if products else convolutions)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"axis": 1}, {"trainable": False}, {"dtype": "float64"}, {"dtype": "mixed_float16"}]
)
def test_other_normalisations_are_those_of_keras(options, training):
    found, dtypes = [], []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(**options)
        layer.build((4, 5, 3, 6))
        layer.set_weights([np.abs(rounded(*weight.shape, seed=1)) + 0.5 for weight in layer.weights])
        x = rounded(4, 5, 3, 6, seed=2).astype("float64" if options.get("dtype") == "float64" else "float32")
        y = layer(x, training=training)
        found.append({"outputs": numpy(y), **{weight.name: numpy(weight) for weight in layer.weights}})
        dtypes.append(keras.backend.standardize_dtype(y.dtype))
    assert dtypes[0] == dtypes[1]  # on JAX, float64 is float32
    tolerance = 1e-3 if options.get("dtype") == "mixed_float16" else 1e-6
    assert max(largest_errors(*found).values()) <= tolerance


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="convolved there")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
def test_on_other_backends_the_product_of_positions_is_the_convolution(stride, padding):
    found = []
    for kind in (Conv2D, keras.layers.Conv2D):
        layer = kind(4, 1, strides=stride, padding=padding)
        layer.build((2, 7, 5, 6))
        layer.set_weights([kernel_weights(weight.name, weight.shape) for weight in layer.weights])
        found.append([layer(rounded(2, 7, 5, 6, seed=1)), *gradients(layer, rounded(2, 7, 5, 6, seed=1))])
    for own, of_keras in zip(*found, strict=True):
        np.testing.assert_allclose(numpy(own), numpy(of_keras), rtol=1e-4, atol=1e-5)


def gradients(layer, x):
    """Gradients of the sum of squares by the weights and by x, on JAX or PyTorch."""
    if keras.config.backend() == "jax":
        import jax

        def loss(weights, x):
            return (layer.stateless_call(weights, [], x)[0] ** 2).sum()

        return jax.tree.leaves(jax.grad(loss, argnums=(0, 1))([weight.value for weight in layer.weights], x))
    x = keras.ops.convert_to_tensor(x).requires_grad_()
    (layer(x) ** 2).sum().backward()
    return [*(weight.value.grad for weight in layer.weights), x.grad]


def test_a_weights_file_fits_keras_own_layers_and_a_model_file_is_whole(tmp_path):
    inputs = keras.Input((8, 8, 1))
    x = NonLocal2D("concatenation")(BatchNormalization()(Conv2D(8, 3, padding="same")(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(Conv2D(4, 1)(x))))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 0.6, weight.shape) for weight in model.weights])

    def as_keras_own(layer):
        kinds = {Conv2D: keras.layers.Conv2D, BatchNormalization: keras.layers.BatchNormalization}
        return kinds.get(type(layer), type(layer)).from_config(layer.get_config())

    theirs = keras.models.clone_model(model, clone_function=as_keras_own)
    assert not any(type(layer) in (Conv2D, BatchNormalization) for layer in theirs.layers)
    x = rng.random((2, 8, 8, 1), dtype="float32")
    model.save_weights(tmp_path / "own.weights.h5")
    theirs.load_weights(tmp_path / "own.weights.h5")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert any(isinstance(layer, NonLocal2D) for layer in loaded.layers)
    expected = model.predict(x, verbose=0)
    for other in (theirs, loaded):
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)
