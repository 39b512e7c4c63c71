"""Goal: what two members sign goes over UDP between two nodes, decided on by a command and by a program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from dispersy.client import Client, Published
from dispersy.errors import UsageError
from tests.integration.node import Node
from tests.scenarios.test_double_signature import DEFINITION

LIMIT_S = 60.0
MakeNode = Callable[..., Node]


def publish(client: Client, second: bytes, *, accept: bool) -> Published | str:
    """What comes of one publication, or the code of the error."""
    try:
        return client.publish(
            "deals", [b"we agree"], kind="contract", second=second, appended=lambda _: accept
        )
    except UsageError as error:
        return error.code


def test_a_command_signs_with_something_appended(make_node: MakeNode) -> None:
    """Refused while nobody decides; then signed by both, once the first author accepts what was appended."""
    alice_node, bob_node = make_node("alice"), make_node("bob")
    with alice_node.start() as alice, bob_node.start() as bob:
        made = alice.create("deals", DEFINITION)
        bob.join(made["community_id"], name="deals", peers=alice.status()["addresses"])
        bob.wait_for_definition("deals", timeout_s=LIMIT_S)
        alice.wait_for_peers("deals", 1, timeout_s=LIMIT_S)
        bob_key = bob.community("deals")["member"]
        assert publish(alice, bob_key, accept=False) == "signature-refused"
        command = ["sign", "deals", "--accept", "--count", "1", "--append", "and so do I", "--json"]
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "dispersy.cli", *command, "--home", str(bob_node.home)],
            stdout=subprocess.PIPE,
            text=True,
            env=bob_node.environment,
        ) as signing:
            # The command answers from its first question on; until then it is refused at once.
            while (declined := publish(alice, bob_key, accept=False)) == "signature-refused":
                assert signing.poll() is None
            assert declined == "signature-appended"
            signed = publish(alice, bob_key, accept=True)
            assert isinstance(signed, Published), signed
            told, _ = signing.communicate(timeout=LIMIT_S)
        last = json.loads(told.splitlines()[-1])
        assert (last["accepted"], last["author"]) == (True, made["member_id"].hex())
        assert last["id"] == signed.ids[0].hex()
        bob.wait_for_count("deals", 1, timeout_s=LIMIT_S)
        for client in (alice, bob):
            (message,) = client.get("deals", signed.ids[0])
            assert message.payloads == (b"we agree", b"and so do I")
            assert (message.author, message.second_author) == (made["member_id"], bob_key)
            event = next(client.follow(["deals"], since="begin"))
            assert (event.author, event.second_author) == (made["member_id"], bob_key)
        authors = f"{made['member_id'].hex()[:8]}+{bob_key.hex()[:8]}"
        assert f"{authors} we agree" in alice_node.command("list", "deals").stdout
        shown = bob_node.command("subscribe", "deals", "--no-follow").stdout
        assert shown.splitlines() == [f"{authors} we agree", f"{authors} and so do I"]
        told = bob_node.command("subscribe", "deals", "--no-follow", "--json").stdout
        assert json.loads(told.splitlines()[0])["second_author"] == bob_key.hex()
        assert f"signed with  {bob_key.hex()}" in bob_node.command("get", "deals", signed.ids[0].hex()).stdout
