"""What does a wider net buy for its compute?

Every layer's channels are multiplied by each factor; MACs grow with its square.
"""

from absl import flags

from cnnjax.study.options import Defaults, numbers

FLAGS = flags.FlagValues()
WIDTHS = numbers(FLAGS, "widths", "0.5,1,2,4", "factors on every layer's channels", low=0.001)

X = ("width", "width (factor)")
DEFAULTS = Defaults(
    common={"learning_rates": "0.03,0.1,0.3"},
    quick={"widths": "0.5,1,2", "learning_rates": "0.1", "epochs": 4, "seeds": 2},
)


def runs(setting):
    from cnnjax.nets import vary

    base = setting.net()
    for factor in WIDTHS.value:
        yield setting.run(vary.width(base, factor), width=factor)
