#!/usr/bin/env bash
# The command-line tools of Apache Kafka, as its quick-start and operations pages use them.
set -euo pipefail
. "$(dirname "$0")/kit.sh" kafka-tools "$@"

tools=$(cd "$(dirname "$0")/../../scripts" && pwd)/apache-kafka
# Short runs: quick to start matters more than quick to run.
export KAFKA_JVM_OPTIONS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
tool() {
  local name=$1
  shift
  timeout 60 "$tools" tool "$name" "$@"
}
server=(--bootstrap-server "$bootstrap")

# wants PATTERN: what is read has it, or it is said what was there.
wants() {
  local text
  text=$(cat)
  grep -qE -e "$1" <<<"$text" || { echo "no '$1' in: $text"; return 1; }
}

create() { tool kafka-topics "${server[@]}" --create --topic "$1" --partitions "${2:-4}" "${@:3}" >/dev/null; }

topics() {
  local topic
  topic=$(name topics)
  create "$topic" 4 --config retention.ms=3600000
  tool kafka-topics "${server[@]}" --list | wants "^$topic$"
  tool kafka-topics "${server[@]}" --describe --topic "$topic" >"$folder/described"
  wants 'PartitionCount: 4.*ReplicationFactor: 1.*retention.ms=3600000' <"$folder/described"
  same "its partitions with a leader" "$(grep -cE 'Partition: [0-3].*Leader: [0-9]' "$folder/described")" 4
  if create "$topic" 4 2>"$folder/again"; then echo "it was created again"; return 1; fi
  wants TopicExistsException <"$folder/again"
  tool kafka-topics "${server[@]}" --delete --topic "$topic"
  gone() { ! tool kafka-topics "${server[@]}" --list | grep -q "^$topic$"; }
  until_true 20 gone
}

# Names that would be one among the metrics of a broker, where dots become underscores.
topics_collide() {
  local topic
  topic=$(name collide)
  create "$topic.x"
  if create "${topic}_x" 4 2>"$folder/collided"; then echo "a name that collides was taken"; return 1; fi
  wants InvalidTopicException <"$folder/collided"
}

topics_described_all() { tool kafka-topics "${server[@]}" --describe --unavailable-partitions; }

partitions_added() {
  local topic
  topic=$(name more)
  create "$topic" 1
  tool kafka-topics "${server[@]}" --alter --topic "$topic" --partitions 4
  four() { tool kafka-topics "${server[@]}" --describe --topic "$topic" | wants 'PartitionCount: 4'; }
  until_true 20 four
}

# Lines of headers, key, value.
console_records() { records | awk -F'\t' '{ printf "number:%d,empty:\t%s\t%s\n", NR - 1, $1, $2 }'; }

produce() {
  local topic=$1
  shift
  console_records | tool kafka-console-producer "${server[@]}" --topic "$topic" "$@" \
    --property parse.headers=true --property parse.key=true --property key.separator=$'\t'
}

consume() {
  tool kafka-console-consumer "${server[@]}" --timeout-ms 15000 --property print.headers=true --property print.key=true "$@" 2>"$folder/consumer.log"
}

# One partition: each tool is a second of a machine that starts.
console_compressed() {
  local topic
  topic=$(name console)
  create "$topic" 1
  produce "$topic" --compression-codec "$1"
  consume --topic "$topic" --partition 0 --offset earliest --max-messages "$count" >"$folder/found"
  console_records >"$folder/expected"
  same_file "the records" "$folder/found" "$folder/expected"
}

