"""Which design space holds better nets: one kernel size, or sizes mixed over the stages?

A space is a base net with ranges on its axes. Nets are drawn from each, and spaces are compared by
the distribution of their nets' errors, as drawn and at matched MACs (Radosavovic et al. 2019, "On
network design spaces for visual recognition"; 2020, "Designing network design spaces"). Nets are
the replicates, so each is trained once, all at one learning rate.
"""

from absl import flags

from cnnjax.study.options import SMALL, Defaults

FLAGS = flags.FlagValues()
SPACES = flags.DEFINE_string(
    "spaces",
    "three: kernel=3, width=0.5..2 per stage, depth=1..2 per stage; "
    "mixed: kernel=1|3|5|7 per stage, width=0.5..2 per stage, depth=1..2 per stage",
    "named spaces: `name: axis=range, …; name: …`, a range as 3, 1|3|5 or 1..4, then “per stage” "
    "for a value a stage",
    flag_values=FLAGS,
)
COUNT = flags.DEFINE_integer("count", 20, "nets drawn from each space", 1, flag_values=FLAGS)
SEED = flags.DEFINE_integer("space_seed", 0, "draws other nets", 0, flag_values=FLAGS)
BOUNDS = [
    flags.DEFINE_string("macs", "500k..2M", "only nets that cost LOW..HIGH", flag_values=FLAGS),
    flags.DEFINE_string("params", None, "only nets of LOW..HIGH parameters", flag_values=FLAGS),
    flags.DEFINE_string("activations", None, "only nets of LOW..HIGH activations",
                        flag_values=FLAGS),
]  # fmt: skip

SERIES = "space"  # No X: numbered nets are a sample of their space.
DEFAULTS = Defaults(
    common=SMALL | {"learning_rates": "0.2", "seeds": 1},
    quick={"count": 4, "train_examples": 2000, "epochs": 3},
)


def runs(setting):
    from cnnjax.study import ranges, space

    constraints = [b for flag in BOUNDS if (b := ranges.bounds(flag.name, flag.value))]
    base = setting.net()
    for one in ranges.spaces(SPACES.value):
        nets = space.sample(one, base, COUNT.value, SEED.value, setting.image_shape, constraints)
        for drawn in nets:
            yield setting.run(drawn.net, space=one.name, number=drawn.number, **drawn.told)
