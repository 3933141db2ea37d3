"""The k3s role, run for real in throw-away folders: a stand-in for the binary and for systemd.

The stand-ins do what the role relies on and nothing more; what a real k3s makes of its
configuration is not tested here.
"""

import hashlib
import http.server
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from saved_rules import SAVED
from warm_python import interpreter

ANSIBLE = Path(__file__).resolve().parents[1]
TOOLS = Path(sys.executable).parent
K3S_FILES = ANSIBLE / "roles" / "k3s" / "files"
HOSTS = ("first", "second", "agent")

K3S = """#!/bin/sh
# stand-in for k3s VERSION: writes a kubeconfig when it starts as a server, answers kubectl
version=VERSION
case "$1" in
  server|agent)
    here=$(dirname "$3")
    if [ "$1" = server ]; then
      echo 'server: https://127.0.0.1:6443' > "$here/k3s.yaml"
    fi ;;
  kubectl)
    case "$*" in
      *"get --raw /readyz") echo ok ;;
      *"get node"*) printf %s "$version" ;;
    esac ;;
esac
"""
SYSTEMCTL = """#!{python}
# stand-in for systemd: units are files; a service runs once, when it is started
import fcntl, json, subprocess, sys
from pathlib import Path

root = Path("{root}")
lock = (root / "systemd.lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)  # the machines are played at the same time
state_file = root / "systemd.json"
state = json.loads(state_file.read_text()) if state_file.exists() else {{}}
verb, *names = [word for word in sys.argv[1:] if not word.startswith("-")]
with (root / "systemctl.log").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")

def unit_file(name):
    found = list(root.glob("*/units/" + name + ".service"))
    return found[0] if found else None

for name in [n.removesuffix(".service") for n in names]:
    unit = state.setdefault(name, {{"active": False, "enabled": False}})
    file = unit_file(name)
    if verb == "show":
        print("LoadState=" + ("loaded" if file else "not-found"))
        print("ActiveState=" + ("active" if unit["active"] else "inactive"))
        print("SubState=" + ("running" if unit["active"] else "dead"))
        print("UnitFileState=" + ("enabled" if unit["enabled"] else "disabled"))
    elif verb == "is-enabled":
        print("enabled" if unit["enabled"] else "disabled")
        sys.exit(0 if unit["enabled"] else 1)
    elif verb in ("start", "restart"):
        lines = [line.partition("=") for line in file.read_text().splitlines()]
        command = next(value for key, _, value in lines if key == "ExecStart")
        subprocess.run(command.split(), check=True)
        unit["active"] = True
    elif verb == "stop":
        unit["active"] = False
    elif verb in ("enable", "disable"):
        unit["enabled"] = verb == "enable"
state_file.write_text(json.dumps(state))
"""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A web server of binaries; returns what puts a version there and gives its SHA-256."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def put(version: str) -> str:
            text = K3S.replace("VERSION", version)
            (folder / version).mkdir()
            (folder / version / "k3s").write_text(text)
            return digest(text)

        put.url = f"http://127.0.0.1:{server.server_address[1]}/{{version}}/k3s"  # type: ignore[attr-defined]
        yield put
        server.shutdown()


