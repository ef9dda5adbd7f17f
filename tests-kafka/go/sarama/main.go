// The program of sarama.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"kafka-clients/kit"
)

type program struct {
	*kit.Kit
	admin sarama.ClusterAdmin
}

func main() {
	sarama.Logger = log.New(io.Discard, "", 0)
	program := program{Kit: kit.New("sarama")}
	var err error
	if program.admin, err = sarama.NewClusterAdmin([]string{program.Bootstrap}, program.config()); err != nil {
		panic(err)
	}
	program.Add("core", "metadata", program.metadata)
	program.Add("core", "topic created", program.topicCreated)
	for _, codec := range []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD,
	} {
		program.Add("core", "round trip, "+codec.String(), program.roundTrip(func(config *sarama.Config) {
			config.Producer.Compression = codec
		}))
	}
	program.Add("core", "round trip, idempotent", program.roundTrip(func(config *sarama.Config) {
		config.Producer.Idempotent = true
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Net.MaxOpenRequests = 1
	}))
	program.Add("core", "round trip, acks=all", program.roundTrip(func(config *sarama.Config) {
		config.Producer.RequiredAcks = sarama.WaitForAll
	}))
	// What it sends depends on the version that it is told.
	for _, version := range []sarama.KafkaVersion{sarama.V2_1_0_0, sarama.V3_9_0_0, sarama.V4_1_0_0, sarama.MaxVersion} {
		program.Add("core", "round trip, as of "+version.String(), program.roundTrip(func(config *sarama.Config) {
			config.Version = version
		}))
	}
	program.Add("core", "read from the middle", program.fromTheMiddle)
	program.Add("core", "read with small fetches", program.smallFetches)
	program.Add("core", "null keys and values", program.nulls)
	program.Add("core", "a record of 900 kB", program.large)
	program.Add("core", "a record that is too large", program.tooLarge)
	program.Add("core", "offsets, earliest and latest", program.offsetsListed)
	program.Add("core", "offsets by time", program.offsetsByTime)
	program.Add("core", "a read that waits", program.waitingRead)
	program.Add("core", "topic created by producing", program.createdByProducing)
	program.Add("core", "topic deleted", program.topicDeleted)
	program.Add("group", "group, range", program.groupShares(sarama.NewBalanceStrategyRange()))
	program.Add("group", "group, round robin", program.groupShares(sarama.NewBalanceStrategyRoundRobin()))
	program.Add("group", "group, sticky", program.groupShares(sarama.NewBalanceStrategySticky()))
	program.Add("group", "group listed, described, altered, deleted", program.groupListed)
	program.Add("configs", "configs", program.configs)
	program.Add("admin", "partitions added", program.partitionsAdded)
	program.Add("delete-records", "records deleted", program.recordsDeleted)
	program.Run()
}

func (program *program) config() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "kit"
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Return.Errors = true
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	return config
}

func (program *program) create(purpose string, partitions int32) (string, error) {
	topic := program.Name(purpose)
	return topic, program.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
}

func (program *program) send(topic string, records []kit.Record, config *sarama.Config) error {
	producer, err := sarama.NewSyncProducer([]string{program.Bootstrap}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, record := range records {
		message := &sarama.ProducerMessage{
			Topic: topic, Partition: record.Partition, Key: sarama.StringEncoder(record.Key),
			Value: sarama.StringEncoder(record.Value), Timestamp: record.Time,
		}
		for _, header := range record.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: []byte(header.Value)})
		}
		messages = append(messages, message)
	}
	if err := producer.SendMessages(messages); err != nil {
		if errors, ok := err.(sarama.ProducerErrors); ok {
			return fmt.Errorf("%d records, the first: %w", len(errors), errors[0].Err)
		}
		return err
	}
	return nil
}

func (program *program) sendOne(message *sarama.ProducerMessage, config *sarama.Config) (int64, error) {
	producer, err := sarama.NewSyncProducer([]string{program.Bootstrap}, config)
	if err != nil {
		return 0, err
	}
	defer producer.Close()
	_, offset, err := producer.SendMessage(message)
	return offset, err
}

// createFull makes a topic with all the records.
func (program *program) createFull(purpose string) (string, error) {
	topic, err := program.create(purpose, kit.Partitions)
	if err != nil {
		return "", err
	}
	return topic, program.send(topic, program.Records(), program.config())
}

func asRead(message *sarama.ConsumerMessage) kit.Record {
	headers := []kit.Header{}
	for _, header := range message.Headers {
		headers = append(headers, kit.Header{Name: string(header.Key), Value: string(header.Value)})
	}
	return kit.Record{
		Partition: message.Partition, Offset: message.Offset, Key: string(message.Key), Value: string(message.Value),
		Headers: headers, Time: message.Timestamp,
	}
}

