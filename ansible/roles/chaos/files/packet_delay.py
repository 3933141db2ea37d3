"""Delay packets in user space, for kernels without netem: verdicts of a netfilter queue, late.

A rule sends packets to a queue (`iptables ... -j NFQUEUE --queue-num N --queue-bypass`); this
program accepts each one after the delay, in order. `bypass` makes it safe: when the program ends,
the kernel lets packets pass. Only packet ids are read, never contents. Protocol:
linux/netfilter/nfnetlink_queue.h.

Usage: packet_delay.py --queue N --delay-ms D [--jitter-ms J] [--seed S]

Prints "ready" when it holds the queue.
"""

import argparse
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import NoReturn

NETLINK_NETFILTER = 12
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5
SUBSYSTEM_QUEUE = 3 << 8
PACKET, VERDICT, CONFIG = (SUBSYSTEM_QUEUE | message for message in range(3))
NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK = 1, 4
CFG_CMD, CFG_PARAMS, CFG_QUEUE_MAXLEN, CFG_MASK, CFG_FLAGS = range(1, 6)
COMMAND_BIND = 1
COPY_META = 1
FLAG_FAIL_OPEN, FLAG_GSO = 1, 4
ATTRIBUTE_PACKET_HEADER, ATTRIBUTE_VERDICT_HEADER = 1, 2
ACCEPT = 1
QUEUE_LENGTH = 65_536


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one netlink attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def message(kind: int, queue: int, attributes: bytes, flags: int = NLM_F_REQUEST) -> bytes:
    """Encode one netfilter-queue netlink message."""
    body = struct.pack(">BBH", socket.AF_UNSPEC, 0, queue) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a datagram into (type, body behind the netlink header).

    Raises:
        ValueError: a message is cut off, or its length cannot be.
    """
    while data:
        length, kind = struct.unpack_from("=IH", data) if len(data) >= 16 else (0, 0)
        if not 16 <= length <= len(data):
            raise ValueError("malformed netlink message")
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def packet_id(body: bytes) -> int:
    """Return the id in a packet message.

    Raises:
        ValueError: the message has no packet header, or is malformed before it.
    """
    attributes = body[4:]
    while len(attributes) >= 8:
        length, kind = struct.unpack_from("=HH", attributes)
        if not 4 <= length <= len(attributes):
            raise ValueError("malformed netlink attribute")
        if kind & 0x3FFF == ATTRIBUTE_PACKET_HEADER and length >= 8:
            identifier: int = struct.unpack_from(">I", attributes, 4)[0]
            return identifier
        attributes = attributes[(length + 3) & ~3 :]
    raise ValueError("packet message without header")


def open_queue(queue: int) -> socket.socket:
    """Bind to a queue of this network namespace.

    Raises:
        OSError: the kernel refuses, e.g. because another program holds the queue.
    """
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    # When the buffer overflows, the kernel lets packets pass (FAIL_OPEN); that is no error here.
    netlink.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
    netlink.bind((0, 0))
    flags = struct.pack(">I", FLAG_FAIL_OPEN | FLAG_GSO)
    settings = (
        attribute(CFG_CMD, struct.pack(">BxH", COMMAND_BIND, 0))
        + attribute(CFG_PARAMS, struct.pack(">IB", 0, COPY_META))
        + attribute(CFG_QUEUE_MAXLEN, struct.pack(">I", QUEUE_LENGTH))
        + attribute(CFG_FLAGS, flags)
        + attribute(CFG_MASK, flags)
    )
    netlink.send(message(CONFIG, queue, settings, NLM_F_REQUEST | NLM_F_ACK))
    while True:
        for kind, body in messages(netlink.recv(65_536)):
            if kind == PACKET:  # the rule was there first, and this one came before the answer
                accept(netlink, queue, packet_id(body))
            elif kind == NLMSG_ERROR:
                if code := -struct.unpack_from("=i", body)[0]:
                    raise OSError(code, f"queue {queue}: {os.strerror(code)}")
                return netlink


def accept(netlink: socket.socket, queue: int, packet: int) -> None:
    """Let one packet pass."""
    verdict = struct.pack(">II", ACCEPT, packet)
    netlink.send(message(VERDICT, queue, attribute(ATTRIBUTE_VERDICT_HEADER, verdict)))


def run(netlink: socket.socket, queue: int, delay_ms: float, jitter_ms: float, seed: int) -> None:
    """Accept every packet `delay_ms` (plus up to `jitter_ms`) after it came, never out of order.

    When it is ended, packets that still wait are accepted: the kernel would drop them.
    """
    waiting: deque[tuple[float, int]] = deque()
    try:
        delay_packets(netlink, queue, waiting, delay_ms, jitter_ms, seed)
    finally:
        for _, identifier in waiting:
            accept(netlink, queue, identifier)


def delay_packets(
    netlink: socket.socket,
    queue: int,
    waiting: deque[tuple[float, int]],
    delay_ms: float,
    jitter_ms: float,
    seed: int,
) -> NoReturn:
    """Keep packets in `waiting` (when due, id) and accept those that are due, for ever."""
    generator = random.Random(seed)  # noqa: S311 - jitter, not cryptography
    last_due = 0.0
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([netlink], [], [], timeout)[0]:
            now = time.monotonic()
            for kind, body in messages(netlink.recv(65_536)):
                if kind == PACKET:
                    delay = (delay_ms + generator.uniform(0, jitter_ms)) / 1000
                    last_due = max(last_due, now + delay)
                    waiting.append((last_due, packet_id(body)))
        while waiting and waiting[0][0] <= time.monotonic():
            accept(netlink, queue, waiting.popleft()[1])


def main() -> None:
    """Delay until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    netlink = open_queue(args.queue)
    print("ready", flush=True)
    run(netlink, args.queue, args.delay_ms, args.jitter_ms, args.seed)


if __name__ == "__main__":
    main()