@pytest.fixture
def cluster(
    tmp_path: Path, site: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimpleNamespace]:
    """Three machines in three folders: two servers and an agent."""
    root = tmp_path / "machines"
    commands = tmp_path / "commands"
    commands.mkdir()
    scripts = {
        "systemctl": SYSTEMCTL.format(python=sys.executable, root=root),
        "modprobe": f"#!/bin/sh\necho $* >> {root}/modprobe.log\n",
        "ip": "#!/bin/sh\nexit 0\n",
        "iptables-save": f"#!/bin/sh\ncat {root}/rules\n",
        "ip6tables-save": "#!/bin/sh\n",
        "iptables-restore": f'#!/bin/sh\nif [ "$1" = --noflush ]; then cat > {root}/restored; fi\n',
    }
    for name, text in scripts.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": interpreter(),
            "ansible_host": f"192.0.2.{number}",
            "k3s_node_address": f"127.0.0.{number}",
            **{
                f"k3s_{key}": str(root / name / folder)
                for key, folder in {
                    "config_dir": "config",
                    "data_dir": "data",
                    "kubelet_dir": "kubelet",
                    "bin_dir": "bin",
                    "unit_dir": "units",
                    "run_dir": "run",
                    "modules_file": "modules.conf",
                }.items()
            },
            "k3s_minimum_disk_gib": 0,
            "k3s_left_behind": [str(root / name / "cni")],
            "k3s_bpf_dir": str(root / name / "bpf"),
        }
        for number, name in enumerate(HOSTS, 1)
    }
    for name in hosts:
        for folder in ("bin", "units"):
            (root / name / folder).mkdir(parents=True)
    (root / "rules").write_text(SAVED)
    groups = {
        "control": {"hosts": {"first": hosts["first"], "second": hosts["second"]}},
        "worker": {"hosts": {"agent": hosts["agent"]}},
    }
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    (inventory / "hosts.yaml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    settings = {
        "k3s_version": "v1.36.2+k3s1",
        "k3s_binary_url": site.url,
        "k3s_checksums": {arch: site("v1.36.2+k3s1") for arch in ["amd64"]},
        "k3s_service_manager": "systemd",
        "k3s_modules": ["overlay"],
        "k3s_minimum_kernel": "4.0",
        "k3s_ready_timeout_s": 10,
    }

    def play(playbook: str, *options: str, **changes: object) -> tuple[int, str]:
        variables = json.dumps({**settings, **changes})
        command = [str(TOOLS / "ansible-playbook"), "-i", str(inventory), playbook]
        done = subprocess.run(
            [*command, "-e", variables, *options],
            cwd=ANSIBLE,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
        )
        return done.returncode, done.stdout + done.stderr

    def change(host: str, **variables: object) -> None:
        (inventory / "host_vars").mkdir(exist_ok=True)
        (inventory / "host_vars" / f"{host}.yaml").write_text(yaml.safe_dump(variables))

    yield SimpleNamespace(play=play, change=change, root=root, inventory=inventory, put=site)
    shutil.rmtree(root)


def recap(printed: str, what: str) -> dict[str, int]:
    """Return a figure of every host from Ansible's recap."""
    lines = printed[printed.index("PLAY RECAP") :].splitlines()[1:]
    rows = {line.split()[0]: line for line in lines if " : " in line}
    return {host: int(line.split(f"{what}=")[1].split()[0]) for host, line in rows.items()}


def files(cluster: SimpleNamespace) -> list[Path]:
    """Return the files of all machines."""
    return [p for p in cluster.root.rglob("*") if p.is_file() and p.parent != cluster.root]


def mode(path: Path) -> str:
    return stat.filemode(path.stat().st_mode)[1:]


def configuration(cluster: SimpleNamespace, host: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (cluster.root / host / "config" / "config.yaml").read_text()
    )
    return content


