"""The command ``completion``: the script with which a shell completes the command line."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from .output import print_text

_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print a script that completes commands, options and profiles.

    \b
    bash, in ~/.bashrc:  eval "$(aidp-sessions completion bash)"
    zsh, in ~/.zshrc:    eval "$(aidp-sessions completion zsh)"
    fish:  aidp-sessions completion fish > ~/.config/fish/completions/aidp-sessions.fish
    """
    made = _SHELLS[shell](context.find_root().command, {}, "aidp-sessions", "_AIDP_SESSIONS_COMPLETE")
    print_text(made.source() + "\n")