func (program *program) readPartition(
	ctx context.Context, topic string, partition int32, offset int64, count int, config *sarama.Config,
) ([]*sarama.ConsumerMessage, error) {
	consumer, err := sarama.NewConsumer([]string{program.Bootstrap}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	reader, err := consumer.ConsumePartition(topic, partition, offset)
	if err != nil {
		return nil, err
	}
	defer reader.AsyncClose()
	var messages []*sarama.ConsumerMessage
	for len(messages) < count {
		select {
		case message := <-reader.Messages():
			messages = append(messages, message)
		case err := <-reader.Errors():
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records read of partition %d", len(messages), count, partition)
		}
	}
	return messages, nil
}

func (program *program) readAll(ctx context.Context, topic string, first int, config *sarama.Config) error {
	offset := sarama.OffsetOldest
	if first > 0 {
		offset = int64(first)
	}
	var reads []kit.Record
	for partition := range int32(kit.Partitions) {
		messages, err := program.readPartition(ctx, topic, partition, offset, kit.PerPartition-first, config)
		if err != nil {
			return err
		}
		for _, message := range messages {
			reads = append(reads, asRead(message))
		}
	}
	return program.Verify(reads, first)
}

func (program *program) metadata(context.Context) error {
	brokers, controller, err := program.admin.DescribeCluster()
	if err == nil && (len(brokers) == 0 || controller < 0) {
		err = fmt.Errorf("%d brokers, controller %d", len(brokers), controller)
	}
	return err
}

func (program *program) topicCreated(context.Context) error {
	topic, err := program.create("created", kit.Partitions)
	if err != nil {
		return err
	}
	listed, err := program.admin.ListTopics()
	if err != nil {
		return err
	}
	if err := kit.Same("its listed partitions", listed[topic].NumPartitions, int32(kit.Partitions)); err != nil {
		return err
	}
	described, err := program.admin.DescribeTopics([]string{topic})
	if err != nil {
		return err
	}
	if err := kit.Same("its described partitions", len(described[0].Partitions), kit.Partitions); err != nil {
		return err
	}
	again := program.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	if err := kit.Refused("the same topic once more", again, sarama.ErrTopicAlreadyExists); err != nil {
		return err
	}
	bad := program.admin.CreateTopic("no/such name", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	return kit.Refused("a bad name", bad, sarama.ErrInvalidTopic)
}

func (program *program) roundTrip(change func(*sarama.Config)) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.create("trip", kit.Partitions)
		if err != nil {
			return err
		}
		config := program.config()
		change(config)
		if err := program.send(topic, program.Records(), config); err != nil {
			return err
		}
		return program.readAll(ctx, topic, 0, config)
	}
}

func (program *program) fromTheMiddle(ctx context.Context) error {
	topic, err := program.createFull("middle")
	if err != nil {
		return err
	}
	return program.readAll(ctx, topic, 123, program.config())
}

func (program *program) smallFetches(ctx context.Context) error {
	topic, err := program.createFull("small")
	if err != nil {
		return err
	}
	config := program.config()
	config.Consumer.Fetch.Default = 1000
	config.Consumer.Fetch.MaxBytes = 2000
	return program.readAll(ctx, topic, 0, config)
}

func (program *program) nulls(ctx context.Context) error {
	topic, err := program.create("nulls", 1)
	if err != nil {
		return err
	}
	for _, message := range []*sarama.ProducerMessage{
		{Topic: topic, Key: sarama.StringEncoder("gone")},
		{Topic: topic, Value: sarama.StringEncoder("")},
		{Topic: topic, Value: sarama.StringEncoder("v"), Headers: []sarama.RecordHeader{
			{Key: []byte("same"), Value: []byte("1")}, {Key: []byte("same"), Value: []byte("2")},
		}},
	} {
		if _, err := program.sendOne(message, program.config()); err != nil {
			return err
		}
	}
	messages, err := program.readPartition(ctx, topic, 0, 0, 3, program.config())
	if err != nil {
		return err
	}
	found := []bool{
		messages[0].Key != nil && messages[0].Value == nil,
		messages[1].Key == nil && messages[1].Value != nil && len(messages[1].Value) == 0,
		len(messages[2].Headers) == 2 && string(messages[2].Headers[1].Value) == "2",
	}
	return kit.Same("the records are as they were", found, []bool{true, true, true})
}

