// The program of a sarama of 2023, with its defaults. It leaves max_timestamp at -1 in the batches that it sends and
// the leader to find the time of the latest record.
package main

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/IBM/sarama"

	"kafka-clients/kit"
)

type program struct {
	*kit.Kit
	admin  sarama.ClusterAdmin
	client sarama.Client
}

func main() {
	sarama.Logger = log.New(io.Discard, "", 0)
	program := program{Kit: kit.New("sarama-old")}
	var err error
	if program.admin, err = sarama.NewClusterAdmin([]string{program.Bootstrap}, program.config()); err != nil {
		panic(err)
	}
	if program.client, err = sarama.NewClient([]string{program.Bootstrap}, program.config()); err != nil {
		panic(err)
	}
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionSnappy} {
		program.Add("core", "round trip, "+codec.String(), program.roundTrip(codec))
		program.Add("core", "offsets by time, "+codec.String(), program.offsetsByTime(codec))
	}
	program.Run()
}

func (program *program) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	return config
}

// createFull makes a topic with all the records.
func (program *program) createFull(ctx context.Context, purpose string, codec sarama.CompressionCodec) (string, error) {
	topic := program.Name(purpose)
	err := program.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: kit.Partitions, ReplicationFactor: 1}, false)
	if err != nil {
		return "", err
	}
	if err := program.untilLed(ctx, topic); err != nil {
		return "", err
	}
	config := program.config()
	config.Producer.Compression = codec
	producer, err := sarama.NewSyncProducer([]string{program.Bootstrap}, config)
	if err != nil {
		return "", err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, record := range program.Records() {
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
			return "", fmt.Errorf("%d records, the first: %w", len(errors), errors[0].Err)
		}
		return "", err
	}
	return topic, nil
}

// untilLed waits: a broker may know of a partition before it leads it, and what is sent then may be overtaken by what is
// sent next.
func (program *program) untilLed(ctx context.Context, topic string) error {
	return kit.Until(ctx, "every partition is led", func() (bool, error) {
		for partition := range int32(kit.Partitions) {
			if _, err := program.client.GetOffset(topic, partition, sarama.OffsetNewest); err != nil {
				return false, nil
			}
		}
		return true, nil
	})
}

func (program *program) readPartition(ctx context.Context, topic string, partition int32) ([]kit.Record, error) {
	consumer, err := sarama.NewConsumer([]string{program.Bootstrap}, program.config())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	reader, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	defer reader.AsyncClose()
	var reads []kit.Record
	for len(reads) < kit.PerPartition {
		select {
		case message := <-reader.Messages():
			headers := []kit.Header{}
			for _, header := range message.Headers {
				headers = append(headers, kit.Header{Name: string(header.Key), Value: string(header.Value)})
			}
			reads = append(reads, kit.Record{
				Partition: message.Partition, Offset: message.Offset, Key: string(message.Key), Value: string(message.Value),
				Headers: headers, Time: message.Timestamp,
			})
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d records read of partition %d", len(reads), kit.PerPartition, partition)
		}
	}
	return reads, nil
}

func (program *program) roundTrip(codec sarama.CompressionCodec) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.createFull(ctx, "trip", codec)
		if err != nil {
			return err
		}
		var reads []kit.Record
		for partition := range int32(kit.Partitions) {
			found, err := program.readPartition(ctx, topic, partition)
			if err != nil {
				return err
			}
			reads = append(reads, found...)
		}
		return program.Verify(reads, 0)
	}
}

// offsetsByTime finds nothing where the broker believes what the batches say of their latest record. Retention by time
// goes by the same figure.
func (program *program) offsetsByTime(codec sarama.CompressionCodec) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.createFull(ctx, "times", codec)
		if err != nil {
			return err
		}
		for _, asked := range []struct{ afterMs, offset int64 }{{0, 250}, {-500, 250}, {1, 251}} {
			offset, err := program.client.GetOffset(topic, 0, program.TimeOf(0, 250).UnixMilli()+asked.afterMs)
			if err != nil {
				return err
			}
			if err := kit.Same(fmt.Sprintf("%d ms after record 250", asked.afterMs), offset, asked.offset); err != nil {
				return err
			}
		}
		offset, err := program.client.GetOffset(topic, 0, program.TimeOf(0, kit.Count).UnixMilli())
		if err != nil {
			return err
		}
		return kit.Same("the offset after the last", offset, int64(-1))
	}
}
