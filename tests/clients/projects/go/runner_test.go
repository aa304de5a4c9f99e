package clients

// A client of protocol 2 in the manner of codspeed-go: Start, Stop, markers, name. Its module is not
// on the proxy, and it would replace Go's own testing package, which a project can't do.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	tagCurrent = iota
	tagStart
	tagStop
	tagAck
	_
	tagIntegration
	_
	tagMarker
	tagVersion
	tagMode
)

const (
	markerStart = 2
	markerEnd   = 3
	modeWall    = 0
)

type client struct {
	ctl, ack   *os.File
	benchmarks []map[string]any
}

var runner *client

func number(value uint64) []byte { return binary.LittleEndian.AppendUint64(nil, value) }
func small(value uint32) []byte  { return binary.LittleEndian.AppendUint32(nil, value) }
func text(value string) []byte   { return append(number(uint64(len(value))), value...) }

// call sends a command, in two writes as the published clients do, and returns the answer.
func (c *client) call(tag uint32, fields ...[]byte) ([]byte, error) {
	payload := small(tag)
	for _, field := range fields {
		payload = append(payload, field...)
	}
	for _, piece := range [][]byte{small(uint32(len(payload))), payload} {
		if _, err := c.ctl.Write(piece); err != nil {
			return nil, err
		}
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(c.ack, size); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.LittleEndian.Uint32(size))
	_, err := io.ReadFull(c.ack, answer)
	return answer, err
}

func connect() (*client, error) {
	ctl, err := os.OpenFile("/tmp/runner.ctl.fifo", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	ack, err := os.OpenFile("/tmp/runner.ack.fifo", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c := &client{ctl: ctl, ack: ack}
	if _, err := c.call(tagVersion, number(2)); err != nil {
		return nil, err
	}
	mode, err := c.call(tagMode)
	if err != nil {
		return nil, err
	}
	if len(mode) != 8 || binary.LittleEndian.Uint32(mode[4:]) != modeWall {
		return nil, errors.New("not a walltime run")
	}
	_, err = c.call(tagIntegration, text("codspeed-go"), text("1.2.1"))
	return c, err
}

// measured is `b.N` iterations between Start and Stop; its name comes last.
func measured(b *testing.B, uri string, work func()) {
	b.Helper()
	if runner == nil {
		b.Fatal("not run by codspeed")
	}
	pid := small(uint32(os.Getpid()))
	must := func(tag uint32, fields ...[]byte) {
		if _, err := runner.call(tag, fields...); err != nil {
			b.Fatal(err)
		}
	}
	must(tagStart)
	var origin = monotonic()
	begun := time.Now()
	for range make([]struct{}, b.N) {
		work()
	}
	elapsed := time.Since(begun)
	must(tagStop)
	must(tagMarker, pid, small(markerStart), number(origin))
	must(tagMarker, pid, small(markerEnd), number(origin+uint64(elapsed)))
	must(tagCurrent, pid, text(uri))
	per := float64(elapsed) / float64(b.N)
	runner.benchmarks = append(runner.benchmarks, map[string]any{
		"name": b.Name(), "uri": uri, "config": map[string]any{},
		"stats": map[string]any{
			"min_ns": per, "max_ns": per, "mean_ns": per, "stdev_ns": 0, "q1_ns": per,
			"median_ns": per, "q3_ns": per, "rounds": 1, "total_time": elapsed.Seconds(),
			"iqr_outlier_rounds": 0, "stdev_outlier_rounds": 0, "iter_per_round": b.N,
			"warmup_iters": 0,
		},
	})
}

// monotonic is CLOCK_MONOTONIC, which Go does not show: good to a few milliseconds by /proc.
func monotonic() uint64 {
	var seconds float64
	if data, err := os.ReadFile("/proc/uptime"); err == nil {
		_, _ = fmt.Sscan(string(data), &seconds)
	}
	return uint64(seconds * 1e9)
}

func (c *client) write() error {
	folder := filepath.Join(os.Getenv("CODSPEED_PROFILE_FOLDER"), "results")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{
		"creator":    map[string]any{"name": "codspeed-go", "version": "1.2.1", "pid": os.Getpid()},
		"instrument": map[string]any{"type": "walltime"},
		"benchmarks": c.benchmarks,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.json", os.Getpid())), data, 0o644)
}

func TestMain(m *testing.M) {
	if os.Getenv("CODSPEED_RUNNER_MODE") == "walltime" {
		connected, err := connect()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		runner = connected
	}
	status := m.Run()
	if runner != nil && status == 0 {
		if err := runner.write(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}
