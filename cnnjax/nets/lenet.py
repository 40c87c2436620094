"""LeNet-5, LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning", §II-B, in its modern
form: full second convolution, max pooling, ReLU, dense layers of 120 and 84."""

from cnnjax.nets.blocks import Plain
from cnnjax.nets.net import Flatten, Head, Net, Stage
from cnnjax.nets.norms import NoNorm
from cnnjax.nets.pools import Pool


def lenet5(classes: int = 10, input_shape: tuple[int, int, int] = (32, 32, 1)) -> Net:
    """Of 32×32 inputs; smaller ones are padded by 2 pixels in the first layer, as with MNIST."""
    first = Plain(6, kernel=5, norm=NoNorm(), padding=2 if min(input_shape[:2]) < 32 else 0)
    second = Plain(16, kernel=5, norm=NoNorm(), padding=0)
    return Net(
        stages=(Stage(first, pool=Pool()), Stage(second, pool=Pool())),
        head=Head(classes, reduce=Flatten(), hidden=(120, 84)),
    )


NETS = {"lenet5": lenet5}
