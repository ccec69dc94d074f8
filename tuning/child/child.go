// Package child makes each attempt at a job in a process of its own: a trainer that
// is killed for its memory, or crashes in native code, is one failed attempt and not
// a dead service, and the device is free when the process is gone.
//
// Parent and child speak JSON lines. The child's standard input carries the task and
// then one answer per checkpoint; its end means that the parent is dead. The child's
// standard output carries what a [tuning.Reporter] is told, and at the end the
// outcome. SIGTERM asks for a checkpoint and a stop. What the child writes to
// standard error is logged.
package child

import (
	"encoding/json"
	"fmt"
	"strings"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// toChild is a line on the child's standard input: one of its members.
type toChild struct {
	Task   *tuning.Task `json:"task,omitempty"`
	Stored *stored      `json:"stored,omitempty"`
}

// stored answers the n-th checkpoint.
type stored struct {
	N     int    `json:"n"`
	Error string `json:"error,omitempty"`
}

// fromChild is a line on the child's standard output: one of its members.
type fromChild struct {
	Phase      string          `json:"phase,omitempty"`
	Event      *event          `json:"event,omitempty"`
	Checkpoint *checkpoint     `json:"checkpoint,omitempty"`
	Outcome    *tuning.Outcome `json:"outcome,omitempty"`
	Stopped    bool            `json:"stopped,omitempty"`
	Error      *failure        `json:"error,omitempty"`
}

type event struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type checkpoint struct {
	N     int               `json:"n"` // counts from 1
	Step  int               `json:"step"`
	Files map[string]string `json:"files"`
}

// failure is an error on its way between processes. It is one again on the other
// side: its faults are found by invalid.Faults.
type failure struct {
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message"`
	Hint    string          `json:"hint,omitempty"`
	Faults  []invalid.Fault `json:"faults,omitempty"`

	cause error // on the parent's side: why a checkpoint was refused before
}

func (f *failure) Error() string { return f.Message }

// Unwrap returns the faults, and the parent's own error that led to this one.
func (f *failure) Unwrap() []error {
	var errs []error
	for i := range f.Faults {
		errs = append(errs, &f.Faults[i])
	}
	if f.cause != nil {
		errs = append(errs, f.cause)
	}
	return errs
}

// JobError says what a job that ends with this error shows.
func (f *failure) JobError() tuning.JobError {
	return tuning.JobError{Code: f.Code, Message: f.Message, Hint: f.Hint}
}

// Codes of a failure that says nothing else.
const (
	codeFailed  = "attempt_failed"
	codeInvalid = "invalid"
	codeKilled  = "killed"
	codeCrashed = "crashed"
)

// Died is the error of a child that ended without telling an outcome. A new attempt
// may go better.
type Died struct {
	How    string // such as "killed by signal: killed"
	Killed bool   // by SIGKILL, as the kernel does when memory runs out
	Stderr []string
}

func (d *Died) Error() string {
	msg := "the training process " + d.How
	if d.Killed {
		msg += ", as happens when memory runs out"
	}
	if len(d.Stderr) > 0 {
		msg += "; it last wrote: " + strings.Join(d.Stderr, " | ")
	}
	return msg
}

// JobError says what a job that ends with this error shows.
func (d *Died) JobError() tuning.JobError {
	e := tuning.JobError{Code: codeCrashed, Message: d.Error()}
	if d.Killed {
		e.Code, e.Hint = codeKilled, "a smaller batch_size or max_length needs less memory; gradient_accumulation keeps the effective batch"
	}
	return e
}

// line is v as a line of JSON.
func line(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	return append(data, '\n'), nil
}
