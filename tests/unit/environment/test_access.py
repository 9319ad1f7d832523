import pytest

from runtara.environment.access import (
    ADMINISTRATOR,
    DEFAULT_TENANT,
    Principal,
    hash_token,
    new_token,
    only_token,
    stored_tokens,
)
from runtara.errors import BadCredential, InvalidRequest, NotFound, PermissionDenied
from runtara.ids import TenantId

ACME = Principal(TenantId("acme"))


def test_a_tenant_sees_its_own_tenant_whether_it_names_it_or_not():
    assert ACME.scope(None) == ACME.scope("acme") == ACME.home(None) == ACME.home("acme") == "acme"


def test_another_tenant_is_as_unknown_as_one_that_does_not_exist():
    for asked in ("globex", "nobody"):
        with pytest.raises(NotFound, match=f"there is no tenant '{asked}'"):
            ACME.scope(asked)
        with pytest.raises(NotFound):
            ACME.home(asked)


def test_an_administrator_sees_all_or_whom_he_names_and_makes_things_in_the_default_tenant():
    assert ADMINISTRATOR.scope(None) is None
    assert ADMINISTRATOR.scope("acme") == ADMINISTRATOR.home("acme") == "acme"
    assert ADMINISTRATOR.home(None) == DEFAULT_TENANT


@pytest.mark.parametrize("asked", ["", "a/b", "..", "a\0b", "x" * 10_000])
@pytest.mark.parametrize("principal", [ACME, ADMINISTRATOR], ids=["tenant", "administrator"])
def test_what_is_no_tenant_id_is_refused(principal, asked):
    with pytest.raises(InvalidRequest):
        principal.scope(asked)


def test_only_an_administrator_is_one():
    ADMINISTRATOR.require_administrator()
    with pytest.raises(PermissionDenied):
        ACME.require_administrator()


def test_tokens_are_long_and_never_the_same():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 46


async def test_one_token_alone_is_the_administrators():
    token = new_token()
    authenticate = only_token(hash_token(token))
    assert await authenticate(token) is ADMINISTRATOR
    for wrong in (new_token(), token[:-1], "", "x" * 10_000, "\ud800"):
        with pytest.raises(BadCredential):
            await authenticate(wrong)


async def test_what_cannot_be_a_token_is_not_looked_up():
    class NoStore:
        async def find_token(self, token_hash):
            raise AssertionError("looked up")

    for wrong in ("", "x", "rt_", "rt_" + "x" * 42, "rt_" + "x" * 44, "rt_" + "\0" * 43):
        with pytest.raises(BadCredential):
            await stored_tokens(NoStore())(wrong)
