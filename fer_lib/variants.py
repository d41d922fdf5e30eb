"""Names of the networks that a study compares: `resnet50v2`, `resnet50v2-nl3`, `resnet26v2-nl34-dot_product`."""

import re
from dataclasses import dataclass

from fer_lib.errors import ParameterError

# Bottlenecks in stages 1 to 4. 50, 101 and 152 are He et al. (2016); 14 and 26 are the same network made
# small enough for a CPU (layers = 3 * bottlenecks + 2).
STAGE_BLOCKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# Stages 1 to 3 halve the map in their LAST bottleneck, as Keras does and the paper of He et al. does not.
STAGE_STRIDES = (2, 2, 2, 1)
# Equations (3) to (6) of the paper, and two controls: identity attention mixes no positions, uniform attention
# mixes all of them alike.
PAIRWISE_LABELS = {
    "embedded_gaussian": "embedded Gaussian", "gaussian": "Gaussian", "dot_product": "dot product",
    "concatenation": "concatenation", "identity": "identity attention (control)",
    "uniform": "uniform attention (control)",
}  # fmt: skip
PAIRWISE_FUNCTIONS = tuple(PAIRWISE_LABELS)
# Functions whose logits can be scaled: those with a softmax.
GAUSSIANS = ("embedded_gaussian", "gaussian")
# "every": after every bottleneck of the stage (the paper); "before_last": one block, before the stage's last
# bottleneck (Wang et al. 2018).
PLACEMENTS = ("every", "before_last")
# Earlier names, which parameters and run folders may have.
EARLIER_NAMES = {"identity": "none"}

_OPTIONS = "|".join((*PLACEMENTS, "pre", "scaled"))
_NAME = re.compile(
    rf"resnet(?P<depth>\d+)v2(-nl(?P<stages>\d+)(-(?P<pairwise>(?!(?:{_OPTIONS})(?:-|$))[a-z_]+))?"
    rf"(-(?P<placement>{'|'.join(PLACEMENTS)}))?(?P<pre>-pre)?(?P<scaled>-scaled)?)?"
)


@dataclass(frozen=True)
class Variant:
    """One network of the grid; ParameterError for a value that is not among the known ones."""

    depth: int = 50  # a key of `STAGE_BLOCKS`
    stages: tuple[int, ...] = ()  # those of 1 to 4, increasing, that get non-local blocks; none in the baseline
    pairwise: str = "embedded_gaussian"  # one of `PAIRWISE_FUNCTIONS`
    placement: str = "every"  # one of `PLACEMENTS`
    pre: bool = False  # the blocks read a normalised input, as the bottlenecks of a pre-activation ResNet do
    scaled: bool = False  # the Gaussians' logits are divided by the square root of their width

    def __post_init__(self) -> None:
        known = {"depth": STAGE_BLOCKS, "pairwise": PAIRWISE_FUNCTIONS, "placement": PLACEMENTS}
        for part, allowed in known.items():
            if (value := getattr(self, part)) not in allowed:
                what = f"A variant's {part.replace('pairwise', 'pairwise function')} is unknown"
                raise ParameterError(what, None, "one of " + ", ".join(map(str, allowed)), repr(value))
        if list(self.stages) != sorted({1, 2, 3, 4}.intersection(self.stages)):
            expected = "each of 1 to 4 at most once, in increasing order, such as nl34"
            found = "nl" + "".join(map(str, self.stages))
            raise ParameterError("A variant names its stages wrongly", None, expected, found)
        blocks = STAGE_BLOCKS[self.depth]
        if self.placement == "before_last" and any(blocks[stage - 1] < 2 for stage in self.stages):
            expected = "at least 2 bottlenecks in each stage that gets a block"
            raise ParameterError("A variant's placement is impossible", self.name, expected, f"{blocks}")
        if self.scaled and self.pairwise not in GAUSSIANS:
            expected = "one of " + ", ".join(GAUSSIANS)
            raise ParameterError("Only a softmax has logits to scale", self.name, expected, self.pairwise)

    @property
    def name(self) -> str:
        """The name that `from_name` reads; the paper's own function and placement are left unsaid."""
        parts = [f"resnet{self.depth}v2"]
        if self.stages:
            options = [option for option in ("pre", "scaled") if getattr(self, option)]
            block = ["nl" + "".join(map(str, self.stages)), self.pairwise, self.placement, *options]
            parts += [part for part in block if part not in ("embedded_gaussian", "every")]
        return "-".join(parts)

    @property
    def label(self) -> str:
        """Short words for axes and tables: `baseline`, `stage 3`, `stages 3-4, dot product`."""
        if not self.stages:
            return "baseline"
        stages = f"stage{'s' * (len(self.stages) > 1)} {'-'.join(map(str, self.stages))}"
        options = {
            PAIRWISE_LABELS[self.pairwise]: self.pairwise != "embedded_gaussian",
            "one block": self.placement != "every", "normalised input": self.pre, "scaled": self.scaled,
        }  # fmt: skip
        return ", ".join([stages, *(option for option, is_set in options.items() if is_set)])

    @classmethod
    def from_name(cls, name: str) -> "Variant":
        """Return the variant of a name or an earlier name of it; ParameterError where it is none."""
        match = _NAME.fullmatch(str(name))
        if match is None:
            form = "resnet<depth>v2[-nl<stages>[-<function>][-before_last][-pre][-scaled]], as resnet50v2-nl34"
            raise ParameterError("A variant's name cannot be read", None, form, repr(name))
        pairwise, placement = match["pairwise"] or cls.pairwise, match["placement"] or cls.placement
        pairwise = {earlier: now for now, earlier in EARLIER_NAMES.items()}.get(pairwise, pairwise)
        stages, options = map(int, match["stages"] or ""), (match["pre"] is not None, match["scaled"] is not None)
        return cls(int(match["depth"]), tuple(stages), pairwise, placement, *options)
