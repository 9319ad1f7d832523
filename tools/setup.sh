#!/usr/bin/env bash
# Makes .venv with everything that the demo, the tests and the checks need, from a bare clone. Safe to run again: when
# nothing changed it ends at once and fetches nothing. What is missing is installed where this may be done (root with
# apt-get), else named together with the command that installs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
STAMP=$VENV/.runtara-setup

SUDO=$([ "$(id -u)" = 0 ] || echo 'sudo ')

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# The first Python that really runs and is new enough. A pyenv shim may exist for a version that is not installed.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

# Debian packages that are missing. The compiler and the headers are for the C extension, which is optional.
missing_packages() {
  local python=$1
  has cc || echo gcc libc6-dev
  [ -n "$python" ] || { echo python3 python3-venv python3-dev; return; }
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  "$python" -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("include"), "Python.h").resolve(strict=True)' \
    2>/dev/null || echo python3-dev
  has ps || echo procps
}

# Goes on when it fails: the compiler is optional, and what is not says so when its turn comes.
install_packages() {
  [ $# = 0 ] && return
  if [ "$(id -u)" = 0 ] && has apt-get; then
    say "installing the system packages: $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null && return
  fi
  say "missing: $*. Install with: ${SUDO}apt-get install $*"
}

# Whatever changes what an install would make: then, and only then, it is made again.
fingerprint() {
  { command -v cc || true; cat pyproject.toml setup.py tools/setup.sh runtara/_native/_build.py runtara/_native/src/*; } |
    sha256sum | cut -d' ' -f1
}

make_venv() {
  local python=$1
  [ -x $VENV/bin/python ] && $VENV/bin/python -c 'import pip' 2>/dev/null && return
  say "making $VENV with $($python --version)"
  rm -rf $VENV
  "$python" -m venv $VENV || die "$python cannot make a virtual environment. Install with: ${SUDO}apt-get install python3-venv"
}

install_runtara() {
  local pip=("$VENV/bin/python" -m pip --disable-pip-version-check -qq --timeout 60)
  say "installing Runtara and its development tools into $VENV (a minute or two the first time)"
  # Dependency groups are known to pip from 25.1 on.
  "${pip[@]}" install --upgrade 'pip>=25.1'
  "${pip[@]}" install --editable '.[embedded,fast]' --group dev
}

# Silence would hide why everything is slower.
report_extension() {
  local built
  built=$($VENV/bin/python -c 'from runtara._native import api; print(api.IMPLEMENTATION)')
  [ "$built" = c ] && return
  say "the C extension was not built, pure Python serves instead. To build it: ${SUDO}apt-get install gcc libc6-dev python3-dev"
  [ "${CI:-}" != true ] || has_no_compiler_by_choice || die "CI must have the C extension"
}
has_no_compiler_by_choice() { [ "${RUNTARA_NATIVE:-}" = python ]; }

current=$(fingerprint)
if [ -x $VENV/bin/python ] && [ "$(cat $STAMP 2>/dev/null)" = "$current" ]; then
  exit 0
fi
python=$(find_python)
mapfile -t packages < <(missing_packages "$python" | tr ' ' '\n')
install_packages "${packages[@]}"
python=${python:-$(find_python)}
[ -n "$python" ] || die "needs Python 3.11 or newer. Install with: ${SUDO}apt-get install python3 python3-venv python3-dev"
make_venv "$python"
install_runtara
report_extension
printf '%s\n' "$current" >$STAMP
say "done"