func (program *program) large(ctx context.Context) error {
	topic, err := program.create("large", 1)
	if err != nil {
		return err
	}
	noise := make([]byte, 450_000)
	_, _ = rand.Read(noise)
	value := hex.EncodeToString(noise)
	if _, err := program.sendOne(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)}, program.config()); err != nil {
		return err
	}
	messages, err := program.readPartition(ctx, topic, 0, 0, 1, program.config())
	if err != nil {
		return err
	}
	return kit.Same("the value came back", string(messages[0].Value) == value, true)
}

func (program *program) tooLarge(context.Context) error {
	topic, err := program.create("toolarge", 1)
	if err != nil {
		return err
	}
	config := program.config()
	config.Producer.MaxMessageBytes = 10_000_000
	value := sarama.StringEncoder(strings.Repeat("x", 9_000_000))
	_, err = program.sendOne(&sarama.ProducerMessage{Topic: topic, Value: value}, config)
	return kit.Refused("a record of 9 MB", err, sarama.ErrMessageSizeTooLarge)
}

func (program *program) listOffsets(topic string, time int64) ([]int64, error) {
	asked := map[int32]int64{}
	for partition := range int32(kit.Partitions) {
		asked[partition] = time
	}
	listed, err := program.admin.ListOffsets(map[string]map[int32]int64{topic: asked}, nil)
	if err != nil {
		return nil, err
	}
	offsets := make([]int64, kit.Partitions)
	for partition, result := range listed[topic] {
		if result.Err != nil && result.Err != sarama.ErrNoError {
			return nil, result.Err
		}
		offsets[partition] = result.Offset
	}
	return offsets, nil
}

func (program *program) offsetsListed(context.Context) error {
	topic, err := program.createFull("offsets")
	if err != nil {
		return err
	}
	for time, expected := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: kit.PerPartition} {
		found, err := program.listOffsets(topic, time)
		if err != nil {
			return err
		}
		if err := kit.Same(fmt.Sprintf("the offsets of %d", time), found, []int64{expected, expected, expected, expected}); err != nil {
			return err
		}
	}
	return nil
}

func (program *program) offsetsByTime(context.Context) error {
	topic, err := program.createFull("times")
	if err != nil {
		return err
	}
	client, err := sarama.NewClient([]string{program.Bootstrap}, program.config())
	if err != nil {
		return err
	}
	defer client.Close()
	at := program.TimeOf(0, 250).UnixMilli()
	late := program.TimeOf(0, kit.Count).UnixMilli()
	for time, expected := range map[int64]int64{at: 250, at - 500: 250, at + 1: 251, late: -1} {
		found, err := client.GetOffset(topic, 0, time)
		if err != nil {
			return err
		}
		if err := kit.Same(fmt.Sprintf("the offset %d ms after record 250", time-at), found, expected); err != nil {
			return err
		}
	}
	return nil
}

func (program *program) waitingRead(ctx context.Context) error {
	topic, err := program.create("waiting", 1)
	if err != nil {
		return err
	}
	config := program.config()
	config.Consumer.MaxWaitTime = 10 * time.Second
	came := make(chan error, 1)
	go func() {
		messages, err := program.readPartition(ctx, topic, 0, 0, 1, config)
		if err == nil {
			err = kit.Same("what came", string(messages[0].Value), "at last")
		}
		came <- err
	}()
	select {
	case err := <-came:
		return fmt.Errorf("it did not wait: %v", err)
	case <-time.After(time.Second):
	}
	if _, err := program.sendOne(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("at last")}, program.config()); err != nil {
		return err
	}
	select {
	case err := <-came:
		return err
	case <-time.After(5 * time.Second):
		return fmt.Errorf("a read that waits was not woken by the record")
	}
}

func (program *program) createdByProducing(context.Context) error {
	topic := program.Name("auto")
	offset, err := program.sendOne(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("first")}, program.config())
	if err != nil {
		return err
	}
	return kit.Same("the offset of the first record", offset, int64(0))
}

func (program *program) topicDeleted(ctx context.Context) error {
	topic, err := program.createFull("deleted")
	if err != nil {
		return err
	}
	if err := program.admin.DeleteTopic(topic); err != nil {
		return err
	}
	gone := func() (bool, error) {
		listed, err := program.admin.ListTopics()
		_, there := listed[topic]
		return !there, err
	}
	if err := kit.Until(ctx, "the topic is gone", gone); err != nil {
		return err
	}
	return kit.Refused("deleting it once more", program.admin.DeleteTopic(topic), sarama.ErrUnknownTopicOrPartition)
}
