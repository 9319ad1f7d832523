"""``crypto``: known digests, and any JSON at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtara.agents import AgentError, registry
from tests.unit.agents.fuzzing import assert_explained, fuzz, ids_of
from tests.unit.agents.test_capability import new_context

IDS = ids_of("crypto")


async def call(capability_id: str, inputs: dict[str, Any]) -> Any:
    found = registry().find_capability("crypto", capability_id)
    assert found is not None
    return msgspec.to_builtins(await found.call(inputs, new_context()))


# Sources: FIPS 180-4 and RFC 1321 for "abc"; coreutils for the rest.
@pytest.mark.parametrize(
    ("inputs", "digest"),
    [
        ({"data": ""}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ({"data": "abc"}, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ({"data": "abc", "algorithm": "sha1"}, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ({"data": "abc", "algorithm": "md5"}, "900150983cd24fb0d6963f7d28e17f72"),
        ({"data": "abc", "algorithm": "md5", "output_format": "base64"}, "kAFQmDzST7DWlj99KOF/cg=="),
        (
            {"data": "abc", "algorithm": "sha512"},
            (
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
            ),
        ),
        ({"data": [97, 98, 99], "algorithm": "md5"}, "900150983cd24fb0d6963f7d28e17f72"),
        ({"data": {"content": "YWJj"}, "algorithm": "md5"}, "900150983cd24fb0d6963f7d28e17f72"),
        ({"data": "ü", "algorithm": "md5"}, "c03410a5204b21cd8229ff754688d743"),
    ],
)
async def test_hash(inputs: dict[str, Any], digest: str) -> None:
    asked = {"algorithm": "sha256", "output_format": "hex"} | inputs
    assert await call("hash", inputs) == {
        "hash": digest,
        "algorithm": asked["algorithm"],
        "format": asked["output_format"],
    }


# Source: RFC 4231, test cases 1 and 2.
@pytest.mark.parametrize(
    ("inputs", "digest"),
    [
        (
            {"data": "what do ya want for nothing?", "secret": "Jefe"},
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            {"data": "what do ya want for nothing?", "secret": "Jefe", "algorithm": "hmac-sha512"},
            (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
            ),
        ),
        (
            {"data": {"content": "SGkgVGhlcmU="}, "secret": "\x0b" * 20},
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            {"data": [72, 105, 32, 84, 104, 101, 114, 101], "secret": "\x0b" * 20, "output_format": "base64"},
            "sDRMYdjbOFNcqK/OrwvxK4gdwgDJgz2nJuk3bC4yz/c=",
        ),
        ({"data": "", "secret": ""}, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
    ],
)
async def test_hmac(inputs: dict[str, Any], digest: str) -> None:
    asked = {"algorithm": "hmac-sha256", "output_format": "hex"} | inputs
    assert await call("hmac", inputs) == {
        "hash": digest,
        "algorithm": asked["algorithm"],
        "format": asked["output_format"],
    }


@pytest.mark.parametrize(
    ("capability_id", "inputs", "code"),
    [
        ("hash", {}, "INPUT_DESERIALIZATION_ERROR"),
        ("hash", {"data": None}, "FILE_INVALID_INPUT_TYPE"),
        ("hash", {"data": 5}, "FILE_INVALID_INPUT_TYPE"),
        ("hash", {"data": [256]}, "FILE_BYTE_OUT_OF_RANGE"),
        ("hash", {"data": {"content": "?"}}, "FILE_BASE64_DECODE_ERROR"),
        ("hash", {"data": {"text": "a"}}, "FILE_INVALID_STRUCTURE"),
        ("hash", {"data": "a", "algorithm": "sha3"}, "INPUT_DESERIALIZATION_ERROR"),
        ("hmac", {"data": "a"}, "INPUT_DESERIALIZATION_ERROR"),
        ("hmac", {"data": "a", "secret": None}, "INPUT_DESERIALIZATION_ERROR"),
        ("hmac", {"data": "a", "secret": "s", "algorithm": "sha256"}, "INPUT_DESERIALIZATION_ERROR"),
        ("hmac", {"data": ["a"], "secret": "s"}, "FILE_INVALID_BYTE_ARRAY"),
    ],
)
async def test_what_has_no_digest_has_a_code(capability_id: str, inputs: dict[str, Any], code: str) -> None:
    with pytest.raises(AgentError) as raised:
        await call(capability_id, inputs)
    assert (raised.value.code, raised.value.category) == (code, "permanent")


@pytest.mark.parametrize("capability_id", IDS)
def test_any_json_gives_a_result_or_an_error(capability_id: str) -> None:
    fuzz(f"crypto/{capability_id}")


@pytest.mark.parametrize("capability_id", IDS)
def test_every_input_is_explained(capability_id: str) -> None:
    assert_explained(f"crypto/{capability_id}")
