"""How a training reports its progress: a bar where somebody watches in JupyterLab, else one line an epoch."""

import os

import keras

from fer_lib.formats import percent
from fer_lib.variants import Variant


class Progress(keras.callbacks.Callback):
    """Progress of one run; a callback for each `fit` of it, and a context manager around them.

    JupyterLab names its session to its kernels; papermill, nbval and the command line do not, and a bar would be a
    line a refresh in what they save.

    Args:
        variant, seed: the run.
        epochs, steps: of the whole run, and batches an epoch.
        done: epochs that a checkpoint holds.
        position: (i, n), the run is the i-th of n; not said by default.
    """

    def __init__(self, variant, seed, epochs, steps, done, position=None):
        super().__init__()
        watched = "JPY_SESSION_NAME" in os.environ and os.environ.get("FER_PROGRESS") != "lines"
        self.title = f"{Variant.from_name(variant).label if watched else variant}, seed {seed}"
        if position is not None:
            self.title += f", run {position[0]} of {position[1]}"
        self.epochs, self.bar, self.accuracy = epochs, None, None
        if watched:
            from tqdm.auto import tqdm  # warns where Jupyter's widgets are missing

            self.bar = tqdm(total=epochs * steps, initial=done * steps, desc=self.title, unit="step", leave=False)
        elif 0 < done < epochs:
            print(f"{self.title}: going on after epoch {done}", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if self.bar is not None:
            self.bar.close()
            if failure is None and self.accuracy is not None:
                print(f"{self.title}: {self.epochs} epochs, validation accuracy {self.accuracy}")

    def on_epoch_begin(self, epoch, logs=None):
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        # With several steps an execution Keras calls once for all of them.
        if self.bar is not None:
            self.bar.update(batch + 1 - self.seen)
            self.seen = batch + 1

    def end_epoch(self, row, seconds):
        """Report an epoch, a row of the history."""
        self.accuracy = percent(row["val_accuracy"])
        if self.bar is not None:
            self.bar.set_postfix(epoch=row["epoch"], val_accuracy=self.accuracy)
            return
        print(
            f"{self.title}: epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.3f}  "
            f"accuracy {percent(row['accuracy'])}  val_loss {row['val_loss']:.3f}  val_accuracy {self.accuracy}  "
            f"{seconds:.0f} s",
            flush=True,
        )
