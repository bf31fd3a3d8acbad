"""The command line: help, suggestions, types; a mistake of the user gives one sentence, and no file is overwritten."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Literal

import pytest

from tests.helpers.paths import TINY
from tfpose_mm import cli
from tfpose_mm.errors import UserError

SCRIPT = Path(sys.executable).with_name("tfpose")


@pytest.mark.parametrize("program", [[SCRIPT], ["-m", "tfpose_mm"]], ids=["script", "module"])
def test_the_overview_lists_every_command_without_torch(program):
    if program[0] == "-m" and sys.version_info < (3, 10):
        pytest.skip("Python 3.9 does not say that it runs a module")
    program = [sys.executable, "-X", "importtime", *program]
    process = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True)
    assert "torch" not in {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    lines = dict(line.split(None, 1) for line in process.stdout.splitlines() if line.startswith("  "))
    assert list(lines) == list(cli.COMMANDS)
    for name, line in lines.items():
        assert line == inspect.getdoc(cli._load(name)).splitlines()[0], name


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_describes_each_argument(name, capsys):
    assert cli.main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for parameter in inspect.signature(cli._load(name)).parameters:
        assert f"--{parameter.replace('_', '-')}" in text, parameter
    assert "``" not in text
    assert ":class:" not in text


def test_a_mistyped_command_gets_a_suggestion(capsys):
    assert cli.main(["predcit", "x"]) == 2
    sentence = "There is no command predcit. Did you mean predict? 'tfpose --help' lists all commands."
    assert capsys.readouterr().err == f"error: {sentence}\n"
    assert cli.main(["qqq"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


def greet(
    names: str | Sequence[str],
    *,
    out: str | Path | Callable,
    times: int = 1,
    pixel: tuple[float, float] | None = None,
    tone: Literal["soft", "loud"] = "soft",
    draw: bool = True,
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> str:
    """Greet persons.

    The greeting has a ``tone``, and this sentence
    goes on in the next line.

    Args:
        names: The
            persons.
        out: File.
        times: How often.
        pixel: Where.
        tone: How.
        draw: Whether to draw.
        cfg_options: Changes.
    """
    return repr((names, out, times, pixel, tone, draw, cfg_options))


def test_arguments_have_the_types_of_the_function(capsys):
    arguments = "a b --out x/y --times 3 --pixel 1 2.5 --tone loud --no-draw --cfg-options k=1 m.n=(1,2)"
    assert cli.run(greet, "greet", arguments.split()) == 0
    expected = (["a", "b"], "x/y", 3, (1.0, 2.5), "loud", False, ["k=1", "m.n=(1,2)"])
    assert capsys.readouterr().out == f"{expected!r}\n"
    assert cli.run(greet, "greet", ["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "The greeting has a tone, and this sentence goes on in the next line." in text
    assert "The persons." in text
    assert "[default: 1]" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("a --out x --tiems 3", "Unknown option: --tiems. Did you mean --times?"),
        ("a --out x --times many", 'unable to convert "many" into int'),
        ("a --out x --tone shrill", 'Choose from: "soft", "loud"'),
        ("a", "Parameter --out requires an argument."),
    ],
)
def test_a_wrong_argument_is_a_sentence(arguments, words, capsys):
    pytest.importorskip("cyclopts", minversion="4")  # the version for Python 3.9 has other words
    assert cli.run(greet, "greet", arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.endswith("'greet --help' lists all options.\n")
    assert len(printed.err.splitlines()) == 1


class Outcome(str):
    exit_status = 3
    errors = ("one.jpg could not be read",)


def test_a_result_has_an_exit_status_and_errors(capsys):
    assert cli.run(lambda: Outcome("done"), "x", []) == 3
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("done\n", "one.jpg could not be read\n")


def test_errors_of_a_command(capsys, monkeypatch):
    """A mistake of the user is a sentence, a bug keeps its traceback, a known issue also gets a fix."""

    def command():
        raise error

    monkeypatch.setattr(cli, "_load", lambda _: command)
    error = UserError("The file must exist: create it.")
    assert cli.main(["predict"]) == 2
    assert capsys.readouterr().err == "error: The file must exist: create it.\n"
    error = KeyboardInterrupt()
    assert cli.main(["predict"]) == 130
    error = RuntimeError("Weights only load failed: Unsupported global: HistoryBuffer")
    with pytest.raises(RuntimeError, match="Unsupported global"):
        cli.main(["predict"])
    assert capsys.readouterr().err.startswith("fix: torch 2.6 and later refuse MMEngine's training checkpoints: import")


def test_publish_loads_no_matplotlib(checkpoint, tmp_path):
    program = (
        f"import sys; sys.argv = [{str(SCRIPT)!r}]; from tfpose_mm import cli; "
        f"status = cli.main(['publish', {str(checkpoint)!r}, {str(tmp_path / 'out')!r}]); "
        "print(status, 'matplotlib' in sys.modules, 'mmpose.models' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "0 False False"


def test_recipe_reports_problems(capsys):
    assert cli.main(["recipe", str(TINY)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("tfpose_tiny_synthetic_128x96\nparameter groups\n")
    assert text.endswith("checks\n    no problem found\n")
    assert cli.main(["recipe", str(TINY), "--cfg-options", "model.head.num_joints=14"]) == 1
    assert "The head predicts 14 keypoints, but train_dataloader has 17" in capsys.readouterr().out


def test_check_data_takes_options_and_writes_its_findings(people, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNTHETIC_ROOT", raising=False)
    roots = [f"{loader}_dataloader.dataset.data_root={people}" for loader in ("train", "val", "test")]
    assert cli.main(["check-data", str(TINY), "--cfg-options", *roots]) == 0
    assert "2 data sets, 14 images: 0 refused (a training or test stops), 0 skipped" in capsys.readouterr().out
    assert cli.main(["check-data", str(TINY), "--json", "faults.json"]) == 1  # this folder has no data
    assert [row["check"] for row in json.loads(Path("faults.json").read_text())] == ["file_unreadable"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["faults.json"]
