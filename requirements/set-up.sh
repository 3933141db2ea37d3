#!/usr/bin/env bash
# Makes one of the two virtual environments, unless it is there and up to date.
#
#   requirements/set-up.sh dev [PYTHON]     .venv: the project, Ansible, tests and linters (about 1.5 GB)
#   requirements/set-up.sh serve [PYTHON]   .venv-serve: Ray Serve and vLLM for CPUs (about 3 GB)
#
# Versions are pinned in dev.txt, oracles.txt and serve.txt. torch comes as its CPU build: the version "+cpu" exists only there,
# so no CUDA build can slip in; pip takes it from where it is configured to look, else from TORCH_INDEX.
set -euo pipefail

kind=${1:?usage: set-up.sh dev|serve [PYTHON]}
python=${2:-python3}
torch=torch==2.13.0+cpu
cd "$(dirname "$0")/.."

case $kind in
  dev) environment=.venv size="1.5 GB: Ansible, pandas, pytest, linters" inputs=(dev.txt oracles.txt ../pyproject.toml) ;;
  serve) environment=.venv-serve size="3 GB: Ray Serve, vLLM and PyTorch for CPUs" inputs=(serve.txt) ;;
  *) echo "set-up.sh: unknown environment '$kind'; choose dev or serve" >&2; exit 2 ;;
esac

wanted=$(cd requirements && cat "${inputs[@]}" set-up.sh | sha256sum)
stamp=$environment/.complete
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "set-up.sh: Python 3.11 or newer is needed, '$python' is $("$python" --version 2>&1); set PYTHON=..." >&2
  exit 1
fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Debian and Ubuntu keep the means to make virtual environments in a package of their own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package=$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')
  echo "Installing the Debian package $package (needed to make virtual environments)"
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "$package"
fi

echo "Setting up $environment (about $size); this happens once"
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check --no-input install)
[ -t 1 ] || pip+=(--quiet) # on a terminal pip shows what it downloads
if [ "$kind" = dev ]; then
  "${pip[@]}" --constraint requirements/dev.txt --editable '.[dev]'
  "${pip[@]}" --no-deps --requirement requirements/oracles.txt
else
  if ! "${pip[@]}" --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch"; then
    echo "set-up.sh: pip does not find $torch; set TORCH_INDEX to the address that PyTorch's installation page gives for CPU" >&2
    exit 1
  fi
  "${pip[@]}" --no-deps --requirement requirements/serve.txt
fi
echo "$wanted" >"$stamp"
