// kafkajs. It reads in groups only, so what reads is tagged `group`.

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, AssignerProtocol, logLevel } = require("kafkajs");
const lz4 = require("lz4-napi");
const { ZstdCodec } = require("zstd-codec");
const { Kit, until, PARTITIONS, COUNT } = require("./kit.js");

// The two codecs for which kafkajs names packages that must be compiled.
const zstd = new Promise((resolve) => ZstdCodec.run((codec) => resolve(new codec.Simple())));
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
});

const kit = new Kit("kafkajs");
const kafka = new Kafka({ clientId: "kit", brokers: [kit.bootstrap], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const last = COUNT / PARTITIONS;

async function create(purpose, numPartitions = PARTITIONS, more = {}) {
  const topic = kit.name(purpose);
  assert.equal(await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions, ...more }] }), true);
  // A broker may know of a partition before it leads it. One that refuses makes kafkajs send to the others again too.
  await until("every partition is led", () => admin.fetchTopicOffsets(topic).then(() => true, () => false));
  return topic;
}

async function send(topic, messages, { config = {}, ...more } = {}) {
  const producer = kafka.producer(config);
  await producer.connect();
  try {
    return await producer.send({ topic, messages, ...more });
  } finally {
    await producer.disconnect();
  }
}

const text = (bytes) => (bytes === null || bytes === undefined ? bytes : bytes.toString());

function asRead(partition, message) {
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, text(value)]));
  const { offset, timestamp } = message;
  return { offset, partition, key: text(message.key), value: text(message.value), headers, timestamp };
}

// A member of a group that gathers what it reads.
async function member(topic, groupId, config = {}) {
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: 10_000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 300,
    ...config,
  });
  const state = { consumer, reads: [], partitions: [] };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    state.partitions = payload.memberAssignment[topic] ?? [];
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    partitionsConsumedConcurrently: PARTITIONS,
    eachMessage: async ({ partition, message }) => void state.reads.push(asRead(partition, message)),
  });
  return state;
}

async function readAll(topic, count = COUNT, config = {}) {
  const reader = await member(topic, kit.name("reader"), config);
  try {
    await until(`${count} records read`, () => reader.reads.length >= count);
  } finally {
    await reader.consumer.disconnect();
  }
  return reader.reads;
}

async function metadata() {
  const cluster = await admin.describeCluster();
  assert.ok(cluster.brokers.length > 0 && cluster.clusterId && cluster.controller !== null);
}

async function topicCreated() {
  const topic = await create("created");
  assert.ok((await admin.listTopics()).includes(topic));
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0].partitions.map((one) => one.partitionId).sort();
  assert.deepEqual(partitions, [0, 1, 2, 3]);
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), false, "the same topic once more");
  await assert.rejects(admin.createTopics({ topics: [{ topic: "no/such name", numPartitions: 1 }] }));
}

async function produce(options) {
  const topic = await create("produce");
  const sent = await send(topic, kit.records(), options);
  assert.deepEqual(
    sent.map((one) => [one.partition, one.errorCode, one.baseOffset]).sort(),
    [0, 1, 2, 3].map((partition) => [partition, 0, "0"]),
  );
  const offsets = await admin.fetchTopicOffsets(topic);
  assert.deepEqual(offsets.map((one) => [one.low, one.high]), Array(PARTITIONS).fill(["0", String(last)]));
}

async function roundTrip(options) {
  const topic = await create("trip");
  await send(topic, kit.records(), options);
  kit.verify(await readAll(topic));
}

async function smallFetches() {
  const topic = await create("small");
  for (let first = 0; first < COUNT; first += 200) await send(topic, kit.records().slice(first, first + 200));
  kit.verify(await readAll(topic, COUNT, { maxBytes: 2000, maxBytesPerPartition: 1000 }));
}

