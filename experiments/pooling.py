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
DEFAULTS = Defaults(common=SMALL, quick=QUICK)


def runs(setting):
    from cnnjax.nets import vary
    from cnnjax.study.budget import match_width

    base = setting.net()
    budget = setting.macs(base)
    for kind in KINDS.value:
        yield setting.run(vary.pooling(base, kind), series="fixed width", pooling=kind)
    for kind in KINDS.value:
        net, notes = vary.pooling(base, kind), ()
        if setting.macs(net) != budget:
            net, ratio = match_width(lambda f, n=net: vary.width(n, f), setting.macs, budget)
            notes = setting.off_budget(ratio)
        yield setting.run(net, series="equal MACs", pooling=kind, notes=notes)
