"""Data loaders, ResNetV2 and non-local layers for a reproducible study of facial expression recognition."""

__version__ = "0.3.0"
