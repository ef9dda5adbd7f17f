import static java.util.stream.Collectors.toMap;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** What the Java client's admin does beyond topics. */
final class JavaAdmin {
    private final JavaClient program;
    private final Kit kit;

    JavaAdmin(JavaClient program) {
        this.program = program;
        kit = program.kit;
    }

    void addChecks() {
        kit.addModern("core", "topic described, with an id", this::described);
        // In a class of its own: the oldest client has not even the types, and they would be looked for in this one.
        kit.addModern("core", "topics described by their ids", () -> new JavaTopicIds(program).described());
        kit.addModern("core", "offsets by the admin", this::offsets);
        kit.add("configs", "configs described", this::configsDescribed);
        kit.addModern("configs", "configs altered", this::configsAltered);
        kit.add("admin", "partitions added", this::partitionsAdded);
        kit.add("delete-records", "records deleted", this::recordsDeleted);
        kit.addModern("internals", "log dirs and producers described", this::internals);
    }

    private void described() throws Exception {
        String topic = program.create("described", Kit.PARTITIONS);
        TopicDescription described = program.admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        Kit.same("its partitions", described.partitions().size(), Kit.PARTITIONS);
        Kit.same("it has no id", described.topicId().equals(Uuid.ZERO_UUID), false);
    }

    private void offsets() throws Exception {
        List<TopicPartition> partitions = JavaClient.partitionsOf(program.createFull("offsets"));
        Map<OffsetSpec, Long> asked = Map.of(
                OffsetSpec.earliest(), 0L, OffsetSpec.latest(), (long) Kit.PER_PARTITION,
                OffsetSpec.maxTimestamp(), (long) Kit.PER_PARTITION - 1);
        for (Map.Entry<OffsetSpec, Long> one : asked.entrySet()) {
            Collection<ListOffsetsResultInfo> found = program.admin.listOffsets(
                    partitions.stream().collect(toMap(each -> each, each -> one.getKey()))).all().get().values();
            for (ListOffsetsResultInfo each : found) {
                Kit.same(one.getKey().getClass().getSimpleName(), each.offset(), one.getValue());
            }
        }
    }

    private String createWithRetention() throws Exception {
        String topic = kit.name("configs");
        NewTopic wanted = new NewTopic(topic, 1, (short) 1).configs(Map.of("retention.ms", "3600000"));
        program.admin.createTopics(List.of(wanted)).all().get();
        return topic;
    }

    private Config configOf(ConfigResource resource) throws Exception {
        return program.admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    private void configsDescribed() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, createWithRetention());
        ConfigEntry retention = configOf(topic).get("retention.ms");
        Kit.same("retention.ms", retention.value(), "3600000");
        Kit.same("its source", retention.source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        for (String name : List.of("cleanup.policy", "max.message.bytes", "segment.bytes", "message.timestamp.type")) {
            if (configOf(topic).get(name) == null) throw new AssertionError(name + " is not described");
        }
        int broker = program.admin.describeCluster().nodes().get().iterator().next().id();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(broker));
        Kit.same("the broker has no configs", configOf(resource).entries().isEmpty(), false);
    }

    private void configsAltered() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, createWithRetention());
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        program.admin.incrementalAlterConfigs(Map.of(topic, List.of(set))).all().get();
        Kit.until("the altered retention.ms is described", () -> configOf(topic).get("retention.ms").value().equals("7200000"));
        AlterConfigOp delete = new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE);
        program.admin.incrementalAlterConfigs(Map.of(topic, List.of(delete))).all().get();
        Kit.until("retention.ms is the default again",
                () -> configOf(topic).get("retention.ms").source() != ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
    }

    private void partitionsAdded() throws Exception {
        String topic = program.create("more", 1);
        program.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(Kit.PARTITIONS))).all().get();
        try (var consumer = program.reader(Map.of())) {
            Kit.until("four partitions", () -> consumer.partitionsFor(topic).size() == Kit.PARTITIONS);
        }
        program.untilLed(topic, Kit.PARTITIONS);
        program.send(kit.records(topic), Map.of());
        kit.verify(program.readAll(topic, 0, Map.of()), 0);
    }

    private void recordsDeleted() throws Exception {
        String topic = program.createFull("cut");
        program.admin.deleteRecords(JavaClient.partitionsOf(topic).stream()
                .collect(toMap(one -> one, one -> RecordsToDelete.beforeOffset(100)))).all().get();
        kit.verify(program.readAll(topic, 100, Map.of()), 100);
    }

    private void internals() throws Exception {
        String topic = program.createFull("internals");
        int broker = program.admin.describeCluster().nodes().get().iterator().next().id();
        Map<Integer, Map<String, LogDirDescription>> dirs = program.admin.describeLogDirs(List.of(broker)).allDescriptions().get();
        long partitions = dirs.values().stream().flatMap(each -> each.values().stream())
                .flatMap(each -> each.replicaInfos().keySet().stream()).filter(each -> each.topic().equals(topic)).count();
        if (partitions == 0) throw new AssertionError("no partition of the topic is in the log dirs of broker " + broker);
        TopicPartition first = new TopicPartition(topic, 0);
        Kit.same("the producers of partition 0",
                program.admin.describeProducers(List.of(first)).all().get().get(first).activeProducers().size(), 1);
    }
}
