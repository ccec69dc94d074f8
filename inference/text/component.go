package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
)

// A stage of tokenizer.json is an object whose "type" says how to read the rest.

// maxPath bounds how deep stages lie in each other, by the length of the path to
// them. Published files have two levels.
const maxPath = 300

// componentType returns the type of a stage, "" where there is none (null).
func componentType(raw json.RawMessage, field string) (string, error) {
	if absent(raw) {
		return "", nil
	}
	if len(field) > maxPath {
		return "", invalid.Field(field[:maxPath]+"…", "is nested too deep")
	}
	var c struct{ Type *string }
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", invalid.Field(field, "%v", err)
	}
	if c.Type == nil || *c.Type == "" {
		return "", invalid.Field(field, "has no type")
	}
	return *c.Type, nil
}

// parseComponent reads a stage into v. A required member that is missing is a
// fault: its zero value would be a guess.
func parseComponent(raw json.RawMessage, field string, v any, required ...string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return invalid.Field(field, "%v", err)
	}
	var faults []error
	for _, name := range required {
		if absent(members[name]) {
			faults = append(faults, invalid.Field(field+"."+name, "is missing"))
		}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		faults = append(faults, invalid.Field(field, "%v", err))
	}
	return errors.Join(faults...)
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

func unknownType(field, stage, kind string) error {
	return invalid.Field(field+".type", "%s %q is not supported", stage, kind)
}

func index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// oneRune reads a member that must be a single character.
func oneRune(field, s string) (rune, error) {
	r := []rune(s)
	if len(r) != 1 {
		return 0, invalid.Field(field, "%q must be one character", s)
	}
	return r[0], nil
}
