package train

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/sharedtest"
	"lorikeet/inference"
	"lorikeet/tuning"
	"lorikeet/tuning/data"
)

// openFixture opens a fixture as a base, with another chat template where one is given.
func openFixture(t testing.TB, name, chat string) *inference.Base {
	t.Helper()
	dir := os.DirFS(sharedtest.Fixture(t, name))
	if chat != "" {
		all := fstest.MapFS{"chat_template.jinja": {Data: []byte(chat)}}
		files, err := fs.ReadDir(dir, ".")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := fs.ReadFile(dir, f.Name()); err == nil && all[f.Name()] == nil {
				all[f.Name()] = &fstest.MapFile{Data: b}
			}
		}
		dir = all
	}
	b, err := inference.OpenBase(name, "test", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// template reads a chat template of the prompt package's tests.
func template(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "inference", "prompt", "testdata", "templates", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pupil is an attempt that has read its rows.
func pupil(base *inference.Base, s tuning.Spec, rows ...data.Row) (*attempt, error) {
	s.Kind, s.Model = tuning.Instruction, base.Name
	a := &attempt{spec: s.WithDefaults(), base: base}
	var err error
	if a.target, err = a.teach(rows); err == nil {
		a.train, err = a.encode(rows)
	}
	return a, err
}

func rowOf(t testing.TB, canonical string) data.Row {
	t.Helper()
	r := data.Row{Line: 1}
	if err := json.Unmarshal([]byte(canonical), &r); err != nil {
		t.Fatalf("%s: %v", canonical, err)
	}
	return r
}

// TestRowsBecomeWhatTransformersMakesOfThem compares ids and labels with
// testdata/rows.json, which rows.py beside it makes.
func TestRowsBecomeWhatTransformersMakesOfThem(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "rows.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Base, Chat  string
		Row         json.RawMessage
		IDs, Labels []int32
		Template    string
		SourceLang  string `json:"source_lang"`
		TargetLang  string `json:"target_lang"`
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			chat := ""
			if c.Chat != "" {
				chat = template(t, c.Chat)
			}
			a, err := pupil(openFixture(t, c.Base, chat), tuning.Spec{Template: c.Template, SourceLang: c.SourceLang, TargetLang: c.TargetLang}, rowOf(t, string(c.Row)))
			if err != nil {
				t.Fatal(err)
			}
			if len(a.train) != 1 {
				t.Fatalf("%d examples", len(a.train))
			}
			e := a.train[0]
			if !slices.Equal(e.tokens.IDs, c.IDs) {
				t.Errorf("ids\n%v, transformers has\n%v", e.tokens.IDs, c.IDs)
			}
			if !slices.Equal(e.labels, c.Labels) {
				t.Errorf("labels\n%v, transformers has\n%v", e.labels, c.Labels)
			}
			for i, label := range e.labels {
				if want := map[bool]float32{true: 1, false: 0}[label >= 0]; e.counts[i] != want {
					t.Errorf("label %d counts %v", label, e.counts[i])
				}
			}
		})
	}
}

