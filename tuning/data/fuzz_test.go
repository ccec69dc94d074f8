package data_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// fuzz feeds Parse whatever bytes there are. It must not panic, must give a fault for
// what it refuses, and what it accepts must survive the canonical form.
func fuzz(f *testing.F, format string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var rows []data.Row
		report, err := data.Parse(bytes.NewReader(text), data.Options{Format: format, Limits: data.Limits{Line: 1 << 20}}, func(r data.Row) error {
			rows = append(rows, r)
			return nil
		})
		if err != nil {
			if !invalid.Is(err) {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if len(rows) == 0 || len(rows) != report.Rows {
			t.Fatalf("%d rows, %d in the report", len(rows), report.Rows)
		}
		for _, r := range rows {
			if r.Kind != report.Kind || r.Line < 1 {
				t.Fatalf("row %+v in a file of kind %s", r, report.Kind)
			}
			if r.Target != nil && (math.IsNaN(*r.Target) || math.IsInf(*r.Target, 0)) {
				t.Fatalf("target %v", *r.Target)
			}
		}
		roundTrip(t, rows, report.Kind)
		train, held := data.Split(rows, 0.3, 1)
		if len(train) == 0 || len(train)+len(held) != len(rows) || data.Leaks(train, held) != 0 {
			t.Fatalf("split %d rows into %d and %d", len(rows), len(train), len(held))
		}
	})
}

// shared returns the small messy files with the given endings as seeds.
func shared(f *testing.F, endings ...string) (seeds []string) {
	for _, e := range endings {
		names, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "messy", "*", "*"+e))
		for _, n := range names {
			if text, err := os.ReadFile(n); err == nil {
				seeds = append(seeds, string(text[:min(len(text), 2000)]))
			}
		}
	}
	return seeds
}

func FuzzCSV(f *testing.F) {
	fuzz(f, "csv", append(shared(f, ".csv", ".tsv"),
		"text,label\na,x\nb,y\n", "sep=;\ntext;label\na;1,5\nb;2\n", "text,label\n\"a\n\"\"b\"\"\",x\nc,y\n", "text\nhello\n",
		"sentence1\tsentence2\tscore\na\t\"b\t1.5\nc\td\t2\n", "a,0\nb,1\nc,0\n", "\xff\xfet\x00e\x00x\x00t\x00\n\x00a\x00\n\x00",
		"text,label\ncaf\xe9,x\nb,y\n", "text,label\n\"a\\\"b\",x\nc,y\n", "instruction,input,output\na,b,c\n", "text,label\r\"a,x\rb,y\r", "en|fr\na|b\n")...)
}

func FuzzJSONL(f *testing.F) {
	fuzz(f, "jsonl", append(shared(f, ".jsonl"),
		`{"text":"a","label":true}`+"\n"+`{"text":"b","label":1e3}`, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}],"weight":0.5}]}`,
		`{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"\ud83d\ude00"}]}`, `{"translation":{"en":"a","fr":"b"}}`, `{"prompt":"a","completion":" b"}`,
		`{"instruction":"a","output":"b"}`, `{"text":"a","target":1.5}`+"\n"+`{"text":"b","target":-0}`, `{"text":"\u2028\u0000"}`, `{"text":" a","label":"NaN"}`+"\n"+`{"text":"b","label":null}`)...)
}

func FuzzJSON(f *testing.F) {
	fuzz(f, "json", append(shared(f, "lines.jsonl"),
		`[{"text":"a","label":0},{"text":"b","label":1}]`, `{"data":[{"text":"a","label":0},{"text":"b","label":1}],"x":{}}`, "{\n\"rows\": [ {\"text\":\"a\"} ] }",
		"{\n\"text\":\"a\",\"label\":0}\n{\n\"text\":\"b\",\"label\":1}", `[[1],{"text":"a"}]`, `{"data":{"data":[{}]}}`, "[1,2]\n[3]\n", strings.Repeat("[", 200), `{"data":[`, `{"data":[]}`)...)
}

func FuzzParquet(f *testing.F) {
	var seeds []string
	names, _ := filepath.Glob("testdata/*.parquet")
	for _, n := range names {
		text, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(text))
	}
	fuzz(f, "parquet", seeds...)
}
