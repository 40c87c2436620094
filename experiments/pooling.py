"""Max pooling, average pooling or a stride: what is the best way to make maps smaller?

A stride in place of the pool also saves the convolution most of its outputs (Springenberg et al.
2015, §2), so there are two series: the net as it is, and the strided one widened to equal MACs.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, words

FLAGS = flags.FlagValues()
KINDS = words(FLAGS, "kinds", "max,avg,stride", ("max", "avg", "stride"), "ways to pool")

X = ("pooling", "pooling")
SERIES = "series"
EQUAL = True
DEFAULTS = Defaults(common=SMALL, quick=QUICK)


def runs(setting):
    from cnnjax.nets import vary

    base = setting.net()
    equal = setting.equal(base)
    for kind in KINDS.value:
        yield setting.run(vary.pooling(base, kind), series="fixed width", pooling=kind)
    for kind in KINDS.value:
        net = vary.pooling(base, kind)
        yield from equal.runs(setting.run(net, series=equal.name, pooling=kind))
