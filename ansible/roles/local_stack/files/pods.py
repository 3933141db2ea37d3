"""Pods of the local stack: what Kubernetes gives a pod, made with the kernel's own tools.

A pod is a network namespace with its own address on one bridge, a control group with its own CPU
and memory account, a process namespace whose end ends every process in it, and its own /dev/shm and
Ray folder.

Usage: pods.py --stack STACK.json COMMAND
  up                     create the bridge, the namespaces and the groups (idempotent)
  down                   kill what runs in them and remove them (idempotent)
  limit                  apply the CPU and memory limits; `limit --start` lifts the CPU limits
  clear NAME             kill what runs in the group `observation` or `load`
  observe                move Ray's metrics agents from the pods' groups to `observation`
  run NAME -- CMD ...    become the main process of a pod
  group NAME -- CMD ...  run a command on the host inside the group `observation` or `load`;
                         `group --root NAME` keeps root's rights
  exec NAME -- CMD ...   run a command inside a running pod, as its user
  status                 print what exists, as JSON

STACK.json: {"bridge", "gateway", "prefix", "log_dir", "user",
             "pods": {NAME: {"address", "cpu", "memory_bytes"}}}
"""

import argparse
import json
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import cgroups

NAMESPACES = Path("/run/netns")
RAY_FOLDER = Path("/run/rca-llm/ray")  # inside each pod: its own; short, for sockets have 107 bytes
# The load goes before all: a scrape wakes a dozen processes, and its requests must not be late.
HOST_GROUPS = {"observation": 1000, "load": 10000}
BENCH_WEIGHT = 1000  # the whole bench against the machine's other work
BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
METRICS_AGENT = b"ray::DashboardAgent"
LINK_NAME_LENGTH = 15  # the kernel's limit for the name of a network interface


class PodError(Exception):
    """A pod is not in the state that a command needs."""


@dataclass(frozen=True)
class Pod:
    """One pod: `name` is the service, `veth` its interface on the host's side."""

    name: str
    address: str
    cpu: float
    memory_bytes: int
    veth: str

    @property
    def namespace(self) -> str:
        """Name of the network namespace."""
        return f"rca-{self.name}"

    @property
    def group(self) -> str:
        """Path of the control group below each controller's mount."""
        return f"{cgroups.ROOT}/pods/{self.name}"


