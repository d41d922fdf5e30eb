"""The networks of the study: ResNetV2 as in `keras.applications`, and the non-local block."""

from fer_lib.models.non_local import NonLocal2D
from fer_lib.models.resnet_v2 import resnet_v2

__all__ = ["NonLocal2D", "resnet_v2"]
