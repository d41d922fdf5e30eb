"""How a training tells how far it is: one line an epoch in logs, a live bar where somebody watches."""

import os

import keras
from tqdm import tqdm


class Progress:
    """Progress of one run.

    The runner sets `FER_PROGRESS=lines`: a log keeps one line an epoch. Elsewhere, in JupyterLab, a bar counts
    the steps of the whole run.

    Args:
        variant, seed: the run.
        epochs, steps: of the whole run, and a batch each.
        done: epochs that are behind it.
    """

    def __init__(self, variant, seed, epochs, steps, done):
        self.title = f"{variant} seed {seed}"
        self.epochs = epochs
        self.bar = None
        if os.environ.get("FER_PROGRESS") != "lines":
            self.bar = tqdm(total=epochs * steps, initial=done * steps, desc=self.title, unit="step")
        elif 0 < done < epochs:
            print(f"{self.title}: going on after epoch {done}", flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()

    def callback(self):
        """For `fit`: moves the bar."""
        return _Steps(self.bar)

    def end_epoch(self, row, seconds):
        """Tells of an epoch, a row of the history."""
        accuracy = f"{row['val_accuracy']:.1%}"
        if self.bar is not None:
            self.bar.set_postfix(epoch=row["epoch"], val_accuracy=accuracy)
            return
        print(
            f"{self.title}: epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.3f}  "
            f"accuracy {row['accuracy']:.1%}  val_loss {row['val_loss']:.3f}  val_accuracy {accuracy}  "
            f"{seconds:.0f} s",
            flush=True,
        )


class _Steps(keras.callbacks.Callback):
    def __init__(self, bar):
        super().__init__()
        self.bar = bar
        self.seen = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        # With several steps an execution Keras calls once for all of them.
        if self.bar is not None:
            self.bar.update(batch + 1 - self.seen)
            self.seen = batch + 1
