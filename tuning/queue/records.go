package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/tuning"
)

// The records of a job, below jobs/<id>/. Numbers in keys have leading zeros, so
// that keys sort as numbers do.
//
//	spec                          what was asked for: its existence is the job's
//	attempts/<n>                  attempt n has begun: the fencing token
//	ends/<n>                      attempt n is over: handed back, failed, or lost
//	checkpoints/<step>-<n>        manifest of a checkpoint that attempt n took
//	history/<step>-<sub>-<n>-<k>  events from that id on, the k-th piece that attempt n
//	                              wrote: gzipped JSON lines
//	requests/<m>                  the m-th pause or resume
//	cancel                        someone asked to cancel
//	final                         succeeded, failed or cancelled: first writer wins
//	registered                    what came of registering a success
//
// A job without a spec is none: that is deleted first, and what is left is swept up.
// Elsewhere there are
//
//	queue/identity                which store this is
//	queue/ended/<n>               a copy of what never changes about jobs that are over
//	deleted/<xx>/<id>             that idempotency key has had its job, which is gone
const (
	jobsFolder    = "jobs/"
	endedFolder   = "queue/ended/"
	deletedFolder = "deleted/"
	keySpec       = "spec"
	keyCancel     = "cancel"
	keyFinal      = "final"
	keyRegistered = "registered"
	keyAttempts   = "attempts"
	keyEnds       = "ends"
	keyRequests   = "requests"
	keyCheckpoint = "checkpoints"
	keyHistory    = "history"
)

func jobKey(id, name string) string { return jobsFolder + id + "/" + name }
func numberKey(id, kind string, n int) string {
	return fmt.Sprintf("%s%s/%s/%06d", jobsFolder, id, kind, n)
}
func deletedKey(id string) string {
	return deletedFolder + id[len(idPrefix):][:2] + "/" + id
}
func checkpointKey(id string, at taken) string { return jobKey(id, keyCheckpoint+"/"+at.String()) }
func historyKey(id string, e eventID, n, k int) string {
	return fmt.Sprintf("%s%s/%s/%013d-%08d-%06d-%06d", jobsFolder, id, keyHistory, e.step, e.sub, n, k)
}

// Inputs are the rows of a job: digests of blobs of canonical JSON lines (see
// tuning/data). Train may be empty when the worker is to find the rows itself.
type Inputs struct {
	Train      string `json:"train,omitempty"`
	Validation string `json:"validation,omitempty"`
}

type specRecord struct {
	ID        string       `json:"id"`
	Spec      tuning.Spec  `json:"spec"` // without inline rows
	Inputs    Inputs       `json:"inputs"`
	Hash      string       `json:"hash"` // of the request, to tell a replay from a conflict
	CreatedAt time.Time    `json:"created_at"`
	Trace     tuning.Trace `json:"trace,omitempty"` // of the request
}

type attemptRecord struct {
	Worker string    `json:"worker"`
	Host   string    `json:"host"`
	Nonce  string    `json:"nonce"`
	At     time.Time `json:"at"`
}

// How an attempt ended without deciding the job.
const (
	endStopped = "stopped" // handed back after a checkpoint: paused, or the worker went away
	endFailed  = "failed"  // with an error that a new attempt may not meet
	endLost    = "lost"    // its lease ran out; written by who found it
)

type endRecord struct {
	How    string           `json:"how"`
	Error  *tuning.JobError `json:"error,omitempty"`
	Worker string           `json:"worker"`
	At     time.Time        `json:"at"`
}

// What the m-th request asks for.
const (
	askPause  = "pause"
	askResume = "resume"
)

type requestRecord struct {
	Ask string    `json:"ask"`
	At  time.Time `json:"at"`
}

type cancelRecord struct {
	At time.Time `json:"at"`
}

// File is a stored file.
type File struct {
	Digest string `json:"digest"` // "sha256:<hex>"
	Size   int64  `json:"size"`   // bytes
}

// taken names a checkpoint: after which step, by which attempt.
type taken struct{ step, attempt int }

func (t taken) String() string { return fmt.Sprintf("%012d-%06d", t.step, t.attempt) }

func parseTaken(s string) (taken, bool) {
	step, attempt, ok := strings.Cut(s, "-")
	n, err := strconv.Atoi(step)
	m, err2 := strconv.Atoi(attempt)
	return taken{n, m}, ok && err == nil && err2 == nil
}

type manifest struct {
	Step     int                `json:"step"`
	Attempt  int                `json:"attempt"`
	Files    map[string]File    `json:"files"`
	Best     bool               `json:"best,omitempty"` // by the evaluation at this step
	Progress *tuning.Progress   `json:"progress,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	At       time.Time          `json:"at"`
}

type finalRecord struct {
	Status   tuning.Status      `json:"status"` // succeeded, failed or cancelled
	Attempt  int                `json:"attempt"`
	Nonce    string             `json:"nonce"` // the writer's, who may have to ask whether it won
	By       string             `json:"by"`
	Error    *tuning.JobError   `json:"error,omitempty"`
	Files    map[string]File    `json:"files,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Labels   []string           `json:"labels,omitempty"`
	Template string             `json:"template,omitempty"`
	Steps    int                `json:"steps,omitempty"`
	Gate     *adapters.Gate     `json:"gate,omitempty"`
	Progress *tuning.Progress   `json:"progress,omitempty"`
	History  string             `json:"history,omitempty"` // digest of all events, gzipped JSON lines
	At       time.Time          `json:"at"`
}

type registeredRecord struct {
	Result *tuning.Result   `json:"result,omitempty"`
	Error  *tuning.JobError `json:"error,omitempty"`
	At     time.Time        `json:"at"`
}

// create writes v as the record key.
func (q *Queue) create(ctx context.Context, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record %s: %w", key, err)
	}
	return q.store.Create(ctx, key, data)
}

// read returns the record key.
func read[T any](ctx context.Context, q *Queue, key string) (T, error) {
	var v T
	data, err := q.store.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("record %s: %w", key, err)
	}
	return v, nil
}
