"""Run commands and scripts in processes that have imported the packages already: a new interpreter needs 5 seconds."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from mmengine.config import config as config_module
from yapf.yapflib import yapf_api

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["mmpose.apis", "mmengine.runner", "tfpose_mm.safe_loading"])


def run_preloaded(name, arguments, cwd, env):
    """Run ``python -m name arguments``, or ``python name arguments`` if it ends in .py, and wait for its end.

    The process is a fork of one that has imported torch, MMPose and tfpose_mm: variables that torch reads when it is
    imported have no effect. Returns ``subprocess.CompletedProcess``.
    """
    arguments = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / part for part in ("stdout", "stderr")]
        process = _context.Process(target=_run, args=(name, arguments, str(cwd), env, _search_path(), outputs))
        process.start()
        process.join()
        texts = [path.read_text(encoding="utf-8") for path in outputs]
    return subprocess.CompletedProcess([sys.executable, "-m", name, *arguments], process.exitcode, *texts)


@functools.cache
def _search_path():
    """Where a new interpreter looks for modules, after the current folder and without PYTHONPATH."""
    command = [sys.executable, "-I", "-c", "import sys; print('\\n'.join(sys.path))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _run(name, arguments, cwd, env, search_path, outputs):
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:] = [cwd, *search_path]
    sys.argv[:] = [name, *arguments]
    for module in (yapf_api, config_module):  # MMEngine 0.10.7 imports the function there
        module.FormatCode = lambda text, **_: (text, True)  # a training formats its config seven times
    try:
        if name.endswith(".py"):
            runpy.run_path(name, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # multiprocessing does not
