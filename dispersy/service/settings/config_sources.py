"""Where settings come from: an option overrides an environment variable, that the file, that the default.

One rule makes the variables' names: DISPERSY_ and the key in capitals, with that of its table before it.
Sections of communities are in the file alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import msgspec

from dispersy.bus.settings import CommunitySettings
from dispersy.endpoint import Endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.service.settings.config import (
    COMMUNITY_SETTINGS,
    SETTINGS,
    Config,
    ElementError,
    Setting,
    field_of,
)
from dispersy.service.settings.toml_lines import TomlLines

VARIABLE_PREFIX = "DISPERSY_"
OTHER_VARIABLES = frozenset({"HOME"})
"""What begins like a setting's variable and is none."""
MISSPELT_MIN = 0.85
"""How much alike two names are, as difflib reckons it, of which one is taken to be meant for the other."""
COMMUNITY = "community"
DEFAULT = "default"
HINT = "correct this and start again; `dispersy config check` looks it over"
CONFIG_SIZE_MAX = 1 << 16
"""Bytes of a config file; one that is larger was not written by hand, and finding lines in it takes long."""
MISTAKES_MAX = 100
COMMUNITY_SECTIONS_MAX = 200
COMMUNITY_KEY_MAX = 200
TCP_ADDRESSES = (("metrics",), ("tcp", "control"), ("tcp", "events"))
"""All sections travel to each process in one argument, of which Linux takes 128 KiB."""

Keys = tuple[str | int, ...]
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with one setting, for people.

    where   `config.toml:7`, or the name of a variable or option
    key     with those of its tables; empty where the text is no TOML
    hint    what to do about it, where that is known
    """

    where: str
    key: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.why) if part)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config, and where it comes from.

    origins   for each field that is no default, what gives its Mistake.where; a community's field has its
              name before it: `chat.walker_step_interval_s`
    """

    config: Config
    origins: Mapping[str, Callable[[], str]]
    mistakes: tuple[Mistake, ...]

    def origin(self, name: str) -> str:
        """Where this field's value comes from, as in Mistake.where, or `default`."""
        return self.origins[name]() if name in self.origins else DEFAULT

    def checked(self) -> Config:
        """The config; UsageError `config` that lists every mistake."""
        if self.mistakes:
            raise UsageError(
                "\n".join(str(mistake) for mistake in self.mistakes),
                code="config",
                # One is told to the end; of many the place and the reason are enough.
                hint=(len(self.mistakes) == 1 and self.mistakes[0].hint) or HINT,
            )
        return self.config


def load_config(
    path: Path, *, environment: Mapping[str, str], options: Mapping[str, object] | None = None
) -> Loaded:
    """The file, overridden by the environment and by options that are not None (field -> value).

    raises  StorageError when the file cannot be read; all that is wrong in it is a mistake
    """
    from_file = read_config(path)
    mistakes = list(from_file.mistakes)
    origins = dict(from_file.origins)
    fields: dict[str, object] = {}
    for keys, setting in SETTINGS.items():
        name = field_of(keys)
        for where, check in _overrides(name, setting, environment, options or {}):
            try:
                fields[name] = check()
                origins[name] = partial(str, where)
            except UsageError as error:
                mistakes.append(Mistake(where, "", str(error), error.hint))
    mistakes += _misspelt(environment)
    loaded = Loaded(_replaced(from_file.config, fields), origins, ())
    return replace(loaded, mistakes=(*mistakes, *_same_addresses(loaded)))


def _same_addresses(loaded: Loaded) -> Iterator[Mistake]:
    """TCP addresses of which one could be listened on and another could not, for they are the same."""
    before: list[tuple[tuple[str, ...], Endpoint]] = []
    for keys in TCP_ADDRESSES:
        address = getattr(loaded.config, field_of(keys))
        if address is None:
            continue
        for other, taken in before:
            if taken.overlaps(address):
                why = f"{address} is that of {'.'.join(other)} ({loaded.origin(field_of(other))}), too"
                hint = "give each a port of its own"
                yield Mistake(loaded.origin(field_of(keys)), ".".join(keys), f"{why}: {hint}")
        before.append((keys, address))


def read_config(path: Path) -> Loaded:
    """The settings of the file alone.

    raises  StorageError when it cannot be read
    """
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_SIZE_MAX + 1)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > CONFIG_SIZE_MAX:
        return _unreadable(path, f"larger than {CONFIG_SIZE_MAX} bytes")
    try:
        return parse_config(data.decode(), path)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Loaded(Config(), {}, (Mistake(f"{path}:{line}", "", "not UTF-8 text"),))


