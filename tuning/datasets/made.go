package datasets

import (
	"context"
	"errors"
	"io"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// Feedback is what a data set was made of that holds what applications learned of answers.
type Feedback struct {
	Collection string `json:"collection" example:"mood"`
	Rows       int    `json:"rows" example:"198"`                               // from the collection
	Overruled  int    `json:"overruled" example:"16"`                           // earlier rows of the collection that asked the same as a later one
	Last       string `json:"last" example:"fb_06451f3a7c2d1eq3v9k2mzt7"`       // the latest row of the collection that was looked at
	With       string `json:"with,omitempty" example:"ds_9f86d081884c7d659a2f"` // the data set that was corrected and completed
	Replaced   int    `json:"replaced" example:"12"`                            // rows of that one that gave way to one of the collection
} // @name DatasetFeedback

// Make records a data set of rows that were put together here. fill hands them to its
// argument, all of the kind that d has; d says besides whose they are, what they are
// called and what they were made of. They are checked as an upload of JSON lines is, and
// have its report.
func (s *Service) Make(ctx context.Context, d Dataset, fill func(out func(data.Row) error) error) (Dataset, bool, error) {
	from, to := io.Pipe()
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		w := data.NewWriter(to)
		err := fill(w.Write)
		if err == nil {
			err = w.Flush()
		}
		_ = to.CloseWithError(err) // nil is the end of the file
	}()
	made, created, err := s.create(ctx, d, from, data.Options{Format: "jsonl", Kind: d.Kind})
	_ = from.CloseWithError(errAbandoned) // where reading ended early, so does writing
	<-filled
	return made, created, unnumbered(err)
}

// unnumbered takes the lines out of faults: they are of a file that nobody has.
func unnumbered(err error) error {
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		return err
	}
	all := make([]error, len(faults))
	for i, f := range faults {
		f.Line = 0
		all[i] = &f
	}
	return errors.Join(all...)
}
