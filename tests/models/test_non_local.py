"""`NonLocal2D` against the paper's equations (1) to (7), written out position by position in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from fer_lib.models import NonLocal2D

FUNCTIONS = ("embedded_gaussian", "gaussian", "dot_product", "concatenation", "uniform", "identity")
GAUSSIANS = ("embedded_gaussian", "gaussian")
EPSILON = 1.001e-5
# Every function, pooled where it can be.
CASES = [(name, pooled) for name in FUNCTIONS for pooled in (None, "keys") if not (pooled and name == "identity")]
OPTIONS = [
    *((name, {"subsample": "input"}) for name in FUNCTIONS[:-1]),
    *((name, {option: True}) for name in FUNCTIONS for option in ("normalize_input", "scale")),
]


# ---- the reference ----


def reference(x, w, pairwise, subsample=None, scale=False, training=False, normalize_input=False):
    """(z, attention) of the block, from x (batch, height, width, C) and its weights by name, all in float64."""
    batch, height, width, channels = x.shape
    read = np.maximum(0, normalised(x, w, "input_normalization", training)) if normalize_input else x
    embeds = pairwise not in ("gaussian", "uniform")
    theta = read @ w["theta/kernel"] + w["theta/bias"] if embeds else read
    source = pool(read) if subsample == "input" else read
    phi = source @ w["phi/kernel"] + w["phi/bias"] if embeds else source
    g = source @ w["g/kernel"] + w["g/bias"]
    if subsample == "keys":
        phi, g = pool(phi), pool(g)
    theta, phi, g = (a.reshape(batch, -1, a.shape[-1]) for a in (theta, phi, g))
    queries, keys, inner = theta.shape[1], phi.shape[1], theta.shape[2]

    f = np.zeros((batch, queries, keys))
    for i in range(queries):
        for j in range(keys):
            product = (theta[:, i] * phi[:, j]).sum(axis=-1)
            if pairwise in GAUSSIANS:  # equations (3) and (4); only their logits are scaled
                f[:, i, j] = np.exp(product / np.sqrt(inner) if scale else product)
            elif pairwise == "dot_product":  # equation (5)
                f[:, i, j] = product
            elif pairwise == "concatenation":  # equation (6)
                f[:, i, j] = np.maximum(0, np.concatenate([theta[:, i], phi[:, j]], axis=-1) @ w["w_f"])
            elif pairwise == "uniform":
                f[:, i, j] = 1
            else:
                f[:, i, j] = float(i == j)
    # The normalisation C(x) of equation (1): the sum of f, the number of positions, or the one of the control.
    total = f.sum(axis=2, keepdims=True) if pairwise in GAUSSIANS else 1 if pairwise == "identity" else keys
    attention = f / total
    y = np.zeros((batch, queries, g.shape[-1]))
    for i in range(queries):
        for j in range(keys):
            y[:, i] += attention[:, i, j, None] * g[:, j]  # equation (1)

    y = (y @ w["w_z/kernel"]).reshape(batch, height, width, channels)
    return normalised(y, w, "normalization", training) + x, attention  # equation (7)


def normalised(x, w, name, training):
    """Batch normalisation of (batch, height, width, channels) with the weights under a name."""
    mean = x.mean(axis=(0, 1, 2)) if training else w[f"{name}/moving_mean"]
    variance = x.var(axis=(0, 1, 2)) if training else w[f"{name}/moving_variance"]
    return (x - mean) / np.sqrt(variance + EPSILON) * w[f"{name}/gamma"] + w[f"{name}/beta"]


def pool(x):
    """2 x 2 maxima of (batch, height, width, channels); an odd last row or column is left out."""
    rows, columns = x.shape[1] // 2, x.shape[2] // 2
    pooled = np.zeros((x.shape[0], rows, columns, x.shape[3]))
    for row in range(rows):
        for column in range(columns):
            pooled[:, row, column] = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max(axis=(1, 2))
    return pooled


def differences(loss, values, step=1e-5):
    """The gradient of loss() in the array `values`, element by element, by central differences."""
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        kept = values[index]
        values[index] = kept + step
        above = loss()
        values[index] = kept - step
        gradient[index] = (above - loss()) / (2 * step)
        values[index] = kept
    return gradient


# ---- the layer ----


def by_name(layer):
    """The variables of a built layer: `theta/kernel`, `w_f`, `normalization/gamma`, ..."""
    return {variable.path.split("/", 1)[1]: variable for variable in layer.weights}


def randomise(layer, rng, spread=0.4):
    """Draws every weight of the layer; returns them in float64 under their names."""
    for name, variable in by_name(layer).items():
        drawn = rng.normal(size=variable.shape) * spread
        variable.assign(1 + abs(drawn) if name.endswith("variance") else drawn)
    return {name: numpy(variable).astype("float64") for name, variable in by_name(layer).items()}


def built(channels, rng, dtype="float32", spread=0.4, **arguments):
    layer = NonLocal2D(dtype=dtype, name="block", **arguments)
    layer.build((None, None, None, channels))
    return layer, randomise(layer, rng, spread)


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def assert_close(actual, expected, tolerance=1e-5):
    """Largest difference in units of the largest expected value."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def gradients(layer, x, cotangent):
    """The backend's gradients of sum(z * cotangent) while training: of the weights by name, and of the input."""
    names = [variable.path.split("/", 1)[1] for variable in layer.trainable_variables]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) * cotangent)
        values = [variable.value for variable in layer.trainable_variables]
        of_weights, of_input = tape.gradient(loss, (values, x), unconnected_gradients="zero")
    elif keras.config.backend() == "jax":
        import jax

        fixed = [variable.value for variable in layer.non_trainable_variables]

        def loss(trainable, x):
            z, _ = layer.stateless_call(trainable, fixed, x, training=True)
            return (z * cotangent).sum()

        values = [variable.value for variable in layer.trainable_variables]
        of_weights, of_input = jax.grad(loss, argnums=(0, 1))(values, x)
    else:
        x = ops.convert_to_tensor(x).requires_grad_()
        (layer(x, training=True) * ops.convert_to_tensor(cotangent)).sum().backward()
        of_weights, of_input = [variable.value.grad for variable in layer.trainable_variables], x.grad
    return dict(zip(names, map(numpy, of_weights), strict=True)), numpy(of_input)


