"""What does sharing weights buy, at equal outputs?

Every convolution as it is, with a kernel of its own at each place (locally connected), and fully
connected: the maps keep their sizes, and what differs is how many weights make them and from where
(LeCun 1989, "Generalization and network design strategies").
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, words

NAMES = {"conv": "convolution", "local": "locally connected", "full": "fully connected"}
FLAGS = flags.FlagValues()
KINDS = words(FLAGS, "kinds", "conv,local,full", tuple(NAMES), "connections")
WIDTH = flags.DEFINE_float("width", 0.5, "factor on the net's channels", 0.001, flag_values=FLAGS)

X = ("connectivity", "connections")
DEFAULTS = Defaults(
    common=SMALL | {"learning_rates": "0.03,0.1,0.3"}, quick=QUICK | {"kinds": "conv,local"}
)


def runs(setting):
    from cnnjax.nets import vary

    base = vary.width(setting.net(), WIDTH.value)
    for kind in KINDS.value:
        yield setting.run(vary.connectivity(base, kind), connectivity=NAMES[kind])
