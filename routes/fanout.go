package routes

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"lorikeet/adapters/invalid"
)

// A fan-out asks every adapter of a list about every text. It is a mixed batch whose rows
// the service lays out: text by text, each text's adapters in the order of the list. A
// text is tokenized once.
//
// The rows run through all layers each. Where adapters leave the lower layers alone
// (layers_to_transform) those layers compute the same for all of them; sharing that would
// take a second graph for each depth at which adapters begin, and is not done.

// fanOut lays the rows of a fan-out out.
func (in predictRequest) fanOut(most int) (texts inputs, names []string, faults []error) {
	list, faults := named("fan_out", in.FanOut)
	switch n := len(list) * len(in.Inputs); {
	case in.Adapters != nil || in.Adapter.name != "":
		faults = append(faults, invalid.Field("fan_out", "excludes adapter and adapters; send one of the three"))
	case len(list) == 0:
		faults = append(faults, invalid.Field("fan_out", "is empty; name the adapters that are to answer, null for the bare base"))
	case len(list) > most || n > most && len(in.Inputs) <= most:
		return nil, nil, []error{invalid.Field("fan_out", "makes %d answers of %d texts and %d adapters; at most %d are given in one request", n, len(in.Inputs), len(list), most)}
	}
	if errors.Join(faults...) == nil && len(in.Inputs) <= most {
		for _, text := range in.Inputs {
			texts = append(texts, slices.Repeat(inputs{text}, len(list))...)
			names = append(names, list...)
		}
	}
	return texts, names, faults
}

var rowField = regexp.MustCompile(`^(inputs|adapters)\[(\d+)\](.*)$`)

// unfan makes faults of the rows of a fan-out faults of what the caller sent. Of n
// adapters, row i is of text i/n and of adapter i%n.
func unfan(err error, n int) error {
	if n == 0 || err == nil || classify(err).code != invalidRequest.code {
		return err
	}
	seen := map[string]bool{}
	var all []error
	for _, f := range invalid.Faults(err) {
		if m := rowField.FindStringSubmatch(f.Field); m != nil {
			i, _ := strconv.Atoi(m[2]) // digits of an index of ours
			f.Field = fmt.Sprintf("inputs[%d]%s", i/n, m[3])
			if m[1] == "adapters" {
				f.Field = fmt.Sprintf("fan_out[%d]%s", i%n, m[3])
			}
		}
		if f.Field == "adapter" { // of a single row
			f.Field = "fan_out[0]"
		}
		if !seen[f.Error()] { // a text that is too long is so for every adapter
			seen[f.Error()] = true
			all = append(all, &f)
		}
	}
	return errors.Join(all...)
}