// words spells ids, for tests that are read.
func words(b *inference.Base, ids []int32) string {
	var all []string
	for _, id := range ids {
		word, _ := b.Text.Token(id)
		if id < 0 {
			word = "·"
		}
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

const talk = `{"messages":[{"role":"user","content":"a b"},{"role":"assistant","content":"c","weight":0.5},{"role":"user","content":"d"},{"role":"assistant","content":"e"}]}`

// TestAConversationByHand follows tokens that are spelled out here.
func TestAConversationByHand(t *testing.T) {
	base := openFixture(t, "qwen2", `{% for m in messages %}<|im_start|>{{ m.role[0] }}.{{ m.content }}<|im_end|>.{% endfor %}{% if add_generation_prompt %}<|im_start|>a.{% endif %}`)
	a, err := pupil(base, tuning.Spec{}, rowOf(t, talk))
	if err != nil {
		t.Fatal(err)
	}
	e := a.train[0]
	if got, want := words(base, e.tokens.IDs), "<|im_start|> u . a Ġb <|im_end|> . <|im_start|> a . c <|im_end|> . <|im_start|> u . d <|im_end|> . <|im_start|> a . e <|im_end|>"; got != want {
		t.Errorf("reads\n%s, want\n%s", got, want)
	}
	if got, want := words(base, e.labels), "· · · · · · · · · · c <|im_end|> · · · · · · · · · · e <|im_end|>"; got != want {
		t.Errorf("learns\n%s, want\n%s", got, want)
	}
	if e.counts[10] != 0.5 || e.counts[11] != 0.5 || e.counts[22] != 1 || a.asked(e) != 3 {
		t.Errorf("counts %v, %v in all", e.counts, a.asked(e))
	}
	if got, want := words(base, e.prompt), strings.TrimSuffix(words(base, e.tokens.IDs), " e <|im_end|>"); got != want || e.answer != "e" {
		t.Errorf("is asked\n%s for %q, want\n%s", got, e.answer, want)
	}
	if a.taught != "chat" {
		t.Errorf("was taught by %q", a.taught)
	}
}

// TestAnswersThatATemplateRewritesAreLearnedByThemselves has a template that leaves the
// thoughts out of earlier answers: each answer is then an example.
func TestAnswersThatATemplateRewritesAreLearnedByThemselves(t *testing.T) {
	base := openFixture(t, "qwen2", template(t, "thinking.jinja"))
	a, err := pupil(base, tuning.Spec{}, rowOf(t, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"<think>\nb\n</think>\n\nc"},{"role":"user","content":"d"},{"role":"assistant","content":"<think>\ne\n</think>\n\nf"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var learned []string
	for _, e := range a.train {
		var ids []int32
		for _, l := range e.labels {
			if l >= 0 {
				ids = append(ids, l)
			}
		}
		learned = append(learned, base.Text.Decode(e.prompt, false)+"|"+base.Text.Decode(ids, false))
	}
	if want := []string{
		"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n|<think>\nb\n</think>\n\nc<|im_end|>",
		"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n<|im_start|>assistant\n|<think>\ne\n</think>\n\nf<|im_end|>",
	}; !slices.Equal(learned, want) {
		t.Errorf("learns\n%q, want\n%q", learned, want)
	}
}

// TestAnEncoderDecoderLearnsEachAnswer of a conversation: it has one target.
func TestAnEncoderDecoderLearnsEachAnswer(t *testing.T) {
	base := openFixture(t, "t5", `{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}`)
	a, err := pupil(base, tuning.Spec{}, rowOf(t, talk))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, e := range a.train {
		pairs = append(pairs, base.Text.Decode(e.tokens.IDs, true)+"|"+base.Text.Decode(e.labels, false))
	}
	if want := []string{"user: a b|c</s>", "user: a b assistant: c user: d|e</s>"}; !slices.Equal(pairs, want) {
		t.Errorf("learns %q, want %q", pairs, want)
	}
	if a.train[0].counts[0] != 0.5 || a.train[1].counts[0] != 1 {
		t.Errorf("counts %v and %v", a.train[0].counts, a.train[1].counts)
	}
}

// TestWhatIsTooLongIsCut keeps what begins a text, the last answer and its end.
func TestWhatIsTooLongIsCut(t *testing.T) {
	base := openFixture(t, "llama", "")
	row := rowOf(t, `{"instruction":"one two three four five six seven eight nine ten","input":"","output":"a b"}`)
	whole, err := pupil(base, tuning.Spec{}, row)
	if err != nil {
		t.Fatal(err)
	}
	all := whole.train[0]
	for _, limit := range []int{4, 8, len(all.tokens.IDs) - 1} {
		a, err := pupil(base, tuning.Spec{Hyperparameters: &tuning.Hyperparameters{MaxLength: of(limit)}}, row)
		if err != nil {
			t.Fatal(err)
		}
		e, n := a.train[0], len(a.train[0].tokens.IDs)
		if n != limit || len(e.labels) != n || len(e.counts) != n || !e.tokens.Truncated || all.tokens.Truncated {
			t.Errorf("%d: %d tokens, %d labels, %d weights, truncated %t", limit, n, len(e.labels), len(e.counts), e.tokens.Truncated)
		}
		said := n - len(e.prompt)
		if e.tokens.IDs[0] != all.tokens.IDs[0] || !slices.Equal(e.tokens.IDs[:len(e.prompt)], e.prompt) ||
			!slices.Equal(e.tokens.IDs[len(e.prompt):], all.tokens.IDs[len(all.prompt):len(all.prompt)+said]) ||
			!slices.Equal(e.prompt[1:], all.prompt[len(all.prompt)-len(e.prompt)+1:]) {
			t.Errorf("%d: %s of %s", limit, words(base, e.tokens.IDs), words(base, all.tokens.IDs))
		}
	}
}

func TestRowsThatTeachNothingAreNamedAllAtOnce(t *testing.T) {
	chats, plain := openFixture(t, "llama3-tied", ""), openFixture(t, "t5", "")
	for name, c := range map[string]struct {
		base   *inference.Base
		rows   []string
		faults []string // line field
	}{
		"instructions": {plain, []string{
			`{"instruction":"a","input":"","output":" "}`, `{"instruction":"a","input":"","output":"b"}`, `{"instruction":"","input":"","output":"\n"}`},
			[]string{"1 output", "3 instruction", "3 output"}},
		"sources and targets":     {plain, []string{`{"source":"a","target":""}`, `{"source":" ","target":"b"}`}, []string{"1 target", "2 source"}},
		"another kind among them": {plain, []string{`{"source":"a","target":"b"}`, `{"text":"a","label":"b"}`}, []string{"2 "}},
		"conversations": {chats, []string{
			`{"messages":[{"role":"user","content":"a"}]}`,
			`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]}`,
			`{"messages":[{"role":"assistant","content":"b"}]}`,
			`{"messages":[{"role":"user","content":"a"},{"role":"robot","content":"b"},{"role":"assistant","content":"b"}]}`,
			`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":" "}]}`},
			[]string{"1 messages", "2 messages", "3 messages[0].role", "4 messages[1].role", "5 messages[1].content"}},
		"a conversation for a base that has no template for it": {plain, []string{talk}, []string{"1 messages"}},
	} {
		t.Run(name, func(t *testing.T) {
			var rows []data.Row
			for i, r := range c.rows {
				row := rowOf(t, r)
				row.Line = i + 1
				rows = append(rows, row)
			}
			_, err := pupil(c.base, tuning.Spec{}, rows...)
			var got []string
			for _, f := range invalid.Faults(err) {
				got = append(got, strings.Join([]string{string(rune('0' + f.Line)), f.Field}, " "))
			}
			if !slices.Equal(got, c.faults) {
				t.Errorf("faults %q, want %q: %v", got, c.faults, err)
			}
		})
	}
}

func TestTemplatesThatCannotBeUsedAreRefused(t *testing.T) {
	row := rowOf(t, `{"instruction":"a","input":"","output":"b"}`)
	for name, c := range map[string]struct {
		base *inference.Base
		name string
	}{
		"an unknown one":                    {openFixture(t, "t5", ""), "vicuna"},
		"a chat template that is not there": {openFixture(t, "t5", ""), "chat"},
		"a chat template that is broken":    {openFixture(t, "qwen2", "{% for %}"), ""},
	} {
		_, err := pupil(c.base, tuning.Spec{Template: c.name}, row)
		if f := invalid.Faults(err); len(f) != 1 || f[0].Field != "template" {
			t.Errorf("%s: %v, want a fault of template", name, err)
		}
	}
	// A broken one is in nobody's way where it is not asked for.
	if _, err := pupil(openFixture(t, "qwen2", "{% for %}"), tuning.Spec{Template: "alpaca"}, row); err != nil {
		t.Error(err)
	}
}
