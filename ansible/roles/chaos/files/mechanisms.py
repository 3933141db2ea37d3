"""Find out with which mechanism this machine can make each fault, by trying it out of harm's way.

Usage: mechanisms.py < FAULTS.json     {FAULT: [mechanisms, best first]}

Prints {FAULT: mechanism}, or exits with 1 and one line per fault that cannot be made here.
"""

import json
import shutil
import subprocess
import sys

# In a network namespace of its own, which ends with the command.
APART = ["unshare", "--net"]
RULE = "iptables --append OUTPUT -o lo"
TRIALS = {
    "stress-ng": "stress-ng --version",
    "signals": "kill -l",
    "netem": "tc qdisc add dev lo root netem delay 1ms loss 1%",
    "tbf": "tc qdisc add dev lo root tbf rate 1mbit burst 10kb latency 1s",
    "nfqueue": f"{RULE} -j NFQUEUE --queue-num 1 --queue-bypass",
    "iptables": f"{RULE} -m statistic --mode random --probability 0.1 -j DROP",
}


def trial(mechanism: str) -> str:
    """Try one mechanism; return "" if it works, else the reason in one line."""
    command = [*APART, "sh", "-c", TRIALS[mechanism]]
    if not shutil.which("unshare"):
        return "unshare is missing"
    tried = subprocess.run(command, capture_output=True, text=True)
    if tried.returncode == 0:
        return ""
    lines = (tried.stderr or tried.stdout).strip().splitlines()
    return lines[0] if lines else f"exit status {tried.returncode}"


def choose(faults: dict[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """Return the first mechanism that works by fault, and one line per fault without any."""
    reasons = {m: trial(m) for m in sorted({m for names in faults.values() for m in names})}
    chosen, problems = {}, []
    for fault, mechanisms in faults.items():
        working = [mechanism for mechanism in mechanisms if not reasons[mechanism]]
        if working:
            chosen[fault] = working[0]
        else:
            why = "; ".join(f"{mechanism}: {reasons[mechanism]}" for mechanism in mechanisms)
            problems.append(f"fault {fault} cannot be made on this machine: {why}")
    return chosen, problems


def main() -> None:
    """Print the choice, or the problems."""
    chosen, problems = choose(json.load(sys.stdin))
    print("\n".join(problems) if problems else json.dumps(chosen))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