def parse_config(text: str, path: Path) -> Loaded:
    """The settings of this TOML text; path is for messages only."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        why = f"no valid TOML: {_PLACE.sub('', str(error))}"
        if place is None:
            return _unreadable(path, why)
        return Loaded(Config(), {}, (Mistake(f"{path}:{place[1]}", "", f"{why} (column {place[2]})"),))
    return _Reading(TomlLines(text), path).config(values)


class _Reading:
    """One pass over a file's values, which gathers what is wrong."""

    def __init__(self, lines: TomlLines, path: Path) -> None:
        self._lines = lines
        self._path = path
        self._wrong: list[tuple[int, str, str]] = []
        self._origins: dict[str, Callable[[], str]] = {}

    def config(self, values: dict[str, object]) -> Loaded:
        communities = self._communities(values.pop(COMMUNITY, {}))
        fields = self._fields(values, SETTINGS, (), also=(COMMUNITY,))
        self._origins |= {name: partial(self._where, keys) for name, (keys, _) in fields.items()}
        config = _replaced(Config(), {name: value for name, (_, value) in fields.items()})
        mistakes = (Mistake(f"{self._path}:{line}", key, why) for line, key, why in sorted(self._wrong))
        return Loaded(replace(config, communities=communities), self._origins, tuple(mistakes))

    def _communities(self, sections: object) -> dict[str, CommunitySettings]:
        communities: dict[str, CommunitySettings] = {}
        if not isinstance(sections, dict):
            self._mistake((COMMUNITY,), "must be tables such as [community.chat.walker]")
            return communities
        if len(sections) > COMMUNITY_SECTIONS_MAX:
            self._mistake((COMMUNITY,), f"at most {COMMUNITY_SECTIONS_MAX} communities")
            return communities
        for name, section in sections.items():
            at = (COMMUNITY, name)
            if not 1 <= len(name.encode()) <= COMMUNITY_KEY_MAX:
                self._mistake(at, f"a community's name has 1 to {COMMUNITY_KEY_MAX} bytes")
                continue
            if not isinstance(section, dict):
                self._mistake(at, f"must be a table such as [community.{name}.walker], not {section!r}")
                continue
            fields = self._fields(section, COMMUNITY_SETTINGS, at)
            settings = {field: value for field, (_, value) in fields.items()}
            for field, (keys, _) in fields.items():
                self._origins[f"{name}.{field}"] = partial(self._where, keys)
            communities[name] = msgspec.structs.replace(CommunitySettings(), **settings)
        return communities

    def _fields(
        self,
        values: dict[str, object],
        settings: Mapping[tuple[str, ...], Setting],
        at: tuple[str, ...],
        *,
        also: tuple[str, ...] = (),
        within: tuple[str, ...] = (),
    ) -> dict[str, tuple[tuple[str, ...], object]]:
        """Field -> (all its keys, its checked value), of one table and those in it.

        at       the keys of the table that `settings` begin in
        within   the keys from there to this table
        also     keys that are known here and read elsewhere
        """
        fields: dict[str, tuple[tuple[str, ...], object]] = {}
        depth = len(within)
        known = [keys for keys in settings if keys[:depth] == within]
        for key, value in values.items():
            here = (*within, key)
            whole_key = (*at, *here)
            if here in settings:
                try:
                    fields[field_of(here)] = whole_key, settings[here].check(value)
                except ElementError as error:
                    self._mistake((*whole_key, error.index), str(error))
                except UsageError as error:
                    self._mistake(whole_key, str(error))
            elif not any(keys[: depth + 1] == here for keys in known):
                names = sorted({keys[depth] for keys in known} | set(also))
                self._mistake(whole_key, _unknown(key, names))
            elif not isinstance(value, dict):
                self._mistake(whole_key, f"must be a table, as [{'.'.join(whole_key)}], not {value!r}")
            else:
                fields |= self._fields(value, settings, at, within=here)
        return fields

    def _mistake(self, keys: Keys, why: str) -> None:
        if len(self._wrong) < MISTAKES_MAX:
            name = "".join(f"[{key}]" if isinstance(key, int) else f".{_quoted(key)}" for key in keys)
            self._wrong.append((self._lines.line_of(keys), name.removeprefix("."), why))

    def _where(self, keys: Keys) -> str:
        return f"{self._path}:{self._lines.line_of(keys)}"


def _overrides(
    name: str, setting: Setting, environment: Mapping[str, str], options: Mapping[str, object]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """(where, what gives the checked value) of those that take the file's place; the last one counts."""
    variable = VARIABLE_PREFIX + name.upper()
    # One that is empty is as good as none, as for other programs.
    if environment.get(variable):
        yield variable, partial(setting.check, _meant(setting, environment[variable]))
    if options.get(name) is not None:
        yield setting.option, partial(setting.check, options[name])


def _misspelt(environment: Mapping[str, str]) -> Iterator[Mistake]:
    """Variables that look like one of ours. Others that begin like them are not ours to judge: whoever runs
    several programs together may be given some for each."""
    known = {field_of(keys).upper() for keys in SETTINGS}
    for variable in environment:
        name = variable.removeprefix(VARIABLE_PREFIX)
        if name == variable or name in known or name in OTHER_VARIABLES:
            continue
        if near := get_close_matches(name, known | OTHER_VARIABLES, n=1, cutoff=MISSPELT_MIN):
            why = f"nothing reads this variable; did you mean {VARIABLE_PREFIX}{near[0]}?"
            yield Mistake(variable, "", why, "rename it, or take it out of the environment")


def _meant(setting: Setting, text: str) -> object:
    """A variable's text as the value that it stands for; itself where it is none, for the check to refuse."""
    try:
        return setting.from_text(text)
    except (ValueError, KeyError):
        return text


def _unknown(key: str, names: list[str]) -> str:
    near = get_close_matches(key, names, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"unknown key; {meant}known are {', '.join(names)}"


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{key}"'


def _replaced(config: Config, fields: Mapping[str, object]) -> Config:
    return replace(config, **fields)  # type: ignore[arg-type]


def _unreadable(path: Path, why: str) -> Loaded:
    return Loaded(Config(), {}, (Mistake(str(path), "", why),))
