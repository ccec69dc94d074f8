package data_test

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/sharedtest"
	"lorikeet/tuning/data"
)

// outcome is what must become of one real file.
type outcome struct {
	format   string
	kind     data.Kind
	rows     int
	labels   string   // "0:4 1:16", in the order of their indices
	warnings []string // a part of each, in order
	errors   []string // a part of each, as "line 4: label: the label is missing"
	first    string   // the canonical form of the first row, or its start
}

const headless = "column 1 was taken for the text, column 2 for the label"

// files is every data file in ../shared/data, and what must become of it.
var files = map[string]outcome{
	"messy/derived/array_instead_of_lines.jsonl": {format: "json", kind: data.Classification, rows: 20, labels: "0:4 1:16",
		warnings: []string{"the name says .jsonl, the file holds one JSON document"},
		first:    `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man.","label":"0"}`},
	"messy/derived/bad_labels.csv": {format: "csv", kind: data.Classification, rows: 30, labels: "1:10 2:10 pos:10",
		warnings: []string{"labels written like 1.0 were read as 1: 10", `some labels are numbers and some are words: "1", "2", "pos"`},
		errors:   badLabels()},
	"messy/derived/blank_lines_crlf.jsonl": {format: "jsonl", kind: data.Classification, rows: 20, labels: "0:4 1:16",
		first: `{"text":"A very, very, very slow-moving`},
	"messy/derived/bom.jsonl": {format: "jsonl", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving`},
	"messy/derived/bom_crlf.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man.","label":"0"}`},
	"messy/derived/cp1252.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		warnings: []string{"not UTF-8 (first on line 2); it was read as Windows-1252, a guess"},
		first:    `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man. — café naïve","label":"0"}`},
	"messy/derived/dup_keys.jsonl": {format: "jsonl",
		errors: []string{"line 1: text: the name appears twice in one object"}},
	"messy/derived/header_only.csv": {format: "csv",
		errors: []string{"line 1: the file has no rows"}},
	"messy/derived/latin1.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		warnings: []string{"it was read as ISO-8859-1 (Latin-1), a guess"},
		first:    `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man. - café naïve","label":"0"}`},
	"messy/derived/lone_surrogate.jsonl": {format: "jsonl",
		errors: []string{`line 1: \ud800 at column 14 is half of a surrogate pair`}},
	"messy/derived/multiline_quotes.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man. \"quoted, with comma\"","label":"0"}`},
	"messy/derived/nel_u2028.jsonl": {format: "jsonl", kind: data.Classification, rows: 4, labels: "0:2 1:2",
		warnings: []string{"few rows: 4"},
		first:    `{"text":"line\u2028sep ` + "\u0085" + ` nel","label":"1"}`},
	"messy/derived/no_header.csv": {format: "csv", kind: data.Classification, rows: 198, labels: "0:116 1:82",
		warnings: []string{headless},
		errors:   []string{"line 5: 3 fields, not 2", "line 9: 1 field, not 2"}},
	"messy/derived/nul_byte.jsonl": {format: "jsonl", kind: data.Classification, rows: 2, labels: "0:1 1:1",
		errors: []string{"line 1: a NUL byte at column 43"}},
	"messy/derived/ragged.csv": {format: "csv", kind: data.Classification, rows: 198, labels: "0:116 1:82",
		errors: []string{"line 6: 3 fields, not 2", "line 10: 1 field, not 2"}},
	"messy/derived/semicolon.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man. — café naïve","label":"0"}`},
	"messy/derived/single_quotes.jsonl": {format: "jsonl",
		errors: []string{
			"line 1: not JSON: names and texts need double quotes", "line 2: not JSON: names and", "line 3: not JSON: names and",
			"line 4: not JSON: names and", "line 5: not JSON: names and"}},
	"messy/derived/tab.tsv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving`},
	"messy/derived/truncated_last_line.jsonl": {format: "jsonl", kind: data.Classification, rows: 19, labels: "0:4 1:15",
		errors: []string{"line 20: the line ends inside a JSON value: the file is cut off"}},
	"messy/derived/unbalanced_quote.csv": {format: "csv", kind: data.Classification, rows: 198, labels: "0:116 1:82",
		errors: []string{`line 6: "The movie showed a l…" follows a closing quote on line 7: the quote that opens here is not closed`, "line 10: 1 field, not 2"}},
	"messy/derived/utf16le_bom.csv": {format: "csv", kind: data.Classification, rows: 200, labels: "0:116 1:84",
		first: `{"text":"A very, very, very slow-moving, aimless movie about a distressed, drifting young man.","label":"0"}`},
	"messy/derived/wrong_types.jsonl": {format: "jsonl", kind: data.Classification,
		errors: []string{"line 1: text: want a text, got a number (123)", "line 2: text: the text is null",
			"line 3: a row is a JSON object, this is a list", "line 4: text: missing"}},

	"messy/real/MRPC_train.csv": {format: "csv", kind: data.Classification, rows: 6, labels: "not_equivalent:3 equivalent:3",
		warnings: []string{"few rows: 6"},
		first: `{"text":"He said the foodservice pie business doesn 't fit the company 's long-term growth strategy .",` +
			`"text_pair":"\" The foodservice pie business does not fit our long-term growth strategy .","label":"equivalent"}`},
	"messy/real/MRPC_train.tsv": {format: "csv", kind: data.Classification, rows: 6, labels: "0:3 1:3",
		warnings: []string{`not used: "#1 ID", "#2 ID"`, "quotes were read as characters of the text", "few rows: 6"},
		first: `{"text":"He said the foodservice pie business doesn 't fit the company 's long-term growth strategy .",` +
			`"text_pair":"\" The foodservice pie business does not fit our long-term growth strategy .","label":"1"}`},
	"messy/real/empty.txt": {errors: []string{"line 1: the file is empty"}},
	"messy/real/sample_text.txt": {format: "text", kind: data.Text, rows: 31,
		first: `{"text":"This text is included to make sure Unicode is handled properly: 力加勝北区ᴵᴺᵀᵃছজটডণত"}`},

	"formats/llamafactory/identity.json": {format: "json", kind: data.Instruction, rows: 91,
		first: `{"instruction":"hi","input":"","output":"Hello! I am {{name}}`},
	"formats/llamafactory/v1_sft_demo.jsonl": {format: "jsonl", kind: data.Chat, rows: 500,
		warnings: []string{"repeated rows: 1 (first: line 326 repeats line 168)"},
		first:    `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello! I am {{name}}`},
	"formats/mt_bench/question.jsonl": {format: "jsonl",
		errors: []string{`line 1: cannot tell from the columns what the rows teach: the file has "question_id", "category", "turns", "reference"`}},
	"formats/openai_chat/toy_chat_fine_tuning.jsonl": {format: "jsonl", kind: data.Chat, rows: 5,
		warnings: []string{"few rows: 5", "long rows: 1, up to 26", "conversations without a message of the user: 1"},
		first:    `{"messages":[{"role":"system","content":"You are a happy assistant that puts a positive spin on everything."},{"role":"user","content":"I fell off my bike today."},{"role":"assistant","content":"It's great that you're getting exercise outdoors!"}]}`},

	"sentiment/uci_sentences/amazon_cells_labelled.jsonl": {format: "jsonl", kind: data.Classification, rows: 664, labels: "0:322 1:342",
		warnings: []string{"repeated rows: 7 (first: line 180 repeats line 123)"},
		first:    `{"text":"So there is no way for me to plug it in here in the US unless I go by a converter.","label":"0"}`},
	"sentiment/uci_sentences/imdb_labelled.jsonl": {format: "jsonl", kind: data.Classification, rows: 660, labels: "0:337 1:323",
		warnings: []string{"repeated rows: 2 (first: line 235 repeats line 62)"},
		first:    `{"text":"A very, very, very slow-moving`},

	"instruction/gsm8k/gsm8k.jsonl": {format: "jsonl", kind: data.Instruction, rows: 857,
		first: `{"instruction":"Janet’s ducks lay 16 eggs per day.`},
	"instruction/p3_t0_sample/p3.jsonl": {format: "jsonl", kind: data.Instruction, rows: 3000,
		warnings: []string{`not used: "template"`, "repeated rows: 2 (first: line 462 repeats line 234)"},
		first:    `{"instruction":"What is a good result of jogging?\n\n- insect repellent\n- heart attacks\n- improved health\n- shin splints\n- being tired","input":"","output":"improved health"}`},
	"instruction/self_instruct_seed/seed_tasks.jsonl": {format: "jsonl", kind: data.Instruction, rows: 175,
		first: `{"instruction":"Is there anything I can eat for a breakfast`},

	"translation/tatoeba_en_zh/en_zh.jsonl": {format: "jsonl", kind: data.Seq2Seq, rows: 17639,
		warnings: []string{`"en" was taken for the source and "zh" for the target`, `not used: "attribution"`},
		first:    `{"source":"Hi.","target":"嗨。"}`},
	"translation/wmt_en_ro_sample/train.json": {format: "jsonl", kind: data.Seq2Seq, rows: 11,
		warnings: []string{"the name says .json, the file holds JSON lines", `"en" was taken for the source and "ro" for the target`, "repeated rows: 2 (first: line 10 repeats line 1)"},
		first:    `{"source":"Corrections to votes and voting intentions: see Minutes`},
	"translation/wmt_en_ro_sample/val.json": {format: "jsonl", kind: data.Seq2Seq, rows: 16,
		warnings: []string{"the name says .json, the file holds JSON lines", `"en" was taken for the source and "ro" for the target`},
		first:    `{"source":"Brazil's Former Presidential Chief-of-Staff to Stand Trial`},
}

