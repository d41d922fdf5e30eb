"""Images per second of the whole training step: each variant of a study, and beside other ways to train.

    python benchmarks/bench_train_step.py [PARAMS.yaml]                writes the table of the variants
    python benchmarks/bench_train_step.py --peers                      writes the table beside other people's
    KERAS_BACKEND=jax python benchmarks/bench_train_step.py --peers    the same of another backend
    python benchmarks/bench_train_step.py --quick [--peers]            few steps, printed only

A step is what a run does (`common.OurStep`). The contestants take turns, so that other work on the machine meets
all alike; ratios are medians over the turns, by the clock and by processor time of this process.

The peers train ResNetV2-50 at 96 px: this project's classifier and that of `keras.applications` by a plain `fit`
on tf.data (TensorFlow), which flips and does not translate; the same network by hand in JAX
(`plain_networks.py`); and timm's resnetv2_50, where it is installed, with a DataLoader, whose worker is no part
of the processor time. In float32 and, where the processor computes in it, bfloat16.
"""

import argparse
import importlib.util
from pathlib import Path

from common import CLASSES, FOLDER, OurStep, drawn, median, random_images, ratio, take_turns, write_table

VARIANT_COLUMNS = ("variant", "images/s", "step / baseline", "MACs / baseline")
PEER_COLUMNS = ("trained by", "precision", "images/s", "time / ours", "processor time / ours")
PEER_VALUES = {"variants": ["resnet50v2"], "image_size": 96, "width": 1.0, "stem": "imagenet", "optimizer": "sgd"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default=FOLDER.parent / "params" / "fer2013_cpu.yaml")
    parser.add_argument("--peers", action="store_true", help="beside other ways to train")
    parser.add_argument("--quick", action="store_true", help="two turns of two steps, nothing written")
    parser.add_argument("--batch", type=int, default=64, help="images per step of the peers (64)")
    parser.add_argument("--steps", type=int, default=20, help="steps per turn (20)")
    parser.add_argument("--turns", type=int, default=7, help="turns of every contestant (7)")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.turns = 2, 2
    name, columns, rows, about = (peer_table if arguments.peers else variant_table)(arguments)
    print("\n".join(" | ".join(row) for row in (columns, *rows)))
    if not arguments.quick:
        write_table(name, columns, rows, about)


def variant_table(arguments):
    """Name, columns, rows and words of the table with a row for each variant of a study."""
    from fer_lib.analysis.complexity import count_costs
    from fer_lib.parameters import read_parameters

    parameters = read_parameters(arguments.params)
    variants = parameters.variants[: 2 if arguments.quick else None]
    images = random_images(arguments.steps * parameters.batch_size, parameters.channels)
    ours = {variant: OurStep(parameters, variant, images) for variant in variants}
    macs = {variant: count_costs(one.classifier)["macs"].sum() for variant, one in ours.items()}
    turns = {variant: lambda one=one: one.train(arguments.steps) for variant, one in ours.items()}
    taken, baseline = take_turns(turns, arguments.turns), parameters.baseline
    rows = []
    for variant in variants:
        speed, counted = len(images) / median(taken[variant]), macs[variant] / macs[baseline]
        rows.append((variant, f"{speed:.1f}", f"{ratio(taken, variant, baseline):.2f}", f"{counted:.2f}"))
    about = f"`{Path(arguments.params).name}`, batch {parameters.batch_size}."
    return "bench_train_step", VARIANT_COLUMNS, rows, about


def peer_table(arguments):
    """Name, columns, rows and words of the table with a row for each way to train ResNetV2-50."""
    import keras

    precisions = ("float32", "mixed_bfloat16") if has_bfloat16() else ("float32",)
    rows = [row for precision in precisions for row in peer_rows(arguments, precision)]
    about = f"ResNetV2-50, 96 px, batch {arguments.batch}."
    return f"bench_train_step_peers_{keras.config.backend()}", PEER_COLUMNS, rows, about