async function nulls() {
  const topic = await create("nulls", 1);
  await send(topic, [
    { key: "gone", value: null },
    { key: null, value: "" },
    { key: "", value: "v", headers: { empty: "", same: ["1", "2"] } },
  ]);
  const group = await member(topic, kit.name("reader"));
  await until("three records read", () => group.reads.length === 3);
  await group.consumer.disconnect();
  assert.deepEqual(group.reads.map((read) => [read.key, read.value]), [["gone", null], [null, ""], ["", "v"]]);
  assert.deepEqual(group.reads[2].headers, { empty: "", same: "1,2" });
}

async function large() {
  const topic = await create("large", 1);
  const value = crypto.randomBytes(450_000).toString("hex");
  await send(topic, [{ value }]);
  const [read] = await readAll(topic, 1);
  assert.ok(read.value === value, "the value came back changed");
}

async function tooLarge() {
  const topic = await create("toolarge", 1);
  await assert.rejects(send(topic, [{ value: "x".repeat(9_000_000) }]), { type: "MESSAGE_TOO_LARGE" });
}

// All that is sent at once to one broker is one request.
async function largeRequest() {
  const count = 40;
  const { brokers } = await admin.describeCluster();
  // Some brokers lead a few more than others.
  const topic = await create("burst", (count + 5) * brokers.length);
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const led = brokers.map(({ nodeId }) => topics[0].partitions.filter((one) => one.leader === nodeId).map((one) => one.partitionId));
  const partitions = led.find((one) => one.length >= count)?.slice(0, count);
  assert.ok(partitions, `no broker leads ${count} partitions`);
  const value = crypto.randomBytes(900_000);
  const sent = await send(topic, partitions.map((partition) => ({ partition, value })), { config: { retry: { retries: 0 } } });
  sent.sort((a, b) => a.partition - b.partition);
  partitions.sort((a, b) => a - b);
  assert.deepEqual(sent.map((one) => [one.partition, one.errorCode, one.baseOffset]), partitions.map((one) => [one, 0, "0"]));
}

async function offsets() {
  const topic = await create("offsets");
  await send(topic, kit.records());
  for (const [afterMs, offset] of [[0, 250], [-500, 250], [1, 251]]) {
    const time = kit.timeOfOffset(0, 250) + afterMs;
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, time);
    assert.equal(found.find((one) => one.partition === 0).offset, String(offset), `${afterMs} ms after record 250`);
  }
  // kafkajs answers with the end where nothing is that late.
  const late = await admin.fetchTopicOffsetsByTimestamp(topic, kit.timeOfOffset(0, COUNT));
  assert.deepEqual(late.map((one) => one.offset), Array(PARTITIONS).fill(String(last)));
}

async function createdByProducing() {
  const topic = kit.name("auto");
  const [sent] = await send(topic, [{ value: "first" }]);
  assert.equal(sent.baseOffset, "0");
  assert.ok((await admin.listTopics()).includes(topic));
}

async function topicDeleted() {
  const topic = await create("deleted");
  await send(topic, kit.records());
  await admin.deleteTopics({ topics: [topic] });
  await until("the topic is gone", async () => !(await admin.listTopics()).includes(topic));
  const once = kafka.admin({ retry: { retries: 0 } });
  await once.connect();
  await assert.rejects(once.deleteTopics({ topics: [topic] }));
  await once.disconnect();
}

async function groupShares() {
  const topic = await create("group");
  const group = kit.name("group");
  const [stays, leaves] = [await member(topic, group), await member(topic, group)];
  await until("two partitions for each of two members", () => stays.partitions.length === 2 && leaves.partitions.length === 2);
  await send(topic, kit.records());
  await until("all records read", () => stays.reads.length + leaves.reads.length >= COUNT);
  kit.verify([...stays.reads, ...leaves.reads]);
  await leaves.consumer.disconnect();
  // The one that stays takes over, from what was committed.
  await until("four partitions for the last member", () => stays.partitions.length === PARTITIONS);
  const before = stays.reads.length;
  await send(topic, [{ partition: 0, value: "one more" }]);
  await until("one more record", () => stays.reads.length > before);
  assert.equal(stays.reads.length, before + 1);
  await stays.consumer.disconnect();
  const [committed] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  const found = committed.partitions.sort((a, b) => a.partition - b.partition).map((one) => one.offset);
  assert.deepEqual(found, [last + 1, last, last, last].map(String));
}

