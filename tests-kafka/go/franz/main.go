// The program of franz-go: kgo to produce and consume, kadm to administer.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kafka-clients/kit"
)

type program struct {
	*kit.Kit
	admin *kadm.Client
}

func main() {
	program := program{Kit: kit.New("franz-go")}
	program.admin = kadm.NewClient(program.client())
	program.Add("core", "metadata", program.metadata)
	program.Add("core", "topic created", program.topicCreated)
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		program.Add("core", "round trip, "+name, program.roundTrip(kgo.ProducerBatchCompression(codecs[name])))
	}
	program.Add("core", "round trip, not idempotent", program.roundTrip(kgo.DisableIdempotentWrite()))
	program.Add("core", "round trip, acks=1", program.roundTrip(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())))
	program.Add("core", "round trip, acks=0", program.roundTrip(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.NoAck())))
	program.Add("core", "read from the middle", program.fromTheMiddle)
	program.Add("core", "read with small fetches", program.smallFetches)
	program.Add("core", "null keys, values and headers", program.nulls)
	program.Add("core", "a record of 900 kB", program.large)
	program.Add("core", "a record that is too large", program.tooLarge)
	program.Add("core", "a request of more than 17 MB", program.largeRequest)
	program.Add("core", "offsets, earliest and latest", program.offsetsListed)
	program.Add("core", "offsets by time", program.offsetsByTime)
	program.Add("core", "a read that waits", program.waitingRead)
	program.Add("core", "topic created by producing", program.createdByProducing)
	program.Add("core", "topic deleted", program.topicDeleted)
	program.Add("group", "group, range", program.groupShares(kgo.Balancers(kgo.RangeBalancer())))
	program.Add("group", "group, sticky", program.groupShares(kgo.Balancers(kgo.StickyBalancer())))
	program.Add("group", "group, cooperative-sticky", program.groupShares(kgo.Balancers(kgo.CooperativeStickyBalancer())))
	program.Add("group", "group, static members", program.staticMember)
	program.Add("group", "group listed, described, altered, deleted", program.groupListed)
	program.Add("configs", "configs", program.configs)
	program.Add("admin", "partitions added", program.partitionsAdded)
	program.Add("delete-records", "records deleted", program.recordsDeleted)
	program.Add("internals", "producers, log dirs and epochs described", program.described)
	program.Run()
}

func (program *program) client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(program.Bootstrap)}, options...)...)
	if err != nil {
		panic(err)
	}
	return client
}

func (program *program) create(ctx context.Context, purpose string, partitions int32) (string, error) {
	topic := program.Name(purpose)
	if _, err := program.admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return "", err
	}
	return topic, program.untilLed(ctx, topic)
}

// untilLed waits: a broker may know of a partition before it leads it, and what is sent then may be overtaken by what is
// sent next.
func (program *program) untilLed(ctx context.Context, topic string) error {
	return kit.Until(ctx, "every partition is led", func() (bool, error) {
		offsets, err := program.admin.ListEndOffsets(ctx, topic)
		return err == nil && offsets.Error() == nil, nil
	})
}

func (program *program) send(ctx context.Context, topic string, records []kit.Record, options ...kgo.Opt) error {
	options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(5*time.Millisecond))
	client := program.client(options...)
	defer client.Close()
	var produced []*kgo.Record
	for _, record := range records {
		headers := []kgo.RecordHeader{}
		for _, header := range record.Headers {
			headers = append(headers, kgo.RecordHeader{Key: header.Name, Value: []byte(header.Value)})
		}
		produced = append(produced, &kgo.Record{
			Topic: topic, Partition: record.Partition, Key: []byte(record.Key), Value: []byte(record.Value),
			Headers: headers, Timestamp: record.Time,
		})
	}
	return client.ProduceSync(ctx, produced...).FirstErr()
}

// createFull makes a topic with all the records.
func (program *program) createFull(ctx context.Context, purpose string) (string, error) {
	topic, err := program.create(ctx, purpose, kit.Partitions)
	if err != nil {
		return "", err
	}
	return topic, program.send(ctx, topic, program.Records())
}