def peer_rows(arguments, precision):
    import keras

    from fer_lib.parameters import build_parameters
    from fer_lib.training.recipe import build_classifier

    parameters = build_parameters(PEER_VALUES | {"batch_size": arguments.batch, "precision": precision})
    images = random_images(arguments.steps * arguments.batch)
    ours, variant, backend = "this project", "resnet50v2", keras.config.backend()
    ours_step = OurStep(parameters, variant, images)
    labels, contestants = ours_step.labels, {ours: lambda: ours_step.train(arguments.steps)}
    if backend == "tensorflow":
        fed = on_the_fly(images, labels, parameters)
        own = build_classifier(parameters, variant, seed=0)
        contestants["its classifier, `fit` on tf.data"] = fit(own, parameters, fed)
        keras.config.set_dtype_policy(precision)
        peer = keras.applications.ResNet50V2(weights=None, input_shape=own.input_shape[1:], classes=CLASSES)
        keras.config.set_dtype_policy("float32")
        contestants["`keras.applications`, `fit` on tf.data"] = fit(peer, parameters, fed)
    if backend == "jax":
        from plain_networks import JaxStep

        by_hand = JaxStep(ours_step.classifier, parameters, variant, images, labels)
        order, transforms = drawn(parameters, len(images), arguments.steps, epoch=0)
        contestants["JAX by hand"] = lambda: by_hand.train(order, transforms[:, 2])
    if importlib.util.find_spec("torch") and importlib.util.find_spec("timm"):
        contestants["timm `resnetv2_50`, DataLoader"] = timm_epoch(images, labels, parameters)
    taken = take_turns(contestants, arguments.turns)
    rows = []
    for name in contestants:
        ratios = (f"{ratio(taken, name, ours, processor):.2f}" for processor in (False, True))
        rows.append((name, precision, f"{len(images) / median(taken[name]):.1f}", *ratios))
    return rows


def has_bfloat16():
    """Return whether the processor computes in bfloat16 (Linux); without, it is slower than float32."""
    return "bf16" in Path("/proc/cpuinfo").read_text(encoding="utf8")


def fit(classifier, parameters, dataset):
    """Return an epoch of a Keras classifier, compiled like ours, as a function."""
    import keras

    from fer_lib.training.recipe import jit_setting

    classifier.compile(
        keras.optimizers.SGD(parameters.learning_rate, momentum=parameters.momentum, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_setting(parameters.jit_compile),
    )
    return lambda: classifier.fit(dataset, shuffle=False, verbose=0)


def on_the_fly(images, labels, parameters):
    """Return tf.data: resized, flipped, batched, prefetched; its tuner off, whose end the clock would count."""
    import tensorflow as tf

    def prepare(image, label):
        image = tf.image.resize(image, (parameters.image_size,) * 2)
        return tf.image.random_flip_left_right(image) / 255, label

    options = tf.data.Options()
    options.autotune.enabled = False
    rows = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images)).map(prepare, 2)
    return rows.batch(parameters.batch_size).prefetch(2).with_options(options)


def timm_epoch(images, labels, parameters):
    """Return an epoch of timm's resnetv2_50 on grey images, by a DataLoader with one worker, as a function."""
    import timm
    import torch
    from torch.nn.functional import cross_entropy, interpolate

    def prepare(pairs):
        pixels = torch.stack([pixels.flip(1) if torch.rand(()) < 0.5 else pixels for pixels, _ in pairs])
        resized = interpolate(pixels.permute(0, 3, 1, 2) / 255, parameters.image_size, mode="bilinear")
        return resized, torch.stack([label for _, label in pairs])

    model = timm.create_model("resnetv2_50", num_classes=CLASSES, in_chans=1).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9, nesterov=True)
    table = torch.utils.data.TensorDataset(torch.tensor(images), torch.tensor(labels))
    options = {"shuffle": True, "num_workers": 1, "persistent_workers": True, "collate_fn": prepare}
    loader = torch.utils.data.DataLoader(table, parameters.batch_size, **options)
    mixed = parameters.precision == "mixed_bfloat16"

    def epoch():
        for batch, classes in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                logits = model(batch)
            cross_entropy(logits.float(), classes).backward()
            optimizer.step()

    return epoch


if __name__ == "__main__":
    main()
