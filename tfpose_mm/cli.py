"""The command line: ``tfpose NAME`` calls a public function of this package.

Arguments, defaults, choices and help of a command are those of its function: cyclopts reads its type hints and its
docstring. A command prints what its function returns. The exit status is 0, or the ``exit_status`` of the result; 2 for
an error that the user can fix, which is one sentence; 130 after Ctrl-C.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Union

import cyclopts

from .errors import UserError
from .host.requirements import HostError, explain
from .version import __version__

# name of the command: module and function; a module is imported when its command runs
COMMANDS = {
    "init": "own_data.initialise:init_data",
    "train": "training:train",
    "test": "training:evaluate",
    "predict": "inference.prediction:predict",
    "report": "analysis.report:write_report",
    "figures": "analysis.figures:draw_figures",
    "export": "export.exporter:export_onnx",
    "compare": "comparison.table:compare_models",
    "check-data": "datasets.checks.checking:check_data",
    "recipe": "recipe:show_recipe",
    "publish": "publishing:publish",
    "submission": "evaluation.mpii_submission:submit_mpii",
    "synthesize": "datasets.synthetic.dataset:write_dataset",
    "check-env": "check_env:check_env",
}
WITHOUT_MODELS = ("publish", "synthesize", "check-env")  # these build nothing from configs
HELP = ("-h", "--help")
UNIONS = (Union, getattr(types, "UnionType", Union))  # of Optional[str], and of str | None since Python 3.10
LISTS = (list, tuple, Sequence)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: its name and its arguments, or those of the process. Returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or HELP
    if name in (*HELP, "--version"):
        print(__version__ if name == "--version" else _overview())
        return 0
    if name not in COMMANDS:
        similar = difflib.get_close_matches(name, [*COMMANDS, *HELP, "--version"], n=1)
        did_you_mean = f" Did you mean {similar[0]}?" if similar else ""
        return _fail(f"There is no command {name}.{did_you_mean} 'tfpose --help' lists all commands.")
    try:
        if name not in WITHOUT_MODELS:
            from . import registration, safe_loading  # noqa: F401 - no command runs code in a checkpoint
        return run(_load(name), f"tfpose {name}", rest)
    except (UserError, HostError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        problem = explain(error)
        if problem is not None:
            print(f"fix: {problem}", file=sys.stderr)
        raise


def run(function: Callable, program: str, arguments: Sequence[str]) -> int:
    """Call a function with the arguments of a command line and print its result. Returns the exit status."""
    app = make_app(function, program)
    if any(argument in HELP for argument in arguments):
        app.help_print()
        return 0
    try:
        command, bound, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        return _fail(f"{' '.join(str(error).split())} '{program} --help' lists all options.")
    result = command(*bound.args, **bound.kwargs)
    if result is not None:
        print(result)
    for line in getattr(result, "errors", ()):
        print(line, file=sys.stderr)
    return getattr(result, "exit_status", 0)


def make_app(function: Callable, program: str) -> cyclopts.App:
    """A command line for a function, whose type hints and docstring describe the arguments.

    Of a union of types, those count that can be written on a command line. ``program`` is the name in the help.
    """

    def command(*args: object, **kwargs: object) -> object:
        return function(*args, **kwargs)

    hints = {name: _writable(hint) for name, hint in _type_hints(function).items() if name != "return"}
    signature = inspect.signature(function)
    parameters = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    vars(command)["__signature__"] = signature.replace(parameters=parameters, return_annotation=signature.empty)
    command.__annotations__ = hints
    command.__doc__ = _plain(inspect.getdoc(function) or "")
    many = cyclopts.Parameter(consume_multiple=True, negative_iterable=(), show_default=_show_default)
    app = cyclopts.App(name=program, default_parameter=many, help_flags=(), version_flags=(), help_format="plaintext")
    app.default(command)
    return app


def _show_default(value: object) -> Any:  # noqa: ANN401 - cyclopts declares str, and shows no default for None
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return None if value is None else str(value)


def _fail(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 2


def _overview() -> str:
    """Usage, and each command with the first line of its docstring, without importing it."""
    lines = ["Usage: tfpose NAME [ARGUMENTS], or python -m tfpose_mm NAME [ARGUMENTS]", ""]
    for name, place in COMMANDS.items():
        module, function = place.split(":")
        source = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
        lines.append(f"  {name:<12}{str(ast.get_docstring(functions[function])).splitlines()[0]}")
    end = "tfpose NAME --help describes the arguments of a command; tfpose --version prints the version."
    return "\n".join([*lines, "", end])


def _load(name: str) -> Callable:
    module, function = COMMANDS[name].split(":")
    return getattr(importlib.import_module(f"tfpose_mm.{module}"), function)


def _plain(docstring: str) -> str:
    """A docstring without markup and with one line for each paragraph and argument."""
    text = re.split(r"\n\n(?:Returns|Raises):", docstring.replace("``", ""))[0]
    description, heading, arguments = text.partition("\n\nArgs:")
    return re.sub(r"(?<!\n)\n(?!\n)", " ", description) + heading + re.sub(r"\n {5,}", " ", arguments)


def _type_hints(function: Callable) -> dict[str, Any]:
    if sys.version_info >= (3, 10):
        return typing.get_type_hints(function)
    from eval_type_backport import eval_type_backport  # Python 3.9 cannot evaluate `str | None`

    texts = function.__annotations__.items()
    return {name: eval_type_backport(typing.ForwardRef(text), function.__globals__, {}) for name, text in texts}


def _writable(hint: Any) -> Any:  # noqa: ANN401 - a type hint is any object
    """Of a union, the types that can be written on a command line: lists, or else single values."""
    if typing.get_origin(hint) not in UNIONS:
        return hint
    members = typing.get_args(hint)
    lists = [member for member in members if typing.get_origin(member) in LISTS]
    simple = [member for member in members if member in (str, int, float, bool, Path)]
    return Union[tuple(lists or simple)]  # pyrefly: ignore[invalid-annotation] - made at run time
