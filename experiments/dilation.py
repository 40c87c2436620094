"""At an equal receptive field, is it better to dilate, to enlarge or to stack filters?

Each stage of the net sees d pixels further to every side in one of three ways: its 3×3 filters
dilated d times, filters of 2d + 1 pixels, or d layers of 3×3 filters (Simonyan & Zisserman 2014,
§2.3; Yu & Koltun 2016). Dilation costs no MACs, the others do.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, integers, words

WAYS = ("dilated", "larger", "stacked")
FLAGS = flags.FlagValues()
DILATIONS = integers(FLAGS, "dilations", "1,2,3", "pixels that a stage sees further")
WAY = words(FLAGS, "ways", ",".join(WAYS), WAYS, "which of the three ways")

X = ("receptive_field", "receptive field (pixels)")
SERIES = "series"
DEFAULTS = Defaults(
    common=SMALL | {"inspect": True}, quick=QUICK | {"dilations": "1,2", "inspect": False}
)


def runs(setting):
    from cnnjax.nets import vary

    base = vary.depth(vary.kernel(setting.net(), 3), 1)
    build = {
        "dilated": ("3×3 dilated", lambda d: vary.dilation(base, d)),
        "larger": ("larger filter", lambda d: vary.kernel(base, 2 * d + 1)),
        "stacked": ("stacked 3×3", lambda d: vary.depth(base, d)),
    }
    for way in WAY.value:
        series, make = build[way]
        for d in DILATIONS.value:
            net = make(d)
            field = setting.measure(net)["receptive_field"]
            yield setting.run(net, series=series, receptive_field=field)
