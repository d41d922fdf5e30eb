"""The parameters of a study: flat, one value per key, refused before anything runs where they cannot be meant."""

import difflib
import hashlib
import json
import os
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fer_lib.dataset_specs import DATASETS
from fer_lib.errors import ParameterError
from fer_lib.files import read_regular
from fer_lib.variants import Variant

# Keys in which two notebooks of one study may differ.
_NOT_THE_STUDYS = {
    "title", "preregistration", "planned", "margin", "variants", "seeds", "data", "faces", "steps_per_execution",
}  # fmt: skip

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Angle = Literal["FL", "HL", "S", "HR", "FR"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


def _trained(default: Any, **constraints: Any) -> Any:
    """Return a field that a run's numbers depend on, beside the data, the variant and the seed."""
    return Field(default, json_schema_extra={"trained": True}, **constraints)


class Parameters(BaseModel):
    """Everything that a study depends on. The defaults are the smallest study, on generated faces."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # The study
    study: Name = Field("smoke", description="name of the study and its folder")
    title: str = Field("Non-local blocks in a ResNetV2", max_length=200, description="title of the report")
    preregistration: str | None = Field(
        None, max_length=2000, description="where and when the study was preregistered, and departures from that"
    )
    planned: list[str] = Field(
        [], max_length=20, description="contrasts fixed before the runs, each `A minus B`, the primary one first"
    )
    margin: float = Field(0.015, gt=0, lt=1, description="accuracies that differ by less count as equivalent")
    variants: Annotated[list[str], Field(max_length=100)] = Field(
        ["resnet14v2", "resnet14v2-nl1", "resnet14v2-nl3"], description="networks, one the baseline"
    )
    seeds: list[Seed] = Field([0], max_length=1000, description="each is one more run of every network")

    # The data
    dataset: Literal["synthetic", "fer2013", "kdef", "folders"] = Field("synthetic", description="which images")
    data: str | None = Field(None, description="path of FER-2013, KDEF or own images; none for generated faces")
    protocol: Literal["paper", "whole_test", "official", "random", "subject"] = Field(
        "official", description="how they are split: paper, whole_test or official; KDEF: random or subject"
    )
    labels: Literal["original", "ferplus"] = Field("original", description="FER-2013: or the votes of FER+")
    generated_images: int = Field(840, ge=70, le=100_000, description="synthetic: how many images")
    colour: bool = Field(False, description="KDEF, folders: colour instead of grey")
    angles: list[Angle] = Field(["FL", "HL", "S", "HR", "FR"], description="KDEF: which of the five angles")
    faces: Literal["all", "mean"] | None = Field(
        None, description="figures: all, or mean images only (the default, but for generated faces)"
    )
    aspect: Literal["crop", "pad", "squash"] = Field("crop", description="KDEF, folders: how images become square")
    group: str | None = Field(
        None, description="folders: no subject in two splits; `parent` folder, or a pattern of the file name"
    )

    # The network
    image_size: int = _trained(48, ge=16, le=1024, description="side of the network's input, in pixels")
    # Below 16 filters TensorFlow's convolutions on a CPU (oneDNN) can write outside their memory in the last,
    # smaller batch of an epoch, which kills the process.
    width: float = _trained(0.25, ge=0.25, le=4, description="filters, as a multiple of the published network's")
    stem: Literal["imagenet", "small"] = _trained("small", description="first layer: 7 x 7 and pooling, or 3 x 3")
    pooling: Literal["max", "average"] = _trained("max", description="over the last map; max is the paper's")
    dropout: Fraction = _trained(0.2, description="before the classifier")

    # The recipe
    epochs: int = _trained(2, ge=1, le=10_000, description="passes over the training images")
    batch_size: int = _trained(32, ge=1, le=65_536, description="images per step")
    optimizer: Literal["sgd", "adam"] = _trained("adam", description="SGD with Nesterov momentum, or Adam")
    learning_rate: float = _trained(0.001, gt=0, le=100, description="at its highest")
    momentum: Fraction = _trained(0.9, description="of SGD")
    schedule: Literal["constant", "cosine"] = _trained("constant", description="of the learning rate")
    warmup_epochs: float = _trained(0.0, ge=0, le=10_000, description="linear warm-up of the cosine schedule")
    weight_decay: float = _trained(0.0, ge=0, le=100, description="decoupled, of the kernels")
    label_smoothing: Fraction = _trained(0.0, description="share of a label that is spread over all classes")
    norm_momentum: Fraction = _trained(0.99, description="of the batch normalisations' moving averages")
    shift: Fraction = _trained(0.1, description="augmentation: largest translation, as a share of the side")
    flip: bool = _trained(True, description="augmentation: horizontal flip")
    precision: Precision = _trained("float32", description="of the products")
    jit_compile: bool = _trained(False, description="compile with XLA")
    steps_per_execution: int = Field(1, ge=1, le=10_000, description="training steps per device call")

    @model_validator(mode="before")
    @classmethod
    def _earlier_keys_are_read(cls, values: dict) -> dict:
        """Studies once had a `train_limit` and `subsample`."""
        return {key: value for key, value in values.items() if value or key not in ("train_limit", "subsample")}

    @field_validator("variants")
    @classmethod
    def _variants_are_a_grid(cls, names):
        variants = [Variant.from_name(name) for name in names]
        if len({variant.name for variant in variants}) != len(names):
            raise ValueError("each variant once, found one twice")
        if sum(not variant.stages for variant in variants) != 1:
            raise ValueError("exactly one network without blocks, the baseline, such as resnet50v2")
        # Stored as `Variant` writes it, so that two spellings of one network cannot become two runs.
        return [variant.name for variant in variants]

    @field_validator("planned")
    @classmethod
    def _planned_are_differences(cls, contrasts):
        pairs = [[Variant.from_name(name).name for name in text.split(" minus ")] for text in contrasts]
        if any(len(set(pair)) != 2 or len(pair) != 2 for pair in pairs):
            raise ValueError("contrasts of two networks, such as resnet50v2-nl3 minus resnet50v2")
        return [" minus ".join(pair) for pair in pairs]

    @field_validator("group")
    @classmethod
    def _group_is_a_pattern(cls, pattern):
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"`parent`, or a regular expression: {error}") from error
        return pattern or None

    @field_validator("seeds", "angles")
    @classmethod
    def _values_are_distinct(cls, values):
        if not values or len(set(values)) != len(values):
            raise ValueError("at least one, each once")
        return values

    @model_validator(mode="after")
    def _keys_agree(self):
        if self.protocol not in (known := DATASETS[self.dataset].protocols):
            words = f"{' or '.join(known)}, found protocol: {self.protocol}"
            raise ValueError(f"dataset {self.dataset} has protocol {words}")
        for key in ("colour", "group"):
            if getattr(self, key) and key not in DATASETS[self.dataset].keys:
                others = " or ".join(name for name, spec in DATASETS.items() if key in spec.keys)
                raise ValueError(f"{key} needs dataset: {others}, found dataset: {self.dataset}")
        if self.labels != "original" and (self.dataset, self.protocol) != ("fer2013", "official"):
            raise ValueError(f"labels: {self.labels} needs dataset: fer2013 and protocol: official")
        if self.faces == "all" and self.dataset == "kdef":
            raise ValueError("faces: all cannot be used with dataset: kdef, whose terms forbid it; use mean")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) must be below epochs ({self.epochs})")
        return self

    @property
    def baseline(self) -> str:
        """Name of the network without blocks among `variants`."""
        return next(name for name in self.variants if not Variant.from_name(name).stages)

    @property
    def shows_faces(self) -> bool:
        """Whether figures may show single images: of real people only where `faces` says so, of KDEF never."""
        return (self.faces or ("all" if self.dataset == "synthetic" else "mean")) == "all"

    @property
    def channels(self) -> int:
        """Colour channels of the images: 3 or 1."""
        return 3 if self.colour else 1

    def cells(self) -> list[tuple[str, int]]:
        """The grid as (variant, seed) pairs, seed by seed, so that every variant has a result early."""
        return [(variant, seed) for seed in self.seeds for variant in self.variants]

    def training_hash(self) -> str:
        """Return the sha256 (hex) of the trained keys that are not the default: a later key changes no hash."""
        trained = {name: each for name, each in type(self).model_fields.items() if each.json_schema_extra}
        keys = {name: getattr(self, name) for name in trained if getattr(self, name) != trained[name].default}
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()

    def differences(self, other: "Parameters") -> list[str]:
        """Names of the keys by which two studies of one name are not the same study."""
        names = [name for name in type(self).model_fields if name not in _NOT_THE_STUDYS]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def read_parameters(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Parameters:
    """Read a study's YAML file; `overrides`, strings `key=value` (the value as YAML), override it.

    ParameterError where it is no flat YAML, or a key is unknown, of a wrong type or impossible beside another.
    """
    try:
        values = yaml.load(read_regular(Path(path), 2**17).decode(), _Loader)
    except OSError as error:
        what, advice = "The parameters file cannot be read", "Studies are in params/"
        raise ParameterError(what, path, found=error.strerror, advice=advice) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark, context = getattr(error, "problem_mark", None), getattr(error, "context", None)
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else path
        found = " ".join(filter(None, [context, getattr(error, "problem", None)])) if mark else error
        raise ParameterError("The parameters file is not YAML", where, found=found) from error
    if not isinstance(values, dict):
        expected = "lines `key: value`"
        raise ParameterError("The parameters file holds no parameters", path, expected, reprlib.repr(values))
    parameters, given = build_parameters(values, where=path), {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise ParameterError("--set cannot be read", expected="KEY=VALUE", found=repr(override))
        try:
            given[key.strip()] = yaml.load(text, _Loader)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ParameterError("--set has no YAML value", where=key.strip(), found=repr(text)) from error
    return build_parameters(values | given, where="--set") if given else parameters


def build_parameters(values, where=None, advice=None):
    """Return `Parameters` of a dictionary; ParameterError with the first problem, `where` it is and `advice`."""
    try:
        return Parameters.model_validate(values)
    except ValidationError as error:
        problem, others = error.errors()[0], error.error_count() - 1
        key = ".".join(map(str, problem["loc"]))
        place = ", ".join(str(part) for part in (where, key and f"key {key}") if part) or None
        advice = f"{others} more after this one" if others else advice
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Parameters.model_fields, n=1, cutoff=0.5)
            advice = f"Did you mean `{near[0]}`?" if near else "`fer-study parameters` lists all of them"
            raise ParameterError("A parameter is unknown", place, advice=advice) from error
        reason = problem.get("ctx", {}).get("error")
        if isinstance(reason, ParameterError):  # such as a variant's name, with what was expected and found
            raise ParameterError(reason.what, place, reason.expected, reason.found, advice) from error
        if not key:
            raise ParameterError("Two parameters contradict each other", place, advice=str(reason)) from error
        if isinstance(problem["input"], str) and problem["type"] in ("float_type", "int_type"):
            advice = "YAML reads 1e-3 as text: write 1.0e-3" if "e" in problem["input"].lower() else advice
        expected = _EXPECTED.get(problem["type"], str(reason or problem["msg"].removeprefix("Input should be ")))
        found = reprlib.repr(problem["input"])
        raise ParameterError("A parameter cannot be used", place, expected, found, advice) from error


# What the model wants, in plain words: pydantic's type of an error -> words.
_EXPECTED = {
    "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false", "string_type": "text",
    "list_type": "a list, such as [0, 1]",
}  # fmt: skip


def write_parameters(parameters: Parameters) -> str:
    """Return the parameters as YAML text, every key, in the order of the model."""
    return yaml.safe_dump(parameters.model_dump(), sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """YAML in which each key of a mapping is there once."""

    def construct_mapping(self, node, deep=False):
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            [(twice, _)] = Counter(key.value for key, _ in node.value).most_common(1)
            *_, mark = (key.start_mark for key, _ in node.value if key.value == twice)
            raise yaml.MarkedYAMLError(problem=f"the key {twice} is there twice", problem_mark=mark)
        return mapping
