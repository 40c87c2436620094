"""How large and how strided should the first layer be?

AlexNet begins with filters of 11 pixels at stride 4, ZFNet with 7 at stride 2, which did better
(Zeiler & Fergus 2013, §4.1) and also makes four times larger maps; VGG with 3 at stride 1. Each
such stem before the same net, at fixed width and widened or narrowed to equal MACs.
"""

import re

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults

FLAGS = flags.FlagValues()
STEMS = flags.DEFINE_list("stems", "11/4,7/2,3/1", "filter size/stride, such as 7/2",
                          flag_values=FLAGS)  # fmt: skip
FEATURES = flags.DEFINE_integer("features", 8, "channels of the stem", 1, flag_values=FLAGS)

X = ("stem", "first layer (filter size/stride)")
SERIES = "series"
EQUAL = True
DEFAULTS = Defaults(
    common=SMALL | {"size": 64, "train_examples": 2000}, quick=QUICK | {"stems": "11/4,7/2"}
)
flags.register_validator(
    "stems",
    lambda given: all(re.fullmatch(r"[1-9]\d?/[1-9]\d?", stem) for stem in given),
    "write filter size/stride, such as 11/4,7/2",
    FLAGS,
)


def runs(setting):
    from cnnjax.nets.blocks import Plain
    from cnnjax.nets.net import Stage

    base = setting.net()

    def with_stem(stem):
        size, stride = map(int, stem.split("/"))
        return base.clone(stem=Stage(Plain(FEATURES.value, kernel=size), stride=stride))

    equal = setting.equal(with_stem(STEMS.value[0]))
    for stem in STEMS.value:
        yield setting.run(with_stem(stem), series="fixed width", stem=stem)
    for stem in STEMS.value:
        yield from equal.runs(setting.run(with_stem(stem), series=equal.name, stem=stem))