@pytest.mark.slow
def test_a_cluster_is_installed_once_upgraded_and_removed(cluster: SimpleNamespace) -> None:
    status, printed = cluster.play("install-k3s.yaml")
    assert status == 0, printed

    first, second, agent = (configuration(cluster, name) for name in ("first", "second", "agent"))
    assert first["cluster-init"] is True
    assert "server" not in first
    assert first["tls-san"] == ["first", "second", "192.0.2.1", "192.0.2.2"]
    assert first["disable"] == ["traefik", "servicelb"]
    assert (first["flannel-backend"], first["disable-kube-proxy"]) == ("none", True)
    assert second["server"] == agent["server"] == "https://192.0.2.1:6443"
    assert "cluster-init" not in second
    assert "tls-san" not in agent
    assert agent["node-ip"] == "127.0.0.3"
    assert first["cluster-cidr"] == "10.42.0.0/16"
    assert first["default-local-storage-path"] == f"{cluster.root}/first/data/storage"
    assert agent["kubelet-arg"] == [f"root-dir={cluster.root}/agent/kubelet"]

    tokens = {(cluster.root / host / "config" / "token").read_text() for host in ("first", "agent")}
    assert len(tokens) == 1
    assert len(tokens.pop().strip()) == 64
    secrets = cluster.inventory / ".secrets"
    for path in (
        *(cluster.root / host / "config" / "token" for host in ("first", "second", "agent")),
        cluster.root / "first" / "config" / "config.yaml",
        secrets / "k3s-token",
        secrets / "kubeconfig",
    ):
        assert mode(path) == "rw-------", path
    assert "server: https://192.0.2.1:6443" in (secrets / "kubeconfig").read_text()

    unit = (cluster.root / "agent" / "units" / "k3s-agent.service").read_text()
    config = cluster.root / "agent" / "config" / "config.yaml"
    assert f"ExecStart={cluster.root}/agent/bin/k3s agent --config {config}" in unit
    assert (cluster.root / "agent" / "bin" / "kubectl").resolve().name == "k3s"

    assert (cluster.root / "modprobe.log").read_text() == 3 * "--all overlay\n"

    status, printed = cluster.play("install-k3s.yaml")
    assert status == 0, printed
    assert set(recap(printed, "changed").values()) == {0}, printed

    checksums = {"amd64": cluster.put("v1.36.3+k3s1")}
    newer = {"k3s_version": "v1.36.3+k3s1", "k3s_checksums": checksums}
    (cluster.root / "systemctl.log").unlink()
    status, printed = cluster.play("install-k3s.yaml", **newer)
    assert status == 0, printed
    assert "v1.36.3+k3s1" in (cluster.root / "second" / "bin" / "k3s").read_text()
    assert (cluster.root / "systemctl.log").read_text().count("restart k3s\n") == 2

    pin = cluster.root / "agent" / "bpf" / "tc" / "globals" / "cilium_lxc"
    pin.parent.mkdir(parents=True)
    pin.touch()
    before = files(cluster)
    status, printed = cluster.play("reset-k3s.yaml", "--check")
    assert status == 0, printed
    assert all(count > 0 for host, count in recap(printed, "changed").items() if host in HOSTS)
    assert files(cluster) == before
    status, printed = cluster.play("reset-k3s.yaml", "-e", "really=yes")
    assert status == 0, printed
    assert "agent: restart it before it is used for anything else" in " ".join(printed.split())
    assert files(cluster) == []
    assert not (secrets / "kubeconfig").exists()
    assert (cluster.root / "restored").exists()
    (cluster.root / "rules").write_text("")
    status, printed = cluster.play("reset-k3s.yaml", "-e", "really=yes")
    assert status == 0, printed
    assert set(recap(printed, "changed").values()) == {0}, printed


@pytest.mark.slow
def test_a_dry_run_of_everything_on_clean_machines_changes_nothing(
    cluster: SimpleNamespace, tmp_path: Path
) -> None:
    python = tmp_path / "python"  # of machines that have GPUs
    answer = """case "$1" in */gpus.py) echo '{"gpus": 1, "driver": "580.1"}'; exit;; esac"""
    python.write_text(f'#!/bin/sh\n{answer}\nexec {interpreter()} "$@"\n')
    python.chmod(0o755)
    for host in HOSTS:
        cluster.change(host, ansible_python_interpreter=str(python))
    pinned = yaml.safe_load((ANSIBLE / "configs" / "versions.yaml").read_text())
    given = {
        "checksums": {name: {"all": "0" * 64} for part in pinned.values() for name in part},
        "cluster_kubeconfig": str(cluster.inventory / ".secrets" / "kubeconfig"),
        "vault_grafana_password": "one",
        "vault_deepflow_password": "two",
        "vault_proxy_accounts": "admin:$6$salt$hash",
    }
    status, printed = cluster.play("install-cluster.yaml", "--check", "--diff", **given)
    assert status == 0, printed
    assert all(recap(printed, "changed")[host] > 0 for host in HOSTS)
    assert printed.count("a dry run ends here: there is no cluster yet") == 5
    assert files(cluster) == []
    assert {path.name for path in cluster.inventory.rglob("*")} == {
        "hosts.yaml",
        "host_vars",
        *(f"{host}.yaml" for host in HOSTS),
    }


