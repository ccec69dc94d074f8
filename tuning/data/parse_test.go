package data_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// read parses text and returns the canonical rows, and the faults as strings.
func read(t testing.TB, text string, opt data.Options) (rows []string, report data.Report, faults []string) {
	t.Helper()
	report, err := data.Parse(strings.NewReader(text), opt, func(r data.Row) error {
		rows = append(rows, canonical(t, r))
		return nil
	})
	if err != nil && !invalid.Is(err) {
		t.Fatal(err)
	}
	for _, f := range invalid.Faults(err) {
		faults = append(faults, f.Error())
	}
	return rows, report, faults
}

func TestParse(t *testing.T) {
	no := false
	for name, tc := range map[string]struct {
		text     string
		opt      data.Options
		kind     data.Kind
		rows     []string
		faults   []string
		warnings []string // parts that must be among them
	}{
		"takes the spreadsheet's sep line": {
			text: "sep=;\ntext;label\na, b;x\nc;y\n", kind: data.Classification,
			rows: []string{`{"text":"a, b","label":"x"}`, `{"text":"c","label":"y"}`}},
		"reads pipes": {
			text: "text|label\na|x\nb|y\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"y"}`}},
		"reads quotes that backslashes escape": {
			text: "text,label\n\"he said \\\"hi\\\", ok\",x\n\"b\",y\n", kind: data.Classification,
			rows:     []string{`{"text":"he said \"hi\", ok","label":"x"}`, `{"text":"b","label":"y"}`},
			warnings: []string{"escaped by backslashes"}},
		"keeps line ends inside of quotes": {
			text: "text,label\r\n\"a\r\n\r\nb\",x\r\nc,y\r\n", kind: data.Classification,
			rows: []string{`{"text":"a\n\nb","label":"x"}`, `{"text":"c","label":"y"}`}},
		"reads the line ends of old Macs": {
			text: "text,label\ra,x\rb,y\r", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"y"}`}},
		"names every line a quote spoils, and reads on": {
			text: "text,label\n\"a,x\n\"b\",y\n\"c\"d,x\ne,y\n", kind: data.Classification,
			rows:   nil,
			faults: []string{`line 2: "b\",y" follows a closing quote on line 3: the quote that opens here is not closed, or one inside the field is not doubled`, `line 4: "d,x" follows a closing quote on line 4: the quote that opens here is not closed, or one inside the field is not doubled`}},
		"a quote open at the end of the file is named where it opens": {
			text: "text,label\na,x\n\"b,y\nc,x\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`}, faults: []string{"line 3: the quote that opens here is never closed"}},
		"finds the label on the left of a file without header": {
			text: "pos,I liked it a lot\nneg,I did not\npos,very good\nneg,very bad\n", kind: data.Classification,
			rows:     []string{`{"text":"I liked it a lot","label":"pos"}`, `{"text":"I did not","label":"neg"}`, `{"text":"very good","label":"pos"}`, `{"text":"very bad","label":"neg"}`},
			warnings: []string{"column 2 was taken for the text, column 1 for the label"}},
		"reads the original files of the UCI sentences": {
			text: "A \"good\" film.  \t1\n\"Bad, it was.  \t0\nSo good  \t1\n", opt: data.Options{Name: "imdb_labelled.txt"}, kind: data.Classification,
			rows: []string{`{"text":"A \"good\" film.","label":"1"}`, `{"text":"\"Bad, it was.","label":"0"}`, `{"text":"So good","label":"1"}`}},
		"a class called no is no header": {
			text: "I agree,no\nyou agree,yes\nthey agree,yes\nwe agree,no\n", kind: data.Classification,
			rows: []string{`{"text":"I agree","label":"no"}`, `{"text":"you agree","label":"yes"}`, `{"text":"they agree","label":"yes"}`, `{"text":"we agree","label":"no"}`}},
		"a class called question is no header": {
			text: "is it so,question\nit is,statement\nwhere is it,question\nthere it is,statement\n", kind: data.Classification,
			rows: []string{`{"text":"is it so","label":"question"}`, `{"text":"it is","label":"statement"}`, `{"text":"where is it","label":"question"}`, `{"text":"there it is","label":"statement"}`}},
		"numbers columns that have no names": {
			text: "9,a,x\n8,b,y\n", opt: data.Options{Header: &no, Columns: map[string]string{"text": "2", "label": "3"}}, kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"y"}`}},
		"finds the header in the middle of two files in one": {
			text: "text,label\na,x\ntext,label\nb,y\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`}, faults: []string{"line 3: the names of the columns again: two files in one?"}},
		"leaves out rows without any value and cuts empty fields": {
			text: "text,label,\na,x,\n,,\nb,y,\n", kind: data.Classification,
			rows:     []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"y"}`},
			warnings: []string{"rows without any value, which were left out: 1"}},
		"refuses two columns of one name": {
			text: "text,text,label\na,b,x\n", faults: []string{"line 1: text: two columns have this name"}},
		"refuses a NUL in a field": {
			text: "text,label\na\x00b,x\nc,y\n", kind: data.Classification, faults: []string{"line 2: text: the text holds a NUL character"}},
		"a column of texts alone": {
			text: "text\nhello, world\nhow are you\n", kind: data.Text,
			rows: []string{`{"text":"hello, world"}`, `{"text":"how are you"}`}},

		"decides for regression when a number is not whole": {
			text: "sentence1,sentence2,score\na,b,1\nc,d,2.5\n", kind: data.Regression,
			rows: []string{`{"text":"a","text_pair":"b","target":1}`, `{"text":"c","text_pair":"d","target":2.5}`}},
		"reads decimal commas": {
			text: "text;score\na;1,5\nb;2,25\n", kind: data.Regression,
			rows: []string{`{"text":"a","target":1.5}`, `{"text":"b","target":2.25}`}},
		"regression when asked for": {
			text: "text,label\na,1\nb,2\n", opt: data.Options{Kind: data.Regression}, kind: data.Regression,
			rows: []string{`{"text":"a","target":1}`, `{"text":"b","target":2}`}},
		"classification when asked for": {
			text: "text,label\na,1.5\nb,2\n", opt: data.Options{Kind: data.Classification}, kind: data.Classification,
			rows: []string{`{"text":"a","label":"1.5"}`, `{"text":"b","label":"2"}`}},
		"refuses targets that are no finite numbers": {
			text: `{"text":"a","target":1.5}` + "\n" + `{"text":"b","target":"NaN"}` + "\n" + `{"text":"c","target":null}` + "\n" + `{"text":"d","target":"Inf"}` + "\n" + `{"text":"e","target":1e999}` + "\n" + `{"text":"f","target":NaN}`,
			opt:  data.Options{Kind: data.Regression}, kind: data.Regression, rows: []string{`{"text":"a","target":1.5}`},
			faults: []string{`line 2: target: the target is missing ("NaN")`, "line 3: target: the target is null", `line 4: target: want a finite number, got "Inf"`,
				`line 5: target: want a finite number, got "1e999"`, "line 6: not JSON: invalid character 'N' looking for beginning of value (column 18)"}},
		"keeps the types of JSON labels apart from their names": {
			text: `{"text":"a","label":true}` + "\n" + `{"text":"b","label":false}`, kind: data.Classification,
			rows: []string{`{"text":"a","label":"true"}`, `{"text":"b","label":"false"}`}},
		"warns of labels of different types": {
			text: `{"text":"a","label":1}` + "\n" + `{"text":"b","label":"1"}` + "\n" + `{"text":"c","label":0}`, kind: data.Classification,
			rows:     []string{`{"text":"a","label":"1"}`, `{"text":"b","label":"1"}`, `{"text":"c","label":"0"}`},
			warnings: []string{"different JSON types"}},
		"refuses lists of labels": {
			text: `{"text":"a","labels":["x","y"]}`, kind: data.Classification, faults: []string{"line 1: labels: a list of labels: rows with several labels are not supported"}},
		"refuses a single class": {
			text: "text,label\na,x\nb,x\n", kind: data.Classification, rows: []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"x"}`},
			faults: []string{`label: every row has the label "x": with one class there is nothing to learn`}},
		"warns of what is right alone and wrong together": {
			text: "text,label\n a ,x\na,y\nb,x\nb,x\nc,None\nd,Y\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`, `{"text":"a","label":"y"}`, `{"text":"b","label":"x"}`, `{"text":"b","label":"x"}`, `{"text":"c","label":"None"}`, `{"text":"d","label":"Y"}`},
			warnings: []string{"texts with blanks around them, which were cut off: 1", "contradictory rows: 1 have the text of an earlier row and another label (first: lines 2 and 3)",
				"repeated rows: 1 (first: line 5 repeats line 4)", `labels with a single row, which cannot be both learned and evaluated: "None", "Y", "y"`,
				`the label "None" may mean that there is none`, `differ in case or blanks only`}},
		"warns of uneven classes": {
			text: "text,label\n" + numbered("t%d,x\n", 40) + "u,y\nv,y\n", kind: data.Classification,
			warnings: []string{`the classes are uneven: 40 rows of "x", 2 of "y"`}},

		"reads an array within an object": {
			text: `{"version":"1.1","data":[{"text":"a","label":0},{"text":"b","label":1}],"n":[2]}`, kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`, `{"text":"b","label":"1"}`}},
		"reads an array within an object over many lines": {
			text: "{\n \"version\": 1,\n \"rows\": [\n  {\"text\":\"a\",\n   \"label\":0},\n  {\"text\":\"\",\"label\":1}\n ]\n}\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`}, faults: []string{"line 6: text: the text is empty"}},
		"reads objects written over many lines, as jq does": {
			text: "{\n \"text\": \"a\",\n \"label\": 0\n}\n{\n \"text\": \"b\",\n \"label\": 1\n}\n", kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`, `{"text":"b","label":"1"}`}},
		"names the line of a fault in a document": {
			text: "[\n{\"text\":\"a\",\"label\":0},\n\n{\"text\":\"b\",\n\"label\":tru}\n]", kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`}, faults: []string{"line 5: not JSON: invalid character '}' in literal true (expecting 'e')"}},
		"names the end of a document cut off": {
			text: "[\n{\"text\":\"a\",\"label\":0},\n{\"text\":\"b", kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`}, faults: []string{"line 3: the file ends inside a JSON value: it is cut off"}},
		"refuses rows that follow the array": {
			text: `[{"text":"a","label":0}]` + "\n" + `{"text":"b","label":1}`, kind: data.Classification,
			rows: []string{`{"text":"a","label":"0"}`}, faults: []string{"line 2: something follows the array of rows"}},
		"refuses an empty array": {text: `[]`, faults: []string{"line 1: the file has no rows"}},
		"refuses an array of texts": {
			text: `["a","b"]`, faults: []string{"line 1: a row is a JSON object, this is a text", "line 1: a row is a JSON object, this is a text"}},
		"refuses rows nested without end": {
			text: strings.Repeat("[", 5000) + "\n{}\n", opt: data.Options{Format: "jsonl"},
			faults: []string{"line 3: the file ends inside a JSON value: it is cut off"}},
		"refuses two values on a line": {
			text: `{"text":"a","label":0} {"text":"b","label":1}` + "\n" + `{"text":"c","label":1}`, kind: data.Classification,
			faults: []string{"line 1: more than one JSON value on the line: each row needs its own"}},

		"prompt and completion": {
			text: `{"prompt":"a\n\n","completion":" b"}`, kind: data.Seq2Seq, rows: []string{`{"source":"a\n\n","target":" b"}`}},
		"translation dicts the other way round": {
			text: `{"translation":{"en":"a","fr":"b"}}`, opt: data.Options{Kind: data.Seq2Seq, Columns: map[string]string{"source": "fr", "target": "en"}},
			kind: data.Seq2Seq, rows: []string{`{"source":"b","target":"a"}`}},
		"translation dicts lacking a language": {
			text: `{"translation":{"en":"a","fr":"b"}}` + "\n" + `{"translation":{"en":"a"}}` + "\n" + `{"translation":"a"}`, kind: data.Seq2Seq,
			rows: []string{`{"source":"a","target":"b"}`}, faults: []string{"line 2: translation.fr: missing", "line 3: translation: want an object of two languages, got a text"}},
		"ShareGPT": {
			text: `{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}`, kind: data.Chat,
			rows: []string{`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`}},
		"weights of messages": {
			text: `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0},{"role":"assistant","content":"c","weight":1}]}`, kind: data.Chat,
			rows: []string{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0},{"role":"assistant","content":"c"}]}`}},
		"all that can be wrong with a conversation": {
			text: `{"messages":[{"role":"user","content":"a"}]}` + "\n" + `{"messages":[{"role":"robot","content":"a"},{"content":"b"},{"role":"assistant","content":""}]}` + "\n" +
				`{"messages":[]}` + "\n" + `{"messages":"a"}` + "\n" + `{"messages":["a"]}` + "\n" + `{"messages":[{"role":"assistant","content":null,"tool_calls":[{}]}]}` + "\n" +
				`{"messages":[{"role":"assistant","content":"a","weight":2}]}` + "\n" + `{"messages":[{"role":"assistant","content":[{"type":"image_url"}]}]}`, kind: data.Chat,
			faults: []string{"line 1: messages: no message of the assistant to learn from",
				`line 2: messages[0].role: unknown role "robot"; there are system, user, assistant and tool`, "line 2: messages[1].role: missing", "line 2: messages[2].content: the text is empty",
				"line 3: messages: the list is empty", "line 4: messages: want a list of messages, got a text", "line 5: messages[0]: want an object with role and content, got a text",
				"line 6: messages[0].tool_calls: calls of tools cannot be learned: give the turn a text", "line 7: messages[0].weight: want a number from 0 to 1",
				"line 8: messages[0].content[0].type: only parts of type text can be learned"}},
		"TRL's prompt and completion of messages": {
			text: `{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}`, kind: data.Chat,
			rows: []string{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`}},
		"Dolly": {
			text: `{"instruction":"a","context":"","response":"b","category":"qa"}` + "\n" + `{"instruction":"a","context":"c","response":" ","category":"qa"}`, kind: data.Instruction,
			rows: []string{`{"instruction":"a","input":"","output":"b"}`}, faults: []string{"line 2: response: the text is empty"}},

		"takes the columns it is told": {
			text: "headline,verdict,when\na,x,1\nb,y,2\n", opt: data.Options{Columns: map[string]string{"text": "headline", "label": "verdict"}}, kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`, `{"text":"b","label":"y"}`}, warnings: []string{`not used: "when"`}},
		"names all columns that are not there": {
			text: "a,b\n1,2\n", opt: data.Options{Columns: map[string]string{"text": "x", "label": "y", "colour": "z"}},
			faults: []string{"columns.colour: classification rows have no such field; they have text, text_pair?, label", `columns.label: the file has no column "y"; it has "a", "b"`, `columns.text: the file has no column "x"; it has "a", "b"`}},
		"infers the second of two columns": {
			text: "review,verdict\na,up\nb,down\nc,up\nd,down\n", kind: data.Classification,
			rows:     []string{`{"text":"a","label":"up"}`, `{"text":"b","label":"down"}`, `{"text":"c","label":"up"}`, `{"text":"d","label":"down"}`},
			warnings: []string{`column "verdict" was taken for the label`}},
		"asks when columns may mean two things": {
			text:   `{"prompt":"a","completion":"b","label":true}`,
			faults: []string{`line 1: the rows may teach to write "completion" from "prompt" (seq2seq) or to find the "label" (classification): say which with ` + "`kind`"}},
		"refuses an unknown kind": {
			text: "text,label\na,x\n", opt: data.Options{Kind: "poetry"}, faults: []string{`kind: unknown kind "poetry"; there are classification, regression, instruction, chat, seq2seq and text`}},
		"refuses an unknown format": {
			text: "a", opt: data.Options{Format: "xml"}, faults: []string{`format: unknown format "xml"; there are auto, csv, jsonl, json, parquet and text`}},

		"translation dicts of which one language is named": {
			text: `{"translation":{"en":"a","fr":"b"}}`, opt: data.Options{Kind: data.Seq2Seq, Columns: map[string]string{"source": "fr"}},
			faults: []string{`columns: name the languages of "translation" as source and target`}},
		"translation dicts of three languages": {
			text:   `{"translation":{"en":"a","fr":"b","de":"c"}}`,
			faults: []string{"line 1: translation: 3 languages; a pair has two"}},
		"instructions by columns": {
			text: "q,hint,a\n1+1,,2\n", opt: data.Options{Columns: map[string]string{"instruction": "q", "input": "hint", "output": "a"}}, kind: data.Instruction,
			rows: []string{`{"instruction":"1+1","input":"","output":"2"}`}},
		"messages by columns": {
			text: `{"talk":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, opt: data.Options{Columns: map[string]string{"messages": "talk"}}, kind: data.Chat,
			rows: []string{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`}},
		"columns that lack a field": {
			text: "q,a\n1+1,2\n", opt: data.Options{Columns: map[string]string{"instruction": "q"}},
			faults: []string{`columns.output: name the column; the file has "q", "a"`}},
		"labels that are objects and numbers that are not": {
			text: `{"text":"a","label":{"x":1}}` + "\n" + `{"text":"b","label":null}` + "\n" + `{"text":"c"}` + "\n" + `{"text":"d","label":"` + strings.Repeat("x", 300) + `"}` + "\n" + `{"text":"e","label":"\u0000"}` + "\n" + `{"text":"f","label":""}` + "\n" + `{"text":[],"label":"x"}` + "\n" + `{"text":true,"label":"x"}`,
			kind: data.Classification,
			faults: []string{"line 1: label: want a label, got an object", "line 2: label: the label is null", "line 3: label: missing", "line 4: label: the label is 300 bytes long: is this the right column?",
				"line 5: label: the label holds a NUL character", "line 6: label: the label is empty", "line 7: text: want a text, got a list", "line 8: text: want a text, got true or false"}},
		"a score among labels that were whole, after the head was judged": {
			text: "text,label\n" + numbered("t%d,1\nu,0\n", 2100) + "v,2.5\n", kind: data.Classification,
			warnings: []string{}, faults: []string{"line 4202: label: 2.5 is not a whole number, unlike the labels before it; if these are scores, set `kind` to regression"}},
		"decodes UTF-16 with characters of two units": {
			text: "\xFE\xFF\x00t\x00e\x00x\x00t\x00,\x00l\x00a\x00b\x00e\x00l\x00\n\xD8\x3D\xDE\x00\x00,\x00x\x00\n\x00b\x00,\x00y\x00\n", kind: data.Classification,
			rows: []string{`{"text":"😀","label":"x"}`, `{"text":"b","label":"y"}`}},
		"names the row of half a surrogate pair in UTF-16": {
			text: "\xFF\xFE" + utf16le("text,label\na,x\n") + "\x3D\xD8" + utf16le("b,y\n"), kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`}, faults: []string{"line 3: text: byte 1 of the field is not valid UTF-8"}},
		"names the end of UTF-16 cut off": {
			text: "\xFF\xFE" + utf16le("text,label\na,x\nb,y") + "z", kind: data.Classification,
			rows: []string{`{"text":"a","label":"x"}`}, faults: []string{"line 3: label: byte 2 of the field is not valid UTF-8"}},
		"refuses what Windows-1252 has no character for": {
			text: "text,label\ncaf\xe9,x\nb\x81,y\n", kind: data.Classification,
			rows: []string{`{"text":"café","label":"x"}`}, faults: []string{"line 3: text: byte 2 of the field is not valid UTF-8"}},
		"refuses encodings that are mixed": {
			text: "text,label\ncaf\xe9 co\xfbt \xe0 l\xe0 \xfc\xf6,x\n" + strings.Repeat("filler filler filler filler,y\n", 4000) + strings.Repeat("na\xc3\xafve caf\xc3\xa9,x\n", 1500), kind: data.Classification,
			faults: []string{"line 2: the file mixes UTF-8 with another encoding: save it as UTF-8"}},
		"decodes UTF-16 without a mark": {
			text: utf16le("text,label\nçà,x\nb,y\n"), kind: data.Classification,
			rows: []string{`{"text":"çà","label":"x"}`, `{"text":"b","label":"y"}`}, warnings: []string{"read as UTF-16"}},
		"names the row where UTF-8 is damaged": {
			text: "text,label\ncafé,x\ncaf\xe9,y\nnaïve,x\n", kind: data.Classification,
			rows: []string{`{"text":"café","label":"x"}`}, faults: []string{"line 3: text: byte 4 of the field is not valid UTF-8"}},
		"names the row of a damaged JSON line": {
			text: `{"text":"café","label":0}` + "\n{\"text\":\"caf\xe9\",\"label\":1}\n", kind: data.Classification,
			rows: []string{`{"text":"café","label":"0"}`}, faults: []string{"line 2: byte 13 is not valid UTF-8"}},
		"does not guess at another alphabet": {
			text: "text,label\n\xcf\xf0\xe8\xe2\xe5\xf2 \xec\xe8\xf0,x\n\xef\xee\xea\xe0,y\n", kind: data.Classification,
			rows:   []string{`{"text":"Ïðèâåò ìèð","label":"x"}`, `{"text":"ïîêà","label":"y"}`},
			faults: []string{"line 2: the file is not UTF-8, and more than half of its letters would be accented in Windows-1252: save it as UTF-8"}},
		"says what a file is that is no text": {
			text: "PK\x03\x04abc", faults: []string{"line 1: the file is a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV"}},
		"refuses prose": {
			text: "It was a dark night,\nand the rain fell; in torrents,\nexcept at times,\nwhen it was checked\n", faults: []string{"line 1: neither JSON nor a table: no comma, semicolon, tab or | cuts the lines into equally many columns"}},
		"an empty file":      {text: "", faults: []string{"line 1: the file is empty"}},
		"a file of blanks":   {text: " \n\n\t\n", faults: []string{"line 1: the file is empty"}},
		"nothing but a mark": {text: "\xEF\xBB\xBF", faults: []string{"line 1: the file is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			rows, report, faults := read(t, tc.text, tc.opt)
			if report.Kind != tc.kind {
				t.Errorf("kind %q, want %q", report.Kind, tc.kind)
			}
			if got, want := strings.Join(rows, "\n"), strings.Join(tc.rows, "\n"); got != want && (tc.rows != nil || tc.faults != nil && len(rows) < 100) {
				t.Errorf("rows\n%s\nwant\n%s", got, want)
			}
			if got, want := strings.Join(faults, "\n"), strings.Join(tc.faults, "\n"); got != want {
				t.Errorf("faults\n%s\nwant\n%s", got, want)
			}
			all := strings.Join(report.Warnings, "\n")
			for _, w := range tc.warnings {
				if !strings.Contains(all, w) {
					t.Errorf("no warning %q in\n%s", w, all)
				}
			}
		})
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func utf16le(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
		b.WriteByte(byte(r >> 8))
	}
	return b.String()
}

func TestColumnNames(t *testing.T) {
	for header, want := range map[string]string{
		"review,sentiment":                            "classification text=review label=sentiment",
		"Review Text,Star-Rating,label":               "classification text=Review Text label=label",
		"content,category":                            "classification text=content label=category",
		"sentence1,sentence2,label":                   "classification text=sentence1 text_pair=sentence2 label=label",
		"premise,hypothesis,gold_label":               "classification text=premise text_pair=hypothesis label=gold_label",
		"question1,question2,is_duplicate":            "classification text=question1 text_pair=question2 label=is_duplicate",
		"question,sentence,label":                     "classification text=question text_pair=sentence label=label",
		"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String": "classification text=#1 String text_pair=#2 String label=Quality",
		"question,passage,label":                      "classification text=question text_pair=passage label=label",
		"question,answer,label":                       "classification text=question text_pair=answer label=label",
		"id,tweet,airline_sentiment":                  "classification text=tweet label=airline_sentiment",
		"instruction,input,output":                    "instruction instruction=instruction input=input output=output",
		"instruction,response":                        "instruction instruction=instruction output=response",
		"prompt,completion":                           "seq2seq source=prompt target=completion",
		"source,target":                               "seq2seq source=source target=target",
		"article,highlights,id":                       "seq2seq source=article target=highlights",
		"question,answer":                             "seq2seq source=question target=answer",
		"en,de":                                       "seq2seq source=en target=de",
		"pt_BR,en-GB":                                 "seq2seq source=pt_BR target=en-GB",
		"text":                                        "text text=text",
		"text,url,date":                               "text text=text",
	} {
		t.Run(header, func(t *testing.T) {
			sep := ","
			if strings.Contains(header, "\t") {
				sep = "\t"
			}
			names := strings.Split(header, sep)
			// Each value says in which column it stands.
			for _, label := range []string{"1", "2"} {
				header += "\n"
				for i, n := range names {
					if i > 0 {
						header += sep
					}
					header += n + label
				}
			}
			_, report, faults := read(t, header+"\n", data.Options{})
			var row data.Row
			_, _ = data.Parse(strings.NewReader(header+"\n"), data.Options{}, func(r data.Row) error { row = r; return nil })
			got := string(report.Kind)
			pair := ""
			if row.Pair != nil {
				pair = *row.Pair
			}
			for _, f := range [][2]string{{"instruction", row.Instruction}, {"input", row.Input}, {"output", row.Output}, {"source", row.Source},
				{"target", row.TargetText}, {"text", row.Text}, {"text_pair", pair}, {"label", row.Label}} {
				if f[1] != "" {
					got += " " + f[0] + "=" + strings.TrimSuffix(f[1], "2")
				}
			}
			if got != want {
				t.Errorf("%s, want %s (%v)", got, want, faults)
			}
		})
	}
}

func TestParseRows(t *testing.T) {
	rows := func(texts ...string) (raw []json.RawMessage) {
		for _, s := range texts {
			raw = append(raw, json.RawMessage(s))
		}
		return raw
	}
	var got []string
	report, err := data.ParseRows(rows(`{"text":"a","label":0}`, "{\n\"text\":\"b\",\"label\":1}"), data.Options{}, func(r data.Row) error {
		got = append(got, canonical(t, r))
		return nil
	})
	if err != nil || len(got) != 2 || report.Kind != data.Classification {
		t.Errorf("%q, %+v, %v", got, report, err)
	}
	_, err = data.ParseRows(rows(`{"text":"a","label":0}`, `{"text":"","label":1}`, `[]`), data.Options{}, func(data.Row) error { return nil })
	if got, want := err.Error(), "rows[1].text: the text is empty\nrows[2]: a row is a JSON object, this is a list"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err = data.ParseRows(nil, data.Options{}, nil); err == nil || err.Error() != "rows: there are no rows" {
		t.Errorf("no rows: %v", err)
	}
}
