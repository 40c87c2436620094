"""Is one large filter better, or a stack of 3×3 that sees as far?

Three layers of 3×3 see 7×7 pixels with 27 C² weights where one layer takes 49 C² (Simonyan &
Zisserman 2014, §2.3). They also have more activations: stacked without any between them, the
layers have the weights alone.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, integers, words

WAYS = {"one": "one filter", "stacked": "stacked 3×3", "linear": "stacked, linear between"}
FLAGS = flags.FlagValues()
SIZES = integers(FLAGS, "sizes", "3,5,7", "filter sizes in pixels, odd", low=3)
WAY = words(FLAGS, "ways", ",".join(WAYS), tuple(WAYS), "which of the ways")
flags.register_validator(
    "sizes", lambda sizes: all(s % 2 for s in sizes), "3×3 filters stack to odd sizes", FLAGS
)

X = ("sees", "pixels that a stage's filters see")
SERIES = "series"
DEFAULTS = Defaults(common=SMALL, quick=QUICK | {"sizes": "3,7", "ways": "one,stacked"})


def runs(setting):
    import dataclasses

    from cnnjax.nets import vary

    base = vary.depth(vary.kernel(setting.net(), 3), 1)
    quiet = vary.activation(vary.norm(base, "none"), "identity")

    def stacked(layers):
        return vary.depth(base, layers)

    def linear(layers):
        stages = tuple(
            dataclasses.replace(a, block=(b.block,) * (layers - 1) + (a.block,), depth=layers)
            for a, b in zip(base.stages, quiet.stages, strict=True)
        )
        return base.clone(stages=stages)

    build = {"one": lambda n: vary.kernel(base, 2 * n + 1), "stacked": stacked, "linear": linear}
    for way in WAY.value:
        for size in SIZES.value:
            net = build[way](size // 2)
            yield setting.run(net, series=WAYS[way], sees=size)