@pytest.mark.parametrize(
    ("agent", "messages"),
    [
        (
            {"k3s_minimum_disk_gib": 10**6, "k3s_node_address": "192.0.2.3"},
            [
                "GiB free, 1000000 are needed",
                "agent: no interface has the node address 192.0.2.3; set k3s_node_address",
            ],
        ),
        (
            {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
            ["[agent]: UNREACHABLE!", "Connection refused"],
        ),
    ],
    ids=["unfit", "unreachable"],
)
def test_one_machine_that_will_not_do_leaves_all_of_them_alone(
    cluster: SimpleNamespace, agent: dict[str, object], messages: list[str]
) -> None:
    cluster.change("agent", **agent)
    status, printed = cluster.play("install-k3s.yaml")
    assert status != 0
    for message in messages:
        assert message in " ".join(printed.split()), printed
    assert files(cluster) == []
    assert not (cluster.inventory / ".secrets").exists()


def only(cluster: SimpleNamespace, host: str) -> None:
    """Leave the other machines out of the inventory."""
    path = cluster.inventory / "hosts.yaml"
    inventory = yaml.safe_load(path.read_text())
    group = {"hosts": {host: inventory["all"]["children"]["control"]["hosts"][host]}}
    path.write_text(yaml.safe_dump({"all": {"children": {"control": group}}}))


def test_a_binary_with_another_checksum_is_not_installed(cluster: SimpleNamespace) -> None:
    only(cluster, "first")
    status, printed = cluster.play("install-k3s.yaml", k3s_checksums={"amd64": "0" * 64})
    assert status != 0
    assert "did not match" in " ".join(printed.split())
    assert not (cluster.root / "first" / "bin" / "k3s").exists()
    assert not (cluster.root / "first" / "units" / "k3s.service").exists()


@pytest.mark.slow
def test_a_binary_can_be_brought_along_and_the_vaults_token_is_used_and_never_shown(
    cluster: SimpleNamespace, tmp_path: Path
) -> None:
    only(cluster, "first")
    text = K3S.replace("VERSION", "v1.36.2+k3s1")
    brought = tmp_path / "brought"
    brought.write_text(text)
    images = tmp_path / "images.tar"
    images.write_text("images")
    given = {
        "k3s_binary_source": str(brought),
        "k3s_images_source": str(images),
        "k3s_binary_url": "http://127.0.0.1:1/{version}",
        "k3s_token": "s3cr3t" * 8,
    }
    status, printed = cluster.play("install-k3s.yaml", "-vv", "--diff", **given)
    assert status == 0, printed
    machine = cluster.root / "first"
    assert (machine / "bin" / "k3s").read_text() == text
    assert (machine / "data" / "agent" / "images" / "images.tar").exists()
    assert (machine / "config" / "token").read_text() == "s3cr3t" * 8 + "\n"
    assert not (cluster.inventory / ".secrets" / "k3s-token").exists()
    assert "s3cr3t" not in printed.replace(json.dumps("s3cr3t" * 8), "")

    brought.write_text(text + "# changed\n")
    status, printed = cluster.play("install-k3s.yaml", **given)
    assert status != 0
    assert f"its SHA-256 is {digest(text + '# changed' + chr(10))}, pinned is" in " ".join(
        printed.split()
    )


def test_nothing_is_removed_without_a_yes(cluster: SimpleNamespace) -> None:
    (cluster.root / "first" / "bin" / "k3s").write_text("kept")
    only(cluster, "first")
    status, printed = cluster.play("reset-k3s.yaml")
    assert status != 0
    assert "nothing was removed" in " ".join(printed.split())
    assert (cluster.root / "first" / "bin" / "k3s").exists()
