"""Packet delay: the netlink messages, the order of verdicts, and a real queue in a namespace."""

import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "roles/chaos/files/packet_delay.py"
QUEUE = 5
DELAY_MS = 300
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def packet_delay(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("packet_delay")


def packet(packet_delay: ModuleType, identifier: int) -> bytes:
    """Encode the message by which the kernel announces a packet."""
    header = struct.pack(">IHBx", identifier, 0x0800, 3)
    attributes = packet_delay.attribute(10, b"odd") + packet_delay.attribute(1, header)
    encoded: bytes = packet_delay.message(packet_delay.PACKET, QUEUE, attributes)
    return encoded


@pytest.mark.parametrize(("payload", "size"), [(b"", 4), (b"abc", 8), (b"abcd", 8), (b"abcde", 12)])
def test_an_attribute_says_its_length_and_is_padded(
    packet_delay: ModuleType, payload: bytes, size: int
) -> None:
    encoded = packet_delay.attribute(7, payload)
    assert len(encoded) == size
    assert struct.unpack_from("=HH", encoded) == (4 + len(payload), 7)
    assert encoded[4 : 4 + len(payload)] == payload


def test_messages_and_packet_ids_come_back(packet_delay: ModuleType) -> None:
    identifiers = [1, 77, 2**32 - 1]
    datagram = b"".join(packet(packet_delay, n) for n in identifiers)
    split = list(packet_delay.messages(datagram))
    assert [kind for kind, _ in split] == [packet_delay.PACKET] * 3
    assert [packet_delay.packet_id(body) for _, body in split] == identifiers
    assert list(packet_delay.messages(b"")) == []


def test_a_message_names_its_queue(packet_delay: ModuleType) -> None:
    ((kind, body),) = packet_delay.messages(packet_delay.message(packet_delay.CONFIG, 300, b""))
    assert kind == packet_delay.CONFIG
    assert body == struct.pack(">BBH", 0, 0, 300)


@pytest.mark.parametrize(
    "datagram",
    [b"\0", b"\0" * 15, b"\0" * 16, struct.pack("=IHHII", 17, 768, 0, 0, 0)],
    ids=["one byte", "short header", "length 0", "cut off"],
)
def test_a_malformed_datagram_is_an_error(packet_delay: ModuleType, datagram: bytes) -> None:
    with pytest.raises(ValueError, match="malformed netlink message"):
        list(packet_delay.messages(datagram))


@pytest.mark.parametrize(
    "attributes",
    [b"", struct.pack("=HH", 4, 1), struct.pack("=HHI", 8, 2, 9), struct.pack("=HHI", 4, 1, 0)],
    ids=["none", "no room for an id", "another", "empty header"],
)
def test_a_packet_without_id_is_an_error(packet_delay: ModuleType, attributes: bytes) -> None:
    with pytest.raises(ValueError, match=r"malformed|without header"):
        packet_delay.packet_id(bytes(4) + attributes)


@pytest.mark.parametrize("length", [0, 3, 100])
def test_an_attribute_of_impossible_length_is_an_error(
    packet_delay: ModuleType, length: int
) -> None:
    with pytest.raises(ValueError, match="malformed netlink attribute"):
        packet_delay.packet_id(bytes(4) + struct.pack("=HHI", length, 2, 9))


class AllAcceptedError(Exception):
    """The fake kernel has a verdict on every packet."""


class FakeKernel:
    """The kernel's end of the socket: announces packets at once, notes when each is accepted."""

    def __init__(self, datagram: bytes, count: int) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.theirs.send(datagram)
        self.count = count
        self.accepted: list[tuple[int, float]] = []

    def fileno(self) -> int:
        return self.ours.fileno()

    def recv(self, size: int) -> bytes:
        return self.ours.recv(size)

    def send(self, message: bytes) -> None:
        verdict, identifier = struct.unpack(">II", message[-8:])
        assert verdict == 1
        self.accepted.append((identifier, time.monotonic()))
        if len(self.accepted) == self.count:
            raise AllAcceptedError


def test_packets_pass_late_and_in_order_whatever_the_jitter(packet_delay: ModuleType) -> None:
    identifiers = list(range(1, 21))
    datagram = b"".join(packet(packet_delay, n) for n in identifiers)
    kernel = FakeKernel(datagram, len(identifiers))
    began = time.monotonic()
    with kernel.ours, kernel.theirs, pytest.raises(AllAcceptedError):
        packet_delay.run(kernel, QUEUE, delay_ms=50, jitter_ms=40, seed=1)
    assert [identifier for identifier, _ in kernel.accepted] == identifiers
    assert min(instant for _, instant in kernel.accepted) - began >= 0.05


def test_packets_that_wait_pass_when_the_program_ends(
    packet_delay: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = FakeKernel(packet(packet_delay, 7), count=2)

    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    waiting_then_ended = iter([packet_delay.select.select, ended])
    monkeypatch.setattr(packet_delay.select, "select", lambda *a: next(waiting_then_ended)(*a))
    with kernel.ours, kernel.theirs, pytest.raises(KeyboardInterrupt):
        packet_delay.run(kernel, QUEUE, delay_ms=60_000, jitter_ms=0, seed=1)
    assert [identifier for identifier, _ in kernel.accepted] == [7]


@pytest.fixture
def inside(namespace: str) -> tuple[str, ...]:
    """Return the prefix that runs a command in a namespace whose packets go to the queue."""
    prefix = ("ip", "netns", "exec", namespace)
    if not shutil.which("iptables"):
        pytest.skip("needs iptables")
    rule = ["OUTPUT", "-o", "lo", "-j", "NFQUEUE", "--queue-num", str(QUEUE), "--queue-bypass"]
    added = subprocess.run([*prefix, "iptables", "--append", *rule], capture_output=True, text=True)
    if added.returncode != 0:
        pytest.skip(f"this kernel has no NFQUEUE: {added.stderr.strip()}")
    return prefix


@pytest.fixture
def delaying(inside: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """Run the program in the namespace until the test is over."""
    command = [*inside, sys.executable, str(PROGRAM), "--queue", str(QUEUE)]
    command += ["--delay-ms", str(DELAY_MS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


def round_trip(run_program: Run, inside: tuple[str, ...]) -> float:
    """Measure as the playbooks do."""
    done = run_program("effect", "round-trip", "--address", "127.0.0.1", prefix=inside)
    assert done.returncode == 0, done.stderr
    measured: float = json.loads(done.stdout)["round_trip_ms"]
    return measured


def test_ping_sees_the_delay_and_its_end(
    run_program: Run, inside: tuple[str, ...], delaying: subprocess.Popen[str]
) -> None:
    assert round_trip(run_program, inside) >= 2 * DELAY_MS  # request and answer leave through lo
    delaying.terminate()
    assert delaying.wait(timeout=30) == 0
    assert round_trip(run_program, inside) < DELAY_MS


def test_a_queue_that_is_held_is_refused(
    inside: tuple[str, ...], delaying: subprocess.Popen[str], run_program: Run
) -> None:
    arguments = ("--queue", QUEUE, "--delay-ms", 1)
    second = run_program("packet_delay", *arguments, prefix=inside)
    assert second.returncode != 0
    assert f"queue {QUEUE}: " in second.stderr
    assert delaying.poll() is None


def test_a_flood_that_overflows_the_buffer_does_not_end_the_program(
    inside: tuple[str, ...], delaying: subprocess.Popen[str], run_program: Run
) -> None:
    unread = ["iptables", "--append", "INPUT", "-p", "udp", "-j", "DROP"]  # else ICMP answers each
    subprocess.run([*inside, *unread], check=True)
    flood = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, 32, 1 << 28)\n"  # SO_SNDBUFFORCE: queued packets count
        "for _ in range(20_000): s.sendto(b'x', ('127.0.0.1', 9))\n"
    )
    delaying.send_signal(signal.SIGSTOP)
    try:
        subprocess.run([*inside, sys.executable, "-c", flood], check=True, timeout=60)
    finally:
        delaying.send_signal(signal.SIGCONT)
    assert round_trip(run_program, inside) >= 2 * DELAY_MS
    assert delaying.poll() is None
