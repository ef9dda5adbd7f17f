package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"kafka-clients/kit"
)

func (program *program) configs(ctx context.Context) error {
	topic := program.Name("configs")
	hour, hours := "3600000", "7200000"
	if _, err := program.admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &hour}, topic); err != nil {
		return err
	}
	described := func(name string) (string, error) {
		configs, err := program.admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return "", err
		}
		for _, config := range configs[0].Configs {
			if config.Key == name {
				return config.MaybeValue(), configs[0].Err
			}
		}
		return "", fmt.Errorf("%s is not described", name)
	}
	if value, err := described("retention.ms"); err != nil || value != hour {
		return fmt.Errorf("retention.ms: %s, %w", value, err)
	}
	for _, name := range []string{"cleanup.policy", "max.message.bytes", "segment.bytes"} {
		if _, err := described(name); err != nil {
			return err
		}
	}
	altered, err := program.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &hours}}, topic)
	if err != nil {
		return err
	}
	if altered[0].Err != nil {
		return altered[0].Err
	}
	return kit.Until(ctx, "the altered retention.ms is described", func() (bool, error) {
		value, err := described("retention.ms")
		return value == hours, err
	})
}

func (program *program) partitionsAdded(ctx context.Context) error {
	topic, err := program.create(ctx, "more", 1)
	if err != nil {
		return err
	}
	updated, err := program.admin.UpdatePartitions(ctx, kit.Partitions, topic)
	if err == nil {
		err = updated.Error()
	}
	if err != nil {
		return err
	}
	four := func() (bool, error) {
		listed, err := program.admin.ListTopics(ctx, topic)
		return len(listed[topic].Partitions) == kit.Partitions, err
	}
	if err := kit.Until(ctx, "four partitions", four); err != nil {
		return err
	}
	if err := program.untilLed(ctx, topic); err != nil {
		return err
	}
	if err := program.send(ctx, topic, program.Records()); err != nil {
		return err
	}
	return program.readAll(ctx, topic, 0)
}

func (program *program) recordsDeleted(ctx context.Context) error {
	topic, err := program.createFull(ctx, "cut")
	if err != nil {
		return err
	}
	cut := kadm.Offsets{}
	for partition := range int32(kit.Partitions) {
		cut.AddOffset(topic, partition, 100, -1)
	}
	deleted, err := program.admin.DeleteRecords(ctx, cut)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return err
	}
	return program.readAll(ctx, topic, 100)
}

func (program *program) described(ctx context.Context) error {
	topic, err := program.createFull(ctx, "described")
	if err != nil {
		return err
	}
	asked := kadm.TopicsSet{}
	asked.Add(topic, 0, 1, 2, 3)
	dirs, err := program.admin.DescribeAllLogDirs(ctx, asked)
	if err != nil {
		return err
	}
	partitions := 0
	dirs.Each(func(dir kadm.DescribedLogDir) { partitions += len(dir.Topics[topic]) })
	if err := kit.Same("the partitions in log dirs", partitions, kit.Partitions); err != nil {
		return err
	}
	producers, err := program.admin.DescribeProducers(ctx, asked)
	if err != nil {
		return err
	}
	if err := kit.Same("the producers of partition 0", len(producers[topic].Partitions[0].ActiveProducers), 1); err != nil {
		return err
	}
	epochs := kadm.OffsetForLeaderEpochRequest{}
	epochs.Add(topic, 0, 0)
	ends, err := program.admin.OffsetForLeaderEpoch(ctx, epochs)
	if err != nil {
		return err
	}
	return kit.Same("the end of epoch 0", ends[topic][0].EndOffset, int64(kit.PerPartition))
}
