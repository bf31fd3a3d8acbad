#!/bin/sh
# Installs tfpose_mm with one set of host packages, as `make env` does: install.sh STACK FOLDER [PYTHON]
# STACK: modern or classic. FOLDER: of the virtual environment. CUDA=1 in the environment compiles MMCV for GPUs.
set -u
stack=$1
python=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.." || exit 1
began=$(date +%s)
log=$(mktemp) || exit 1
export UV_PROJECT_ENVIRONMENT="$2" PRECOMPILED="$log.torch"
trap 'rm -rf "$log" "$log.c++" "$PRECOMPILED"' EXIT
trap 'exit 130' INT TERM

fail() {
  echo "error: $*" >&2
  exit 1
}

say() { # a step, with the seconds since the beginning
  printf '[%3d s] %s\n' $(($(date +%s) - began)) "$*"
}

case $stack in
  modern) versions='3.12 or 3.13' range='>=3.12,<3.14' names='python3.13 python3.12' other=classic mmcv=onedl-mmcv ;;
  classic) versions='3.9 to 3.11' range='>=3.9,<3.12' names='python3.11 python3.10 python3.9' other=modern mmcv=mmcv ;;
  *) fail "STACK must be modern or classic, but is $stack." ;;
esac

fits() { # whether a Python starts and has a version that the stack supports
  case " $names " in *" python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) "*) ;; *) false ;; esac
}

has_headers() { # whether C++ code can be compiled for a Python: those of Debian's packages need python3-dev
  "$1" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null
}

find_python() { # the newest Python that fits, from the PATH or of pyenv; otherwise uv's range, which it fetches
  for name in $names python3; do
    for candidate in "$name" "${HOME:-}"/.pyenv/versions/*/bin/"$name"; do
      fits "$candidate" && has_headers "$candidate" && command -v "$candidate" && return
    done
  done
  echo "$range"
}

find_uv() { # from the PATH, or in an environment of its own: Debian refuses `pip install` into the system's Python
  command -v uv && return
  [ -x .uv/bin/uv ] || { python3 -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv; } >&2 || {
    rm -rf .uv
    return 1
  }
  echo "$here/../.uv/bin/uv"
}

pip_setting() { # of pip's configuration files, which uv does not read
  python3 -m pip config list 2>/dev/null | grep -oE "^(global|install)\.$1='[^']+" | head -n 1 | cut -d "'" -f 2
}

explain() { # the end of uv's output in one sentence
  if grep -qi 'no space left' "$log"; then
    fail "The disk is full: the environment needs 7 GB in $(pwd) and in uv's cache; free space, then run make again."
  elif grep -qiE 'dns error|failed to fetch|error sending request|network is unreachable|timed out' "$log"; then
    fail "A download failed: connect to the network (or set PIP_INDEX_URL to your mirror of PyPI, PYTHON to a Python $versions), then run make again."
  elif grep -qi 'no interpreter found\|no download found' "$log"; then
    fail "No Python $versions was found or could be fetched: install one, then run make again with PYTHON=/path/to/python."
  fi
  fail "The installation failed: see the lines above."
}

sync() { # uv's important lines go to the terminal, all of them to the log
  exec 4>&1
  status=$({ { "$uv" sync --inexact --no-progress --group "$stack" --python "$python" "$@" 2>&1; echo $? >&3; } | tee "$log" |
    grep --line-buffered -E '^(Using|Downloading .*\([0-9]{3}|Building|Prepared|Installed|warning|error|  cause|hint)|× |╰─|├─|rror:' >&4; } 3>&1)
  [ "$status" = 0 ] || explain
}

if [ -z "$python" ]; then
  python=$(find_python)
elif ! command -v "$python" >/dev/null; then
  fail "PYTHON=$python does not exist: leave PYTHON out, or name another one."
elif ! fits "$python"; then
  fail "The $stack packages need Python $versions, but $python is $("$python" -V 2>&1): leave PYTHON out, name another one, or add STACK=$other."
elif ! has_headers "$python"; then
  fail "MMCV's operators need Python.h, but $python has none: run 'apt-get install python3-dev', or leave PYTHON out."
fi
command -v c++ >/dev/null || fail "MMCV's operators need a C++ compiler: run 'apt-get install g++', then make again."
uv=$(find_uv) || fail "uv was not found and could not be installed: connect to the network, run 'apt-get install python3-venv', or install uv as docs.astral.sh/uv says."
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(pip_setting index-url)}}
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
certificates=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
[ -z "$certificates" ] || export SSL_CERT_FILE="$certificates"
export UV_COMPILE_BYTECODE=1 # else each start takes 20 s in place of 6 where PYTHONDONTWRITEBYTECODE is set, as in containers

say "Python and packages (about 3 GB)"
sync --no-install-package "$mmcv" --no-install-project
say "MMCV's operators: compiled once for this torch, then taken from uv's cache"
if [ "${CUDA:-}" = 1 ]; then
  export FORCE_CUDA=1
  sync --reinstall-package "$mmcv"
else
  ln -s "$here/c++-precompiled" "$log.c++" # ninja splits a path at spaces
  export FORCE_CUDA=0 CUDA_VISIBLE_DEVICES='' CXX="${CXX:-$log.c++}"
  sync
fi
say "Check"
"$UV_PROJECT_ENVIRONMENT/bin/tfpose" check-env || fail "The environment does not work: see the lines above."
"$uv" pip check --quiet --python "$UV_PROJECT_ENVIRONMENT/bin/python" || fail "Packages do not fit together: see the lines above."
say "tfpose_mm is installed in $UV_PROJECT_ENVIRONMENT"
