"""Progress on the terminal: one line per task, messages as plain text.

Ansible's own output takes three lines per task and hides what a reader waits for. This one says
what is being done before it is done, with the seconds since the start, shows the playbook's
messages as they are, and leaves failures to Ansible.
"""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.callback.default import CallbackModule as DefaultCallback

DOCUMENTATION = """
    name: progress
    type: stdout
    short_description: one line per task, messages as plain text
    description:
      - One line per task with the seconds since the start; messages of debug tasks as plain text.
      - Failures, warnings and the recap look as in the default callback.
      - With -v everything does.
    extends_documentation_fragment:
      - default_callback
      - result_format_callback
"""

QUIET_ACTIONS = {
    "assert",
    "debug",
    "include_role",
    "include_tasks",
    "include_vars",
    "meta",
    "set_fact",
    "slurp",
    "stat",
    "validate_argument_spec",
}


def action_of(task: Any) -> str:
    """Return the short name of a task's module."""
    return str(task.action).rpartition(".")[2]


class CallbackModule(DefaultCallback):  # type: ignore[misc] # Ansible ships no types
    """Print progress; everything not said here is inherited."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "progress"

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def _say(self, text: str, color: str | None = None) -> None:
        self._display.display(f"{time.monotonic() - self._began:7.1f} s  {text}", color=color)

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity > 0)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Say what is being done, unless it is mere bookkeeping."""
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
            return
        self._last_task_name = task.get_name().strip()  # the heading of a failure
        if action_of(task) not in QUIET_ACTIONS:
            self._say(task.get_name().strip())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Say what a handler does, as of any task."""
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)
        else:
            self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Show the text of a message; the success of anything else goes without saying."""
        if self._verbose:
            super().v2_runner_on_ok(result)
        elif action_of(result._task) == "debug":
            message = result._result.get("msg", "")
            for line in message if isinstance(message, list) else str(message).splitlines():
                self._display.display(f"{'':11}{line}", color="bright blue")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Show a loop's label where it is a sentence about progress."""
        if self._verbose:
            super().v2_runner_item_on_ok(result)
        elif isinstance(label := self._get_item_label(result._result), str) and "to go" in label:
            self._say(f"  {label}")

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Say nothing: what is included speaks for itself."""
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Name the play."""
        if self._verbose:
            super().v2_playbook_on_play_start(play)
        else:
            self._say(f"== {play.get_name().strip()}")

    def v2_runner_retry(self, result: Any) -> None:
        """Say nothing about a condition that does not hold yet."""
        if self._verbose:
            super().v2_runner_retry(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Say nothing about a task that is not needed."""
        if self._verbose:
            super().v2_runner_on_skipped(result)
