"""Which activation function learns fastest, each at its own best learning rate?

The net stays but for its activations, without normalisation unless asked for, as where ReLU was
found to reach a training error some six times sooner than tanh (Krizhevsky, Sutskever & Hinton
2012, fig. 1). The dashboard tells how many steps each took to the given training error.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, words

KNOWN = ("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky_relu", "scaled_tanh", "relu6",
         "hard_swish", "hard_sigmoid", "identity")  # fmt: skip
FLAGS = flags.FlagValues()
ACTIVATIONS = words(
    FLAGS, "activations", "relu,tanh,sigmoid,gelu,silu", KNOWN, "activation functions"
)
NORM = flags.DEFINE_enum(
    "norm", "none", ("none", "batch", "group"), "normalisation of the net", flag_values=FLAGS
)
ERROR = flags.DEFINE_float(
    "train_error", 0.25, "training error to reach", 0, 1, flag_values=FLAGS
)  # fmt: skip

X = ("activation", "activation function")
DEFAULTS = Defaults(
    common=SMALL | {"learning_rates": "0.02,0.05,0.1,0.2,0.4", "inspect": True},
    quick=QUICK | {"activations": "relu,tanh", "learning_rates": "0.1", "inspect": False},
)


def goal():
    return "train_accuracy", 1 - ERROR.value


def runs(setting):
    from cnnjax.nets import vary

    base = vary.norm(setting.net(), NORM.value)
    for name in ACTIVATIONS.value:
        yield setting.run(vary.activation(base, name), activation=name)