func asRead(record *kgo.Record) kit.Record {
	headers := []kit.Header{}
	for _, header := range record.Headers {
		headers = append(headers, kit.Header{Name: header.Key, Value: string(header.Value)})
	}
	return kit.Record{
		Partition: record.Partition, Offset: record.Offset, Key: string(record.Key), Value: string(record.Value),
		Headers: headers, Time: record.Timestamp,
	}
}

// poll reads until there are count records, or the context is over.
func poll(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return records, fmt.Errorf("%d of %d records read: %w", len(records), count, err)
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

// pollFor reads for a time and does not mind if nothing comes.
func pollFor(ctx context.Context, client *kgo.Client, time_ time.Duration) []*kgo.Record {
	ctx, cancel := context.WithTimeout(ctx, time_)
	defer cancel()
	records, _ := poll(ctx, client, kit.Count)
	return records
}

func at(topic string, partitions int, offset kgo.Offset) kgo.Opt {
	assigned := map[int32]kgo.Offset{}
	for partition := range partitions {
		assigned[int32(partition)] = offset
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned})
}

func (program *program) readAll(ctx context.Context, topic string, first int, options ...kgo.Opt) error {
	offset := kgo.NewOffset().AtStart()
	if first > 0 {
		offset = kgo.NewOffset().At(int64(first))
	}
	client := program.client(append(options, at(topic, kit.Partitions, offset))...)
	defer client.Close()
	records, err := poll(ctx, client, kit.Count-first*kit.Partitions)
	if err != nil {
		return err
	}
	// What comes after the last one would be one too many.
	records = append(records, pollFor(ctx, client, 200*time.Millisecond)...)
	var reads []kit.Record
	for _, record := range records {
		reads = append(reads, asRead(record))
	}
	return program.Verify(reads, first)
}

func (program *program) metadata(ctx context.Context) error {
	metadata, err := program.admin.BrokerMetadata(ctx)
	if err == nil && (len(metadata.Brokers) == 0 || metadata.Cluster == "" || metadata.Controller < 0) {
		err = fmt.Errorf("%+v", metadata)
	}
	if err != nil {
		return err
	}
	versions, err := program.admin.ApiVersions(ctx)
	if err != nil {
		return err
	}
	return kit.Same("the brokers that gave their versions", len(versions), len(metadata.Brokers))
}

func (program *program) topicCreated(ctx context.Context) error {
	topic, err := program.create(ctx, "created", kit.Partitions)
	if err != nil {
		return err
	}
	listed, err := program.admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if err := kit.Same("its partitions", listed[topic].Partitions.Numbers(), []int32{0, 1, 2, 3}); err != nil {
		return err
	}
	if listed[topic].ID == (kadm.TopicID{}) {
		return fmt.Errorf("the topic has no id")
	}
	_, err = program.admin.CreateTopic(ctx, 1, 1, nil, topic)
	if err := kit.Refused("the same topic once more", err, kerr.TopicAlreadyExists); err != nil {
		return err
	}
	_, err = program.admin.CreateTopic(ctx, 1, 1, nil, "no/such name")
	return kit.Refused("a bad name", err, kerr.InvalidTopicException)
}

func (program *program) roundTrip(options ...kgo.Opt) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.create(ctx, "trip", kit.Partitions)
		if err != nil {
			return err
		}
		if err := program.send(ctx, topic, program.Records(), options...); err != nil {
			return err
		}
		return program.readAll(ctx, topic, 0)
	}
}

func (program *program) fromTheMiddle(ctx context.Context) error {
	topic, err := program.createFull(ctx, "middle")
	if err != nil {
		return err
	}
	return program.readAll(ctx, topic, 123)
}

func (program *program) smallFetches(ctx context.Context) error {
	topic, err := program.createFull(ctx, "small")
	if err != nil {
		return err
	}
	return program.readAll(ctx, topic, 0, kgo.FetchMaxBytes(2000), kgo.FetchMaxPartitionBytes(1000))
}

