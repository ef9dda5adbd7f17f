package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"kafka-clients/kit"
)

// member reads for a group until it is stopped, and commits what it read when it stops.
type member struct {
	mutex sync.Mutex
	reads []kit.Record
	owned int
	stop  func() error
}

func (member *member) Setup(session sarama.ConsumerGroupSession) error {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	member.owned = 0
	for _, partitions := range session.Claims() {
		member.owned += len(partitions)
	}
	return nil
}

func (member *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (member *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		member.mutex.Lock()
		member.reads = append(member.reads, asRead(message))
		member.mutex.Unlock()
		session.MarkMessage(message, "")
	}
	return nil
}

func (member *member) state() (owned, read int) {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	return member.owned, len(member.reads)
}

func (program *program) member(topic, group string, strategy sarama.BalanceStrategy) (*member, error) {
	config := program.config()
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	config.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	client, err := sarama.NewConsumerGroup([]string{program.Bootstrap}, group, config)
	if err != nil {
		return nil, err
	}
	go func() {
		for range client.Errors() {
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	member := &member{}
	member.stop = sync.OnceValue(func() error {
		cancel()
		<-done
		return client.Close()
	})
	go func() {
		defer close(done)
		// Each rebalance ends one call.
		for ctx.Err() == nil {
			if err := client.Consume(ctx, []string{topic}, member); err != nil {
				return
			}
		}
	}()
	return member, nil
}

func (program *program) groupShares(strategy sarama.BalanceStrategy) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.create("group", kit.Partitions)
		if err != nil {
			return err
		}
		group := program.Name("group")
		stays, err := program.member(topic, group, strategy)
		if err != nil {
			return err
		}
		defer stays.stop()
		leaves, err := program.member(topic, group, strategy)
		if err != nil {
			return err
		}
		defer leaves.stop()
		if err := kit.Until(ctx, "two partitions for each of two members", func() (bool, error) {
			one, _ := stays.state()
			other, _ := leaves.state()
			return one == 2 && other == 2, nil
		}); err != nil {
			return err
		}
		if err := program.send(topic, program.Records(), program.config()); err != nil {
			return err
		}
		total := func() int {
			_, one := stays.state()
			_, other := leaves.state()
			return one + other
		}
		if err := kit.Until(ctx, "all records read", func() (bool, error) { return total() >= kit.Count, nil }); err != nil {
			return err
		}
		if err := program.Verify(append(append([]kit.Record{}, stays.reads...), leaves.reads...), 0); err != nil {
			return err
		}
		// It commits as it goes; the one that stays takes over from there.
		if err := leaves.stop(); err != nil {
			return err
		}
		if err := kit.Until(ctx, "four partitions for the last member", func() (bool, error) {
			owned, _ := stays.state()
			return owned == kit.Partitions, nil
		}); err != nil {
			return err
		}
		if err := program.send(topic, program.Records()[:1], program.config()); err != nil {
			return err
		}
		if err := kit.Until(ctx, "one more record", func() (bool, error) { return total() > kit.Count, nil }); err != nil {
			return err
		}
		return kit.Same("the number of records", total(), kit.Count+1)
	}
}

func (program *program) groupListed(ctx context.Context) error {
	topic, err := program.createFull("listed")
	if err != nil {
		return err
	}
	group := program.Name("listed")
	member, err := program.member(topic, group, sarama.NewBalanceStrategyRange())
	if err != nil {
		return err
	}
	defer member.stop()
	if err := kit.Until(ctx, "all records read", func() (bool, error) {
		_, read := member.state()
		return read >= kit.Count, nil
	}); err != nil {
		return err
	}
	described, err := program.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return err
	}
	if err := kit.Same("the described group", []any{described[0].State, len(described[0].Members)}, []any{"Stable", 1}); err != nil {
		return err
	}
	for _, one := range described[0].Members {
		assigned, err := one.GetMemberAssignment()
		if err != nil {
			return err
		}
		if err := kit.Same("its assignment", len(assigned.Topics[topic]), kit.Partitions); err != nil {
			return err
		}
	}
	if err := member.stop(); err != nil {
		return err
	}
	committed := func() ([]int64, error) {
		fetched, err := program.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1, 2, 3}})
		if err != nil {
			return nil, err
		}
		var offsets []int64
		for partition := range int32(kit.Partitions) {
			offsets = append(offsets, fetched.GetBlock(topic, partition).Offset)
		}
		return offsets, nil
	}
	found, err := committed()
	if err != nil {
		return err
	}
	if err := kit.Same("the offsets", found, []int64{500, 500, 500, 500}); err != nil {
		return err
	}
	back := map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 7}}}
	if _, err := program.admin.AlterConsumerGroupOffsets(group, back, nil); err != nil {
		return err
	}
	if found, err = committed(); err != nil {
		return err
	}
	if err := kit.Same("the altered offsets", found, []int64{7, 500, 500, 500}); err != nil {
		return err
	}
	if err := program.admin.DeleteConsumerGroupOffset(group, topic, 0); err != nil {
		return err
	}
	if err := program.admin.DeleteConsumerGroup(group); err != nil {
		return err
	}
	listed, err := program.admin.ListConsumerGroups()
	if err != nil {
		return err
	}
	_, there := listed[group]
	return kit.Same("the group is listed after it was deleted", there, false)
}

func (program *program) configs(ctx context.Context) error {
	topic := program.Name("configs")
	hour, hours := "3600000", "7200000"
	detail := &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &hour}}
	if err := program.admin.CreateTopic(topic, detail, false); err != nil {
		return err
	}
	described := func(name string) (string, error) {
		entries, err := program.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		if err != nil {
			return "", err
		}
		for _, entry := range entries {
			if entry.Name == name {
				return entry.Value, nil
			}
		}
		return "", fmt.Errorf("%s is not described", name)
	}
	value, err := described("retention.ms")
	if err == nil {
		err = kit.Same("retention.ms", value, hour)
	}
	if err != nil {
		return err
	}
	change := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &hours},
	}
	if err := program.admin.IncrementalAlterConfig(sarama.TopicResource, topic, change, false); err != nil {
		return err
	}
	return kit.Until(ctx, "the altered retention.ms is described", func() (bool, error) {
		value, err := described("retention.ms")
		return value == hours, err
	})
}

func (program *program) partitionsAdded(ctx context.Context) error {
	topic, err := program.create("more", 1)
	if err != nil {
		return err
	}
	if err := program.admin.CreatePartitions(topic, kit.Partitions, nil, false); err != nil {
		return err
	}
	four := func() (bool, error) {
		described, err := program.admin.DescribeTopics([]string{topic})
		return err == nil && len(described[0].Partitions) == kit.Partitions, err
	}
	if err := kit.Until(ctx, "four partitions", four); err != nil {
		return err
	}
	if err := program.send(topic, program.Records(), program.config()); err != nil {
		return err
	}
	return program.readAll(ctx, topic, 0, program.config())
}

func (program *program) recordsDeleted(ctx context.Context) error {
	topic, err := program.createFull("cut")
	if err != nil {
		return err
	}
	if err := program.admin.DeleteRecords(topic, map[int32]int64{0: 100, 1: 100, 2: 100, 3: 100}); err != nil {
		return err
	}
	return program.readAll(ctx, topic, 100, program.config())
}
