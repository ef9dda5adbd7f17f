import static java.util.stream.Collectors.toList;
import static java.util.stream.Collectors.toMap;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client. Compiled against a current version and run with that and with the oldest that Kafka 4 accepts, so
 * what is not added as modern calls nothing newer than Kafka 2.1.
 */
final class JavaClient {
    final Kit kit;
    final AdminClient admin;

    public static void main(String[] arguments) {
        JavaClient program = new JavaClient(new Kit(arguments));
        program.addChecks();
        new JavaGroups(program).addChecks();
        new JavaAdmin(program).addChecks();
        program.kit.run();
    }

    private JavaClient(Kit kit) {
        this.kit = kit;
        admin = AdminClient.create(server(Map.of()));
    }

    private void addChecks() {
        kit.add("core", "metadata", this::metadata);
        kit.add("core", "topic created", this::topicCreated);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            kit.add("core", "round trip, " + codec, () -> roundTrip(Map.of("compression.type", codec)));
        }
        kit.add("core", "round trip, idempotent", () -> roundTrip(Map.of("enable.idempotence", true, "acks", "all")));
        kit.add("core", "round trip, not idempotent", () -> roundTrip(Map.of("enable.idempotence", false)));
        kit.add("core", "round trip, acks=1", () -> roundTrip(Map.of("enable.idempotence", false, "acks", "1")));
        kit.add("core", "read from the middle", this::fromTheMiddle);
        kit.add("core", "read with small fetches", this::smallFetches);
        kit.add("core", "read committed", this::readCommitted);
        kit.add("core", "null keys, values and headers", this::nulls);
        kit.add("core", "a record of 900 kB", this::large);
        kit.add("core", "a record that is too large", this::tooLarge);
        kit.add("core", "offsets, earliest and latest", this::offsetsListed);
        kit.add("core", "offsets by time", this::offsetsByTime);
        kit.add("core", "a read that waits", this::waitingRead);
        kit.addModern("core", "a topic of 1,000 partitions", this::manyPartitions);
        kit.add("core", "topic created by producing", this::createdByProducing);
        kit.add("core", "topic deleted", this::topicDeleted);
    }

    Map<String, Object> server(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", kit.bootstrap);
        return config;
    }

    String create(String purpose, int partitions) throws Exception {
        String topic = kit.name(purpose);
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        untilLed(topic, partitions);
        return topic;
    }

    /**
     * A broker may know of a partition before it leads it. What is sent then is refused and may be overtaken by what is
     * sent next, which a producer that is not idempotent allows and one that is may not recover from in a minute.
     */
    void untilLed(String topic, int partitions) {
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            consumer.endOffsets(partitionsOf(topic, partitions));
        }
    }

    /** A topic with all the records. */
    String createFull(String purpose) throws Exception {
        String topic = create(purpose, Kit.PARTITIONS);
        send(kit.records(topic), Map.of());
        return topic;
    }

    static List<TopicPartition> partitionsOf(String topic) {
        return partitionsOf(topic, Kit.PARTITIONS);
    }

    private static List<TopicPartition> partitionsOf(String topic, int count) {
        return IntStream.range(0, count).mapToObj(one -> new TopicPartition(topic, one)).collect(toList());
    }

    RecordMetadata send(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> config) throws Exception {
        RecordMetadata last = null;
        try (var producer = new KafkaProducer<>(server(config), new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (ProducerRecord<byte[], byte[]> record : records) sent.add(producer.send(record));
            producer.flush();
            for (Future<RecordMetadata> one : sent) last = one.get();
        }
        return last;
    }

    KafkaConsumer<byte[], byte[]> reader(Map<String, Object> more) {
        Map<String, Object> config = server(more);
        config.put("enable.auto.commit", false);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<ConsumerRecord<byte[], byte[]>> poll(KafkaConsumer<byte[], byte[]> consumer, int count, double seconds) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (records.size() < count && System.nanoTime() < end) {
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }

    List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int first, Map<String, Object> config) {
        try (KafkaConsumer<byte[], byte[]> consumer = reader(config)) {
            consumer.assign(partitionsOf(topic));
            if (first == 0) consumer.seekToBeginning(partitionsOf(topic));
            else for (TopicPartition partition : partitionsOf(topic)) consumer.seek(partition, first);
            List<ConsumerRecord<byte[], byte[]>> reads = poll(consumer, Kit.COUNT - first * Kit.PARTITIONS, 30);
            // What comes after the last one would be one too many.
            reads.addAll(poll(consumer, 1, 0.3));
            return reads;
        }
    }

    List<ConsumerRecord<byte[], byte[]>> readOnePartition(String topic, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            return poll(consumer, count, 30);
        }
    }

    private void metadata() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        if (cluster.nodes().get().isEmpty() || cluster.clusterId().get() == null || cluster.controller().get() == null) {
            throw new AssertionError("no brokers, no id or no controller");
        }
    }

    private void topicCreated() throws Exception {
        String topic = create("created", Kit.PARTITIONS);
        Kit.until("the topic is listed", () -> admin.listTopics().names().get().contains(topic));
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            Kit.same("its partitions", consumer.partitionsFor(topic).size(), Kit.PARTITIONS);
        }
        Kit.refused("the same topic once more", TopicExistsException.class,
                () -> admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get());
        Kit.refused("a bad name", InvalidTopicException.class,
                () -> admin.createTopics(List.of(new NewTopic("no/such name", 1, (short) 1))).all().get());
    }

    private void roundTrip(Map<String, Object> config) throws Exception {
        String topic = create("trip", Kit.PARTITIONS);
        send(kit.records(topic), config);
        kit.verify(readAll(topic, 0, Map.of()), 0);
    }

    private void fromTheMiddle() throws Exception {
        kit.verify(readAll(createFull("middle"), 123, Map.of()), 123);
    }

    private void smallFetches() throws Exception {
        Map<String, Object> small = Map.of("fetch.max.bytes", 2000, "max.partition.fetch.bytes", 1000);
        kit.verify(readAll(createFull("small"), 0, small), 0);
    }

    private void readCommitted() throws Exception {
        kit.verify(readAll(createFull("committed"), 0, Map.of("isolation.level", "read_committed")), 0);
    }

    private void nulls() throws Exception {
        String topic = create("nulls", 1);
        var third = new ProducerRecord<>(topic, new byte[0], Kit.bytes("v"));
        third.headers().add("null", null).add("same", Kit.bytes("1")).add("same", Kit.bytes("2"));
        send(List.of(new ProducerRecord<>(topic, Kit.bytes("gone"), null), new ProducerRecord<>(topic, null, new byte[0]), third), Map.of());
        List<ConsumerRecord<byte[], byte[]>> reads = readOnePartition(topic, 3);
        Kit.same("which values are null", reads.stream().map(read -> read.value() == null).collect(toList()), List.of(true, false, false));
        Kit.same("which keys are null", reads.stream().map(read -> read.key() == null).collect(toList()), List.of(false, true, false));
        Kit.same("the headers", Arrays.asList(reads.get(2).headers().toArray()), Arrays.asList(third.headers().toArray()));
    }

    private void large() throws Exception {
        String topic = create("large", 1);
        byte[] value = new byte[900_000];
        new Random().nextBytes(value);
        send(List.of(new ProducerRecord<>(topic, value)), Map.of());
        Kit.same("the value came back", Arrays.equals(readOnePartition(topic, 1).get(0).value(), value), true);
    }

    private void tooLarge() throws Exception {
        String topic = create("toolarge", 1);
        Map<String, Object> config = Map.of("max.request.size", 10_000_000);
        Kit.refused("a record of 9 MB", RecordTooLargeException.class,
                () -> send(List.of(new ProducerRecord<>(topic, new byte[9_000_000])), config));
    }

    private void offsetsListed() throws Exception {
        List<TopicPartition> partitions = partitionsOf(createFull("offsets"));
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            Kit.same("earliest", consumer.beginningOffsets(partitions), partitions.stream().collect(toMap(one -> one, one -> 0L)));
            Kit.same("latest", consumer.endOffsets(partitions),
                    partitions.stream().collect(toMap(one -> one, one -> (long) Kit.PER_PARTITION)));
        }
    }

    private void offsetsByTime() throws Exception {
        String topic = createFull("times");
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            for (long[] asked : new long[][] {{0, 250}, {-500, 250}, {1, 251}}) {
                Map<TopicPartition, Long> wanted = partitionsOf(topic).stream()
                        .collect(toMap(one -> one, one -> kit.timeOfOffset(one.partition(), 250) + asked[0]));
                for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : consumer.offsetsForTimes(wanted).entrySet()) {
                    Kit.same(asked[0] + " ms after record 250", found.getValue().offset(), asked[1]);
                    long time = kit.timeOfOffset(found.getKey().partition(), (int) asked[1]);
                    Kit.same("the time of that record", found.getValue().timestamp(), time);
                }
            }
            TopicPartition first = new TopicPartition(topic, 0);
            Map<TopicPartition, OffsetAndTimestamp> late = consumer.offsetsForTimes(Map.of(first, kit.timeOfOffset(0, Kit.COUNT)));
            Kit.same("the offset after the last", late.get(first), null);
        }
    }

    private void waitingRead() throws Exception {
        String topic = create("waiting", 1);
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of("fetch.max.wait.ms", 6_000))) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            Kit.same("what is there before", poll(consumer, 1, 1).size(), 0);
            send(List.of(new ProducerRecord<>(topic, Kit.bytes("at last"))), Map.of());
            List<ConsumerRecord<byte[], byte[]>> came = poll(consumer, 1, 4);
            Kit.same("what woke the read that waits", came.stream().map(one -> new String(one.value())).collect(toList()), List.of("at last"));
        }
    }

    private void manyPartitions() throws Exception {
        int count = 1000;
        String topic = create("many", count);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int one = 0; one < count; one++) records.add(new ProducerRecord<>(topic, one, null, Kit.bytes("value-" + one)));
        send(records, Map.of());
        try (KafkaConsumer<byte[], byte[]> consumer = reader(Map.of())) {
            consumer.assign(partitionsOf(topic, count));
            consumer.seekToBeginning(partitionsOf(topic, count));
            List<ConsumerRecord<byte[], byte[]>> reads = poll(consumer, count, 30);
            // What comes after the last one would be one too many.
            reads.addAll(poll(consumer, 1, 0.3));
            Kit.same("the number of records", reads.size(), count);
            Map<Integer, String> found = reads.stream().collect(toMap(ConsumerRecord::partition, read -> new String(read.value())));
            for (int one = 0; one < count; one++) Kit.same("the value of " + one, found.get(one), "value-" + one);
        }
    }

    private void createdByProducing() throws Exception {
        String topic = kit.name("auto");
        Kit.same("the offset of the first record", send(List.of(new ProducerRecord<>(topic, Kit.bytes("first"))), Map.of()).offset(), 0L);
        Kit.until("the topic is listed", () -> admin.listTopics().names().get().contains(topic));
    }

    private void topicDeleted() throws Exception {
        String topic = createFull("deleted");
        admin.deleteTopics(List.of(topic)).all().get();
        Kit.until("the topic is gone", () -> !admin.listTopics().names().get().contains(topic));
        Kit.refused("deleting it once more", UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of(topic)).all().get());
    }
}
