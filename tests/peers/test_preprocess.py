"""Resizing and cropping beside torchvision's, to the pixel; normalising to its rounding."""

import pytest

pytest.importorskip("torchvision", reason="install the extra `peers`")

import numpy as np
from PIL import Image
from torchvision import transforms

from cnnjax.transfer.preprocess import Preprocess, normalised, prepare

SIZES = [(300, 400), (400, 301), (32, 32), (256, 256), (257, 256), (225, 999), (5, 3), (1, 1)]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (235, 224), (40, 33), (224, 224)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_the_peer(size, resize, crop, interpolation, mode):
    shape = size if mode == "L" else (*size, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pre = Preprocess(resize, crop, interpolation=interpolation)
    shrink = transforms.Resize(resize, transforms.InterpolationMode(interpolation))
    peer = transforms.Compose([transforms.Lambda(lambda x: x.convert("RGB")), shrink])
    expected = transforms.CenterCrop(crop)(peer(Image.fromarray(image)))
    found = prepare(image, pre)
    np.testing.assert_array_equal(found[0], np.asarray(expected))
    scaled = transforms.Normalize(pre.mean, pre.std)(transforms.ToTensor()(expected)).numpy()
    ours = normalised(found, pre)[0]
    np.testing.assert_allclose(ours, scaled.transpose(1, 2, 0), rtol=1e-5, atol=1e-6)