async function groupListed() {
  const topic = await create("listed");
  const group = kit.name("listed");
  await send(topic, kit.records());
  const one = await member(topic, group);
  await until("all records read", () => one.reads.length >= COUNT);
  assert.ok((await admin.listGroups()).groups.some((listed) => listed.groupId === group));
  const [described] = (await admin.describeGroups([group])).groups;
  assert.deepEqual([described.state, described.members.map((each) => each.clientId)], ["Stable", ["kit"]]);
  assert.deepEqual(Object.keys(AssignerProtocol.MemberAssignment.decode(described.members[0].memberAssignment).assignment), [topic]);
  await one.consumer.disconnect();
  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "7" }] });
  const [fetched] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  assert.equal(fetched.partitions.find((each) => each.partition === 0).offset, "7");
  await admin.deleteGroups([group]);
  assert.ok(!(await admin.listGroups()).groups.some((listed) => listed.groupId === group));
}

async function configs() {
  const topic = await create("configs", 1, { configEntries: [{ name: "retention.ms", value: "3600000" }] });
  const described = async (name) => {
    const answer = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] });
    return answer.resources[0].configEntries.find((entry) => entry.configName === name).configValue;
  };
  assert.equal(await described("retention.ms"), "3600000");
  for (const name of ["cleanup.policy", "max.message.bytes", "segment.bytes"]) await described(name);
  const configEntries = [{ name: "retention.ms", value: "7200000" }];
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] });
  await until("the altered retention.ms is described", async () => (await described("retention.ms")) === "7200000", 10);
}

async function partitionsAdded() {
  const topic = await create("more", 1);
  await admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS }] });
  const count = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length;
  await until("four partitions", async () => (await count()) === PARTITIONS);
  await send(topic, kit.records());
}

async function recordsDeleted() {
  const topic = await create("cut");
  await send(topic, kit.records());
  // kafkajs looks for the leaders in what it knows already.
  await admin.fetchTopicOffsets(topic);
  const partitions = [0, 1, 2, 3].map((partition) => ({ partition, offset: "100" }));
  await admin.deleteTopicRecords({ topic, partitions });
  const found = (await admin.fetchTopicOffsets(topic)).map((one) => one.low);
  assert.deepEqual(found, Array(PARTITIONS).fill("100"));
}

async function main() {
  await admin.connect();
  const codecs = [["none", "None"], ["gzip", "GZIP"], ["snappy", "Snappy"], ["lz4", "LZ4"], ["zstd", "ZSTD"]];
  kit.add("metadata", metadata);
  kit.add("topic created", topicCreated);
  for (const [name, type] of codecs) kit.add(`produce, ${name}`, () => produce({ compression: CompressionTypes[type] }));
  kit.add("produce, idempotent", () => produce({ config: { idempotent: true, maxInFlightRequests: 1 } }));
  kit.add("produce, acks=1", () => produce({ acks: 1 }));
  kit.add("a record that is too large", tooLarge);
  kit.add("a request of 36 MB", largeRequest);
  kit.add("offsets by time", offsets);
  kit.add("topic created by producing", createdByProducing);
  kit.add("topic deleted", topicDeleted);
  for (const [name, type] of codecs) kit.add(`round trip, ${name}`, () => roundTrip({ compression: CompressionTypes[type] }), "group");
  kit.add("read with small fetches", smallFetches, "group");
  kit.add("null keys and values", nulls, "group");
  kit.add("a record of 900 kB", large, "group");
  kit.add("group", groupShares, "group");
  kit.add("group listed, described, altered, deleted", groupListed, "group");
  kit.add("configs", configs, "configs");
  kit.add("partitions added", partitionsAdded, "admin");
  kit.add("records deleted", recordsDeleted, "delete-records");
  await kit.run();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
