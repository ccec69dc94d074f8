package data_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// The files in testdata were written by pyarrow 26.0.1.
func TestParquet(t *testing.T) {
	for name, want := range map[string]string{
		"classlabel":  `classification: {"text":"good film","label":"pos"} {"text":"bad film","label":"neg"} {"text":"good plot","label":"pos"} {"text":"bad plot","label":"neg"}`,
		"nulls":       `classification: {"text":"a b","label":"x"}` + "\nline 2: text: the text is null\nline 3: label: the label is null",
		"scores":      `regression: {"text":"a","text_pair":"c","target":1.5}` + "\n" + `line 2: score: the target is missing ("NaN")`,
		"chat":        `chat: {"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}]}`,
		"translation": `seq2seq: {"source":"salut","target":"hi"} {"source":"da","target":"yes"}`,
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open("testdata/" + name + ".parquet")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			temp := t.TempDir()
			var rows []string
			report, err := data.Parse(file, data.Options{TempDir: temp}, func(r data.Row) error {
				rows = append(rows, canonical(t, r))
				return nil
			})
			got := string(report.Kind) + ": " + strings.Join(rows, " ")
			for _, f := range invalid.Faults(err) {
				got += "\n" + f.Error()
			}
			if got != want || report.Format != "parquet" {
				t.Errorf("%s %s\nwant %s", report.Format, got, want)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("%d files left behind", len(left))
			}
		})
	}
}

func TestDamagedParquet(t *testing.T) {
	whole, err := os.ReadFile("testdata/chat.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"a head alone":        whole[:4],
		"cut off":             whole[:len(whole)-20],
		"a footer of 4 GiB":   append(bytes.Clone(whole[:len(whole)-8]), "\xff\xff\xff\xffPAR1"...),
		"an empty footer":     append(bytes.Clone(whole[:len(whole)-8]), "\x00\x00\x00\x00PAR1"...),
		"a footer of nothing": append(bytes.Clone(whole[:len(whole)-8]), "\x01\x00\x00\x00PAR1"...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := data.Parse(bytes.NewReader(text), data.Options{}, func(data.Row) error { return nil }); !invalid.Is(err) {
				t.Errorf("%v", err)
			}
		})
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0xFF
		if _, err := data.Parse(bytes.NewReader(bad), data.Options{Format: "parquet"}, func(data.Row) error { return nil }); err != nil && !invalid.Is(err) {
			t.Errorf("byte %d turned: %v", i, err)
		}
	}
}
