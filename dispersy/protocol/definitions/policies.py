"""The table of all policies a kind can have; what this version enforces; one row a policy.

A definition states a policy by its group's entry: {1: number of the policy, further keys: its parameters}.
Parameters at their default are left out, and so is the entry of a policy that is its group's default. People
write its name, and its parameters by name. A new policy is a new row, and the code that enforces it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispersy.errors import UsageError
from dispersy.protocol.wire.message import payload_size_max

PAYLOAD_SIZE_MAX = 65_536
"""The largest payload a definition may allow: no message will ever be longer."""
PAYLOAD_SIZE_DEFAULT = 971
"""What a message of any author and time holds in one datagram. Definitions leave it out, so it stays."""
assert payload_size_max(in_datagram=True) >= PAYLOAD_SIZE_DEFAULT
PRIORITY_OFFERED_MIN = 32
"""Messages of a kind of lower priority are offered to nobody: they are on request."""
_TIME_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number (or text) that belongs to a policy.

    key        in the policy's map
    low, high  both inclusive; for text the length in UTF-8 bytes
    default    None: it must be stated
    words      what people write for 0, 1, 2 ...; empty: the number itself
    """

    key: int
    name: str
    low: int
    high: int
    default: int | str | None = None
    words: tuple[str, ...] = ()
    is_text: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether people write true or false."""
        return (self.low, self.high) == (0, 1) and not self.words

    def fault(self, value: int | str) -> str | None:
        """What is wrong with a value, None if nothing."""
        if self.is_text:
            if not isinstance(value, str) or not self.low <= len(value.encode()) <= self.high:
                return f"{self.name} must be a text of {self.low} to {self.high} bytes"
        elif isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            return f"{self.name} must be a number from {self.low} to {self.high}"
        return None

    def written(self, value: int | str) -> str:
        """A value as people write it."""
        if isinstance(value, str):
            return value
        if self.words:
            return self.words[value]
        return ("false", "true")[value] if self.is_flag else str(value)


@dataclass(frozen=True, slots=True)
class Policy:
    """A row of the table: group, number in the group, name, parameters, whether this version enforces it."""

    group: str
    number: int
    name: str
    parameters: tuple[Parameter, ...] = ()
    enforced: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy that a kind has, with a value for each of its parameters, in their order."""

    policy: Policy
    values: tuple[int | str, ...] = ()

    @property
    def name(self) -> str:
        return self.policy.name

    def __getitem__(self, parameter_name: str) -> int | str:
        """A parameter's value; KeyError for one that this policy does not have."""
        for parameter, value in zip(self.policy.parameters, self.values, strict=True):
            if parameter.name == parameter_name:
                return value
        raise KeyError(parameter_name)

    def number(self, parameter_name: str) -> int:
        """A number's value; KeyError for one that this policy does not have."""
        value = self[parameter_name]
        assert isinstance(value, int)
        return value


_SPREAD = (
    Parameter(3, "in_sequence", 0, 1, default=0),
    Parameter(4, "priority", 0, 255, default=128),
    Parameter(5, "order", 0, 2, default=0, words=("ascending", "descending", "random")),
)
_PAYLOAD = (
    # How much of it a message carries depends on what becomes of the kind's messages (kind.payload_room).
    Parameter(2, "size_max", 1, PAYLOAD_SIZE_MAX, default=PAYLOAD_SIZE_DEFAULT),
    Parameter(3, "rate", 0, (1 << 32) - 1, default=0),
)

