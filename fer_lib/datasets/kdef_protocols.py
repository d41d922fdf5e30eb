"""The two ways to cut KDEF: `random` over the pictures, and `subject`, over the persons."""

import dataclasses
import hashlib

import numpy as np
import pandas as pd

from fer_lib.datasets.faces import FaceSet, Splits
from fer_lib.datasets.kdef_names import ANGLES
from fer_lib.errors import DataError

VALIDATION_SHARE = 0.2


def cut(faces, notes, protocol, seed, path):
    """Train and validation.

    Args:
        faces: a `FaceSet` of KDEF.
        notes: of the `Splits`; what the protocol does with persons is added.
        protocol: one of `PROTOCOLS`, see `load_kdef`.
        seed: what the cut depends on, together with the names of the pictures or persons.
        path: where the pictures come from, for error messages.

    Raises:
        DataError: a class is missing, or a split would be without one.
    """
    held_out = PROTOCOLS[protocol](faces, seed)
    splits = Splits(faces.subset(~held_out), faces.subset(held_out), None, "kdef", protocol, notes)
    _require_every_class(splits, faces, path)
    note = _leak_note(splits) if protocol == "random" else _persons_note(splits)
    return dataclasses.replace(splits, notes=(*notes, note))


def shared_persons(splits):
    """The persons who stand in train and also in validation or test: a sorted list, empty where nothing leaks."""
    persons = {name: set(faces.metadata["person"]) for name, faces in splits.items()}
    train = persons.pop("train")
    return sorted(train & set().union(*persons.values()))


def known_to_train(splits, protocol, seed=0):
    """What train would know of each picture in validation, were all pictures of `splits` cut by `protocol`.

    Args:
        splits: a `Splits` of KDEF, cut by whatever protocol.
        protocol: one of `PROTOCOLS`.
        seed: of the cut.

    Returns:
        A DataFrame, a row a validation picture: `id`; `person_known`, whether train has the person; and
        `known_by`, the id of the train picture of the same person, session and expression from the nearest angle,
        "" where there is none.
    """
    faces = _without_pixels(splits)
    held_out = PROTOCOLS[protocol](faces, seed)
    pictures = faces.metadata.assign(id=faces.ids, place=faces.metadata["angle"].map(ANGLES.index))
    train, validation = pictures[~held_out], pictures[held_out]
    sittings = dict(list(train.groupby(["person", "session", "expression"])))
    known_by = []
    for row in validation.itertuples():
        siblings = sittings.get((row.person, row.session, row.expression))
        nearest = None if siblings is None else (siblings["place"] - row.place).abs().idxmin()
        known_by.append("" if nearest is None else siblings.loc[nearest, "id"])
    return pd.DataFrame(
        {
            "id": validation["id"].to_numpy(),
            "person_known": validation["person"].isin(train["person"]).to_numpy(),
            "known_by": known_by,
        }
    )


def _without_pixels(splits):
    """All faces of all splits, sorted by id, each of one pixel: for what depends on names alone."""
    parts = [faces for _, faces in splits.items()]
    ids = np.concatenate([faces.ids for faces in parts])
    whole = FaceSet(
        np.zeros((len(ids), 1, 1, 1), np.uint8),
        np.concatenate([faces.labels for faces in parts]),
        ids,
        metadata=pd.concat([faces.metadata for faces in parts], ignore_index=True),
    )
    return whole.subset(np.argsort(ids))


def _fifth_of_pictures(faces, seed):
    """A bool mask `(n,)`: a fifth of the pictures of each class."""
    drawn = set()
    for label in np.unique(faces.labels):
        drawn |= _draw_fifth(faces.ids[faces.labels == label].tolist(), seed)
    return np.isin(faces.ids, list(drawn))


def _fifth_of_persons(faces, seed):
    """A bool mask `(n,)`: all pictures of a fifth of the persons of each sex."""
    persons = faces.metadata["person"]
    drawn = set()
    for _, group in persons.groupby(faces.metadata["sex"]):
        drawn |= _draw_fifth(group.unique().tolist(), seed)
    return persons.isin(drawn).to_numpy()


PROTOCOLS = {"random": _fifth_of_pictures, "subject": _fifth_of_persons}


def _draw_fifth(names, seed):
    """A fifth of the names, rounded, but at least one of two.

    The order of their hashes is as good as a random one, and depends on nothing else: not on NumPy's version, and
    hardly on which other names are there, so that a copy of KDEF that lacks a picture is cut as a whole one is.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    return set(order[: max(round(VALIDATION_SHARE * len(names)), int(len(names) > 1))])


def _require_every_class(splits, faces, path):
    if absent := _absent_classes(faces):
        raise DataError(
            "Whole classes of KDEF are missing",
            where=path,
            expected="pictures of all seven classes that can be used",
            found=f"none of {absent} among {len(faces):,}. {' '.join(splits.notes)}",
            advice="Give the folder or zip that holds all seven",
        )
    for split, part in splits.items():
        if absent := _absent_classes(part):
            two_persons = ", and so at least two persons of one sex" if splits.protocol == "subject" else ""
            persons = faces.metadata["person"].nunique()
            raise DataError(
                f"The split '{split}' is without pictures of a class",
                where=path,
                expected=f"all seven classes in both splits of protocol '{splits.protocol}'{two_persons}",
                found=f"none of {absent} among its {len(part):,} pictures; in all {len(faces):,} pictures of "
                f"{persons} person{'s' * (persons > 1)}",
            )


def _absent_classes(faces):
    counts = faces.counts()
    return ", ".join(counts.index[counts == 0])


def _leak_note(splits):
    persons = splits.validation.metadata["person"]
    known = persons.isin(shared_persons(splits))
    return (
        f"The random split leaks: {persons[known].nunique()} of the {persons.nunique()} persons in validation "
        f"({known.sum():,} of its {len(persons):,} pictures) also stand in train."
    )


def _persons_note(splits):
    texts = []
    for name, faces in splits.items():
        persons = faces.metadata.groupby("sex")["person"].nunique()
        texts.append(f"{name} has {persons.get('F', 0)} female and {persons.get('M', 0)} male")
    return f"No person stands in two splits: {', '.join(texts)}."
