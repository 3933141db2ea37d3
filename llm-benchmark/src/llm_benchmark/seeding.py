"""Where randomness comes from: one seed, one independent generator per purpose."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the random generator of one purpose.

    Purposes and indices do not disturb each other: the prompt of request 7 is the same whether or
    not the prompts 0 to 6 were drawn, so that a run may be cut into shards.

    Args:
        seed: The run's seed, zero or above.
        purpose: What the numbers are for, such as ``"arrivals"``.
        index: Which request they are for, where each has its own.

    Returns:
        A generator that gives the same numbers for the same three arguments.
    """
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), index))
