"""The command as a whole: how it ends, what it says and where."""

import json
import subprocess
import sys

import click
import pytest

from runtara.cli import app
from runtara.cli.app import run
from runtara.config import ConfigInvalid
from runtara.errors import InternalError, NotFound, OutcomeUnknown, Overloaded, Unavailable

SETTINGS = ("RUNTARA_TOKEN", "RUNTARA_ENVIRONMENT_ADDR", "RUNTARA_CA_FILE", "DATA_DIR", "RUNTARA_QUIC_PORT")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def raising(monkeypatch):
    """A command that raises what it is told."""

    def install(error):
        @click.command()
        @click.option("--debug", is_flag=True)
        def command(debug):
            raise error

        monkeypatch.setattr(app.LazyGroup, "get_command", lambda self, ctx, name: command)

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("there is no instance 'x'", hint="Look again."), 1),
        (ConfigInvalid("RUNTARA_QUIC_PORT is 'x'"), 2),
        (Unavailable("nobody listens"), 3),
        (Overloaded("too much"), 3),
        (OutcomeUnknown("lost"), 3),
        (InternalError("a bug"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("no"), 2),
        (ZeroDivisionError("division by zero"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_exit_code_says_whose_turn_it_is(raising, capsys, error, code):
    raising(error)
    assert run(["status"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_an_error_is_one_line_and_its_hint_another(raising, capsys):
    raising(NotFound("there is\nno instance", hint="Look\nagain."))
    run(["status"])
    assert capsys.readouterr().err.splitlines() == [
        "error: there is no instance [request.not_found]",
        "hint: Look again.",
    ]


def test_a_traceback_is_shown_to_whoever_asks_for_it(raising):
    raising(ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError):
        run(["status", "--debug"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["statsu", "x"], ["status"], ["status", "x", "y"], ["status", "--nonsense", "x"],
        ["signal", "i", "n", "--payload", "{"], ["signal", "i", "n", "--payload", "@/nowhere"],
        ["list", "--limit", "0"], ["image", "nonsense"], ["image", "push", "/nowhere", "--name", "x"],
        ["token", "create"], ["token", "create", "--admin", "--tenant", "acme"], ["completion", "powershell"],
        ["status", "x", "--addr", "nowhere"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(capsys, arguments):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()


def test_an_unknown_command_is_answered_with_the_nearest(capsys):
    run(["statsu", "x"])
    assert "Did you mean 'status'?" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_exit_code_3_with_a_hint(capsys):
    assert run(["status", "x", "--addr", "127.0.0.1:9"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "`runtara serve` starts one" in err


def test_the_overview_names_every_command_and_each_can_be_loaded(capsys):
    assert run(["--help"]) == 0
    overview = capsys.readouterr().out
    for name in app._COMMANDS:
        assert f"\n  {name} " in overview
        assert run([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: runtara {name} ")


def test_the_overview_loads_no_command():
    code = (
        "import sys; from runtara.cli.app import run; run(['--help']);"
        "print([name for name in sys.modules if name.startswith(('runtara.client', 'runtara.cli.', 'asyncio'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['runtara.cli.app']"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(capsys, shell):
    assert run(["completion", shell]) == 0
    assert "_RUNTARA_COMPLETE" in capsys.readouterr().out


def test_the_settings_are_shown_with_their_origin_and_secrets_are_not(capsys, monkeypatch):
    monkeypatch.setenv("RUNTARA_TOKEN", "rt_secret")
    monkeypatch.setenv("RUNTARA_DATABASE_URL", "postgresql://u:s3cret@h/d")
    monkeypatch.setenv("RUNTARA_QUIC_PORT", "9001")
    assert run(["config", "--json"]) == 0
    captured = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(captured.out)}
    assert (rows["RUNTARA_QUIC_PORT"]["value"], rows["RUNTARA_QUIC_PORT"]["origin"]) == (9001, "environment")
    assert (rows["RUNTARA_ENV_QUIC_PORT"]["value"], rows["RUNTARA_ENV_QUIC_PORT"]["origin"]) == (8002, "default")
    assert rows["RUNTARA_DATABASE_URL"]["value"] == "postgresql://u:***@h/d"
    assert rows["RUNTARA_ENV_QUIC_PORT"]["maximum"] == 65535
    assert "secret" not in captured.out
    assert "s3cret" not in captured.out


def test_a_setting_that_cannot_be_used_is_exit_code_2_and_the_rest_is_still_shown(capsys, monkeypatch):
    monkeypatch.setenv("RUNTARA_QUIC_PORT", "nine")
    monkeypatch.setenv("BUNDLES_DIR", "/x")
    monkeypatch.setenv("RUNTARA_QUICK_PORT", "1")
    assert run(["config"]) == 2
    captured = capsys.readouterr()
    assert "RUNTARA_ENV_QUIC_PORT" in captured.out
    assert "RUNTARA_QUIC_PORT is 'nine'" in captured.err
    assert "BUNDLES_DIR is refused" in captured.err
    assert "RUNTARA_QUICK_PORT means nothing; is it RUNTARA_QUIC_PORT?" in captured.err


def test_a_reader_that_has_gone_is_no_error():
    code = "import sys; from runtara.cli.app import main; main(['config', '--json'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
