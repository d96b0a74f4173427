"""What the public names promise: a docstring, a place in the README, and types without holes."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest

import aidp_sessions
from aidp_sessions import SessionsClient, _options, testing

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[2] / "README.md"
PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (aidp_sessions, testing)
    for name in module.__all__
    if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name))
}


@cache
def namespace(module: str) -> dict[str, object]:
    """Everything that annotations in *module* may name: what it holds, and what it imports for type checkers only."""
    source = sys.modules[module]
    names = dict(vars(source))
    for block in ast.parse(inspect.getsource(source)).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(block.body, []), module, "exec"), names)  # noqa: S102  # our own imports
    return names


def hints(owner: object, module: str) -> dict[str, object]:
    names: dict[str, object] = {}
    for each in reversed(owner.__mro__ if inspect.isclass(owner) else ()):
        names |= namespace(each.__module__) if each.__module__.startswith(aidp_sessions.__name__) else {}
    return get_type_hints(owner, None, names | namespace(module), include_extras=True)


def annotated(public: object) -> Iterator[tuple[str, object]]:
    """Yield every annotation that a caller of *public* meets, its public methods and attributes included."""
    module = public.__module__
    yield from hints(public, module).items()
    for name, member in members(public) if inspect.isclass(public) else ():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
            yield from ((f"{name}.{key}", hint) for key, hint in hints(function, function.__module__).items())


def members(public: type) -> Iterator[tuple[str, object]]:
    """Yield what *public* and its bases in this package define."""
    for cls in public.__mro__:
        if cls.__module__.startswith(aidp_sessions.__name__):
            yield from vars(cls).items()


def parts(hint: object) -> Iterator[object]:
    """Yield *hint* and everything it is made of, what a ``TypedDict`` holds included."""
    yield hint
    inside = get_args(hint)
    if hint in (_options.Options, _options.CopyOptions, _options.OpenOptions):
        inside = tuple(hints(hint, _options.__name__).values())
    for argument in inside:
        for part in argument if isinstance(argument, list) else [argument]:
            yield from parts(part)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_signature_says_any(name: str) -> None:
    found = [where for where, hint in annotated(PUBLIC[name]) if any(part is Any for part in parts(hint))]

    assert found == []


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_parameter_and_result_is_annotated(name: str) -> None:
    public = PUBLIC[name]
    functions = [public] if inspect.isfunction(public) else [f for f in vars(public).values() if inspect.isfunction(f)]

    for function in functions:
        if function.__module__ == public.__module__ and not function.__name__.startswith("_"):
            expected = {*inspect.signature(function).parameters, "return"} - {"self"}
            assert set(inspect.get_annotations(function)) == expected, function.__qualname__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring_of_its_own(name: str) -> None:
    """Those that attrs and protocols write by themselves count for nothing."""
    public = PUBLIC[name]
    module = ast.parse(inspect.getsource(sys.modules[public.__module__]))
    defined = [
        node
        for node in module.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == public.__name__
    ]

    assert [bool(ast.get_docstring(node)) for node in defined] == [True]


def test_the_readme_lists_every_public_name_once() -> None:
    """Under the heading *Names*, each in backticks."""
    section = re.search(r"^## Names\n(.*?)(?=^## |\Z)", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert section, "README.md has no section '## Names'"

    assert sorted(re.findall(r"`(\w+)`", section[1])) == aidp_sessions.__all__


def test_options_that_are_passed_on_have_the_types_of_the_constructor() -> None:
    constructor = hints(SessionsClient.__init__, SessionsClient.__init__.__module__)
    parameters = {name: hint for name, hint in constructor.items() if name != "return"}
    from_config = hints(SessionsClient.from_config, SessionsClient.from_config.__module__)
    options = hints(_options.Options, _options.__name__)

    assert hints(_options.CopyOptions, _options.__name__) == parameters
    assert options == {name: hint for name, hint in parameters.items() if name not in {*from_config, "signer"}}