# ---- exact ----


# The sizes and widths put the dot product on both sides of its choice of order: 24 positions of 2 channels,
# 8 positions of 16.
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("size", "channels", "inner"), [((4, 6), 4, None), ((5, 7), 6, 5), ((2, 4), 32, None), ((3, 5), 3, None)]
)
@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_agrees_with_the_equations(pairwise, subsample, size, channels, inner, training):
    rng = np.random.default_rng(0)
    layer, weights = built(channels, rng, pairwise=pairwise, subsample=subsample, inner_channels=inner)
    x = rng.normal(size=(3, *size, channels)).astype("float32")
    expected, expected_attention = reference(x.astype("float64"), weights, pairwise, subsample, training=training)
    assert_close(numpy(layer(x, training=training)), expected)
    weights_now = layer.get_weights()
    z, attention = layer(x, training=training, return_attention=True)
    assert_close(numpy(z), expected)
    assert_close(numpy(attention), expected_attention)
    if not training:
        for before, after in zip(weights_now, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_gradients_agree_with_finite_differences(pairwise, subsample):
    rng = np.random.default_rng(1)
    layer, weights = built(4, rng, pairwise=pairwise, subsample=subsample)
    x = rng.normal(size=(2, 3, 4, 4)).astype("float32")
    cotangent = rng.normal(size=x.shape).astype("float32")
    of_weights, of_input = gradients(layer, x, cotangent)

    exact_x = x.astype("float64")

    def loss():
        return (reference(exact_x, weights, pairwise, subsample, training=True)[0] * cotangent).sum()

    expected = {name: differences(loss, weights[name]) for name in of_weights}
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    assert set(of_weights) == set(weights) - {"normalization/moving_mean", "normalization/moving_variance"}
    for name, gradient in of_weights.items():
        # Some are zero in exact arithmetic (the normalisation takes g's bias away): hence the absolute part.
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-4, atol=1e-5 * largest, err_msg=name)
    np.testing.assert_allclose(of_input, differences(loss, exact_x), rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("pairwise", "options"), OPTIONS)
