import static java.util.stream.Collectors.toList;
import static java.util.stream.Collectors.toMap;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** What the Java client does in groups. The oldest client has no successor of what is deprecated in the newest. */
@SuppressWarnings({"deprecation", "removal"})
final class JavaGroups {
    private static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";
    private final JavaClient program;
    private final Kit kit;

    JavaGroups(JavaClient program) {
        this.program = program;
        kit = program.kit;
    }

    void addChecks() {
        kit.add("group", "group, range", () -> shares(classic("RangeAssignor")));
        kit.add("group", "group, round robin", () -> shares(classic("RoundRobinAssignor")));
        kit.add("group", "group, sticky", () -> shares(classic("StickyAssignor")));
        kit.add("group", "group listed and described", this::listed);
        kit.addModern("group", "group, cooperative-sticky", () -> shares(classic("CooperativeStickyAssignor")));
        kit.addModern("group", "group altered and deleted", this::alteredAndDeleted);
        kit.addModern("group848", "group, consumer protocol", () -> shares(Map.of("group.protocol", "consumer")));
        kit.addModern("group848", "group, consumer protocol, range", () -> shares(
                Map.of("group.protocol", "consumer", "group.remote.assignor", "range")));
        kit.addModern("group848", "group, consumer protocol, topics by a pattern", this::byPattern);
    }

    private Map<String, Object> classic(String assignor) {
        return Map.of("partition.assignment.strategy", ASSIGNORS + assignor, "session.timeout.ms", 10_000, "heartbeat.interval.ms", 500);
    }

    private KafkaConsumer<byte[], byte[]> member(String topic, String group, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.putAll(Map.of("group.id", group, "auto.offset.reset", "earliest", "client.id", "kit-member"));
        KafkaConsumer<byte[], byte[]> consumer = program.reader(config);
        consumer.subscribe(List.of(topic));
        return consumer;
    }

    private void shares(Map<String, Object> config) throws Exception {
        String topic = program.create("group", Kit.PARTITIONS);
        String group = kit.name("group");
        List<ConsumerRecord<byte[], byte[]>> reads = new ArrayList<>();
        KafkaConsumer<byte[], byte[]> stays = member(topic, group, config);
        KafkaConsumer<byte[], byte[]> leaves = member(topic, group, config);
        try (stays) {
            try (leaves) {
                Kit.until("two partitions for each of two members", () -> {
                    Kit.same("records before any are produced", pollBoth(stays, leaves).size(), 0);
                    return stays.assignment().size() == 2 && leaves.assignment().size() == 2;
                });
                program.send(kit.records(topic), Map.of());
                Kit.until("all records read", () -> {
                    reads.addAll(pollBoth(stays, leaves));
                    return reads.size() >= Kit.COUNT;
                });
                kit.verify(reads, 0);
                stays.commitSync();
                leaves.commitSync();
            }
            // The one that stays takes over, from what was committed.
            Kit.until("four partitions for the last member", () -> {
                Kit.same("what is read again", JavaClient.poll(stays, 1, 0.2).size(), 0);
                return stays.assignment().size() == Kit.PARTITIONS;
            });
            Kit.same("what is read again", JavaClient.poll(stays, 1, 0.5).size(), 0);
        }
    }

    /** A pattern that the broker, not the client, compares with the names of topics. */
    private void byPattern() throws Exception {
        String purpose = kit.name("pattern");
        List<String> topics = List.of(program.create(purpose + "-a", 1), program.create(purpose + "-b", 1));
        String other = program.create("other-" + purpose, 1);
        for (String topic : List.of(topics.get(0), other, topics.get(1))) {
            program.send(List.of(new ProducerRecord<>(topic, Kit.bytes(topic))), Map.of());
        }
        Map<String, Object> config = Map.of(
                "group.protocol", "consumer", "group.id", kit.name("group"), "auto.offset.reset", "earliest");
        try (KafkaConsumer<byte[], byte[]> consumer = program.reader(config)) {
            consumer.subscribe(new SubscriptionPattern("kit-[a-z]+-" + purpose + "-[ab]-[0-9]+-[0-9]+"));
            List<ConsumerRecord<byte[], byte[]>> reads = JavaClient.poll(consumer, topics.size(), 15);
            reads.addAll(JavaClient.poll(consumer, 1, 0.3));
            Kit.same("what was read", reads.stream().map(read -> new String(read.value())).sorted().collect(toList()), topics);
            Kit.same("of which topics", consumer.assignment().stream().map(TopicPartition::topic).sorted().collect(toList()), topics);
        }
    }

    private static List<ConsumerRecord<byte[], byte[]>> pollBoth(
            KafkaConsumer<byte[], byte[]> one, KafkaConsumer<byte[], byte[]> other) {
        List<ConsumerRecord<byte[], byte[]>> records = JavaClient.poll(one, 1, 0.1);
        records.addAll(JavaClient.poll(other, 1, 0.1));
        return records;
    }

    /** A group that has read and committed all of a topic and has no members any more. */
    private String finished(String topic) throws Exception {
        String group = kit.name("finished");
        try (KafkaConsumer<byte[], byte[]> consumer = member(topic, group, Map.of())) {
            Kit.same("read", JavaClient.poll(consumer, Kit.COUNT, 30).size(), Kit.COUNT);
            consumer.commitSync();
        }
        return group;
    }

    private void listed() throws Exception {
        String topic = program.createFull("listed");
        String group = kit.name("listed");
        try (KafkaConsumer<byte[], byte[]> consumer = member(topic, group, Map.of())) {
            Kit.same("read", JavaClient.poll(consumer, Kit.COUNT, 30).size(), Kit.COUNT);
            consumer.commitSync();
            Kit.same("the group is listed",
                    program.admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group)), true);
            ConsumerGroupDescription described = program.admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            Kit.same("its members", described.members().size(), 1);
            Kit.same("their client", described.members().iterator().next().clientId(), "kit-member");
            Kit.same("their partitions", described.members().iterator().next().assignment().topicPartitions().size(), Kit.PARTITIONS);
        }
        Map<TopicPartition, OffsetAndMetadata> offsets =
                program.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        for (TopicPartition partition : JavaClient.partitionsOf(topic)) {
            Kit.same("the offset of " + partition, offsets.get(partition).offset(), (long) Kit.PER_PARTITION);
        }
    }

    private void alteredAndDeleted() throws Exception {
        String topic = program.createFull("altered");
        String group = finished(topic);
        TopicPartition first = new TopicPartition(topic, 0);
        program.admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(7))).all().get();
        Kit.same("the altered offset",
                program.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(first).offset(), 7L);
        program.admin.deleteConsumerGroupOffsets(group, java.util.Set.of(first)).all().get();
        Map<TopicPartition, OffsetAndMetadata> left = program.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Kit.same("the offset that was deleted", left.get(first), null);
        Kit.same("the offsets that were not", left.entrySet().stream().filter(one -> one.getValue() != null)
                .collect(toMap(Map.Entry::getKey, one -> one.getValue().offset())).size(), Kit.PARTITIONS - 1);
        program.admin.deleteConsumerGroups(List.of(group)).all().get();
        Kit.same("the group is listed after it was deleted",
                program.admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group)), false);
    }
}
