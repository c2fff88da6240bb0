#!/usr/bin/env bash
# What some tests use if the system has it: a PostgreSQL server and a browser. Installed where that is possible (Debian,
# as root); elsewhere those tests skip and say why. Never fails: the tests do not depend on it.
set -uo pipefail

missing=()
[[ -n "$(command -v pg_ctl)" ]] || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null || missing+=(postgresql)
[[ -n "$(command -v chromium)" ]] || missing+=(chromium)

if [[ ${#missing[@]} -eq 0 ]]; then
  echo "postgresql and chromium are there"
elif [[ $EUID -ne 0 || -z "$(command -v apt-get)" ]]; then
  echo "not there, and not installed here (needs root and apt-get): ${missing[*]}; their tests will skip"
else
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 apt-get update -qq
  for package in "${missing[@]}"; do
    if timeout 300 apt-get install -y -qq --no-install-recommends "$package" >/dev/null; then
      echo "installed: $package"
    else
      echo "could not be installed: $package; its tests will skip"
    fi
  done
fi
exit 0
