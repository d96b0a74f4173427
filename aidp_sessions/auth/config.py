"""The OCI config file and environment variables: finds settings and remembers where each was found.

Only this module reads the environment; only `files` and this module read the disk.
Sources: "SDK and CLI Configuration File" and "CLI Environment Variables" of the OCI documentation.
"""

from __future__ import annotations

import configparser
import enum
import logging
import os
import stat
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from ..endpoints import parse_region_list, parse_region_metadata
from ..errors import ConfigError
from .files import TextFile, expand
from .secrets import may_be_shown, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from ..endpoints import Region

T = TypeVar("T")

_DEFAULT_FILES: Final = ("~/.oci/config", "~/.oraclebmc/config")
_REGIONS_FILE: Final = "~/.oci/regions-config.json"
_DEFAULT_PROFILE: Final = "DEFAULT"
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("OCI_CLI_USER",),
    "tenancy": ("OCI_CLI_TENANCY",),
    "fingerprint": ("OCI_CLI_FINGERPRINT",),
    "key_file": ("OCI_CLI_KEY_FILE",),
    "key_content": ("OCI_CLI_KEY_CONTENT",),
    "pass_phrase": ("OCI_CLI_PASSPHRASE",),
    "security_token_file": ("OCI_CLI_SECURITY_TOKEN_FILE",),
    "delegation_token_file": ("OCI_CLI_DELEGATION_TOKEN_FILE",),
    "region": ("OCI_CLI_REGION", "OCI_REGION"),
}

_log = logging.getLogger("aidp_sessions")


class Precedence(enum.IntEnum):
    """Where a setting was found. The highest wins."""

    ABSENT = 0
    INHERITED = 1
    PROFILE = 2
    ENVIRONMENT = 3


@attrs.frozen(eq=False, repr=False)
class Setting:
    """A value, which may be secret, and where it was found.

    Attributes:
        source: the variable, or the key with its profile and file.
    """

    value: str = attrs.field(repr=False)
    source: str
    precedence: Precedence

    def parse(self, check: Callable[[str], T]) -> T:
        """Apply *check*; its `ValueError` becomes a `ConfigError` that names the source."""
        try:
            return check(self.value)
        except ValueError as error:
            problem = str(error)
        if not may_be_shown(self.value):
            problem = "it is not valid; its value is not shown, because it may contain a secret"
        raise ConfigError(f"{self.source}: {problem}")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Profile:
    """The settings of one profile, those of the environment included.

    Attributes:
        file: the config file; ``None`` if there is none.
        known: the names of all profiles in the file.
    """

    name: str
    file: Path | None
    known: tuple[str, ...]
    settings: Mapping[str, Setting] = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"profile {self.name!r} of {self.file}" if self.file else "the environment"

    def get(self, key: str) -> Setting | None:
        return self.settings.get(key)

    def precedence(self, key: str) -> Precedence:
        setting = self.settings.get(key)
        return setting.precedence if setting else Precedence.ABSENT

    def require(self, *keys: str) -> tuple[Setting, ...]:
        """Return the settings *keys*; raises one `ConfigError` that names all missing ones."""
        missing = [key for key in keys if key not in self.settings]
        if not missing:
            return tuple(self.settings[key] for key in keys)
        variables = ", ".join(_VARIABLES[key][0] for key in missing)
        if self.file is None:
            paths = " or ".join(_DEFAULT_FILES)
            raise ConfigError(
                f"there is no config file at {paths}, and {variables} not set; run `oci setup config` or set them"
            )
        raise ConfigError(
            f"{self} lacks {', '.join(missing)}; add what is missing, set {variables}, "
            f"or choose another profile ({_list_profiles(self.known)})"
        )


def from_environment(environ: Mapping[str, str] | None, *names: str) -> Setting | None:
    """The first of the variables *names* that is set; a blank one counts as not set."""
    values = os.environ if environ is None else environ
    for name in names:
        value = values.get(name, "").strip()
        if value:
            return Setting(value, name, Precedence.ENVIRONMENT)
    return None


def argument_or_variable(
    argument: str | None, check: Callable[[str], T], environ: Mapping[str, str] | None, *names: str
) -> T | None:
    """Apply *check* to *argument*, or else to the first of the variables *names* that is set; ``None`` if none is."""
    if argument is not None:
        return check(argument)
    setting = from_environment(environ, *names)
    return setting.parse(check) if setting else None