func (program *program) nulls(ctx context.Context) error {
	topic, err := program.create(ctx, "nulls", 1)
	if err != nil {
		return err
	}
	client := program.client(at(topic, 1, kgo.NewOffset().AtStart()))
	defer client.Close()
	sent := []*kgo.Record{
		{Topic: topic, Key: []byte("gone")},
		{Topic: topic, Value: []byte{}},
		{Topic: topic, Key: []byte{}, Value: []byte("v"), Headers: []kgo.RecordHeader{
			{Key: "null"}, {Key: "same", Value: []byte("1")}, {Key: "same", Value: []byte("2")},
		}},
	}
	if err := client.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return err
	}
	records, err := poll(ctx, client, 3)
	if err != nil {
		return err
	}
	for index, record := range records {
		if (record.Key == nil) != (sent[index].Key == nil) || (record.Value == nil) != (sent[index].Value == nil) {
			return fmt.Errorf("record %d: key %#v, value %#v", index, record.Key, record.Value)
		}
	}
	return kit.Same("the headers", records[2].Headers, sent[2].Headers)
}

func (program *program) large(ctx context.Context) error {
	topic, err := program.create(ctx, "large", 1)
	if err != nil {
		return err
	}
	client := program.client(at(topic, 1, kgo.NewOffset().AtStart()))
	defer client.Close()
	noise := make([]byte, 450_000)
	_, _ = rand.Read(noise)
	value := hex.EncodeToString(noise)
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		return err
	}
	records, err := poll(ctx, client, 1)
	if err != nil {
		return err
	}
	return kit.Same("the value came back", string(records[0].Value) == value, true)
}

func (program *program) tooLarge(ctx context.Context) error {
	topic, err := program.create(ctx, "toolarge", 1)
	if err != nil {
		return err
	}
	client := program.client(kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer client.Close()
	err = client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("x", 9_000_000))}).FirstErr()
	return kit.Refused("a record of 9 MB", err, kerr.MessageTooLarge)
}

// largestProduce is a hook that knows the size of the largest Produce request.
type largestProduce struct{ bytes atomic.Int64 }

func (largest *largestProduce) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.Produce) {
		largest.bytes.Store(max(largest.bytes.Load(), int64(bytes)))
	}
}

// largeRequest sends what has gathered while nothing could be sent, as while the broker hangs: one batch of each
// partition makes one request, however large, and only then are there more.
func (program *program) largeRequest(ctx context.Context) error {
	topic, partitions, err := program.ledByOne(ctx, "burst", 20)
	if err != nil {
		return err
	}
	largest := &largestProduce{}
	client := program.client(kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.WithHooks(largest))
	defer client.Close()
	// Random, as the client compresses.
	value := make([]byte, 900_000)
	_, _ = rand.Read(value)
	failed := make(chan error, len(partitions))
	for _, partition := range partitions {
		client.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: value}, func(_ *kgo.Record, err error) {
			failed <- err
		})
	}
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := client.Flush(within); err != nil {
		return fmt.Errorf("%d of %d records delivered: %w", len(failed), len(partitions), err)
	}
	for range partitions {
		if err := <-failed; err != nil {
			return err
		}
	}
	if largest.bytes.Load() <= 17_000_000 {
		return fmt.Errorf("the largest request had %d bytes only", largest.bytes.Load())
	}
	listed, err := program.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	for _, partition := range partitions {
		offset, _ := listed.Lookup(topic, partition)
		if err := kit.Same(fmt.Sprintf("the end of partition %d", partition), offset.Offset, int64(1)); err != nil {
			return err
		}
	}
	return nil
}

// ledByOne makes a topic and names count of its partitions that have the same leader.
func (program *program) ledByOne(ctx context.Context, purpose string, count int) (string, []int32, error) {
	metadata, err := program.admin.BrokerMetadata(ctx)
	if err != nil {
		return "", nil, err
	}
	// Some brokers lead a few more than others.
	topic, err := program.create(ctx, purpose, int32((count+5)*len(metadata.Brokers)))
	if err != nil {
		return "", nil, err
	}
	listed, err := program.admin.ListTopics(ctx, topic)
	if err != nil {
		return "", nil, err
	}
	led := map[int32][]int32{}
	for _, partition := range listed[topic].Partitions.Sorted() {
		led[partition.Leader] = append(led[partition.Leader], partition.Partition)
		if len(led[partition.Leader]) == count {
			return topic, led[partition.Leader], nil
		}
	}
	return "", nil, fmt.Errorf("no broker leads %d partitions", count)
}