def test_options_change_the_function_as_they_say(pairwise, options, training):
    rng = np.random.default_rng(14)
    layer, weights = built(6, rng, pairwise=pairwise, **options)
    x = rng.normal(size=(2, 5, 6, 6)).astype("float32") + 0.5
    expected, expected_attention = reference(x.astype("float64"), weights, pairwise, training=training, **options)
    z, attention = layer(x, training=training, return_attention=True)
    assert_close(numpy(attention), expected_attention)
    assert_close(numpy(z), expected)
    if not training:
        assert_close(numpy(layer(x)), expected)


@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_starts_as_the_identity_exactly(pairwise, subsample):
    x = np.random.default_rng(3).normal(size=(2, 5, 6, 8)).astype("float32") * 30
    layer = NonLocal2D(pairwise, subsample=subsample)
    np.testing.assert_array_equal(numpy(layer(x)), x)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), x)
    changed = NonLocal2D(pairwise, subsample=subsample, zero_init=False, kernel_initializer="he_normal")
    assert np.abs(numpy(changed(x, training=True)) - x).max() > 0.1


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_leaves_the_identity_with_the_first_step(pairwise):
    rng = np.random.default_rng(4)
    layer = NonLocal2D(pairwise, name="block")
    x = rng.normal(size=(2, 4, 4, 8)).astype("float32")
    layer(x)
    of_weights, _ = gradients(layer, x, rng.normal(size=x.shape).astype("float32"))
    assert np.abs(of_weights["normalization/gamma"]).min() > 0
    # The rest of the block moves only once gamma has left zero.
    assert max(np.abs(of_weights[name]).max() for name in of_weights if "kernel" in name) == 0


# C = 64, D = 32: projections with bias, w_z without, gamma and beta; 2 C^2 + 3.5 C for the embedded Gaussian.
@pytest.mark.parametrize(("pairwise", "count"), [
    *((name, 2 * 64**2 + 3 * 32 + 2 * 64) for name in ("embedded_gaussian", "identity", "dot_product")),
    ("concatenation", 2 * 64**2 + 3 * 32 + 2 * 64 + 64),
    *((name, 64**2 + 32 + 2 * 64) for name in ("gaussian", "uniform")),
])  # fmt: skip
def test_numbers_of_parameters(pairwise, count):
    layer = NonLocal2D(pairwise)
    layer.build((None, 6, 6, 64))
    assert sum(np.prod(weight.shape) for weight in layer.trainable_weights) == count
    assert len(layer.non_trainable_weights) == 2


def test_projections_start_small():
    layer = NonLocal2D()
    layer.build((None, 6, 6, 512))
    assert numpy(layer.theta.kernel).std() == pytest.approx(0.01, rel=0.02)
    assert np.abs(numpy(layer.theta.bias)).max() == 0


# ---- number formats ----


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_large_logits_stay_finite(pairwise, subsample, dtype):
    rng = np.random.default_rng(7)
    layer, _ = built(16, rng, dtype=dtype, pairwise=pairwise, subsample=subsample, spread=2)
    x = rng.normal(size=(2, 6, 5, 16)).astype("float32") * 100
    embedded = layer.compares_embeddings
    theta, phi = (numpy(layer.theta(x)), numpy(layer.phi(x))) if embedded else (x, x)
    assert (theta * phi).sum(axis=-1).max() > 65504  # float16 ends here
    z, attention = layer(x, training=True, return_attention=True)
    for tensor in (z, attention, layer(x, training=True)):
        assert np.isfinite(numpy(tensor)).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2)])
@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_mixed_precision(pairwise, dtype, tolerance):
    rng = np.random.default_rng(8)
    layer, weights = built(8, rng, dtype=dtype, pairwise=pairwise)
    x = rng.normal(size=(2, 4, 5, 8)).astype("float32")
    expected, expected_attention = reference(x.astype("float64"), weights, pairwise)
    z, attention = layer(x, return_attention=True)
    assert keras.backend.standardize_dtype(z.dtype) == dtype.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(attention.dtype) == "float32"
    assert {keras.backend.standardize_dtype(variable.dtype) for variable in layer.weights} == {"float32"}
    assert_close(numpy(z), expected, tolerance)
    assert_close(numpy(layer(x)), expected, tolerance)
    assert_close(numpy(attention), expected_attention, 4 * tolerance)


