"""How well does one net do, trained by one recipe on one dataset?

Any net along any axis: `--net=resnet20 --kernel=5 --activation=gelu`.
"""

from absl import flags

from cnnjax.study.options import Defaults

FLAGS = flags.FlagValues()
NUMBERS = [
    flags.DEFINE_integer("kernel", None, "filter size in pixels", 1, flag_values=FLAGS),
    flags.DEFINE_integer("depth", None, "blocks in each stage", 1, flag_values=FLAGS),
    flags.DEFINE_integer("dilation", None, "dilation of the filters", 1, flag_values=FLAGS),
    flags.DEFINE_integer("stride", None, "stride of each stage", 1, flag_values=FLAGS),
    flags.DEFINE_float("width", None, "factor on the channels", 0.001, flag_values=FLAGS),
]
WORDS = [
    flags.DEFINE_string("activation", None, "relu, gelu, silu, tanh, …", flag_values=FLAGS),
    flags.DEFINE_string("norm", None, "batch, group or none", flag_values=FLAGS),
    flags.DEFINE_string("pooling", None, "max or avg", flag_values=FLAGS),
    flags.DEFINE_string("shortcut", None, "pad, projection or none", flag_values=FLAGS),
]
DEFAULTS = Defaults(quick={"epochs": 4, "seeds": 1})


def runs(setting):
    axes = {flag.name: flag.value for flag in (*NUMBERS, *WORDS) if flag.value is not None}
    yield setting.run(setting.net(**axes), **axes)