func (program *program) offsetsListed(ctx context.Context) error {
	topic, err := program.createFull(ctx, "offsets")
	if err != nil {
		return err
	}
	for _, asked := range []struct {
		what     string
		list     func(context.Context, ...string) (kadm.ListedOffsets, error)
		expected int64
	}{
		{"earliest", program.admin.ListStartOffsets, 0},
		{"latest", program.admin.ListEndOffsets, kit.PerPartition},
		{"committed", program.admin.ListCommittedOffsets, kit.PerPartition},
		{"of the latest time", program.admin.ListMaxTimestampOffsets, kit.PerPartition - 1},
	} {
		listed, err := asked.list(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", asked.what, err)
		}
		for partition, offset := range listed[topic] {
			if err := kit.Same(fmt.Sprintf("%s of %d", asked.what, partition), offset.Offset, asked.expected); err != nil {
				return err
			}
		}
	}
	return nil
}

func (program *program) offsetsByTime(ctx context.Context) error {
	topic, err := program.createFull(ctx, "times")
	if err != nil {
		return err
	}
	for _, asked := range []struct{ afterMs, offset int64 }{{0, 250}, {-500, 250}, {1, 251}} {
		listed, err := program.admin.ListOffsetsAfterMilli(ctx, program.TimeOf(0, 250).UnixMilli()+asked.afterMs, topic)
		if err != nil {
			return err
		}
		offset, _ := listed.Lookup(topic, 0)
		if err := kit.Same(fmt.Sprintf("%d ms after record 250", asked.afterMs), offset.Offset, asked.offset); err != nil {
			return err
		}
	}
	// kadm answers with the end where nothing is that late.
	listed, err := program.admin.ListOffsetsAfterMilli(ctx, program.TimeOf(0, kit.Count).UnixMilli(), topic)
	if err != nil {
		return err
	}
	offset, _ := listed.Lookup(topic, 0)
	return kit.Same("the offset after the last", offset.Offset, int64(kit.PerPartition))
}

func (program *program) waitingRead(ctx context.Context) error {
	topic, err := program.create(ctx, "waiting", 1)
	if err != nil {
		return err
	}
	client := program.client(at(topic, 1, kgo.NewOffset().AtStart()), kgo.FetchMaxWait(10*time.Second))
	defer client.Close()
	if err := kit.Same("what is there before", len(pollFor(ctx, client, time.Second)), 0); err != nil {
		return err
	}
	producer := program.client()
	defer producer.Close()
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("at last")}).FirstErr(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	records, err := poll(ctx, client, 1)
	if err != nil {
		return fmt.Errorf("a read that waits was not woken by the record: %w", err)
	}
	return kit.Same("what came", string(records[0].Value), "at last")
}

func (program *program) createdByProducing(ctx context.Context) error {
	topic := program.Name("auto")
	client := program.client(kgo.AllowAutoTopicCreation())
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("first")}).FirstErr(); err != nil {
		return err
	}
	listed, err := program.admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	return listed[topic].Err
}

func (program *program) topicDeleted(ctx context.Context) error {
	topic, err := program.createFull(ctx, "deleted")
	if err != nil {
		return err
	}
	if _, err := program.admin.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	gone := func() (bool, error) {
		listed, err := program.admin.ListTopics(ctx)
		return !listed.Has(topic), err
	}
	if err := kit.Until(ctx, "the topic is gone", gone); err != nil {
		return err
	}
	_, err = program.admin.DeleteTopic(ctx, topic)
	return kit.Refused("deleting it once more", err, kerr.UnknownTopicOrPartition)
}
