package text

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"lorikeet/adapters/sharedtest"
)

// cases is a file of expected ids made with the reference libraries.
type cases struct {
	VocabSize int `json:"vocab_size"`
	Special   map[string][2]json.RawMessage
	Cases     []struct {
		Text        string
		IDs         []int32
		Plain       []int32 `json:"ids_no_special"`
		Tokens      []string
		Decoded     string
		DecodedFull string `json:"decoded_raw"`
	}
	Pairs []struct {
		A, B       string
		Truncation string
		MaxLength  int    `json:"max_length"`
		Side       string `json:"padding_side"`
		IDs        []int32
		Attention  []int32 `json:"attention_mask"`
		TypeIDs    []int32 `json:"token_type_ids"`
	}
	Truncated []struct {
		Text      string
		MaxLength int `json:"max_length"`
		IDs       []int32
		Attention []int32 `json:"attention_mask"`
	}
	Chat []struct {
		Text string
		IDs  []int32
	}
	TargetCases []struct {
		Text string
		IDs  []int32
	} `json:"target_cases"`
}

// fixture is a tokenizer among the fixtures and the cases made with it.
type fixture struct{ name, cases, folder string }

var fixtures = []fixture{
	{"encodes and decodes as uncased BERT does", "tok-bert-uncased", "bert-seqcls"},
	{"encodes and decodes as cased BERT does", "tok-bert-cased", "bert-seqcls-regression"},
	{"encodes and decodes as DistilBERT does", "tok-distilbert", "distilbert-seqcls"},
	{"encodes and decodes as RoBERTa does", "tok-roberta", "roberta-seqcls"},
	{"encodes and decodes as LLaMA 2 does", "tok-llama2", "llama"},
	{"encodes and decodes as LLaMA 3 does", "tok-llama3", "llama3-tied"},
	{"encodes and decodes as Qwen2 does", "tok-qwen2", "qwen2"},
	{"encodes and decodes as the old T5 does", "tok-t5-old", "t5"},
	{"encodes and decodes as the new T5 does", "tok-t5-new", "flan-t5"},
	{"encodes and decodes as mT5 does", "tok-mt5", "mt5"},
	{"encodes and decodes as Marian does", "tok-marian", "marian"},
}

func TestFixtures(t *testing.T) {
	for _, tt := range fixtures {
		t.Run(tt.name, func(t *testing.T) {
			tok := load(t, os.DirFS(sharedtest.Fixture(t, tt.folder)))
			compare(t, tok, readCases(t, tt.cases))
		})
	}
}

// TestFoldersWithoutTokenizerJSON loads the same tokenizers from the files of the
// Python classes.
func TestFoldersWithoutTokenizerJSON(t *testing.T) {
	for _, tt := range []fixture{
		{"reads uncased BERT from vocab.txt", "tok-bert-uncased", "bert-seqcls"},
		{"reads cased BERT from vocab.txt", "tok-bert-cased", "bert-seqcls-regression"},
		{"reads DistilBERT from vocab.txt", "tok-distilbert", "distilbert-seqcls"},
		{"reads RoBERTa from vocab.json and merges.txt", "tok-roberta", "roberta-seqcls"},
		{"reads Qwen2 from vocab.json and merges.txt", "tok-qwen2", "qwen2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tok := load(t, without(t, sharedtest.Fixture(t, tt.folder), "tokenizer.json"))
			compare(t, tok, readCases(t, tt.cases))
		})
	}
}

