"""What does a doubling of compute buy, and along which axis?

One base net, at a half, twice and four times its compute along each axis: width, depth, filter size
and input resolution solved to the forward MACs, the length of the training to the training MACs.
Where whole numbers can't meet a budget within 1 %, the nets on either side are trained and
interpolated. Each point stands at its own best learning rate. What leaves MACs alone, such as
dilation, stands beside the base at equal MACs.
"""

from absl import flags

from cnnjax.study.options import SMALL, Defaults, numbers, words

AXES = ("width", "depth", "kernel", "resolution", "length")
EQUAL = ("dilation", "gelu", "tanh", "average", "group_norm", "no_norm")
FLAGS = flags.FlagValues()
ALONG = words(FLAGS, "along", ",".join(AXES), AXES, "axes along which compute is spent")
FACTORS = numbers(FLAGS, "factors", "0.5,1,2,4", "times the base's compute", low=0.01)
BESIDE = words(FLAGS, "beside", "dilation,gelu,tanh,average,group_norm", EQUAL,
               "what stands beside the base at its compute")  # fmt: skip
DEPTH = flags.DEFINE_integer("base_depth", 2, "blocks in each stage of the base", 1,
                             flag_values=FLAGS)  # fmt: skip
WIDTH = flags.DEFINE_float("base_width", 1.0, "factor on the base's channels", 0.001,
                           flag_values=FLAGS)  # fmt: skip

X = ("compute", "compute (times the base)")
SERIES = "axis"
DEFAULTS = Defaults(
    common=SMALL | {"epochs": 8, "train_examples": 3000},
    quick={"along": "width,depth", "factors": "0.5,1,2", "beside": "dilation", "epochs": 2,
           "learning_rates": "0.2", "train_examples": 1000, "seeds": 2},
)  # fmt: skip


def runs(setting):
    from cnnjax.study.doubling import Base, points

    def net(shape):
        return setting.net(input_shape=shape, depth=DEPTH.value, width=WIDTH.value)

    yield from points(Base(setting, net), ALONG.value, FACTORS.value, BESIDE.value)
