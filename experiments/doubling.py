"""What does a doubling of compute buy, and along which axis?

Width, depth, filter size, input resolution and the length of training of one base net are each
solved for the same multiples of its compute: multiply-accumulates of the whole training for length,
of a forward pass for the rest. What leaves them alone (dilation, activation, pooling,
normalisation) is tried at the base's.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, numbers, words

WAYS = ("width", "depth", "kernel", "resolution", "length")
TRIED = {
    "dilation": (2,),
    "activation": ("gelu", "tanh"),
    "pooling": ("avg", "max"),
    "norm": ("group", "none"),
}
FLAGS = flags.FlagValues()
AXES = words(FLAGS, "axes", ",".join(WAYS), WAYS, "the axes that compute is spent along")
FACTORS = numbers(FLAGS, "factors", "0.5,1,2,4", "multiples of the base's compute", low=0.01)
EQUAL = words(
    FLAGS, "equal", "dilation,activation,pooling,norm", (*TRIED, "none"),
    "axes to try at the base's compute, or none",
)  # fmt: skip
WIDTH = flags.DEFINE_float(
    "base_width", 1, "factor on the base's channels", 0.001, flag_values=FLAGS
)
TOLERANCE = flags.DEFINE_float(
    "tolerance", 0.05, "a point may cost so much more or less than its multiple; else the two nets "
    "around it are trained and interpolated", 0.0, 0.5, flag_values=FLAGS,
)  # fmt: skip

X = ("compute", "compute (× the base)")
SERIES = "axis"
DEFAULTS = Defaults(
    common=SMALL | {"net": "resnet14_slim", "epochs": 6, "learning_rates": "0.03,0.1,0.3"},
    quick=QUICK | {"axes": "width,length", "factors": "0.5,1,2", "equal": "none"},
)


def runs(setting):
    from cnnjax.nets import vary
    from cnnjax.study import doubling

    def make(shape):
        net = setting.net(input_shape=shape)
        return net if WIDTH.value == 1 else vary.width(net, WIDTH.value)

    base = doubling.Base(setting, make)
    for axis in AXES.value:
        yield from doubling.series(base, axis, FACTORS.value, TOLERANCE.value)
    tried = {axis: TRIED[axis] for axis in EQUAL.value if axis in TRIED}
    yield from doubling.equal(base, tried)
