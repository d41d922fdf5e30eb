"""Names of the networks that a study compares: `resnet50v2`, `resnet50v2-nl3`, `resnet26v2-nl34-dot_product`."""

import re
from dataclasses import dataclass

from fer_lib.errors import ParameterError

# Bottlenecks in stages 1 to 4. 50, 101 and 152 are He et al. (2016); 14 and 26 are the same network made
# small enough for a CPU (layers = 3 * bottlenecks + 2).
STAGE_BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# Equations (3) to (6) of the paper; "none" is the control without mixing between positions.
PAIRWISE_LABELS = {
    "embedded_gaussian": "embedded Gaussian", "gaussian": "Gaussian", "dot_product": "dot product",
    "concatenation": "concatenation", "none": "identity attention (control)",
}  # fmt: skip
PAIRWISE_FUNCTIONS = tuple(PAIRWISE_LABELS)
# "every": after every bottleneck of the stage (the paper); "before_last": one block, before the stage's last
# bottleneck (Wang et al. 2018).
PLACEMENTS = ("every", "before_last")

_PLACEMENT = "|".join(PLACEMENTS)
_NAME = re.compile(
    r"resnet(?P<depth>\d+)v2"
    rf"(-nl(?P<stages>\d+)(-(?P<pairwise>(?!(?:{_PLACEMENT})$)[a-z_]+?))?(-(?P<placement>{_PLACEMENT}))?)?"
)


@dataclass(frozen=True)
class Variant:
    """One network of the grid; ParameterError for a value that is not among the known ones.

    Args:
        depth: a key of `STAGE_BLOCKS`.
        stages: the stages (1 to 4, increasing) that get non-local blocks; none in the baseline.
        pairwise: one of `PAIRWISE_FUNCTIONS`.
        placement: one of `PLACEMENTS`.
    """

    depth: int = 50
    stages: tuple[int, ...] = ()
    pairwise: str = "embedded_gaussian"
    placement: str = "every"

    def __post_init__(self):
        known = {"depth": STAGE_BLOCKS, "pairwise": PAIRWISE_FUNCTIONS, "placement": PLACEMENTS}
        for part, allowed in known.items():
            if (value := getattr(self, part)) not in allowed:
                expected = "one of " + ", ".join(map(str, allowed))
                what = part.replace("pairwise", "pairwise function")
                raise ParameterError(f"A variant's {what} is unknown", expected=expected, found=repr(value))
        if list(self.stages) != sorted({1, 2, 3, 4}.intersection(self.stages)):
            expected = "each of 1 to 4 at most once, in increasing order, such as nl34"
            found = "nl" + "".join(map(str, self.stages))
            raise ParameterError("A variant names its stages wrongly", expected=expected, found=found)

    @property
    def name(self):
        """The name that `from_name` reads; the paper's own function and placement are left unsaid."""
        parts = [f"resnet{self.depth}v2"]
        if self.stages:
            block = "nl" + "".join(map(str, self.stages)), self.pairwise, self.placement
            parts += [part for part in block if part not in ("embedded_gaussian", "every")]
        return "-".join(parts)

    @property
    def label(self):
        """Short words for axes and tables: `baseline`, `stage 3`, `stages 3-4, dot product`."""
        if not self.stages:
            return "baseline"
        words = ("stage " if len(self.stages) == 1 else "stages ") + "-".join(map(str, self.stages))
        if self.pairwise != "embedded_gaussian":
            words += ", " + PAIRWISE_LABELS[self.pairwise]
        if self.placement != "every":
            words += ", one block"
        return words

    @classmethod
    def from_name(cls, name):
        """Reads `resnet<depth>v2[-nl<stages>[-<pairwise>][-<placement>]]`; ParameterError where it is none."""
        match = _NAME.fullmatch(str(name))
        if match is None:
            expected = "resnet<depth>v2[-nl<stages>[-<function>][-before_last]], such as resnet50v2-nl34"
            raise ParameterError("A variant's name cannot be read", expected=expected, found=repr(name))
        stages = tuple(map(int, match["stages"] or ""))
        pairwise, placement = match["pairwise"] or cls.pairwise, match["placement"] or cls.placement
        return cls(int(match["depth"]), stages, pairwise, placement)
