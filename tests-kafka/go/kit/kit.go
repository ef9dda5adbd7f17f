// Package kit is what the programs of Go clients share: the records, what is expected of them, and the line of each
// check, as in the Python programs' kit.py.
package kit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

const (
	Partitions      = 4
	Count           = 2000
	PerPartition    = Count / Partitions
	checkSecondsMax = 60
)

type Header struct {
	Name  string
	Value string
}

// Record is what is produced and what came back; Offset is not used for the former.
type Record struct {
	Partition int32
	Offset    int64
	Key       string
	Value     string
	Headers   []Header
	Time      time.Time
}

type check struct {
	name     string
	function func(context.Context) error
}

type Kit struct {
	Bootstrap string
	client    string
	leftOut   string
	only      string
	nonce     int64
	names     int
	first     time.Time
	checks    []check
}

func New(client string) *Kit {
	// An hour ago: event times that are neither in the future nor old enough for retention.
	kit := &Kit{client: client, nonce: time.Now().UnixMilli() % 1e9, first: time.Now().Truncate(time.Second).Add(-time.Hour)}
	flag.StringVar(&kit.Bootstrap, "bootstrap", "", "HOST:PORT")
	flag.StringVar(&kit.leftOut, "without", "", "comma-separated tags: group, configs, admin")
	flag.StringVar(&kit.only, "check", "", "only the checks whose name has this in it")
	flag.Parse()
	return kit
}

// Name is of a topic or a group that nobody has.
func (kit *Kit) Name(purpose string) string {
	kit.names++
	return fmt.Sprintf("kit-%s-%s-%09d-%d", kit.client, purpose, kit.nonce, kit.names)
}

func (kit *Kit) Record(number int) Record {
	return Record{
		Partition: int32(number % Partitions),
		Key:       fmt.Sprintf("key-%d", number),
		Value:     fmt.Sprintf("value-%d-%s", number, strings.Repeat("x", number*7%300)),
		Headers:   []Header{{"number", fmt.Sprint(number)}, {"empty", ""}},
		Time:      kit.first.Add(time.Duration(number) * time.Second),
	}
}

func (kit *Kit) Records() []Record {
	records := make([]Record, Count)
	for number := range records {
		records[number] = kit.Record(number)
	}
	return records
}

// TimeOf is of the record at this place.
func (kit *Kit) TimeOf(partition int, offset int) time.Time {
	return kit.Record(offset*Partitions + partition).Time
}

// Verify wants every record once and in order, from firstOffset of each partition.
func (kit *Kit) Verify(reads []Record, firstOffset int) error {
	next := [Partitions]int{}
	for partition := range next {
		next[partition] = firstOffset
	}
	for _, read := range reads {
		offset := next[read.Partition]
		next[read.Partition]++
		expected := kit.Record(offset*Partitions + int(read.Partition))
		expected.Offset = int64(offset)
		if !read.Time.Equal(expected.Time) {
			return fmt.Errorf("the time of %d@%d: %v instead of %v", read.Partition, offset, read.Time, expected.Time)
		}
		read.Time = expected.Time
		if err := Same(fmt.Sprintf("the record %d@%d", read.Partition, offset), read, expected); err != nil {
			return err
		}
	}
	for partition, end := range next {
		if err := Same(fmt.Sprintf("the end of partition %d", partition), end, PerPartition); err != nil {
			return err
		}
	}
	return nil
}

func Same(what string, found, expected any) error {
	if reflect.DeepEqual(found, expected) {
		return nil
	}
	return fmt.Errorf("%s: %.150s instead of %.150s", what, fmt.Sprint(found), fmt.Sprint(expected))
}

// Refused wants err to be this error.
func Refused(what string, err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return fmt.Errorf("%s: %v instead of %v", what, err, expected)
}

// Until waits for what the broker does in its own time.
func Until(ctx context.Context, what string, condition func() (bool, error)) error {
	for {
		reached, err := condition()
		if err != nil || reached {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never came true: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (kit *Kit) Add(tag, name string, function func(context.Context) error) {
	if strings.Contains(","+kit.leftOut+",", ","+tag+",") || !strings.Contains(name, kit.only) {
		return
	}
	kit.checks = append(kit.checks, check{name, function})
}

// Run does not return.
func (kit *Kit) Run() {
	failed := 0
	for _, check := range kit.checks {
		started := time.Now()
		err := run(check.function)
		if err == nil {
			fmt.Printf("ok     %s: %s (%.1f s)\n", kit.client, check.name, time.Since(started).Seconds())
			continue
		}
		failed++
		text := strings.Join(strings.Fields(err.Error()), " ")
		fmt.Printf("FAILED %s: %s: %.400s\n", kit.client, check.name, text)
	}
	if failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

// A client that ignores its context is left behind when the time is over.
func run(function func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), checkSecondsMax*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- function(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After((checkSecondsMax + 5) * time.Second):
		return fmt.Errorf("not done within %d s", checkSecondsMax)
	}
}
