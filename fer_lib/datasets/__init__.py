"""Data sets of faces, each as `Splits` of `FaceSet`s."""

from fer_lib.datasets.faces import CLASS_NAMES, FaceSet, Splits

__all__ = ["CLASS_NAMES", "FaceSet", "Splits"]
