package data_test

import (
	"encoding/json"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

func TestParseRow(t *testing.T) {
	for name, c := range map[string]struct {
		row  string
		kind data.Kind
		want string // the canonical row, or "!" and the field at fault
	}{
		"a label":                      {`{"text":" good ","label":"positive"}`, "", `{"text":"good","label":"positive"}`},
		"a number for a label":         {`{"text":"good","label":1}`, "", `{"text":"good","label":"1"}`},
		"a pair":                       {`{"text":"a","text_pair":"b","label":"same"}`, "", `{"text":"a","text_pair":"b","label":"same"}`},
		"a score":                      {`{"text":"good","label":4}`, data.Regression, `{"text":"good","target":4}`},
		"a whole value":                {`{"text":"good","target":4}`, "", `{"text":"good","target":4}`},
		"an instruction":               {`{"instruction":"Say hi.","output":"hi"}`, "", `{"instruction":"Say hi.","input":"","output":"hi"}`},
		"a translation":                {`{"source":"car","target":"Auto"}`, "", `{"source":"car","target":"Auto"}`},
		"a conversation":               {`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, "", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`},
		"a text alone":                 {`{"text":"a"}`, "", `{"text":"a"}`},
		"an empty text":                {`{"text":"","label":"a"}`, "", "!text"},
		"no label":                     {`{"text":"a","label":null}`, "", "!label"},
		"half a surrogate pair":        {`{"text":"\ud800","label":"a"}`, "", "!"},
		"no object":                    {`["a","b"]`, "", "!"},
		"nothing":                      {``, "", "!"},
		"an empty object":              {`{}`, "", "!"},
		"two values":                   {`{"text":"a","label":"b"} {}`, "", "!"},
		"a label beyond what is named": {`{"text":"a","label":"` + strings.Repeat("b", 300) + `"}`, "", "!label"},
	} {
		row, err := data.ParseRow(json.RawMessage(c.row), c.kind)
		if field, bad := strings.CutPrefix(c.want, "!"); bad {
			faults := invalid.Faults(err)
			if len(faults) == 0 || faults[0].Line != 0 || field != "" && faults[0].Field != field {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		b, _ := json.Marshal(row)
		if err != nil || string(b) != c.want {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

// FuzzParseRow: what is taken is taken again in its canonical form, and is the same row.
func FuzzParseRow(f *testing.F) {
	for _, s := range []string{`{"text":"a","label":"b"}`, `{"text":"a","label":1.5}`, `{"instruction":"a","output":"b"}`, `{"source":"a","target":"b"}`,
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]}`, `{"translation":{"en":"a","de":"b"}}`, `{"text":"\ud83d\ude00","label":true}`} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "regression")
	}
	f.Fuzz(func(t *testing.T, raw []byte, kind string) {
		row, err := data.ParseRow(raw, data.Kind(kind))
		if err != nil {
			if !invalid.Is(err) {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		once, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		again, err := data.ParseRow(once, row.Kind)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(once) {
			t.Fatalf("%s becomes %s", once, twice)
		}
	})
}
