"""`agentflow-cloud completion`: what a shell needs to complete the commands."""

import argparse
from typing import Final

from agentflow_cloud.admin.arguments import Commands, command
from agentflow_cloud.admin.output import show_json

_PROGRAM: Final = "agentflow-cloud"
_SHELLS: Final = ("bash", "zsh", "fish")


def add_completion(commands: Commands) -> None:
    """Add `completion`."""
    summary = "print what a shell needs to complete commands, options, and names that the service knows"
    more = (
        'bash: eval "$(agentflow-cloud completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc, '
        "after compinit; fish: agentflow-cloud completion fish > "
        "~/.config/fish/completions/agentflow-cloud.fish."
    )
    examples = "completion bash\ncompletion zsh\ncompletion fish"
    parser = command(commands, "completion", _completion, summary, examples, more=more)
    parser.add_argument("shell", choices=_SHELLS)


def _completion(chosen: argparse.Namespace) -> None:
    from argcomplete.shell_integration import shellcode

    text = shellcode([_PROGRAM], shell=chosen.shell)
    show_json({"shell": chosen.shell, "script": text}) if chosen.json else print(text)
