#!/usr/bin/env bash
# Installs what Perdure needs on a Debian 12, and nothing that is there already.
#
#   scripts/setup.sh [GROUP…]       build run test node bench deploy; without a group: build run test node
#   scripts/setup.sh --list         what each group needs, and whether it is here
#   scripts/setup.sh --environment  lines for a shell that put our Node first in PATH:
#                                   source <(scripts/setup.sh --environment)
#
# As root, or as a user through sudo. When nothing is missing it asks nobody and ends at once. It never
# removes a package. Node 22 goes into our cache directory (PERDURE_CACHE_DIR, else perdure in the
# user's cache), and only where the machine's own Node is older.
# Exit status: 0 done, 1 something could not be installed, 2 wrong usage.
set -euo pipefail

readonly node_version=22.23.3 # the openai SDK wants Node 22 or newer; Debian 12 has 18
readonly oldest_node=22
readonly groups=(build run test node bench deploy)

packages_of() {
  case $1 in
    build)
      echo clang-19 lld-19 llvm-19 libclang-rt-19-dev ccache cmake ninja-build git python3 \
        libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev libboost-system1.81-dev \
        libsqlite3-dev libpq-dev libssl-dev libfmt-dev libtomlplusplus-dev libcli11-dev libzstd-dev libseccomp-dev libstemmer-dev
      ;;
    run) echo libboost-json1.81.0 libboost-url1.81.0 libsqlite3-0 libpq5 libssl3 libfmt9 libseccomp2 libstemmer0d ca-certificates curl ;;
    test)
      echo libgtest-dev libgmock-dev postgresql-15 clang-format-19 clang-tidy-19 shellcheck procps iproute2 \
        python3 python3-venv ca-certificates curl
      ;;
    node) command -v npm >/dev/null || echo npm ;;
    bench) echo libbenchmark-dev ;;
    deploy) echo haproxy etcd-server patroni postgresql-15 systemd ;; # what deploy/ is tested with
  esac
}

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$2"; exit "$1"; }

is_installed() {
  local state
  state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) && [[ $state == ii* ]]
}

missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || printf '%s\n' "$package"
  done
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

