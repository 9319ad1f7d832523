"""What each use of the C extension gains, beside the Python that would serve without it.

    python -m benchmarks.native

A use stays in C only if it is at least twice as fast at a size that occurs (docs/decisions/0002-c-only-in-batches.md).
The last table is not about C: it shows what binary arrays in plain Python gain over psycopg's own list dumper.
"""

from __future__ import annotations

import json
import secrets
import struct
import timeit
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

import psycopg.adapt

from runtara._native import _python, api
from runtara._native.base import Codec

# Long enough to be above the noise, short enough that the whole benchmark takes seconds.
_MEASURE_S = 0.05


def main() -> None:
    """Print the tables."""
    try:
        from runtara._native import _cffi
    except ImportError as error:
        raise SystemExit(f"the C extension is not built ({error}): pip install -e .") from error
    print(f"CRC-32C by {_cffi.crc32c_kind()}")
    print_frames(_cffi)
    print_envelopes(_cffi)
    print_compression()
    print_arrays()


def print_frames(c: ModuleType) -> None:
    """Cutting one received buffer."""
    print_head("cut one buffer into frames of 200 B", "Python", "C", "door")
    for count in (1, 4, 12, 64, 256):
        buffer = b"".join([struct.pack("!I", 200) + bytes(200)] * count)
        cutters = (_python.cut_frames, c.cut_frames, api.cut_frames)
        print_row(f"{count:6} frames", *(partial(cut, buffer, frame_bytes_max=1 << 20) for cut in cutters))


def print_envelopes(c: ModuleType) -> None:
    """Sealing and inspecting one state, and a batch."""
    for verb in ("seal", "inspect"):
        print_head(f"{verb} envelopes", "Python", "C")
        for size, count in ((200, 1), (200, 100), (2_000, 1), (2_000, 100), (20_000, 1)):
            states = [secrets.token_bytes(size)] * count
            sealing = (states, [Codec.RAW] * count, [size] * count)
            arguments = sealing if verb == "seal" else (c.seal(*sealing),)
            ways = (partial(getattr(module, verb), *arguments) for module in (_python, c))
            print_row(f"{count:6} of {size} B", *ways)

    print_head("inspect one envelope, as it is", "Python", "C")
    for size in (200, 2_000, 20_000):
        (sealed,) = c.seal([secrets.token_bytes(size)], [Codec.RAW], [size])
        print_row(f"{size:6} B", *(partial(module.inspect_one, sealed) for module in (_python, c)))


def print_compression() -> None:
    """The three verbs on a state that shrinks."""
    orders = [{"sku": f"A-{secrets.randbelow(10**6)}", "quantity": n, "price": n * 1.19} for n in range(40)]
    state = json.dumps(orders).encode()
    sealed = api.seal([state])
    print_head(f"through the door, {len(state)} B of JSON → {len(sealed[0])} B", "seal", "check", "unseal", gain=False)
    ways = (partial(api.seal, [state]), partial(api.check, sealed), partial(api.unseal, sealed))
    print_row("     1 state", *ways, gain=False)


def print_arrays() -> None:
    """The columns of a batch of checkpoints, as the parameters of one UNNEST statement."""
    print_head("binary arrays in Python", "psycopg", "ours")
    for count in (1, 10, 100, 1000):
        numbers = [2**40 + n for n in range(count)]
        keys = [f"scenario/step-{n}" for n in range(count)]
        states = [secrets.token_bytes(200) for _ in range(count)]
        columns = (numbers, keys, states)
        print_row(f"{count:6} rows of 3 columns", partial(dump_by_psycopg, columns), partial(dump_by_us, *columns))


def dump_by_psycopg(columns: Sequence[Sequence[object]]) -> None:
    """As it would dump plain lists."""
    psycopg.adapt.Transformer().dump_sequence(columns, [psycopg.adapt.PyFormat.BINARY] * len(columns))


def dump_by_us(numbers: Sequence[int], keys: Sequence[str], states: Sequence[bytes]) -> None:
    """As the PostgreSQL backend does."""
    api.int8_array(numbers)
    api.text_array([key.encode() for key in keys])
    api.bytea_array(states)


def print_head(title: str, *columns: str, gain: bool = True) -> None:
    """The title of a table, and its columns."""
    print(f"\n{title:48}" + "".join(f"{column + ' µs':>12}" for column in columns) + f"{'gain' * gain:>9}")


def print_row(label: str, *ways: Callable[[], object], gain: bool = True) -> None:
    """The time of each way, and how much faster the second is than the first."""
    times_s = [seconds_of(way) for way in ways]
    ratio = f"×{times_s[0] / times_s[1]:.1f}"
    print(f"{label:48}" + "".join(f"{time_s * 1e6:12.2f}" for time_s in times_s) + f"{ratio * gain:>9}")


def seconds_of(do: Callable[[], object]) -> float:
    """The quickest of several rounds: what else the machine did is not of interest."""
    once = min(timeit.repeat(do, number=1, repeat=3))
    rounds = max(1, int(_MEASURE_S / 5 / once))
    return min(timeit.repeat(do, number=rounds, repeat=5)) / rounds


if __name__ == "__main__":
    main()
