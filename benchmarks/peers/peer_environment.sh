# What the run scripts share; sourced by them. `venv` names the folder of the Python environment.
# shellcheck shell=bash

# install_peers REQUIREMENTS…: each file at once, and only when it changed since; what a file
# cannot have ends the script.
install_peers() {
  local file
  [[ -x ${venv:?}/bin/python ]] || python3 -m venv "$venv"
  for file in "$@"; do
    installed "$file" && continue
    echo "installing $(basename "$file") into $venv"
    "$venv/bin/pip" install --quiet -r "$file"
    cp "$file" "$venv/$(basename "$file" .txt).done"
  done
}

installed() { cmp -s "$1" "${venv:?}/$(basename "$1" .txt).done"; }

# install_each REQUIREMENTS: line by line; a peer that this machine cannot have is left out, and the
# comparison says that it is missing.
install_each() {
  local line
  [[ -x ${venv:?}/bin/python ]] || python3 -m venv "$venv"
  ! installed "$1" || return 0
  echo "installing $(basename "$1") into $venv"
  while read -r line; do
    [[ $line =~ ^[A-Za-z0-9] ]] || continue
    "$venv/bin/pip" install --quiet "$line" || echo "$line: could not be installed, goes without" >&2
  done < "$1"
  cp "$1" "$venv/$(basename "$1" .txt).done"
}
