"""`--summary`: the table of any net at once, and what it says to a mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from cnnjax.cli.main import main
from cnnjax.cli.summary import read
from cnnjax.nets import vary

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "experiments"


def test_the_table_is_of_the_papers_net_on_the_papers_images(capsys):
    assert main(["--summary=resnet50", "--input=224,224,3"], FOLDER) == 0
    asked = capsys.readouterr().out
    assert "25,557,032" in asked and "4,089,184,256" in asked
    assert "8,178,368,512  2 · MACs" in asked and "FLOPs by XLA's count" in asked
    assert main(["--summary", "resnet50"], FOLDER) == 0
    assert capsys.readouterr().out == asked


def test_axes_classes_and_square_inputs_are_read(capsys):
    flags = ["--summary=resnet20", "--kernel=5", "--depth=1,2,1", "--activation=gelu"]
    assert main([*flags, "--classes=7", "--input=16"], FOLDER) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "resnet20 · kernel 5 · depth 1,2,1 · activation gelu · 7 classes"
    assert "input 16×16×3" in said
    assert "stage2/block2/conv2" in said and "stage1/block2" not in said
    assert "conv 5×5" in said and "conv 3×3" not in said


def test_an_adapted_net_says_so(capsys):
    assert main(["--summary=alexnet", "--input=32"], FOLDER) == 0
    assert "\nAdapted to these images: stem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("gelu", "gelu"),
        ("3,5,7", (3, 5, 7)),
        ("0.5,1", (0.5, 1)),
        ("group(groups=2)", "group(groups=2)"),
        ("scaled(a=1, b=2)", "scaled(a=1, b=2)"),
    ],
)
def test_values_of_axes_are_numbers_words_or_one_a_stage(text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--summary=resnet_50", "unknown net 'resnet_50': did you mean 'resnet50'"),
        ("--summary=resnet20 --kernl=3", "unknown flag '--kernl': did you mean '--kernel'"),
        ("--summary=resnet20 --kernel=x", "kernel: 'x' is out of range"),
        ("--summary=resnet20 --width=wide", "width: 'wide' is out of range"),
        ("--summary=resnet20 --activation=glu", "unknown activation 'glu': did you mean 'gelu'"),
        (
            "--summary=resnet20 --input=2,x,3",
            "--input=2,x,3 is no image: give height,width,channel",
        ),
        ("--summary=resnet20 --input=0", "--input=0 is no image"),
        ("--summary=resnet20 --input=8,8", "--input=8,8 is no image"),
        ("--summary=vgg11 --input=8", "input"),
        ("--summary=resnet20 --classes=0", "flag --classes=0"),
        ("--summary=resnet20 word", "'word' is no flag"),
        ("--summary=tests.test_summary:nameless", "has no input_shape of its own: give one"),
    ],
)
def test_a_mistake_is_answered_in_one_line(argv, message, capsys):
    assert main(argv.split(), FOLDER) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def nameless(classes, input_shape):
    """A builder that says nothing of its own."""


def test_without_a_name_there_are_the_names_and_with_help_the_axes(capsys):
    assert main(["--summary"], FOLDER) == 0
    assert "\nresnet50\n" in capsys.readouterr().out
    assert main(["--summary=resnet20", "--help"], FOLDER) == 0
    said = capsys.readouterr().out
    assert all(f"--{axis}=" in said for axis in vary.AXES)


def test_menu_and_help_mention_it(capsys):
    for argv in ([], ["--help"]):
        assert main(argv, FOLDER) == 0
        assert "--summary=" in capsys.readouterr().out


def test_no_weight_is_allocated_and_nothing_needless_imported():
    code = (
        "import sys; from pathlib import Path; from cnnjax.cli.main import main; "
        f"main(['--summary=resnet18'], Path({str(FOLDER)!r})); import jax; "
        "assert not jax.live_arrays(), 'arrays'; "
        "needless = {'optax', 'orbax', 'scipy', 'altair', 'cnnjax.train', 'cnnjax.data', "
        "'cnnjax.report'} & set(sys.modules); assert not needless, needless"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
