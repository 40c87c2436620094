"""What does a larger filter buy for its compute?

Every convolution of the net takes each kernel size, in two series. At fixed width a larger filter
also costs more, so size and compute are confounded; at equal MACs the widths are solved so that
every net costs what the base net does, and what remains is the filter's own doing.
"""

from absl import flags

from cnnjax.study.options import QUICK, SMALL, Defaults, integers

FLAGS = flags.FlagValues()
KERNEL_SIZES = integers(FLAGS, "kernel_sizes", "1,3,5,7", "filter sizes in pixels")
BASE = flags.DEFINE_integer(
    "base_kernel", 3, "the equal-MACs series costs what this size does", 1, flag_values=FLAGS
)

X = ("kernel_size", "filter size (pixels)")
SERIES = "series"
EQUAL = True
DEFAULTS = Defaults(common=SMALL, quick=QUICK | {"kernel_sizes": "1,3,7"})


def runs(setting):
    from cnnjax.nets import vary

    base = setting.net()
    equal = setting.equal(vary.kernel(base, BASE.value))
    for size in KERNEL_SIZES.value:
        net = vary.kernel(base, size)
        yield setting.run(net, series="fixed width", kernel_size=size)
    for size in KERNEL_SIZES.value:
        net = vary.kernel(base, size)
        yield from equal.runs(setting.run(net, series=equal.name, kernel_size=size))
