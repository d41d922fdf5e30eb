"""Data loaders, ResNetV2 and non-local layers for a reproducible study of facial expression recognition."""

import importlib
import sys

__version__ = "0.2.0"


class _RegisterLayers:
    """Finder of modules that registers `NonLocal2D` for `keras.models.load_model` right after Keras is imported.

    Keras takes the layers of a model file from those registered and imports no module of the name in the file. So
    `import fer_lib` is enough to load a model, and imports no Keras for those who only read files.
    """

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            import_keras = spec.loader.exec_module

            def import_keras_and_layers(module):
                import_keras(module)
                importlib.import_module("fer_lib.models")

            spec.loader.exec_module = import_keras_and_layers
        return spec


if "keras" in sys.modules:
    importlib.import_module("fer_lib.models")
else:
    sys.meta_path.insert(0, _RegisterLayers())
