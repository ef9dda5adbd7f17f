#!/usr/bin/env bash
# kcat as Debian has it, and so librdkafka in an old version. It cannot create topics: all of its are made by producing.
set -euo pipefail
. "$(dirname "$0")/kit.sh" kcat "$@"

cat_() { timeout 40 kcat -b "$bootstrap" "$@"; }

partitions_of() { cat_ -L -J -t "$1" | jq '.topics[0].partitions | length'; }

metadata() {
  cat_ -L -J >"$folder/metadata"
  jq -e '(.brokers | length) > 0 and .controllerid != null' "$folder/metadata"
}

has_partitions() { [ "$(partitions_of "$1")" -gt 0 ]; }

# A producer's request for the metadata of a topic makes it.
make() { until_true 20 has_partitions "$1"; }

# Each partition in its turn: kcat sends one run to one partition.
produce() {
  local topic=$1 partition partitions
  shift
  make "$topic"
  partitions=$(partitions_of "$topic")
  for ((partition = 0; partition < partitions; partition++)); do
    records | awk "NR % $partitions == ($partition + 1) % $partitions" |
      cat_ -P -t "$topic" -p "$partition" -K '\t' -H client=kcat -H empty= "$@"
  done
}

# Lines of partition, offset, key, value, headers.
expected() {
  records | awk -v partitions="$1" -F'\t' '{
    printf "%d\t%d\t%s\t%s\tclient=kcat,empty=\n", (NR - 1) % partitions, int((NR - 1) / partitions), $1, $2
  }' | sort -s -n -k1,1
}

line='%p\t%o\t%k\t%s\t%h\n'

round_trip() {
  local topic
  topic=$(name trip)
  produce "$topic" "$@"
  # Sorted by partition only: within one, the order is what is checked.
  cat_ -C -q -t "$topic" -o beginning -e -f "$line" | sort -s -n -k1,1 >"$folder/found"
  expected "$(partitions_of "$topic")" >"$folder/expected"
  same_file "the records" "$folder/found" "$folder/expected"
}

from_the_middle() {
  local topic
  topic=$(name middle)
  produce "$topic"
  same "the offsets" "$(cat_ -C -q -t "$topic" -p 0 -o 123 -c 3 -f '%o ')" '123 124 125 '
  same "the last ones" "$(cat_ -C -q -t "$topic" -p 0 -o -2 -e -f '%s\n' | wc -l)" 2
}

nulls() {
  local topic
  topic=$(name nulls)
  printf '%s\n' 'gone:' ':void' | cat_ -P -t "$topic" -p 0 -K : -Z
  same "lengths of keys and values" "$(cat_ -C -q -t "$topic" -p 0 -o beginning -e -f '%K,%S ')" '4,-1 -1,4 '
}

large() {
  local topic
  topic=$(name large)
  head -c 900000 /dev/urandom >"$folder/large"
  cat_ -P -t "$topic" -p 0 "$folder/large"
  cat_ -C -q -t "$topic" -p 0 -o beginning -c 1 -f %s >"$folder/found"
  cmp "$folder/large" "$folder/found"
}

offsets() {
  local topic
  topic=$(name offsets)
  produce "$topic"
  # Answers look like `TOPIC [0] offset 500`.
  ask() { cat_ -Q -t "$topic:0:$1" | sed 's/.* offset //'; }
  cat_ -C -q -t "$topic" -p 0 -o beginning -e -f '%o %T\n' >"$folder/times"
  same earliest "$(ask -2)" 0
  same latest "$(ask -1)" "$(wc -l <"$folder/times")"
  local time
  time=$(tail -n 1 "$folder/times" | cut -d' ' -f2)
  same "by the time of the last record" "$(ask "$time")" "$(awk -v time="$time" '$2 >= time { print $1; exit }' "$folder/times")"
  same "by a time before all" "$(ask 1000)" 0
  # librdkafka's word for the end.
  same "by a time after all" "$(ask $((time + 1)))" -1
}

waiting_read() {
  local topic reader
  topic=$(name waiting)
  make "$topic"
  cat_ -C -q -t "$topic" -p 0 -o beginning -c 1 -X fetch.wait.max.ms=10000 >"$folder/waited" &
  reader=$!
  sleep 1
  echo "at last" | cat_ -P -t "$topic" -p 0
  SECONDS=0
  wait "$reader"
  same "what came" "$(cat "$folder/waited")" "at last"
  [ "$SECONDS" -lt 6 ] || { echo "a read that waits was not woken by the record"; return 1; }
}

group() {
  local topic group
  topic=$(name group) group=$(name group)
  produce "$topic"
  read_group() { cat_ -G "$group" -q -e -X auto.offset.reset=earliest -X session.timeout.ms=6000 -f "$line" "$topic"; }
  read_group | sort -s -n -k1,1 >"$folder/found"
  expected "$(partitions_of "$topic")" >"$folder/expected"
  same_file "the records" "$folder/found" "$folder/expected"
  same "what is left for the second reader" "$(read_group | wc -l)" 0
}

check "metadata" core metadata
for codec in none gzip snappy lz4 zstd; do check "round trip, $codec" core round_trip -z "$codec"; done
check "round trip, idempotent" core round_trip -X enable.idempotence=true
check "round trip, acks=1" core round_trip -X acks=1
check "read from the middle" core from_the_middle
check "null keys and values" core nulls
check "a record of 900 kB" core large
check "offsets, earliest, latest and by time" core offsets
check "a read that waits" core waiting_read
check "group" group group
exit $((failed > 0))
