"""The command line: what it says, and what it says to a mistake."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnjax.cli.main import main
from cnnjax.study import options
from tests.tiny import FLAGS, write_dataset

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "experiments"


@pytest.mark.parametrize("argv", [[], ["--experiment"], ["--experiment="]])
def test_without_an_experiment_there_is_a_menu(argv, capsys):
    assert main(argv, FOLDER) == 0
    said = capsys.readouterr().out
    for path in FOLDER.glob("*.py"):
        assert f"python launch.py --experiment={path.stem}" in said


@pytest.mark.parametrize("argv", ["", "--list", "--help"])
def test_menu_list_and_help_do_not_wait_for_jax(argv):
    code = (
        "import sys; from pathlib import Path; from cnnjax.cli.main import main; "
        f"main({argv.split()!r}, Path({str(FOLDER)!r})); "
        "assert not {'jax', 'flax', 'numpy', 'altair'} & set(sys.modules), 'a heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_said_in_a_line():
    bare = [sys.executable, "-S", "launch.py", "--list"]  # Without what is installed.
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the package absl is missing: run `pip install -e .`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_puts_the_experiments_own_flags_first(capsys):
    assert main(["--experiment=filter_size", "--help"], FOLDER) == 0
    said = capsys.readouterr().out
    places = [said.index(x) for x in ("--kernel_sizes=1,3,5,7", "--seeds=5", "--batch_size=")]
    assert places == sorted(places)
    assert main(["--help"], FOLDER) == 0
    assert "--dry_run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--experiment=filtre", "unknown experiment 'filtre': did you mean 'filter_size'? There"),
        ("--experiment=../x", "'../x' is no experiment's name; a file of your own is given with"),
        ("--experiment=/no/file.py", "there is no file /no/file.py"),
        ("--experimnt=x", "unknown flag '--experimnt': did you mean '--experiment'?"),
        ("--experiment=width --widht=1", "unknown flag '--widht': did you mean '--widths'?"),
        ("--experiment=width --widths=0", "use numbers from 0.001 up, with commas between"),
        ("--experiment=width --widths=a", "use numbers from 0.001 up, with commas between"),
        ("--experiment=depth --blocks=plane", "use words of plain, residual, with commas"),
        ("--experiment=width --net=vgg4_slin", "unknown net 'vgg4_slin': did you mean 'vgg4_slim'"),
        ("--experiment=width --epochs=0", "epochs: 0 is out of range: a whole number from 1"),
        ("--experiment=width --epochs=x", "flag --epochs=x"),
        ("--experiment=width --seeds=0", "flag --seeds=0"),
        ("--experiment=width --learning_rates=9999", "learning_rate: 9999.0 is out of range"),
        ("--experiment=width --optimizer=sdg", "unknown optimizer 'sdg': did you mean 'sgd'?"),
        ("--experiment=width --dataset=x.npz", "x.npz"),
        ("--experiment=width --parallel=pmpa", "flag --parallel=pmpa"),
        ("--experiment=width word", "'word' is no flag: flags begin with --"),
        ("--experiment=filter_size --kernel_sizes=3,99", "stage1/block1/conv: a 99×99 kernel"),
        ("--experiment=width --devices=1 --batch_size=99999", "batch_size: 99999 is more than the"),
        ("--dashboard=/no/folder", "there are no results in /no/folder"),
        ("--dashboard=.,/no/folder", "there are no results in /no/folder"),
        ("--dashboard=experiments,tests", "experiments holds no study: give folders such as"),
    ],
)
def test_a_mistake_is_answered_in_one_line(argv, message, capsys, tmp_path):
    data = write_dataset(tmp_path / "tiny.npz", side=32)
    given = argv.split()
    if "--experiment=" in argv and "--dataset" not in argv:
        given.append(f"--dataset={data}")
    assert main([*given, f"--results={tmp_path}/results"], FOLDER) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert "Traceback" not in captured.err


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz", side=32)
    other = tmp_path / "results" / "width"
    other.mkdir(parents=True)
    (other / "diary.txt").write_text("dear")
    flags = ["--experiment=width", f"--dataset={data}", f"--results={tmp_path}/results", *FLAGS]
    assert main(flags, FOLDER) == 2
    assert "is not a results folder and is left as it is" in capsys.readouterr().err
    assert [p.name for p in other.iterdir()] == ["diary.txt"]


def test_an_experiment_of_the_users_own(tmp_path, capsys):
    data = write_dataset(tmp_path / "tiny.npz")
    shutil.copy(FOLDER / "width.py", tmp_path / "my_study.py")
    flags = [f"--experiment={tmp_path}/my_study.py", f"--dataset={data}", "--widths=1", *FLAGS]
    flags += [f"--results={tmp_path}/results", "--net=tests.tiny:least_net"]
    assert main(flags, FOLDER) == 0
    assert (tmp_path / "results" / "my_study" / "dashboard.html").exists()
    (tmp_path / "empty.py").write_text('"""Nothing?"""\n')
    assert main([f"--experiment={tmp_path}/empty.py"], FOLDER) == 2
    assert "is no experiment: it has no FLAGS" in capsys.readouterr().err
    hiding = "flags.DEFINE_integer('epochs', 1, 'mine', flag_values=FLAGS)\n"
    (tmp_path / "hiding.py").write_text(
        '"""Mine?"""\nfrom absl import flags\nFLAGS = flags.FlagValues()\n' + hiding
        + "def runs(setting):\n    yield\n"
    )  # fmt: skip
    assert main([f"--experiment={tmp_path}/hiding.py"], FOLDER) == 2
    assert "--epochs is a flag of every study: name it otherwise" in capsys.readouterr().err


def test_an_experiment_cannot_set_one_rate_for_all():
    from absl import flags

    from cnnjax.errors import UserError
    from cnnjax.train.recipe import Recipe

    with pytest.raises(UserError, match="an experiment sets learning_rates, the grid"):
        options.define(flags.FlagValues(), {"learning_rate": 0.1}, Recipe)