console() {
  local topic partition end
  topic=$(name console)
  create "$topic"
  produce "$topic"
  : >"$folder/found"
  # GetOffsetShell tells how many there are of each: TOPIC:PARTITION:OFFSET
  tool kafka-get-offsets "${server[@]}" --topic "$topic" >"$folder/ends"
  same "the number of partitions" "$(wc -l <"$folder/ends")" 4
  while IFS=: read -r _ partition end; do
    [ "$end" -gt 0 ] || { echo "partition $partition is empty"; return 1; }
    consume --topic "$topic" --partition "$partition" --offset earliest --max-messages "$end" >"$folder/partition"
    # Within a partition the order is the one they were sent in.
    sed 's/number:\([0-9]*\),.*/\1/' "$folder/partition" >"$folder/order"
    sort -nc "$folder/order"
    cat "$folder/partition" >>"$folder/found"
  done <"$folder/ends"
  sort "$folder/found" >"$folder/sorted"
  console_records | sort >"$folder/expected"
  same_file "the records" "$folder/sorted" "$folder/expected"
}

from_beginning() {
  local topic
  topic=$(name beginning)
  create "$topic"
  produce "$topic"
  # In a group of its own, as the quick-start page has it.
  consume --topic "$topic" --from-beginning --max-messages "$count" | sort >"$folder/found"
  console_records | sort >"$folder/expected"
  same_file "the records" "$folder/found" "$folder/expected"
}

offsets() {
  local topic
  topic=$(name offsets)
  create "$topic" 1
  produce "$topic"
  get() { tool kafka-get-offsets "${server[@]}" --topic "$topic" "$@"; }
  same latest "$(get --time latest)" "$topic:0:$count"
  same earliest "$(get --time earliest)" "$topic:0:0"
  same "by a time before all" "$(get --time 1000)" "$topic:0:0"
  get --time max-timestamp | wants "^$topic:0:[0-9]+$"
  [ "$1" = all ] || return 0
  echo "{\"partitions\": [{\"topic\": \"$topic\", \"partition\": 0, \"offset\": 100}], \"version\": 1}" >"$folder/cut"
  tool kafka-delete-records "${server[@]}" --offset-json-file "$folder/cut" | wants 'low_watermark: 100'
  same "earliest after the cut" "$(get --time earliest)" "$topic:0:100"
}

versions() { tool kafka-broker-api-versions "${server[@]}" | wants 'Fetch\(1\)'; }

cluster_id() { tool kafka-cluster cluster-id "${server[@]}" | wants 'Cluster ID: .+'; }

log_dirs() {
  local topic
  topic=$(name dirs)
  create "$topic"
  tool kafka-log-dirs "${server[@]}" --describe --topic-list "$topic" | wants "\"partition\":\"$topic-3\""
}

configs() {
  local topic
  topic=$(name configs)
  create "$topic"
  tool kafka-configs "${server[@]}" --alter --entity-type topics --entity-name "$topic" --add-config retention.ms=7200000
  described() { tool kafka-configs "${server[@]}" --describe --entity-type topics --entity-name "$topic" "$@"; }
  shown() { described | wants 'retention.ms=7200000.*DYNAMIC_TOPIC_CONFIG'; }
  until_true 20 shown
  described --all | wants 'cleanup.policy=delete'
  tool kafka-configs "${server[@]}" --alter --entity-type topics --entity-name "$topic" --delete-config retention.ms
  hidden() { ! described | grep -q retention.ms=7200000; }
  until_true 20 hidden
}

configs_brokers() {
  tool kafka-configs "${server[@]}" --describe --entity-type brokers --entity-default
  tool kafka-configs "${server[@]}" --describe --entity-type brokers --all >"$folder/described"
  wants '^All configs for broker [0-9]+ are' <"$folder/described"
}

# What acts on nothing here is taken all the same: the files of others name it.
configs_of_others() {
  local topic
  topic=$(name others)
  create "$topic" 1 --config compression.zstd.level=3 --config local.retention.ms=-2
  tool kafka-configs "${server[@]}" --describe --entity-type topics --entity-name "$topic" --all >"$folder/described"
  wants 'compression.zstd.level=3 ' <"$folder/described"
  wants 'local.retention.ms=-2 ' <"$folder/described"
}