# Debian 12 has Boost 1.74 and 1.81, and their -dev packages exclude each other.
refuse_to_replace_boost() {
  local package others=()
  while read -r package; do
    is_installed "$package" && others+=("$package")
  done < <(dpkg-query -W -f='${Package}\n' 'libboost*-dev' 2>/dev/null | grep -v '1\.81-dev$' || true)
  ((${#others[@]} > 0)) || return 0
  fail 1 "Perdure is built with Boost 1.81, whose development packages cannot stand beside those of
another Boost, and this machine has: ${others[*]}
Nothing was changed. If you do not need them, remove them yourself and run this again:
  apt-get remove ${others[*]}"
}

install_packages() {
  local missing=()
  mapfile -t missing < <(missing_of "$@" | sort -u)
  ((${#missing[@]} > 0)) || return 0
  command -v apt-get >/dev/null ||
    fail 1 "there is no apt-get here; please install what these Debian packages have: ${missing[*]}"
  [[ $(id -u) == 0 ]] || command -v sudo >/dev/null ||
    fail 1 "these packages are missing, and this user is neither root nor has sudo: ${missing[*]}"
  if [[ " ${missing[*]} " == *' libboost'*'1.81-dev '* ]]; then refuse_to_replace_boost; fi

  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  # shellcheck disable=SC2064  # the name as it is now
  trap "rm -f -- '$log'" EXIT
  as_root apt-get update -qq >"$log" 2>&1 ||
    say 'apt-get update failed; trying with the package lists that are here'
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-remove \
    "${missing[@]}" >>"$log" 2>&1 || {
    cat -- "$log" >&2
    fail 1 'apt-get could not install them; its own message is above. Nothing was removed.'
  }
}

# ---- Node ---------------------------------------------------------------------------------------

cache_directory() {
  if [[ -n ${PERDURE_CACHE_DIR:-} ]]; then
    printf '%s\n' "$PERDURE_CACHE_DIR"
  elif [[ -n ${XDG_CACHE_HOME:-${HOME:-}} ]]; then
    printf '%s/perdure\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
  else
    fail 1 'neither PERDURE_CACHE_DIR nor HOME is set, so there is no place for Node'
  fi
}

node_is_new_enough() { # program
  local version
  version=$("$1" --version 2>/dev/null) || return 1
  version=${version#v}
  [[ ${version%%.*} =~ ^[0-9]+$ ]] && ((${version%%.*} >= oldest_node))
}

# The PATH without our own directory: the machine's Node and npm.
machine_path() {
  local ours part path=
  ours=$(cache_directory)/node/bin
  while IFS= read -rd : part; do
    [[ $part == "$ours" ]] || path+=${path:+:}$part
  done <<<"$PATH:"
  printf '%s\n' "$path"
}

machine_node_will_do() {
  local node
  node=$(PATH=$(machine_path) command -v node) && node_is_new_enough "$node"
}

our_node_is_there() {
  local directory
  directory=$(cache_directory)/node
  [[ -x $directory/bin/node && -x $directory/bin/npm ]] &&
    [[ $("$directory/bin/node" --version 2>/dev/null) == "v$node_version" ]]
}

# The npm package of one architecture holds just the program. The machine's npm runs with the
# machine's Node, which it was made for; only `node` itself is ours.
install_node() {
  if machine_node_will_do || our_node_is_there; then return 0; fi
  local directory architecture npm path
  case $(uname -m) in
    x86_64) architecture=x64 ;;
    aarch64) architecture=arm64 ;;
    *) fail 1 "no packaged Node $oldest_node for $(uname -m); install one and run this again" ;;
  esac
  directory=$(cache_directory)/node
  path=$(machine_path)
  npm=$(PATH=$path command -v npm) || fail 1 'npm is missing'
  say "installing Node $node_version into $directory"
  mkdir -p -- "$directory/bin"
  exec {lock}>"$directory/lock" # two at once would build one directory
  flock "$lock"
  if ! our_node_is_there; then
    PATH=$path "$npm" install --prefix "$directory" --no-save --no-package-lock --no-audit --no-fund \
      --ignore-scripts --loglevel=error "node-linux-$architecture@$node_version" >&2 ||
      fail 1 'npm could not install Node; its own message is above'
    ln -sfn "../node_modules/node-linux-$architecture/bin/node" "$directory/bin/node"
    printf '#!/bin/sh\nPATH=%q exec %q "$@"\n' "$path" "$npm" >"$directory/bin/npm"
    chmod 755 "$directory/bin/npm"
    our_node_is_there || fail 1 "the Node in $directory does not run on this machine"
  fi
  exec {lock}>&-
}

print_environment() {
  if machine_node_will_do || ! our_node_is_there; then return 0; fi
  # shellcheck disable=SC2016  # the reader's PATH is meant
  printf 'export PATH=%q:"$PATH"\n' "$(cache_directory)/node/bin"
}

# ---- the command --------------------------------------------------------------------------------

list() {
  local group package
  for group in "${groups[@]}"; do
    printf '%s\n' "$group"
    for package in $(packages_of "$group"); do
      printf '  %-24s %s\n' "$package" "$(is_installed "$package" && echo here || echo missing)"
    done
  done
  if machine_node_will_do; then
    echo '  Node: the machine has a new enough one'
  else
    echo "  Node $node_version: $(our_node_is_there && echo here || echo missing)"
  fi
}

main() {
  local wanted=() packages=() group name known
  for group in "$@"; do
    case $group in
      --list) list; return ;;
      --environment) print_environment; return ;;
      -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; return ;;
    esac
    known=no
    for name in "${groups[@]}"; do [[ $name == "$group" ]] && known=yes; done
    [[ $known == yes ]] || fail 2 "'$group' is not a group; there are: ${groups[*]}"
    wanted+=("$group")
  done
  ((${#wanted[@]} > 0)) || wanted=(build run test node)
  for group in "${wanted[@]}"; do
    # shellcheck disable=SC2207  # package names are single words
    packages+=($(packages_of "$group"))
  done
  install_packages "${packages[@]}"
  for group in "${wanted[@]}"; do
    if [[ $group == node ]]; then install_node; fi
  done
}

main "$@"
