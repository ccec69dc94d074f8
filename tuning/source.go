package tuning

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// Source names rows: exactly one of ID, Rows and HF, and perhaps which of them. As
// `validation` it may be a Split alone: the share of the training rows to hold back.
//
// Offset and Limit cut a window out of the rows in the order of their files; Sample
// draws from the window. The files of many data sets are sorted by label, so that
// their first rows are all of one class: there, sample.
type Source struct {
	ID   string            `json:"id,omitempty" example:"ds_9f86d081884c7d659a2f"` // of an uploaded data set
	Rows []json.RawMessage `json:"rows,omitempty"`                                 // the rows themselves
	HF   string            `json:"hf,omitempty" example:"stanfordnlp/imdb"`        // a data set of the hub, with @revision or without

	// Config is which of the repository's data sets, as its README.md names them under
	// `configs`, or a folder; may be left out where there is one, or a default. For hf.
	Config string `json:"config,omitempty" example:"plain_text"`
	// Split is, beside hf, the name of the split, "train" unless given; as validation
	// without rows of its own, the share of the training rows to hold back, a number in
	// (0, 1).
	Split json.RawMessage `json:"split,omitempty"`
	// Columns says which column is which field of a row: {"text": "review", "label":
	// "stars"}. Fields that it does not name are detected. For hf and rows.
	Columns map[string]string `json:"columns,omitempty" example:"text:review,label:stars"`

	Offset      int    `json:"offset,omitempty" example:"0"`        // rows to skip
	Limit       int    `json:"limit,omitempty" example:"1000"`      // rows to take after them; 0: all
	Sample      int    `json:"sample,omitempty" example:"200"`      // rows to draw of these at random; 0: all, in order
	ShuffleSeed *int64 `json:"shuffle_seed,omitempty" example:"42"` // of the draw; 42 unless given
}

// count is how many sources of rows are named.
func (s *Source) count() int {
	n := 0
	for _, given := range []bool{s.ID != "", len(s.Rows) > 0, s.HF != ""} {
		if given {
			n++
		}
	}
	return n
}

// chooses reports whether anything but ID, Rows, HF and Split is given.
func (s *Source) chooses() bool {
	return s.Config != "" || len(s.Columns) > 0 || s.Offset != 0 || s.Limit != 0 || s.Sample != 0 || s.ShuffleSeed != nil
}

func (s *Source) validate(field string) error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, invalid.Field(field+name, format, args...))
	}
	if n := s.count(); n != 1 {
		bad("", "give exactly one of id, rows and hf, not %d of them", n)
	}
	if len(s.Split) > 0 && s.HF == "" {
		bad(".split", "names a split of a hub dataset; it has no meaning beside id or rows")
	}
	if s.Config != "" && s.HF == "" {
		bad(".config", "names one of the data sets of a repository; it has no meaning beside id or rows")
	}
	if len(s.Config) > 255 {
		bad(".config", "is %d bytes, at most 255 are taken", len(s.Config))
	}
	if len(s.Columns) > 0 && s.ID != "" {
		bad(".columns", "an uploaded data set has had its columns read; give columns with the upload")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		if strings.TrimSpace(s.Columns[name]) == "" {
			bad(".columns."+name, "is empty: name a column")
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"offset", s.Offset}, {"limit", s.Limit}, {"sample", s.Sample}} {
		if n.value < 0 {
			bad("."+n.name, "must not be negative, is %d", n.value)
		}
	}
	if s.ShuffleSeed != nil && s.Sample == 0 {
		bad(".shuffle_seed", "is the seed of sample; say with sample how many rows to draw")
	}
	return errors.Join(errs...)
}