// badLabels: of every five rows the third has no label and the fifth says NULL.
func badLabels() (errors []string) {
	for line := 4; line <= 51; line += 5 {
		errors = append(errors, fmt.Sprintf("line %d: label: the label is missing (\"\")", line), fmt.Sprintf("line %d: label: the label is missing (\"NULL\")", line+2))
	}
	return errors
}

func TestFiles(t *testing.T) {
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(sharedtest.Data(t, name))
			if err != nil {
				t.Fatal(err)
			}
			var rows []data.Row
			report, err := data.Parse(bytes.NewReader(raw), data.Options{Name: path.Base(name)}, func(r data.Row) error {
				rows = append(rows, r)
				return nil
			})
			if report.Format != want.format || report.Kind != want.kind || report.Rows != want.rows {
				t.Errorf("%q, %q, %d rows; want %q, %q, %d", report.Format, report.Kind, report.Rows, want.format, want.kind, want.rows)
			}
			if got := labels(report); got != want.labels {
				t.Errorf("labels %q, want %q", got, want.labels)
			}
			contain(t, "warning", report.Warnings, want.warnings)
			var errors []string
			for _, f := range report.Errors {
				errors = append(errors, f.Error())
			}
			contain(t, "error", errors, want.errors)
			if (err != nil) != (len(want.errors) > 0) || err != nil && !invalid.Is(err) {
				t.Errorf("error %v", err)
			}
			if err != nil {
				return
			}
			if len(rows) != want.rows {
				t.Fatalf("%d rows came out", len(rows))
			}
			if got := canonical(t, rows[0]); !strings.HasPrefix(got, want.first) {
				t.Errorf("first row %s, want %s", got, want.first)
			}
			roundTrip(t, rows, report.Kind)
		})
	}
}

