"""Generated faces, drawn here and written in the forms in which FER-2013 and KDEF circulate.

A fresh machine and the tests read them with the loaders that read the real data. What a network scores on them
shows that a study runs, and says nothing about people.
"""

from fer_lib.datasets.synthetic.forms import make_synthetic

__all__ = ["make_synthetic"]