def extra_regions(environ: Mapping[str, str] | None = None) -> tuple[Region, ...]:
    """The regions that ``~/.oci/regions-config.json`` and ``OCI_REGION_METADATA`` describe.

    Raises `ConfigError` if one of them is malformed.
    """
    path = expand(_REGIONS_FILE)
    regions = parse_region_list(TextFile(path, "regions file").read(), str(path)) if _is_file(path) else ()
    setting = from_environment(environ, "OCI_REGION_METADATA")
    return (*regions, parse_region_metadata(setting.value, setting.source)) if setting else regions


def load_profile(
    profile: str | None = None,
    config_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Profile:
    """Read one profile. File and profile are the arguments, else those in the environment, else the defaults.

    A missing file is an error only if it was named. Raises `ConfigError`, which never quotes the file's contents.
    """
    file = _find_config_file(config_file, environ)
    setting = from_environment(environ, "OCI_CLI_PROFILE") if profile is None else None
    name = profile or (setting.value if setting else _DEFAULT_PROFILE)
    source = setting.source if setting else "profile"
    if file is None and name != _DEFAULT_PROFILE:
        paths = " or ".join(_DEFAULT_FILES)
        raise ConfigError(f"{source} {shown(name)} needs a config file, and there is none at {paths}")
    path = expand(file) if file else None
    sections: Mapping[str, Mapping[str, str]] = _parse(file) if file else {}
    if name not in sections and name != _DEFAULT_PROFILE:
        raise ConfigError(f"{source} {shown(name)} is not in {path}; {_list_profiles(sections)}")
    settings = _settings(sections, name, path) if path else {}
    for key, variables in _VARIABLES.items():
        if found := from_environment(environ, *variables):
            settings[key] = found
    return Profile(name=name, file=path, known=tuple(sections), settings=settings)


def _find_config_file(config_file: str | os.PathLike[str] | None, environ: Mapping[str, str] | None) -> TextFile | None:
    if config_file is not None:
        return TextFile(expand(config_file), "config file")
    if setting := from_environment(environ, "OCI_CLI_CONFIG_FILE", "OCI_CONFIG_FILE"):
        return TextFile(str(expand(setting.value)), f"{setting.source}: config file")
    path = next((path for path in map(expand, _DEFAULT_FILES) if _is_file(path)), None)
    return None if path is None else TextFile(path, "config file")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a home directory that may not be searched
        return False


def _parse(file: TextFile) -> Mapping[str, Mapping[str, str]]:
    text = file.read()
    # No section is called NUL, so the parser lets no profile inherit. `_settings` does, and marks what is inherited.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        parser.read_string(text)
    except configparser.DuplicateSectionError as error:
        problem, line = f"profile {shown(error.section)} exists twice", error.lineno
    except configparser.DuplicateOptionError as error:
        # In a pasted key, the text before the first equals sign passes for an option.
        option = error.option if error.option in _VARIABLES else "a key"
        problem, line = f"{option} exists twice in profile {shown(error.section)}", error.lineno
    except configparser.MissingSectionHeaderError as error:
        problem, line = "there is text before the first profile; begin with a line [DEFAULT]", error.lineno
    except configparser.ParsingError as error:
        problem, line = "this is neither [profile], nor key=value, nor a comment", error.errors[0][0]
    else:
        return {name: dict(parser[name]) for name in parser.sections()}
    # The parser's own message quotes the line, which may hold a passphrase.
    raise ConfigError(f"{os.fspath(file)}, line {line}: {problem}")


def _settings(sections: Mapping[str, Mapping[str, str]], name: str, path: Path) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for section in dict.fromkeys((_DEFAULT_PROFILE, name)):
        precedence = Precedence.PROFILE if section == name else Precedence.INHERITED
        for key, text in sections.get(section, {}).items():
            value, source = text.strip(), f"{key} of profile {section!r} in {path}"
            if "\n" in value and key != "key_content":
                raise ConfigError(f"{source}: the next line is indented and therefore continues it; remove the indent")
            settings[key] = Setting(value, source, precedence)
    return {key: setting for key, setting in settings.items() if setting.value}


def _list_profiles(profiles: Collection[str]) -> str:
    names = ", ".join(name for name in profiles if may_be_shown(name))
    return f"its profiles: {names}" if names else "it has no profiles"


def warn_if_exposed(path: str | os.PathLike[str], name: str, environ: Mapping[str, str] | None = None) -> None:
    """Log a warning if others than the owner may read a file, as the OCI command line does.

    ``OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING`` silences it. Windows has no such permissions.
    """
    silenced = from_environment(environ, "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING")
    if os.name == "nt" or (silenced and silenced.value.lower() not in _FALSE):
        return
    try:
        mode = expand(path).stat().st_mode
    except (OSError, ValueError):
        return
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("%s %s can be read by others; run: chmod 600 %s", name, path, path)
