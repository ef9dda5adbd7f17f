package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"kafka-clients/kit"
)

// gathered is what the members of a group read.
type gathered struct {
	mutex sync.Mutex
	reads []kit.Record
	owned map[*kgo.Client]int
}

func (gathered *gathered) count() int {
	gathered.mutex.Lock()
	defer gathered.mutex.Unlock()
	return len(gathered.reads)
}

func (gathered *gathered) ownedBy(client *kgo.Client) int {
	gathered.mutex.Lock()
	defer gathered.mutex.Unlock()
	return gathered.owned[client]
}

// member starts one that reads until it is closed.
func (program *program) member(gathered *gathered, topic, group string, options ...kgo.Opt) *kgo.Client {
	change := func(client *kgo.Client, partitions map[string][]int32, by int) {
		gathered.mutex.Lock()
		defer gathered.mutex.Unlock()
		gathered.owned[client] += by * len(partitions[topic])
	}
	lost := func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
		change(client, partitions, -1)
	}
	client := program.client(append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(10 * time.Second), kgo.HeartbeatInterval(500 * time.Millisecond), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
			change(client, partitions, 1)
		}),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
	}, options...)...)
	go func() {
		for {
			fetches := client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			gathered.mutex.Lock()
			fetches.EachRecord(func(record *kgo.Record) { gathered.reads = append(gathered.reads, asRead(record)) })
			gathered.mutex.Unlock()
		}
	}()
	return client
}

func (program *program) groupShares(options ...kgo.Opt) func(context.Context) error {
	return func(ctx context.Context) error {
		topic, err := program.create(ctx, "group", kit.Partitions)
		if err != nil {
			return err
		}
		group := program.Name("group")
		all := &gathered{owned: map[*kgo.Client]int{}}
		stays := program.member(all, topic, group, options...)
		defer stays.Close()
		leaves := program.member(all, topic, group, options...)
		defer leaves.Close()
		shared := func() (bool, error) { return all.ownedBy(stays) == 2 && all.ownedBy(leaves) == 2, nil }
		if err := kit.Until(ctx, "two partitions for each of two members", shared); err != nil {
			return err
		}
		if err := program.send(ctx, topic, program.Records()); err != nil {
			return err
		}
		if err := kit.Until(ctx, "all records read", func() (bool, error) { return all.count() >= kit.Count, nil }); err != nil {
			return err
		}
		if err := program.Verify(all.reads, 0); err != nil {
			return err
		}
		for _, member := range []*kgo.Client{stays, leaves} {
			if err := member.CommitUncommittedOffsets(ctx); err != nil {
				return err
			}
		}
		leaves.Close()
		// The one that stays takes over, from what was committed.
		owner := func() (bool, error) { return all.ownedBy(stays) == kit.Partitions, nil }
		if err := kit.Until(ctx, "four partitions for the last member", owner); err != nil {
			return err
		}
		if err := program.send(ctx, topic, program.Records()[:1]); err != nil {
			return err
		}
		more := func() (bool, error) { return all.count() > kit.Count, nil }
		if err := kit.Until(ctx, "one more record", more); err != nil {
			return err
		}
		return kit.Same("the number of records", all.count(), kit.Count+1)
	}
}

// A static member that comes back within its session gets its partitions without a rebalance.
func (program *program) staticMember(ctx context.Context) error {
	topic, err := program.create(ctx, "static", kit.Partitions)
	if err != nil {
		return err
	}
	group := program.Name("static")
	all := &gathered{owned: map[*kgo.Client]int{}}
	for range 2 {
		member := program.member(all, topic, group, kgo.InstanceID("one"))
		owner := func() (bool, error) { return all.ownedBy(member) == kit.Partitions, nil }
		if err := kit.Until(ctx, "four partitions for the member", owner); err != nil {
			return err
		}
		described, err := program.admin.DescribeGroups(ctx, group)
		if err != nil {
			return err
		}
		members := described[group].Members
		if len(members) != 1 || members[0].InstanceID == nil || *members[0].InstanceID != "one" {
			return fmt.Errorf("members: %+v", members)
		}
		// Closing does not leave the group.
		member.Close()
	}
	return nil
}

func (program *program) groupListed(ctx context.Context) error {
	topic, err := program.createFull(ctx, "listed")
	if err != nil {
		return err
	}
	group := program.Name("listed")
	all := &gathered{owned: map[*kgo.Client]int{}}
	member := program.member(all, topic, group, kgo.ClientID("kit-member"))
	defer member.Close()
	if err := kit.Until(ctx, "all records read", func() (bool, error) { return all.count() >= kit.Count, nil }); err != nil {
		return err
	}
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	listed, err := program.admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	if err := kit.Same("the state of the group", listed[group].State, "Stable"); err != nil {
		return err
	}
	lags, err := program.admin.Lag(ctx, group)
	if err == nil {
		err = lags.Error()
	}
	if err != nil {
		return err
	}
	lag := lags[group]
	if err := kit.Same("its lag", []any{lag.Lag.Total(), len(lag.Members), lag.Members[0].ClientID}, []any{int64(0), 1, "kit-member"}); err != nil {
		return err
	}
	member.Close()
	back := kadm.Offsets{}
	back.AddOffset(topic, 0, 7, -1)
	if err := program.admin.CommitAllOffsets(ctx, group, back); err != nil {
		return err
	}
	fetched, err := program.admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if err := kit.Same("the altered offset", fetched[topic][0].At, int64(7)); err != nil {
		return err
	}
	deleted, err := program.admin.DeleteOffsets(ctx, group, back.TopicsSet())
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return err
	}
	if _, err := program.admin.DeleteGroup(ctx, group); err != nil {
		return err
	}
	listed, err = program.admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	_, there := listed[group]
	return kit.Same("the group is listed after it was deleted", there, false)
}
