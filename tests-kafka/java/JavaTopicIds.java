import static java.util.stream.Collectors.toMap;

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicIdException;

/** What the Java client's admin asks by the ids of topics. */
final class JavaTopicIds {
    private final JavaClient program;

    JavaTopicIds(JavaClient program) {
        this.program = program;
    }

    void described() throws Exception {
        List<String> topics = List.of(program.create("by-id", Kit.PARTITIONS), program.create("by-id", 1));
        Map<Uuid, String> names = program.admin.describeTopics(topics).allTopicNames().get().values().stream()
                .collect(toMap(TopicDescription::topicId, TopicDescription::name));
        Map<Uuid, TopicDescription> described =
                program.admin.describeTopics(TopicCollection.ofTopicIds(names.keySet())).allTopicIds().get();
        Kit.same("their names", described.entrySet().stream()
                .collect(toMap(Map.Entry::getKey, one -> one.getValue().name())), names);
        Kit.same("their partitions", described.values().stream()
                .collect(toMap(TopicDescription::name, one -> one.partitions().size())),
                Map.of(topics.get(0), Kit.PARTITIONS, topics.get(1), 1));
        Kit.refused("an id that no topic has", UnknownTopicIdException.class,
                () -> program.admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds().get());
    }
}
