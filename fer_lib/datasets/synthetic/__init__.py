"""Generated faces, drawn here and written in the forms in which FER-2013 and KDEF circulate.

So a fresh machine and the tests read them with the loaders that read the real ones. Their expressions are drawn
after the action units of the Facial Action Coding System (`expressions`); what a network scores on them says that
a study runs, and nothing about people.
"""

from fer_lib.datasets.synthetic.make import FORMS, make_synthetic

__all__ = ["FORMS", "make_synthetic"]
