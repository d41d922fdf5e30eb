"""How a training reports its progress: a bar where somebody watches in JupyterLab, else one line an epoch."""

import os

import keras

from fer_lib.formats import percent
from fer_lib.variants import Variant


class Progress(keras.callbacks.Callback):
    """Progress of one run; a callback for each `fit` of it, an epoch.

    JupyterLab names its session to its kernels; papermill, nbval and the command line do not, and a bar would be a
    line a refresh in what they save.

    `epochs` of the whole run, of which a checkpoint holds `done`; `steps` an epoch; `position`: (i, n), the run is
    the i-th of n.
    """

    def __init__(self, variant, seed, epochs, steps, done, position=None):
        super().__init__()
        watched = "JPY_SESSION_NAME" in os.environ and os.environ.get("FER_PROGRESS") != "lines"
        self.title = f"{Variant.from_name(variant).label if watched else variant}, seed {seed}"
        if position is not None:
            self.title += f", run {position[0]} of {position[1]}"
        self.epochs, self.steps, self.bar = epochs, steps, None
        if watched and done < epochs:
            from tqdm.auto import tqdm  # warns where Jupyter's widgets are missing

            self.bar = tqdm(total=epochs * steps, initial=done * steps, desc=self.title, unit="step", leave=False)
        elif 0 < done < epochs:
            print(f"{self.title}: going on after epoch {done}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        # With several steps an execution Keras calls once for all of them.
        if self.bar is not None:
            self.bar.update(batch + 1 - self.bar.n % self.steps)

    def end_epoch(self, row, seconds):
        """Report an epoch, a row of the history."""
        epoch, accuracy = row["epoch"], percent(row["val_accuracy"])
        if self.bar is None:
            training = f"loss {row['loss']:.3f}  accuracy {percent(row['accuracy'])}"
            validation = f"val_loss {row['val_loss']:.3f}  val_accuracy {accuracy}"
            title = f"{self.title}: epoch {epoch}/{self.epochs}"
            print(title, training, validation, f"{seconds:.0f} s", sep="  ", flush=True)
            return
        self.bar.set_postfix(epoch=epoch, val_accuracy=accuracy)
        if epoch == self.epochs:
            self.bar.close()
            print(f"{self.title}: {epoch} epochs, validation accuracy {accuracy}")