// A file that nobody said anything about would be one that nobody looked at.
func TestFilesAreAllThere(t *testing.T) {
	for _, dir := range []string{"messy", "formats", "sentiment", "instruction", "translation"} {
		root := sharedtest.Data(t, dir)
		err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			name := dir + filepath.ToSlash(strings.TrimPrefix(p, root))
			if _, ok := files[name]; err == nil && !d.IsDir() && !ok && d.Name() != "SOURCE.txt" {
				t.Errorf("%s has no outcome", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func labels(r data.Report) string {
	var all []string
	for _, l := range r.Classes() {
		all = append(all, fmt.Sprintf("%s:%d", l, r.Labels[l]))
	}
	return strings.Join(all, " ")
}

// contain checks that each string holds the part that is wanted of it, and that
// there are no others.
func contain(t *testing.T, what string, got, parts []string) {
	t.Helper()
	if len(got) != len(parts) {
		t.Errorf("%d %ss, want %d: %q", len(got), what, len(parts), got)
	}
	for i := range min(len(got), len(parts)) {
		if !strings.Contains(got[i], parts[i]) {
			t.Errorf("%s %q, want %q", what, got[i], parts[i])
		}
	}
}

func canonical(t testing.TB, r data.Row) string {
	t.Helper()
	text, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// roundTrip: rows written and read back are the same, and so are rows that are
// uploaded again in their canonical form.
func roundTrip(t testing.TB, rows []data.Row, kind data.Kind) {
	t.Helper()
	var file bytes.Buffer
	w := data.NewWriter(&file)
	for _, r := range rows {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var back []data.Row
	for r, err := range data.All(bytes.NewReader(file.Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, r)
	}
	same(t, "read back", back, rows)
	back = nil
	_, err := data.Parse(&file, data.Options{Format: "jsonl", Kind: kind, Limits: data.Limits{Line: 64 << 20}}, func(r data.Row) error {
		back = append(back, r)
		return nil
	})
	if err != nil {
		t.Fatalf("uploaded again: %v", err)
	}
	same(t, "uploaded again", back, rows)
}

func same(t testing.TB, what string, got, want []data.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range want {
		if g, w := canonical(t, got[i]), canonical(t, want[i]); g != w {
			t.Fatalf("%s: row %d is %s, was %s", what, i, g, w)
		}
	}
}