@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_channels_first_gives_the_same_numbers(pairwise, subsample):
    rng = np.random.default_rng(9)
    last, _ = built(6, rng, pairwise=pairwise, subsample=subsample, data_format="channels_last")
    first = NonLocal2D(pairwise, subsample=subsample, data_format="channels_first")
    x = rng.normal(size=(2, 5, 4, 6)).astype("float32")
    turned = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    first(turned)
    first.set_weights(last.get_weights())
    z, attention = first(turned, return_attention=True)
    assert_close(numpy(z).transpose(0, 2, 3, 1), numpy(last(x)), 1e-6)
    assert_close(numpy(attention), numpy(last(x, return_attention=True)[1]), 1e-6)


@pytest.mark.parametrize(("pairwise", "subsample"), CASES)
def test_compiled_or_not_the_numbers_are_the_same(pairwise, subsample):
    if keras.config.backend() == "torch":
        pytest.skip("torch: its compiler needs a C++ toolchain")
    rng = np.random.default_rng(12)
    _, weights = built(6, rng, pairwise=pairwise, subsample=subsample)
    x = rng.normal(size=(4, 5, 4, 6)).astype("float32")
    target = rng.normal(size=x.shape).astype("float32")
    results = []
    for jit_compile in (False, True):
        inputs = keras.Input((5, 4, 6))
        layer = NonLocal2D(pairwise, subsample=subsample, name="block")
        model = keras.Model(inputs, layer(inputs))
        for name, variable in by_name(layer).items():
            variable.assign(weights[name])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        before = model.predict(x, verbose=0)
        model.train_on_batch(x, target)
        results.append([before, *layer.get_weights()])
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)


# ---- errors ----


@pytest.mark.parametrize(("arguments", "message"), [
    ({"pairwise": "cosine"}, r"`pairwise` must be one of .*'uniform'\)\. Received: pairwise='cosine'"),
    ({"inner_channels": 0}, "`inner_channels` must be a positive integer or None. Received: inner_channels=0"),
    ({"inner_channels": 2.5}, "`inner_channels` must be a positive integer"),
    ({"inner_channels": True}, "`inner_channels` must be a positive integer or None. Received: .*=True"),
    ({"pairwise": "identity", "subsample": "keys"}, "`subsample` pools keys, of which 'identity' has one"),
    ({"data_format": "NHWC"}, "`data_format` must be one of .* Received: data_format='NHWC'"),
    ({"subsample": True}, r"`subsample` must be one of \(None, 'keys', 'input'\)\. Received: subsample=True"),
])  # fmt: skip
def test_wrong_arguments_are_refused_at_construction(arguments, message):
    with pytest.raises(ValueError, match=message):
        NonLocal2D(**arguments)


@pytest.mark.parametrize(("shape", "message"), [
    ((None, 9, 16), r"expects an input of rank 4. Received: shape=\(None, 9, 16\)"),
    ((None, 6, 6, None), r"know the number of channels.* Received: shape=\(None, 6, 6, None\)"),
    ((None, 6, 6, 1), r"at least 2 without `inner_channels`. Received: shape=\(None, 6, 6, 1\)"),
    ((None, 1, 4, 8), r"needs a map of at least 2 x 2\. Received: 1 x 4"),
])  # fmt: skip
def test_wrong_inputs_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        NonLocal2D(subsample="keys").build(shape)


@pytest.mark.parametrize("shape", [(2, 9, 8), (2, 3, 3, 4)], ids=["rank", "channels"])
def test_a_built_layer_refuses_inputs_of_another_kind(shape):
    layer = NonLocal2D()
    layer(np.zeros((2, 3, 3, 8), "float32"))
    with pytest.raises(ValueError, match="incompatible with the layer: expected"):
        layer(np.zeros(shape, "float32"))
