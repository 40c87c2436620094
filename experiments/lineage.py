"""From LeNet-5 to ConvNeXt: which idea of the lineage is worth its compute?

Each net, adapted to the dataset's images, is widened or narrowed to one budget of MACs and trained
by one recipe, each at its own best learning rate; what remains is the architecture.
"""

from absl import flags

from cnnjax.study.options import Defaults

FLAGS = flags.FlagValues()
NETS = flags.DEFINE_list(
    "nets",
    "lenet5,alexnet,zfnet,vgg11_bn,googlenet,resnet18,densenet121,mobilenet_v2,"
    "efficientnet_b0,convnext_tiny",
    "nets in the order of their years",
    flag_values=FLAGS,
)
BUDGET = flags.DEFINE_float("macs", 1e6, "multiply-accumulates per image that each net gets",
                            1000, flag_values=FLAGS)  # fmt: skip

X = ("architecture", "architecture")
EQUAL = True
DEFAULTS = Defaults(
    common={
        "optimizer": "adamw",
        "learning_rates": "0.001,0.003,0.01",
        "schedule": "onecycle(peak=0.1, tail=0.2)",
        "train_examples": 4000,
        "epochs": 11,
        "batch_size": 32,
    },
    quick={"nets": "lenet5,alexnet,vgg11_bn", "learning_rates": "0.003", "train_examples": 1000,
           "epochs": 2, "seeds": 2},
)  # fmt: skip


def runs(setting):
    equal = setting.equal(macs=int(BUDGET.value))
    for name in NETS.value:
        yield from equal.runs(setting.run(setting.net(name), label=name, architecture=name))
