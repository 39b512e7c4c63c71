"""How long a person waits for `dispersy --help`, beside a bare Python that imports typer.

    python bench/start.py

typer and rich take most of it, whatever a program does with them; what is ours may add little: for a list of
commands no command's own libraries are imported.
"""

from __future__ import annotations

import subprocess
import sys

from harness import Bench

TIMES_MAX = 4.0


def main() -> int:
    bench = Bench("start", __doc__, versions=("typer", "rich"))
    help_command = [sys.executable, "-P", "-m", "dispersy.cli", "--help"]
    bare_command = [sys.executable, "-P", "-c", "import typer"]

    def start(command: list[str]) -> None:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    times = bench.interleave(
        {"help": lambda: start(help_command), "bare": lambda: start(bare_command)}, short=3
    )
    bench.figure("dispersy --help", times["help"], unit="s")
    bench.figure("python -c 'import typer'", times["bare"], unit="s")
    bench.at_most("dispersy --help / bare Python with typer", times["help"].over(times["bare"]), TIMES_MAX)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
