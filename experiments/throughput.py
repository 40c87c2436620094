"""How fast are the nets on this machine, and do their MACs tell?

Nothing is trained: each net's latency at one image, its inference and its training step at
`--batch_size` are timed on the devices that are there, compilation apart, on images and classes of
its paper, of `--image_size`, or of a `--dataset`.
"""

from absl import flags

from cnnjax.errors import UserError
from cnnjax.study.options import Defaults

FLAGS = flags.FlagValues()
NETS = flags.DEFINE_list(
    "nets", [], "names, or all that take the images (default: one or two a family)",
    flag_values=FLAGS,
)  # fmt: skip
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "side in pixels of colour images (default: each net's own)", 1,
    flag_values=FLAGS,
)  # fmt: skip
SECONDS = flags.DEFINE_float("seconds", 60, "what a net may take, about", 1, flag_values=FLAGS)

FAMILIES = (
    "lenet5", "alexnet_one_tower", "zfnet", "vgg11", "googlenet", "resnet18", "resnet50",
    "densenet121", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0", "regnetx_400mf",
    "convnext_tiny",
)  # fmt: skip
DEFAULTS = Defaults(
    common={"batch_size": 8, "seeds": 1},
    quick={"nets": "lenet5,vgg4_slim,vgg11_slim,resnet20", "seconds": 15},
)


def runs(setting):
    from cnnjax.train.speed import Speed

    speed = Speed.of(setting.recipe, SECONDS.value)
    named = NETS.value or ([setting.net_name] if "net" in setting.given else [])
    for name in _names(named):
        try:
            net, shape = _build(setting, name)
        except UserError:  # Too small an image for it.
            if name in named:
                raise
            continue
        yield setting.probe(
            net,
            speed,
            label=name,
            image_shape=shape,
            input="×".join(map(str, shape)),
            batch_size=speed.batch_size,
            dtype=setting.recipe.dtype,
        )


def _names(named):
    from cnnjax import nets

    if named == ["all"]:
        return nets.names()
    return named or [name for name in FAMILIES if name in nets.names()]


def _build(setting, name):
    """The net and the images' shape, as the flags say or else as the net's paper has them."""
    from cnnjax import compute, nets

    shape, classes = nets.native_shape(name), nets.native_classes(name)
    if "dataset" in setting.given:
        shape, classes = setting.image_shape, setting.classes
    if IMAGE_SIZE.value:
        shape = (IMAGE_SIZE.value, IMAGE_SIZE.value, 3)
    net = nets.get(name, classes, shape)
    compute.measure(net, shape)  # Does it take them?
    return net, shape
