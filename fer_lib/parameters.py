"""The parameters of a study: flat, one value a key, refused before anything runs where they cannot be meant."""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fer_lib.errors import ParameterError
from fer_lib.variants import Variant

PROTOCOLS = {
    "fer2013": ("paper", "official"),
    "synthetic": ("paper", "official"),
    "kdef": ("random", "subject"),
    "folders": ("official", "random"),
}
# What a run's numbers depend on besides the data, the variant and the seed. Names of the study, the grid and
# the way to the data are left out: the same network in another study is the same run.
TRAINING_KEYS = (
    "image_size", "width", "stem", "pooling", "dropout", "subsample",
    "epochs", "batch_size", "optimizer", "learning_rate", "momentum", "schedule", "warmup_epochs",
    "weight_decay", "label_smoothing", "shift", "flip", "precision", "jit_compile",
)  # fmt: skip

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]


class Parameters(BaseModel):
    """Everything that a study depends on. The defaults are the smallest study, on generated faces.

    Raises (from `read_parameters`):
        ParameterError: an unknown key (the near miss is named), a wrong type, an impossible combination.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # The study
    study: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = "smoke"
    title: str = "Non-local blocks in a ResNetV2"
    variants: list[str] = ["resnet14v2", "resnet14v2-nl1", "resnet14v2-nl3"]
    seeds: list[Annotated[int, Field(ge=0)]] = [0]

    # The data
    dataset: Literal["synthetic", "fer2013", "kdef", "folders"] = "synthetic"
    data: str | None = None
    protocol: Literal["paper", "official", "random", "subject"] = "official"
    labels: Literal["original", "ferplus"] = "original"
    generated_images: Annotated[int, Field(ge=70)] = 840
    train_limit: Annotated[int, Field(ge=7)] | None = None
    colour: bool = False
    angles: list[Literal["FL", "HL", "S", "HR", "FR"]] = ["FL", "HL", "S", "HR", "FR"]
    aspect: Literal["crop", "pad", "squash"] = "crop"

    # The network
    image_size: Annotated[int, Field(ge=16, le=1024)] = 48
    # Below 16 filters TensorFlow's convolutions on a CPU (oneDNN) can write outside their memory in the last,
    # smaller batch of an epoch, which kills the process.
    width: Annotated[float, Field(ge=0.25, le=4)] = 0.25
    stem: Literal["imagenet", "small"] = "small"
    pooling: Literal["max", "average"] = "max"
    dropout: Fraction = 0.2
    subsample: bool = False

    # The recipe
    epochs: Positive = 2
    batch_size: Positive = 32
    optimizer: Literal["sgd", "adam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    momentum: Fraction = 0.9
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Fraction = 0.0
    shift: Fraction = 0.1
    flip: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool = False
    steps_per_execution: Positive = 1

    @field_validator("variants")
    @classmethod
    def _variants_are_a_grid(cls, names):
        variants = [Variant.from_name(name) for name in names]
        if len({variant.name for variant in variants}) != len(names):
            raise ValueError("each variant once, found one twice")
        if sum(not variant.stages for variant in variants) != 1:
            raise ValueError("exactly one plain network, such as resnet50v2, the baseline of the comparisons")
        # Stored as `Variant` writes it, so that two spellings of one network cannot become two runs.
        return [variant.name for variant in variants]

    @field_validator("seeds")
    @classmethod
    def _seeds_are_distinct(cls, seeds):
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("at least one seed, each once")
        return seeds

    @model_validator(mode="after")
    def _keys_agree(self):
        if self.protocol not in PROTOCOLS[self.dataset]:
            known = " or ".join(PROTOCOLS[self.dataset])
            raise ValueError(f"dataset {self.dataset} has protocol {known}, found protocol: {self.protocol}")
        if self.colour and self.dataset not in ("kdef", "folders"):
            raise ValueError(f"colour: true needs dataset: kdef or folders; the images of {self.dataset} are grey")
        if self.labels != "original" and (self.dataset, self.protocol) != ("fer2013", "official"):
            raise ValueError(f"labels: {self.labels} needs dataset: fer2013 and protocol: official")
        if not self.angles or len(set(self.angles)) != len(self.angles):
            raise ValueError("angles needs at least one angle, each once")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        return self

    @property
    def baseline(self):
        """Name of the plain network among `variants`."""
        return next(name for name in self.variants if not Variant.from_name(name).stages)

    @property
    def channels(self):
        """Colour channels of the images: 3 or 1."""
        return 3 if self.colour else 1

    def cells(self):
        """The grid as (variant, seed) pairs, seed by seed, so that every variant has a result early."""
        return [(variant, seed) for seed in self.seeds for variant in self.variants]

    def training_hash(self):
        """sha256 (hex) of the keys that a run's numbers depend on (`TRAINING_KEYS`)."""
        keys = {key: getattr(self, key) for key in TRAINING_KEYS}
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_notebook(cls, namespace):
        """The parameters that a notebook's `parameters` cell declared.

        Args:
            namespace: the notebook's `globals()`; names that are no parameters are passed over.
        """
        return build_parameters({key: namespace[key] for key in cls.model_fields if key in namespace})


def read_parameters(path, overrides=()):
    """Reads a study's YAML file.

    Args:
        path: the file.
        overrides: strings `key=value` (the value as YAML), which win over the file.

    Raises:
        ParameterError: the file cannot be read as flat YAML, or `Parameters` refuses it.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(
            "The parameters file cannot be read", where=path, found=error.strerror, advice="Studies lie in params/"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError("The parameters file is not YAML", where=path, found=error) from error
    if not isinstance(values, dict):
        raise ParameterError(
            "The parameters file holds no parameters", where=path, expected="lines `key: value`", found=values
        )
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ParameterError("--set cannot be read", expected="KEY=VALUE", found=override)
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParameterError("--set has no YAML value", where=key.strip(), found=text) from error
    return build_parameters(values, where=path)


def build_parameters(values, where=None):
    """`Parameters` from a dictionary; every problem is one readable ParameterError."""
    # YAML writes 1 for 1.0 and means it; the strict model would refuse an integer in JSON-like input.
    try:
        return Parameters(**values)
    except ValidationError as error:
        raise _readable(error, where) from error


def write_parameters(parameters):
    """The parameters as YAML text, every key, in the order of the model."""
    return yaml.safe_dump(parameters.model_dump(), sort_keys=False, allow_unicode=True)


def _readable(error, where):
    """The first problem that pydantic found, in the words of the parameters file."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or None
    count = error.error_count()
    advice = f"{count - 1} more after this one" if count > 1 else None
    place = ", ".join(str(part) for part in (where, f"key {key}" if key else None) if part)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Parameters.model_fields, n=1, cutoff=0.5)
        expected = f"perhaps {near[0]}" if near else "one of " + ", ".join(Parameters.model_fields)
        return ParameterError("A parameter is unknown", place, expected, key, advice)
    found = repr(problem["input"]) if key else None
    if isinstance(problem["input"], str) and problem["type"] in ("float_type", "int_type"):
        advice = "YAML reads 1e-3 as text: write 1.0e-3" if "e" in problem["input"].lower() else advice
    message = problem["msg"].removeprefix("Value error, ")
    return ParameterError("A parameter cannot be used", place or None, message, found, advice)
