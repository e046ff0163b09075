# What the scripts of the delivery say and are told: sourced, not run.
# shellcheck shell=bash

fail() { # MESSAGE [EXIT CODE]
  echo "$(basename "$0"): $1" >&2
  exit "${2:-1}"
}

# Prints the comment at the top of the script that was called: all of the lines after the first.
help() {
  sed -n '2,/^$/ s/^# \{0,1\}//p' "$0"
}

# Reads options into variables of their names: --model-version 3 makes model_version=3. NAMES are
# the options that there are. One with a colon has a value, another becomes "yes"; where -- is
# among them, what follows it is kept in the array `rest`. --help is always there.
read_options() { # NAMES ARGUMENT...
  local names=" $1 " name
  shift
  rest=()
  while [ $# -gt 0 ]; do
    name=${1#--}
    if [ "$1" = --help ] || [ "$1" = -h ]; then
      help
      exit 0
    elif [[ $1 == -- && $names == *" -- "* ]]; then
      # shellcheck disable=SC2034 # used by release.sh
      rest=("${@:2}")
      return
    elif [[ $1 == --?* && $names == *" $name: "* ]]; then
      [ -n "${2:-}" ] || fail "$1 wants a value; --help tells which" 2
      printf -v "${name//-/_}" '%s' "$2"
      shift 2
    elif [[ $1 == --?* && $names == *" $name "* ]]; then
      printf -v "${name//-/_}" yes
      shift
    else
      fail "unknown argument '$1'; --help tells what there is" 2
    fi
  done
}