groups() {
  local topic group
  topic=$(name groups) group=$(name groups)
  create "$topic"
  produce "$topic"
  consume --topic "$topic" --group "$group" --from-beginning --max-messages "$count" >"$folder/found"
  same "the records read" "$(wc -l <"$folder/found")" "$count"
  of_groups() { tool kafka-consumer-groups "${server[@]}" "$@"; }
  of_groups --list | wants "^$group$"
  tool kafka-groups "${server[@]}" --list | wants "^$group "
  of_groups --describe --group "$group" >"$folder/described"
  # Topic, partition, offset, end, lag.
  same "its lag" "$(awk -v topic="$topic" '$2 == topic { lag += $6; lines++ } END { print lines, lag }' "$folder/described")" "4 0"
  of_groups --describe --group "$group" --state | wants Empty
  of_groups --reset-offsets --group "$group" --topic "$topic" --to-earliest --execute >"$folder/reset"
  of_groups --describe --group "$group" >"$folder/described"
  same "its lag after the reset" "$(awk -v topic="$topic" '$2 == topic { lag += $6 } END { print lag }' "$folder/described")" "$count"
  of_groups --delete-offsets --group "$group" --topic "$topic"
  of_groups --delete --group "$group"
  ! of_groups --list | grep -q "^$group$"
}

# The log of the commits is what Kafka's own formatters read.
commits() {
  local topic group
  topic=$(name commits) group=$(name commits)
  create "$topic" 1
  produce "$topic"
  consume --topic "$topic" --group "$group" --from-beginning --max-messages "$count" >"$folder/found"
  # It ends with an error when nothing more comes.
  tool kafka-console-consumer "${server[@]}" --topic __consumer_offsets --from-beginning --timeout-ms 10000 \
    --formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter >"$folder/commits" 2>/dev/null || true
  wants "\"group\":\"$group\",\"topic\":\"$topic\",\"partition\":0.*\"offset\":$count," <"$folder/commits"
}

