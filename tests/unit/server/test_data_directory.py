import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtara.datadir import DataDir
from runtara.server.data_directory import (
    DataDirInUse,
    DataDirUnusable,
    hold,
    publish_endpoints,
    server_name,
    write_private,
)


def test_it_is_made_private_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hold(Path("a/b")) as data:
        assert data.root == tmp_path / "a" / "b"
        assert data.root.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_was_open_to_others_is_closed(tmp_path):
    tmp_path.chmod(0o755)
    with hold(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_second_server_on_it_is_refused_and_told_who_has_it(tmp_path):
    with hold(tmp_path), pytest.raises(DataDirInUse, match=f"pid {os.getpid()}") as caught, hold(tmp_path):
        pass
    assert caught.value.attributes == {"data_dir": str(tmp_path)}


def test_it_is_free_again_after_the_end_and_after_a_refusal(tmp_path):
    for _ in range(2):
        with hold(tmp_path), pytest.raises(DataDirInUse), hold(tmp_path):
            pass


def test_the_lock_of_a_killed_server_is_free(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from runtara.server.data_directory import hold\n"
        "with hold(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert died.returncode == -9
    with hold(tmp_path):
        pass


@pytest.mark.parametrize("in_the_way", ["file", "missing parent that is a file"])
def test_what_is_no_directory_is_a_typed_error(tmp_path, in_the_way):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataDirUnusable), hold(file if in_the_way == "file" else file / "below"):
        pass


def test_the_name_is_made_once_and_differs_between_directories(tmp_path):
    here, there = DataDir(tmp_path), DataDir(tmp_path / "there")
    there.root.mkdir()
    assert server_name(here) == server_name(here) != server_name(there)


def test_a_private_file_is_replaced_whole(tmp_path):
    path = tmp_path / "x"
    write_private(path, b"old")
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_endpoints_are_published_while_it_runs(tmp_path):
    data = DataDir(tmp_path)
    with publish_endpoints(data, {"management": "127.0.0.1:1"}):
        assert json.loads(data.endpoints.read_bytes()) == {"management": "127.0.0.1:1"}
    assert not data.endpoints.exists()
