"""What does a wider net buy for its compute?

Every layer's channels are multiplied by each factor; MACs grow with its square.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, numbers

FLAGS = flags.FlagValues()
WIDTHS = numbers(FLAGS, "widths", "0.5,1,2,4", "factors on every layer's channels", low=0.001)

X = ("width", "width (factor)")
DEFAULTS = Defaults(common=SMALL, quick=QUICK | {"widths": "0.5,1,2"})


def runs(setting):
    from cnnjax.nets import vary

    base = setting.net()
    for factor in WIDTHS.value:
        yield setting.run(vary.width(base, factor), width=factor)
