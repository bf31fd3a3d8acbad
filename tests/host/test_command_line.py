"""Only the commands of this package leave the registration to themselves; every other program registers at import."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

import pytest

from tests.helpers.paths import ROOT

SCRIPT = os.path.join(sysconfig.get_path("scripts"), "tfpose")


def is_command(program, cwd=ROOT):
    """The answer in a process that has loaded nothing else; the file is loaded by its path."""
    code = (
        f"import importlib.util as u, sys; sys.argv = [{program!r}]; "
        f"spec = u.spec_from_file_location('m', {str(ROOT / 'tfpose_mm/host/command_line.py')!r}); "
        "module = u.module_from_spec(spec); spec.loader.exec_module(module); print(module.is_command_line())"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip() == "True"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (SCRIPT, True),
        ("tfpose", False),  # in another folder
        ("/usr/local/elsewhere/tfpose", False),
        (f"{SCRIPT}.py", False),
        ("train.py", False),
        ("-m", False),  # of another module
        ("", False),
    ],
)
def test_which_program_is_a_command(program, expected):
    assert is_command(program) == expected


def test_a_relative_path_of_the_script_is_one():
    folder, name = os.path.split(SCRIPT)
    assert is_command(f"./{name}", cwd=folder)


def test_a_module_that_imports_the_package_registers(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import tfpose_mm\nfrom mmpose.registry import MODELS\nprint(MODELS.get('TFPoseHead').__name__)\n"
    )
    command = [sys.executable, "-W", "ignore", "-m", "mine"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "TFPoseHead"
