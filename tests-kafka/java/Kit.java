import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records, what is expected of them, and the line of each check, as in the Python programs' kit.py. */
final class Kit {
    static final int PARTITIONS = 4;
    static final int COUNT = 2000;
    static final int PER_PARTITION = COUNT / PARTITIONS;
    private static final int CHECK_SECONDS_MAX = 60;

    interface Check {
        void run() throws Exception;
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    private record Listed(String name, Check check) {}

    final String bootstrap;
    private final String client;
    private final List<String> leftOut;
    private final String only;
    private final List<Listed> checks = new ArrayList<>();
    private final String nonce = String.format("%09d", System.currentTimeMillis() % 1_000_000_000);
    private int names = 0;
    // An hour ago: event times that are neither in the future nor old enough for retention.
    private final long firstTimestampMs = (System.currentTimeMillis() / 1000 - 3600) * 1000;

    Kit(String[] arguments) {
        client = argument(arguments, "--client", "java");
        bootstrap = argument(arguments, "--bootstrap", null);
        leftOut = Arrays.asList(argument(arguments, "--without", "").split(","));
        only = argument(arguments, "--check", "");
    }

    private static String argument(String[] arguments, String name, String otherwise) {
        int at = Arrays.asList(arguments).lastIndexOf(name);
        return at < 0 ? otherwise : arguments[at + 1];
    }

    /** Of a topic or a group that nobody has. */
    synchronized String name(String purpose) {
        names++;
        return "kit-" + client + "-" + purpose + "-" + nonce + "-" + names;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    ProducerRecord<byte[], byte[]> record(String topic, int number) {
        List<Header> headers = List.of(
                new RecordHeader("number", bytes(Integer.toString(number))), new RecordHeader("empty", new byte[0]));
        byte[] value = bytes("value-" + number + "-" + "x".repeat(number * 7 % 300));
        return new ProducerRecord<>(
                topic, number % PARTITIONS, firstTimestampMs + number * 1000L, bytes("key-" + number), value, headers);
    }

    List<ProducerRecord<byte[], byte[]>> records(String topic) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < COUNT; number++) records.add(record(topic, number));
        return records;
    }

    long timeOfOffset(int partition, int offset) {
        return record("", offset * PARTITIONS + partition).timestamp();
    }

    /** Every record once and in order, from firstOffset of each partition. */
    void verify(List<ConsumerRecord<byte[], byte[]>> reads, int firstOffset) {
        int[] next = new int[PARTITIONS];
        Arrays.fill(next, firstOffset);
        for (ConsumerRecord<byte[], byte[]> read : reads) {
            int offset = next[read.partition()]++;
            String where = " of " + read.partition() + "@" + offset;
            ProducerRecord<byte[], byte[]> expected = record("", offset * PARTITIONS + read.partition());
            same("the offset" + where, read.offset(), (long) offset);
            same("the key" + where, new String(read.key()), new String(expected.key()));
            same("the value" + where, new String(read.value()), new String(expected.value()));
            same("the headers" + where, Arrays.asList(read.headers().toArray()), Arrays.asList(expected.headers().toArray()));
            same("the time" + where, read.timestamp(), expected.timestamp());
        }
        for (int partition = 0; partition < PARTITIONS; partition++) {
            same("the end of partition " + partition, next[partition], PER_PARTITION);
        }
    }

    static void same(String what, Object found, Object expected) {
        if (!Objects.equals(found, expected)) {
            throw new AssertionError(what + ": " + found + " instead of " + expected);
        }
    }

    /** That the call fails, with this error or because of it. */
    static void refused(String what, Class<? extends Exception> error, Callable<?> call) throws Exception {
        try {
            call.call();
        } catch (Exception raised) {
            for (Throwable cause = raised; cause != null; cause = cause.getCause()) {
                if (error.isInstance(cause)) return;
            }
            throw raised;
        }
        throw new AssertionError(what + " was accepted");
    }

    /** Waits for what the broker does in its own time. */
    static void until(String what, Condition condition) throws Exception {
        long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.holds()) {
            if (System.nanoTime() > end) throw new AssertionError("never came true: " + what);
            Thread.sleep(50);
        }
    }

    void add(String tag, String name, Check check) {
        if (!leftOut.contains(tag) && name.contains(only)) checks.add(new Listed(name, check));
    }

    /** With another tag of its own, for what calls more than the oldest client has. */
    void addModern(String tag, String name, Check check) {
        if (!leftOut.contains("modern")) add(tag, name, check);
    }

    /** Does not return. */
    void run() {
        int failed = 0;
        ExecutorService executor = Executors.newCachedThreadPool();
        for (Listed one : checks) {
            long started = System.nanoTime();
            Throwable error = null;
            try {
                executor.submit(() -> {
                    one.check.run();
                    return null;
                }).get(CHECK_SECONDS_MAX, TimeUnit.SECONDS);
            } catch (TimeoutException overdue) {
                error = new TimeoutException("not done within " + CHECK_SECONDS_MAX + " s");
            } catch (Exception raised) {
                error = raised.getCause() == null ? raised : raised.getCause();
            }
            if (error == null) {
                double seconds = (System.nanoTime() - started) / 1e9;
                System.out.printf("ok     %s: %s (%.1f s)%n", client, one.name, seconds);
                continue;
            }
            failed++;
            String text = error.toString().replaceAll("\\s+", " ");
            System.out.printf("FAILED %s: %s: %.400s%n", client, one.name, text);
            if (System.getenv("KIT_TRACE") != null) error.printStackTrace();
        }
        System.exit(failed > 0 ? 1 : 0);
    }
}