func load(t testing.TB, fsys fs.FS) *Tokenizer {
	t.Helper()
	tok, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// without is a folder with some files taken out.
func without(t testing.TB, dir string, names ...string) fs.FS {
	t.Helper()
	m := fstest.MapFS{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() || slices.Contains(names, e.Name()) || filepath.Ext(e.Name()) == ".safetensors" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		m[e.Name()] = &fstest.MapFile{Data: data}
	}
	return m
}

func readCases(t testing.TB, name string) (c cases) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(sharedtest.Fixture(t, name), "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

var strategies = map[string]Truncation{"longest_first": LongestFirst, "only_first": OnlyFirst, "only_second": OnlySecond}

func compare(t *testing.T, tok *Tokenizer, c cases) {
	bad := map[string]int{}
	check := func(what, text string, ok bool, got, want any) {
		if ok {
			return
		}
		if bad[what]++; bad[what] <= 3 {
			t.Errorf("%s of %q:\n got %v\nwant %v", what, text, got, want)
		}
	}
	checkIDs := func(what, text string, got, want []int32) {
		check(what, text, slices.Equal(got, want), got, want)
	}
	if tok.VocabSize() != c.VocabSize {
		t.Errorf("vocabulary of %d, want %d", tok.VocabSize(), c.VocabSize)
	}
	for name, pair := range c.Special {
		var id int32
		if err := json.Unmarshal(pair[1], &id); err != nil {
			t.Fatal(err)
		}
		if got, ok := tok.name(name); !ok || got != id {
			t.Errorf("%s is %d, %v; want %d", name, got, ok, id)
		}
	}
	for _, x := range c.Cases {
		checkIDs("ids", x.Text, tok.Encode(x.Text, nil, 0).IDs, x.IDs)
		plain := tok.EncodePlain(x.Text)
		checkIDs("plain ids", x.Text, plain, x.Plain)
		if tokens := spell(tok, plain); tok.source.codes == nil { // Marian's are pieces, not entries
			check("tokens", x.Text, slices.Equal(tokens, unspecial(tok, x.Tokens, x.IDs, plain)), tokens, x.Tokens)
		}
		got := tok.Decode(x.IDs, true)
		check("text", x.Text, got == x.Decoded, got, x.Decoded)
		got = tok.Decode(x.IDs, false)
		check("full text", x.Text, got == x.DecodedFull, got, x.DecodedFull)
		for _, skip := range []bool{true, false} {
			s, parts := tok.Stream(skip), ""
			for _, id := range x.IDs {
				parts += s.Push(id)
			}
			parts += s.Flush()
			check("stream", x.Text, parts == tok.Decode(x.IDs, skip), parts, tok.Decode(x.IDs, skip))
		}
	}
	for _, x := range c.Pairs {
		e, err := tok.EncodeCut(x.A, &x.B, x.MaxLength, strategies[x.Truncation])
		if err != nil {
			t.Errorf("%q, %q: %v", x.A, x.B, err)
			continue
		}
		used := attended(x.IDs, x.Attention)
		checkIDs("pair", x.A+" | "+x.B, e.IDs, used)
		checkPadding(t, tok, x.IDs, x.Attention)
		if len(x.TypeIDs) == len(x.IDs) { // one short for Marian, whose model reads none
			checkIDs("types", x.A+" | "+x.B, e.TypeIDs, attended(x.TypeIDs, x.Attention))
		}
		if full := tok.Encode(x.A, &x.B, 0); e.Truncated != (len(full.IDs) > x.MaxLength) {
			t.Errorf("%q, %q: truncated is %v for %d tokens of %d", x.A, x.B, e.Truncated, x.MaxLength, len(full.IDs))
		}
	}
	for _, x := range c.Truncated {
		e := tok.Encode(x.Text, nil, x.MaxLength)
		checkIDs("truncated", x.Text, e.IDs, attended(x.IDs, x.Attention))
		checkPadding(t, tok, x.IDs, x.Attention)
		if full := tok.Encode(x.Text, nil, 0); e.Truncated != (len(full.IDs) > x.MaxLength) {
			t.Errorf("%q: truncated is %v for %d tokens of %d", x.Text, e.Truncated, x.MaxLength, len(full.IDs))
		}
	}
	for _, x := range c.Chat {
		checkIDs("chat", x.Text, tok.EncodePlain(x.Text), x.IDs)
	}
	for _, x := range c.TargetCases {
		checkIDs("target", x.Text, tok.EncodeTarget(x.Text, 0).IDs, x.IDs)
	}
	for _, what := range slices.Sorted(maps.Keys(bad)) {
		t.Errorf("%s: %d wrong", what, bad[what])
	}
	t.Logf("%d texts, %d pairs, %d truncated, %d chats, %d targets", len(c.Cases), len(c.Pairs), len(c.Truncated), len(c.Chat), len(c.TargetCases))
}

func attended(ids, attention []int32) (used []int32) {
	for i, id := range ids {
		if attention[i] == 1 {
			used = append(used, id)
		}
	}
	return used
}

func checkPadding(t *testing.T, tok *Tokenizer, ids, attention []int32) {
	t.Helper()
	for i, id := range ids {
		if attention[i] == 0 && id != tok.PadID() {
			t.Errorf("padding is %d, want %d", tok.PadID(), id)
			return
		}
	}
}

func spell(tok *Tokenizer, ids []int32) []string {
	out := []string{}
	for _, id := range ids {
		s, _ := tok.Token(id)
		out = append(out, s)
	}
	return out
}

// unspecial cuts the tokens of ids down to those of plain, which stand among them.
func unspecial(tok *Tokenizer, tokens []string, ids, plain []int32) []string {
	if len(tokens) == len(plain) {
		return tokens
	}
	for from := range len(ids) - len(plain) + 1 {
		if slices.Equal(ids[from:from+len(plain)], plain) {
			return tokens[from : from+len(plain)]
		}
	}
	return tokens
}
