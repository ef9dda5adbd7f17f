// The records, what is expected of them, and the line of each check, as in the Python programs' kit.py.

const assert = require("node:assert/strict");
const { parseArgs } = require("node:util");

const PARTITIONS = 4;
const COUNT = 2000;
const CHECK_SECONDS_MAX = 60;

class Kit {
  constructor(client) {
    this.client = client;
    const options = { bootstrap: { type: "string" }, without: { type: "string", default: "" }, check: { type: "string", default: "" } };
    this.arguments = parseArgs({ options }).values;
    this.bootstrap = this.arguments.bootstrap;
    this.leftOut = new Set(this.arguments.without.split(","));
    this.checks = [];
    this.nonce = String(Date.now() % 1e9).padStart(9, "0");
    this.names = 0;
    // An hour ago: event times that are neither in the future nor old enough for retention.
    this.firstTimestamp = (Math.floor(Date.now() / 1000) - 3600) * 1000;
  }

  // Of a topic or a group that nobody has.
  name(purpose) {
    this.names += 1;
    return `kit-${this.client}-${purpose}-${this.nonce}-${this.names}`;
  }

  record(number) {
    return {
      partition: number % PARTITIONS,
      key: `key-${number}`,
      value: `value-${number}-` + "x".repeat((number * 7) % 300),
      headers: { number: String(number), empty: "" },
      timestamp: String(this.firstTimestamp + number * 1000),
    };
  }

  records() {
    return Array.from({ length: COUNT }, (_, number) => this.record(number));
  }

  timeOfOffset(partition, offset) {
    return Number(this.record(offset * PARTITIONS + partition).timestamp);
  }

  // Every record once and in order, from `firstOffset` of each partition.
  verify(reads, firstOffset = 0) {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const found = reads.filter((read) => read.partition === partition);
      const expected = [];
      for (let offset = firstOffset; offset < COUNT / PARTITIONS; offset++) {
        expected.push({ offset: String(offset), ...this.record(offset * PARTITIONS + partition) });
      }
      assert.equal(found.length, expected.length, `records of partition ${partition}`);
      found.forEach((read, index) => assert.deepEqual(read, expected[index]));
    }
    assert.equal(reads.length, COUNT - PARTITIONS * firstOffset, "the number of records");
  }

  add(name, check, tag = "core") {
    if (!this.leftOut.has(tag) && name.includes(this.arguments.check)) this.checks.push({ name, check });
  }

  async run() {
    let failed = 0;
    for (const { name, check } of this.checks) {
      const started = Date.now();
      let timer;
      const overdue = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done within ${CHECK_SECONDS_MAX} s`)), CHECK_SECONDS_MAX * 1000);
      });
      try {
        await Promise.race([check(), overdue]);
        console.log(`ok     ${this.client}: ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED ${this.client}: ${name}: ${`${error.name}: ${error.message}`.replace(/\s+/g, " ").slice(0, 400)}`);
        if (process.env.KIT_TRACE) console.error(error);
      } finally {
        clearTimeout(timer);
      }
    }
    process.exit(failed ? 1 : 0);
  }
}

// Waits for what the broker does in its own time.
async function until(what, condition, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

module.exports = { Kit, until, PARTITIONS, COUNT };