POLICIES = (
    Policy("authentication", 0, "none", enforced=True),
    Policy("authentication", 1, "member", enforced=True),
    Policy("authentication", 2, "double-member", enforced=True),
    Policy("resolution", 0, "public", enforced=True),
    Policy("resolution", 1, "linear", enforced=True),
    Policy(
        "resolution",
        2,
        "dynamic",
        (Parameter(2, "initial", 0, 1, words=("public", "linear")),),
        enforced=True,
    ),
    Policy("distribution", 0, "full-sync", _SPREAD, enforced=True),
    Policy("distribution", 1, "last-sync", (Parameter(2, "newest", 1, 0xFFFF), *_SPREAD), enforced=True),
    Policy("distribution", 2, "direct", _SPREAD, enforced=True),
    Policy("distribution", 3, "relay", _SPREAD, enforced=True),
    Policy(
        "destination",
        0,
        "community",
        (Parameter(2, "fan_out", 0, 255, default=0),),
        enforced=True,
    ),
    Policy("destination", 1, "candidate", enforced=True),
    Policy("destination", 2, "n-hop", (Parameter(2, "hops", 1, 255),), enforced=True),
    Policy("pruning", 0, "none", enforced=True),
    Policy(
        "pruning",
        1,
        "global-time",
        (Parameter(2, "inactive_threshold", 1, _TIME_MAX), Parameter(3, "prune_threshold", 1, _TIME_MAX)),
        enforced=True,
    ),
    Policy("payload", 0, "bytes", _PAYLOAD, enforced=True),
    Policy("payload", 1, "utf-8", _PAYLOAD, enforced=True),
    Policy(
        "payload",
        2,
        "messagepack",
        (*_PAYLOAD, Parameter(4, "schema", 0, 1024, default="", is_text=True)),
        enforced=True,
    ),
)

BATCH_WINDOW_MS_ENFORCED = 10_000
"""A publish request is answered when its window is over, and whoever asks waits some 30 s."""

GROUP_KEYS = {
    "authentication": 3,
    "resolution": 4,
    "distribution": 5,
    "destination": 6,
    "pruning": 7,
    "payload": 8,
}
"""Each group's key in a kind's map."""

_BY_NUMBER = {(policy.group, policy.number): policy for policy in POLICIES}
_BY_NAME = {(policy.group, policy.name): policy for policy in POLICIES}
assert len(_BY_NUMBER) == len(_BY_NAME) == len(POLICIES)


def policy_by_name(group: str, name: str) -> Policy:
    """A group's policy; UsageError that lists what there is."""
    policy = _BY_NAME.get((group, name))
    if policy is None:
        raise UsageError(
            f"{group} '{name}' is unknown; there are {', '.join(names(group))}", code="definition-policy"
        )
    return policy


def policy_by_number(group: str, number: int) -> Policy:
    """A group's policy; UsageError for a number that is none."""
    policy = _BY_NUMBER.get((group, number))
    if policy is None:
        raise UsageError(f"{group} {number} is unknown to this version", code="definition-policy")
    return policy


def names(group: str) -> list[str]:
    """The names of a group's policies, in the order of their numbers."""
    return [policy.name for policy in POLICIES if policy.group == group]


def choose(group: str, name: str, **values: int | str) -> Choice:
    """A policy with these parameters, the others at their defaults.

    raises  UsageError: unknown policy or parameter, value out of range, or one missing that has no default
    """
    policy = policy_by_name(group, name)
    known = {parameter.name for parameter in policy.parameters}
    for given in values:
        if given not in known:
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise UsageError(f"{group} {name} has no parameter '{given}'; {has}", code="definition-parameter")
    chosen = []
    for parameter in policy.parameters:
        value = values.get(parameter.name, parameter.default)
        if value is None:
            raise UsageError(f"{group} {name} needs '{parameter.name}'", code="definition-parameter")
        if fault := parameter.fault(value):
            raise UsageError(f"{group} {name}: {fault}", code="definition-parameter")
        chosen.append(value)
    return Choice(policy, tuple(chosen))


def not_enforced(choice: Choice) -> str | None:
    """What of a choice this version does not enforce, and what to use instead; None if nothing."""
    policy = choice.policy
    if not policy.enforced:
        instead = " or ".join(row.name for row in POLICIES if row.group == policy.group and row.enforced)
        return f"{policy.group} {policy.name} is not enforced by this version; use {instead}"
    return None
