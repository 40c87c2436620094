"""What does depth buy for its compute, with shortcuts and without?

A residual net and its plain twin, the same layers without shortcuts, at each depth (He et al.
2015, §4.2). A net that has no shortcuts makes one series.
"""

from absl import flags

from cnnjax.study.options import Defaults, integers, words

FLAGS = flags.FlagValues()
DEPTHS = integers(FLAGS, "depths", "1,2,3", "blocks in each stage")
BLOCKS = words(
    FLAGS, "blocks", "plain,residual", ("plain", "residual"), "with shortcuts, without, or both"
)
WIDTH = flags.DEFINE_float("width", 0.5, "factor on the net's channels", 0.001, flag_values=FLAGS)

X = ("layers", "depth (layers with weights)")
SERIES = "series"
DEFAULTS = Defaults(
    common={"net": "resnet20", "learning_rates": "0.03,0.1,0.3", "inspect": True},
    quick={"depths": "1,2", "learning_rates": "0.1", "epochs": 2, "seeds": 2,
           "train_examples": 2000, "inspect": False},
)  # fmt: skip


def runs(setting):
    from cnnjax.nets import vary

    base = vary.width(setting.net(), WIDTH.value)
    twins = {"plain": base}
    if vary.moves(base, "shortcut"):
        twins = {"plain": vary.shortcut(base, "none"), "residual": base}
    chosen = {name: twins[name] for name in BLOCKS.value if name in twins} or twins
    for name, twin in chosen.items():
        for blocks in DEPTHS.value:
            net = vary.depth(twin, blocks)
            yield setting.run(net, series=name, layers=setting.layers(net))
