package cli

import (
	"fmt"
	"strings"

	"lorikeet/adapters/invalid"
)

// What a command's exit status means.
const (
	failed    = 1 // the request was refused, or the service is not there
	misused   = 2 // the command line is wrong; nothing was sent
	jobFailed = 3 // the service did what was asked, but the job did not succeed
)

// coded is an error with an exit status of its own.
type coded struct {
	error
	code int
}

// ExitCode is the status that the process should end with.
func (c coded) ExitCode() int { return c.code }

func (c coded) Unwrap() error { return c.error }

func misuse(err error) error {
	if err == nil {
		return nil
	}
	return coded{err, misused}
}

// Problem is the error body of the API.
type Problem struct {
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail"`
	Code      string          `json:"code"`
	RequestID string          `json:"request_id"`
	Errors    []invalid.Fault `json:"errors"`
}

// Error tells everything that is wrong, a line for each mistake.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", clean(p.Title), clean(p.Detail))
	if len(p.Errors) > 1 {
		for _, f := range p.Errors {
			fmt.Fprintf(&b, "\n  %s", clean(f.Error()))
		}
	}
	switch {
	case p.Code == "missing_api_key":
		fmt.Fprintf(&b, "\ngive one in $%s, or with --key", envKey)
	case p.Status >= 500 && p.RequestID != "":
		fmt.Fprintf(&b, "\nrequest id %s", clean(p.RequestID))
	}
	return b.String()
}
