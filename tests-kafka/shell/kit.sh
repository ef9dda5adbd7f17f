# What the programs of command-line clients share: the arguments, the records and the line of each check. Sourced, with
# the client's name as its argument and the program's own arguments in "$@" after it.

client=$1
shift
bootstrap='' without=,, only=''
while [ $# -gt 0 ]; do
  case "$1" in
    --bootstrap) bootstrap=$2 ;;
    --without) without=",$2," ;;
    --check) only=$2 ;;
    *)
      echo "unknown argument $1" >&2
      exit 2
      ;;
  esac
  shift 2
done
[ -n "$bootstrap" ] || { echo "--bootstrap HOST:PORT is needed" >&2; exit 2; }

count=2000
failed=0
nonce=$(date +%s%N | cut -c6-14)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Of a topic or a group that nobody has.
name() { echo "kit-$client-$1-$nonce-$BASHPID"; }

# check NAME TAG FUNCTION [ARGUMENT]...: the function fails when something is not as it should be; what it printed last
# says why. Tags: core, group, configs, admin.
check() {
  local title=$1 tag=$2 code output started took
  shift 2
  case "$without" in *",$tag,"*) return ;; esac
  case "$title" in *"$only"*) ;; *) return ;; esac
  started=$(date +%s%N)
  # Not in a condition: -e would not hold inside.
  set +e
  output=$(set -euo pipefail; "$@" 2>&1)
  code=$?
  set -e
  took=$(printf '%05d' $((($(date +%s%N) - started) / 1000000)))
  if [ "$code" = 0 ]; then
    printf 'ok     %s: %s (%d.%s s)\n' "$client" "$title" "$((10#${took%???}))" "${took: -3:1}"
  else
    failed=$((failed + 1))
    # Of a Java stack trace only what is said, not where.
    output=$(grep -vE '^[[:space:]]+at ' <<<"$output" | tail -n 5 | tr '\n' ' ' | cut -c1-500)
    printf 'FAILED %s: %s: exit code %s: %s\n' "$client" "$title" "$code" "$output"
  fi
}

# same WHAT FOUND EXPECTED
same() {
  [ "$2" = "$3" ] || { printf '%s: %.150s instead of %.150s\n' "$1" "$2" "$3"; return 1; }
}

# same_file WHAT FOUND EXPECTED, both files
same_file() {
  cmp -s "$2" "$3" || { echo "$1, found and expected:" "$(diff "$2" "$3" | head -n 4)"; return 1; }
}

# until_true SECONDS COMMAND...: waits for what the broker does in its own time.
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { echo "never came true: $*"; return 1; }
    sleep 0.2
  done
}

# Lines of key, tab, value.
records() {
  awk -v count="$count" 'BEGIN {
    for (i = 0; i < count; i++) {
      pad = sprintf("%*s", i * 7 % 300, ""); gsub(/ /, "x", pad)
      printf "key-%d\tvalue-%d-%s\n", i, i, pad
    }
  }'
}
