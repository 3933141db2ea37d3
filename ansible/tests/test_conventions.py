"""What holds for all roles and playbooks, whatever they do."""

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

ANSIBLE = Path(__file__).resolve().parents[1]
# Run by itself, as `ansible` is this folder for the tests.
SETTINGS = """
import json, yaml
from ansible.config.manager import ConfigManager
from ansible.plugins.doc_fragments.result_format_callback import ModuleDocFragment

callback = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
known = [*ConfigManager().get_configuration_definitions().values(), *callback.values()]
print(json.dumps([[e["section"], e["key"]] for about in known for e in about.get("ini", [])]))
"""


def test_ansible_knows_every_setting_that_is_made() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], cwd=ANSIBLE, capture_output=True, text=True, check=True
    )
    known = {tuple(setting) for setting in json.loads(done.stdout)}
    made = configparser.ConfigParser()
    made.read(ANSIBLE / "ansible.cfg")
    assert {(section, key) for section in made.sections() for key in made[section]} <= known
    assert made["defaults"].getboolean("host_key_checking") is True


def test_no_error_is_ignored_and_no_password_can_be_guessed() -> None:
    files = [
        p for p in ANSIBLE.rglob("*") if p.suffix in (".yaml", ".j2") and "tests" not in p.parts
    ]
    assert len(files) > 100
    for path in files:
        for line in path.read_text().splitlines():
            assert "ignore_errors" not in line, path
            if re.search("password|token|secret", line, re.I):
                assert not re.search(r"seed|ansible_date_time|strftime|now\(|\bdate \+", line), path
