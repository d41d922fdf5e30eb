"""The recipe: networks of one seed start alike, schedules and decay are those that are written down."""

import keras
import numpy as np
import pytest

from fer_lib.parameters import build_parameters
from fer_lib.training.recipe import build_classifier, build_trainer

PARAMETERS = build_parameters({"image_size": 32, "variants": ["resnet14v2", "resnet14v2-nl2"]})


def trainer_of(variant, steps_per_epoch=1, **values):
    parameters = PARAMETERS.model_copy(update=values)
    images, classifier = np.zeros((1, 32, 32, 1), np.uint8), build_classifier(parameters, variant, 0)
    return build_trainer(parameters, classifier, images, steps_per_epoch)


def weights_of(classifier):
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in classifier.weights}


def test_variants_of_one_seed_share_the_backbone_and_seeds_do_not():
    plain, blocks, other = (
        weights_of(build_classifier(PARAMETERS, variant, seed))
        for variant, seed in (("resnet14v2", 0), ("resnet14v2-nl2", 0), ("resnet14v2", 1))
    )
    assert set(plain) < set(blocks)
    for path, weight in plain.items():
        np.testing.assert_array_equal(weight, blocks[path], err_msg=path)
    kernels = [path for path in plain if path.endswith("kernel")]
    assert all((plain[path] != other[path]).any() for path in kernels)
    # No two layers of one shape start from the same numbers.
    same_shape = [plain[path] for path in kernels if plain[path].shape == plain[kernels[-2]].shape]
    assert all((a != b).any() for i, a in enumerate(same_shape) for b in same_shape[:i])


def test_kernels_are_glorot_uniform():
    kernel = weights_of(build_classifier(PARAMETERS, "resnet14v2", 0))["conv5_block1_2_conv/kernel"]
    limit = np.sqrt(6 / (9 * kernel.shape[2] + 9 * kernel.shape[3]))
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_warm_up_rises_in_a_line_and_the_cosine_ends_at_zero():
    recipe = {"schedule": "cosine", "warmup_epochs": 1.0, "epochs": 5, "learning_rate": 0.1, "optimizer": "sgd"}
    trainer = trainer_of("resnet14v2", steps_per_epoch=10, **recipe)
    rates = []
    for step in (0, 5, 10, 30, 50):
        trainer.optimizer.iterations.assign(step)
        rates.append(float(trainer.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.05, 0], atol=1e-6)


def test_decay_spares_normalisations_and_biases():
    trainer = trainer_of("resnet14v2-nl2", weight_decay=0.01)
    trainer.optimizer.build(trainer.trainable_variables)
    decayed = filter(trainer.optimizer._use_weight_decay, trainer.trainable_variables)
    assert {weight.path.split("/")[-1] for weight in decayed} == {"kernel"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_only_jax_is_compiled_unasked(jit_compile):
    trainer = trainer_of("resnet14v2", jit_compile=jit_compile)
    assert trainer.jit_compile is (jit_compile or keras.config.backend() == "jax")


def test_the_options_of_the_parameters_reach_the_network():
    parameters = PARAMETERS.model_copy(update={"norm_momentum": 0.9, "dropout": 0.4})
    classifier = build_classifier(parameters, "resnet14v2-nl2", 0)
    assert classifier.get_layer("post_bn").momentum == 0.9 and classifier.get_layer("dropout").rate == 0.4