@dataclass(frozen=True)
class Stack:
    """The whole local stack, as described by STACK.json."""

    bridge: str
    gateway: str
    prefix: int
    log_dir: Path
    user: str
    pods: dict[str, Pod]

    @classmethod
    def load(cls, path: Path) -> "Stack":
        """Read STACK.json; pods get interface names from their order.

        Raises:
            PodError: the bridge's name is too long to name the interfaces after it.
        """
        raw: dict[str, Any] = json.loads(path.read_text())
        pods = {
            name: Pod(name=name, veth=f"{raw['bridge']}p{index}", **fields)
            for index, (name, fields) in enumerate(raw.pop("pods").items())
        }
        for pod in pods.values():
            if len(pod.veth) > LINK_NAME_LENGTH:
                raise PodError(
                    f"{pod.veth} is too long for an interface; shorten the bridge's name"
                )
        return cls(**{**raw, "log_dir": Path(raw["log_dir"])}, pods=pods)

    def pod(self, name: str) -> Pod:
        """Return one pod.

        Raises:
            SystemExit: there is none of that name.
        """
        if name not in self.pods:
            sys.exit(f"pods.py: no pod {name!r}; choose one of {', '.join(self.pods)}")
        return self.pods[name]

    def ray_folder(self, pod: Pod) -> Path:
        """Where the pod's Ray session, with its logs, is found on the host."""
        return self.log_dir / pod.name / "ray"


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`; its own message is the error."""
    subprocess.run(["ip", *arguments], check=True)  # noqa: S607


def has_link(name: str) -> bool:
    """Tell whether the host has a network interface of that name."""
    return Path("/sys/class/net", name).exists()


def filter_rule(stack: Stack, *action: str) -> bool:
    """Run iptables on the rule that lets pods talk to each other; True if it succeeded."""
    rule = ["FORWARD", "-i", stack.bridge, "-o", stack.bridge, "-j", "ACCEPT"]
    result = subprocess.run(["iptables", *action, *rule], capture_output=True)  # noqa: S607
    return result.returncode == 0


def allow_bridge_traffic(stack: Stack) -> bool:
    """Let packets pass the bridge where the kernel filters bridges and Docker drops by default.

    Raises:
        PodError: iptables refused the rule.
    """
    if not BRIDGE_FILTER.exists() or BRIDGE_FILTER.read_text().strip() != "1":
        return False
    if filter_rule(stack, "--check"):
        return False
    if not filter_rule(stack, "--insert"):
        raise PodError(f"iptables did not accept a FORWARD rule for {stack.bridge}")
    return True


def create_pod(stack: Stack, pod: Pod) -> bool:
    """Create a pod's namespace, interface pair and folders; True if anything was made."""
    made = False
    if not (NAMESPACES / pod.namespace).exists():
        made = True
        ip("netns", "add", pod.namespace)
        ip("-n", pod.namespace, "link", "set", "lo", "up")
    if not has_link(pod.veth):
        made = True
        ip("link", "add", pod.veth, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace)
        ip("-n", pod.namespace, "addr", "add", f"{pod.address}/{stack.prefix}", "dev", "eth0")
        ip("-n", pod.namespace, "link", "set", "eth0", "up")
        ip("link", "set", pod.veth, "master", stack.bridge, "up")
    account = pwd.getpwnam(stack.user)
    ray = stack.ray_folder(pod)
    ray.mkdir(parents=True, exist_ok=True)
    os.chown(ray, account.pw_uid, account.pw_gid)
    return made


def up(stack: Stack) -> bool:
    """Create everything that is missing; True if anything was made."""
    hierarchy = cgroups.find_hierarchy()
    made = cgroups.create(hierarchy, cgroups.ROOT, BENCH_WEIGHT)
    RAY_FOLDER.mkdir(parents=True, exist_ok=True)
    for name, weight in HOST_GROUPS.items():
        made |= cgroups.create(hierarchy, f"{cgroups.ROOT}/{name}", weight)
    if not has_link(stack.bridge):
        made = True
        ip("link", "add", stack.bridge, "type", "bridge")
        ip("addr", "add", f"{stack.gateway}/{stack.prefix}", "dev", stack.bridge)
        ip("link", "set", stack.bridge, "up")
    made |= allow_bridge_traffic(stack)
    for pod in stack.pods.values():
        made |= create_pod(stack, pod)
        made |= cgroups.create(hierarchy, pod.group)
    return made


def down(stack: Stack) -> bool:
    """Kill and remove everything; True if there was anything."""
    removed = cgroups.remove(cgroups.find_hierarchy(), cgroups.ROOT)
    for pod in stack.pods.values():
        if has_link(pod.veth):
            removed = True
            ip("link", "delete", pod.veth)
        if (NAMESPACES / pod.namespace).exists():
            removed = True
            ip("netns", "delete", pod.namespace)
    if has_link(stack.bridge):
        removed = True
        ip("link", "delete", stack.bridge)
    if BRIDGE_FILTER.exists() and filter_rule(stack, "--check"):
        removed |= filter_rule(stack, "--delete")
    return removed


def limit(stack: Stack, start: bool) -> None:
    """Apply every pod's limits; while pods start, only memory's, because they import for long."""
    hierarchy = cgroups.find_hierarchy()
    for pod in stack.pods.values():
        cgroups.limit(hierarchy, pod.group, pod.cpu, pod.memory_bytes)
        if start:
            cgroups.unlimit_cpu(hierarchy, pod.group)


def read_process(pid: int, file: str) -> bytes:
    """Return a file of a process in /proc; nothing when the process has ended meanwhile."""
    try:
        return Path("/proc", str(pid), file).read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def observe(stack: Stack) -> int:
    """Move the metrics agents out of the pods' groups, so that a fault does not blind telemetry.

    Returns:
        How many agents were moved.
    """
    hierarchy, moved = cgroups.find_hierarchy(), 0
    for pod in stack.pods.values():
        for pid in cgroups.members(hierarchy, pod.group):
            if read_process(pid, "cmdline").startswith(METRICS_AGENT):
                cgroups.enter(hierarchy, f"{cgroups.ROOT}/observation", pid)
                moved += 1
    return moved


def as_user(stack: Stack, command: list[str]) -> list[str]:
    """Prefix a command so that it runs as the stack's user instead of root."""
    group = pwd.getpwnam(stack.user).pw_gid
    return ["setpriv", f"--reuid={stack.user}", f"--regid={group}", "--init-groups", *command]


def run(stack: Stack, pod: Pod, command: list[str]) -> NoReturn:
    """Replace this process by the pod's main process (tini, which reaps what is left behind)."""
    cgroups.enter(cgroups.find_hierarchy(), pod.group, os.getpid())
    own_ray = f'mount --bind "{stack.ray_folder(pod)}" {RAY_FOLDER}'
    inside = f'{own_ray} && mount -t tmpfs -o size=50% shm /dev/shm && exec "$@"'
    isolate = [
        "nsenter",
        f"--net={NAMESPACES / pod.namespace}",
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-c", inside, "pod"),
    ]
    program = [*isolate, *as_user(stack, ["tini", "-g", "--", *command])]
    os.execvp(program[0], program)  # noqa: S606


def run_in_group(stack: Stack, group: str, command: list[str], root: bool) -> NoReturn:
    """Replace this process by a command on the host, in one of the groups of HOST_GROUPS."""
    if group not in HOST_GROUPS:
        sys.exit(f"pods.py: no group {group!r}; choose one of {', '.join(HOST_GROUPS)}")
    cgroups.enter(cgroups.find_hierarchy(), f"{cgroups.ROOT}/{group}", os.getpid())
    program = command if root else as_user(stack, command)
    os.execvp(program[0], program)  # noqa: S606


def main_process(pod: Pod) -> int:
    """Return the host's id of the pod's main process: the one that is number 1 inside.

    Raises:
        PodError: the pod does not run.
    """
    for pid in sorted(cgroups.members(cgroups.find_hierarchy(), pod.group)):
        status = dict(line.split(b":", 1) for line in read_process(pid, "status").splitlines())
        ids = status.get(b"NSpid", b"").split()
        if len(ids) > 1 and ids[-1] == b"1":
            return pid
    raise PodError(f"{pod.name} does not run")


def exec_in_pod(stack: Stack, pod: Pod, command: list[str]) -> NoReturn:
    """Replace this process by a command inside a running pod: all its namespaces, and its group."""
    target = main_process(pod)
    cgroups.enter(cgroups.find_hierarchy(), pod.group, os.getpid())
    enter = ["nsenter", f"--target={target}", "--net", "--mount", "--pid"]
    program = [*enter, *as_user(stack, command)]
    os.execvp(program[0], program)  # noqa: S606


def status(stack: Stack) -> dict[str, Any]:
    """Return what exists: `bridge`, and per pod its namespace and process ids on the host."""
    hierarchy = cgroups.find_hierarchy()
    pods = {
        pod.name: {
            "namespace": (NAMESPACES / pod.namespace).exists(),
            "processes": sorted(cgroups.members(hierarchy, pod.group)),
        }
        for pod in stack.pods.values()
    }
    return {"bridge": has_link(stack.bridge), "cgroup": hierarchy.version, "pods": pods}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line; what is behind the first `--` is the command to run, as it stands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", type=Path, required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "observe", "status"):
        commands.add_parser(name)
    commands.add_parser("limit").add_argument("--start", action="store_true")
    commands.add_parser("clear").add_argument("name", choices=HOST_GROUPS)
    for name in ("run", "group", "exec"):
        command = commands.add_parser(name)
        command.add_argument("name")
        if name == "group":
            command.add_argument("--root", action="store_true")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    args = parser.parse_args(arguments[:end])
    args.argv = arguments[end + 1 :]
    if args.command in ("run", "group", "exec") and not args.argv:
        parser.error(f"{args.command} needs a command behind --")
    return args


def change(stack: Stack, args: argparse.Namespace) -> bool:
    """Run one of the commands that say whether they changed anything."""
    if args.command == "clear":
        return cgroups.kill(cgroups.find_hierarchy(), f"{cgroups.ROOT}/{args.name}")
    return up(stack) if args.command == "up" else down(stack)


def main() -> None:
    """Run one command; errors are one line and exit status 1."""
    args = parse(sys.argv[1:])
    try:
        stack = Stack.load(args.stack)
        match args.command:
            case "up" | "down" | "clear":
                print("changed" if change(stack, args) else "unchanged")
            case "limit":
                limit(stack, args.start)
            case "observe":
                print(f"{observe(stack)} metrics agents moved")
            case "run":
                run(stack, stack.pod(args.name), args.argv)
            case "group":
                run_in_group(stack, args.name, args.argv, args.root)
            case "exec":
                exec_in_pod(stack, stack.pod(args.name), args.argv)
            case "status":
                print(json.dumps(status(stack)))
    except (PodError, cgroups.CgroupError, subprocess.CalledProcessError) as error:
        sys.exit(f"pods.py {args.command}: {error}")


if __name__ == "__main__":
    main()
