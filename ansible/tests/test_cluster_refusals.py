"""What the cluster's roles refuse before they ask the cluster for anything, all in one play."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ANSIBLE = Path(__file__).resolve().parents[1]
INVENTORY = ANSIBLE.parent / "inventories" / "example-cluster"
CERTIFICATE = {"ray_proxy_certificate": "one", "ray_proxy_certificate_key": "two"}
HELM = {"helm_chart_helm": "/bin/true"}
KEY = "may hold letters, digits and . _ ~ + / = - only"
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("ray", {"ray_proxy_accounts": "admin:word"}, "with a hash from: openssl passwd -6"),
    ("ray", {"ray_proxy_certificate": "one"}, "ray_proxy_certificate_key belong together"),
    ("ray", {"ray_proxy_api_key": 'a"b'}, KEY),
    ("ray", {"ray_proxy_api_key": "a$b"}, KEY),
    ("ray", {"ray_proxy_api_key": "a\\b"}, KEY),
    ("ray", {"ray_proxy_node_port": 30826, **CERTIFICATE}, "needs ray_proxy_certificate and"),
    ("ray", {"ray_proxy_node_port": 30826, "ray_proxy_api_key": "a"}, "and ray_proxy_api_key"),
    ("ray", {}, "no digest of the proxy's image is pinned"),
    ("opentelemetry", {}, "no digest of the image nginx is pinned"),
    ("chaos_mesh", {}, "no digest of the image pause is pinned"),
    ("loki", {}, "no checksum of helm for"),
    ("loki", {**HELM, "helm_chart_releases": []}, "no checksum of chart loki is pinned"),
    ("nvidia_operator", {"nvidia_operator_interval": "500ms"}, "must be one of: 1s, 2s, 3s"),
]


def attempt(number: int, role: str, given: dict[str, Any]) -> dict[str, Any]:
    """Tasks that include a role and print, with a mark, why it failed."""
    said = f"<{number}>{{{{ ansible_failed_result.msg }}}}</{number}>"
    return {
        "block": [{"ansible.builtin.include_role": {"name": role}, "vars": given}],
        "rescue": [{"ansible.builtin.debug": {"msg": said}}],
    }


def test_roles_refuse_what_cannot_work_with_one_clear_line(tmp_path: Path) -> None:
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ANSIBLE / "configs" / "versions.yaml")],
        "vars": {"checksums": {}, "cluster_kubeconfig": "/nowhere/kubeconfig"},
        "tasks": [attempt(n, role, given) for n, (role, given, _) in enumerate(REFUSED)],
    }
    playbook = tmp_path / "refusals.yaml"
    playbook.write_text(yaml.safe_dump([play]))
    vault = {"vault_proxy_accounts": "admin:$6$salt$hash"}
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run(
        [str(program), "-i", str(INVENTORY), str(playbook), "-e", json.dumps(vault)],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
    )
    printed = " ".join(done.stdout.split())
    for number, (role, _, message) in enumerate(REFUSED):
        said = printed.partition(f"<{number}>")[2].partition(f"</{number}>")[0]
        assert message in said, (role, said or printed[-3000:] + done.stderr)