# A whole segment, as Kafka's own reader of files sees it.
segment() {
  local topic segments next
  topic=$(name segment)
  create "$topic" 1 --config segment.bytes=1048576
  tool kafka-producer-perf-test --topic "$topic" --num-records 3000 --record-size 1000 --throughput -1 \
    --producer-props "bootstrap.servers=$bootstrap" acks=all >/dev/null
  segments=("$KIT_DATA/topics/$topic"/0-*/*.log)
  [ ${#segments[@]} -gt 1 ] || { echo "there is one segment only: ${segments[*]}"; return 1; }
  tool kafka-dump-log --files "${segments[0]}" --deep-iteration >"$folder/dump"
  same "its damaged batches" "$(grep -c 'isvalid: false' "$folder/dump" || true)" 0
  next=$(basename "${segments[1]}" .log)
  same "the records before the next segment" "$(grep -c '^| offset: ' "$folder/dump")" "$((10#$next))"
}

performance() {
  local topic
  topic=$(name perf)
  create "$topic"
  tool kafka-producer-perf-test --topic "$topic" --num-records 20000 --record-size 1000 --throughput -1 \
    --producer-props "bootstrap.servers=$bootstrap" acks=all | wants '^20000 records sent'
  tool kafka-get-offsets "${server[@]}" --topic "$topic" | awk -F: '{ sum += $3 } END { print sum }' | wants '^20000$'
}

consumer_performance() {
  local topic
  topic=$(name perf)
  create "$topic"
  tool kafka-producer-perf-test --topic "$topic" --num-records 20000 --record-size 1000 --throughput -1 \
    --producer-props "bootstrap.servers=$bootstrap" acks=all >/dev/null
  # The fifth figure is the number of records.
  tool kafka-consumer-perf-test "${server[@]}" --topic "$topic" --messages 20000 --hide-header | wants '^[^,]+, [^,]+, [^,]+, [^,]+, 20000,'
}

latency() {
  local topic
  topic=$(name latency)
  create "$topic" 1
  # The older, positional form: server, topic, messages, acks, bytes.
  tool kafka-e2e-latency "$bootstrap" "$topic" 200 all 1000 | wants 'Percentiles: 50th = '
}

verifiable() {
  local topic
  topic=$(name verifiable)
  create "$topic"
  tool kafka-verifiable-producer "${server[@]}" --topic "$topic" --max-messages 1000 | wants '"acked":1000'
  tool kafka-verifiable-consumer "${server[@]}" --topic "$topic" --group-id "$(name verifiable)" --reset-policy earliest --max-messages 1000 |
    wants '"name":"shutdown_complete"'
}

# The word count of the Streams quick-start: the last figure of a word is how often it came.
streams() {
  local input output
  input=$(name streams-input) output=$(name streams-output)
  create "$input" 2
  create "$output" 1 --config cleanup.policy=compact
  cat >"$folder/streams" <<END
bootstrap.servers=$bootstrap
application.id=$(name streams)
state.dir=$folder/state
commit.interval.ms=200
END
  "$tools" tool "$(dirname "$tools")/../tests-kafka/apache-kafka/WordCount.java" "$folder/streams" "$input" "$output" \
    >"$folder/streams.log" 2>&1 &
  demo=$!
  trap 'kill $demo; wait $demo || true' EXIT
  printf '%s\n' "all streams lead to kafka" "hello kafka streams" "join kafka summit" |
    tool kafka-console-producer "${server[@]}" --topic "$input"
  counted() {
    # It ends with an error when nothing more comes.
    tool kafka-console-consumer "${server[@]}" --topic "$output" --partition 0 --offset earliest --timeout-ms 2000 \
      --property print.key=true >"$folder/counted" 2>/dev/null || true
    grep -qx $'kafka\t3' "$folder/counted"
  }
  until_true 45 counted || { tail -n 3 "$folder/streams.log"; return 1; }
}

# A file through a topic into another, as in the Connect quick-start.
connect() {
  local topic
  topic=$(name connect)
  seq -f 'line %g' 100 >"$folder/source.txt"
  mkdir "$folder/plugins"
  ln -s "$("$tools" install)"/connect-file-*.jar "$folder/plugins/"
  cat >"$folder/worker" <<END
bootstrap.servers=$bootstrap
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename=$folder/offsets
offset.flush.interval.ms=500
listeners=http://127.0.0.1:0
plugin.path=$folder/plugins
plugin.discovery=service_load
END
  printf '%s\n' name=source connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector tasks.max=1 \
    "file=$folder/source.txt" "topic=$topic" >"$folder/source"
  printf '%s\n' "name=$(name sink)" connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector tasks.max=1 \
    "file=$folder/sink.txt" "topics=$topic" >"$folder/sink"
  "$tools" tool connect-standalone "$folder/worker" "$folder/source" "$folder/sink" >"$folder/connect.log" 2>&1 &
  worker=$!
  trap 'kill $worker; wait $worker || true' EXIT
  until_true 50 cmp -s "$folder/source.txt" "$folder/sink.txt" || { tail -n 3 "$folder/connect.log"; return 1; }
}

check "api versions" core versions
check "cluster id" core cluster_id
check "topics created, listed, described, deleted" core topics
check "topics whose names collide" core topics_collide
check "unavailable partitions" core topics_described_all
check "console, defaults" core console
for codec in none gzip snappy lz4 zstd; do check "console, $codec" core console_compressed "$codec"; done
check "offsets" core offsets some
check "producer performance" core performance
check "console from the beginning" group from_beginning
check "end to end latency" group latency
check "consumer performance" group consumer_performance
check "consumer groups" group groups
check "commits, read as records" group commits
check "verifiable producer and consumer" group verifiable
check "streams, word count" group streams
check "connect, file to file" group connect
check "configs" configs configs
check "configs of brokers" configs configs_brokers
check "configs of topics elsewhere" configs configs_of_others
check "partitions added" admin partitions_added
check "offsets and records deleted" delete-records offsets all
check "log dirs" internals log_dirs
# Only beside a broker of this machine whose data folder is known.
[ -z "${KIT_DATA:-}" ] || check "a segment, dumped" internals segment
exit $((failed > 0))
