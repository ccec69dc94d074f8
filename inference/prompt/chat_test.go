package prompt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/sharedtest"
)

// TestChatsAsTransformers renders what testdata/chats.py rendered.
func TestChatsAsTransformers(t *testing.T) {
	var golden struct {
		Special       map[string]any
		Now           time.Time
		Conversations [][]Message
		Cases         []struct {
			Template     string
			Conversation int
			Generate     bool
			Text, Error  string
		}
	}
	load(t, "testdata/chats.json", &golden)
	if len(golden.Cases) < 100 {
		t.Fatalf("only %d cases", len(golden.Cases))
	}
	for _, c := range golden.Cases {
		source, err := os.ReadFile(filepath.Join("testdata", "templates", c.Template+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		chat := NewChat(string(source), golden.Special)
		chat.now = func() time.Time { return golden.Now }
		got, err := chat.Render(golden.Conversations[c.Conversation], c.Generate)
		switch {
		case c.Error != "" && !invalid.Is(err):
			t.Errorf("%s, conversation %d: %q, %v; transformers refuses it: %s", c.Template, c.Conversation, got, err, c.Error)
		case c.Error == "" && (got != c.Text || err != nil):
			t.Errorf("%s, conversation %d, generate %v:\n got %q, %v\nwant %q", c.Template, c.Conversation, c.Generate, got, err, c.Text)
		}
	}
}

// TestChatFixtures renders the conversations of the tokenizer fixtures.
func TestChatFixtures(t *testing.T) {
	dir := sharedtest.Fixture(t, "tok-llama3")
	var golden struct {
		Chat []struct {
			Messages []Message
			Generate bool `json:"add_generation_prompt"`
			Text     string
		}
	}
	load(t, filepath.Join(dir, "cases.json"), &golden)
	chat, err := ReadChat(os.DirFS(sharedtest.Fixture(t, "llama3-tied")))
	if err != nil || chat == nil {
		t.Fatal(chat, err)
	}
	if len(golden.Chat) == 0 {
		t.Fatal("no conversations")
	}
	for _, c := range golden.Chat {
		if got, err := chat.Render(c.Messages, c.Generate); got != c.Text || err != nil {
			t.Errorf("got %q, %v\nwant %q", got, err, c.Text)
		}
	}
}

func load(t *testing.T, path string, to any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzReadChat reads the files that a template may come in, and renders what they hold.
func FuzzReadChat(f *testing.F) {
	for _, seed := range []string{`{"chat_template":"{{ messages[0].content }}{{ bos_token }}","bos_token":{"content":"<s>"}}`,
		`{"chat_template":[{"name":"default","template":"a"}]}`, `{"chat_template":null,"bos_token":7}`, `[`} {
		f.Add([]byte(seed), "")
	}
	f.Add([]byte(`{}`), "{% for m in messages %}{{ m.role }}{% endfor %}")
	f.Fuzz(func(t *testing.T, config []byte, template string) {
		dir := fstest.MapFS{"tokenizer_config.json": {Data: config}, "special_tokens_map.json": {Data: config}}
		if template != "" {
			dir["chat_template.jinja"] = &fstest.MapFile{Data: []byte(template)}
		}
		chat, err := ReadChat(dir)
		if err != nil || chat == nil {
			return
		}
		if _, err := chat.Render([]Message{{User, "x"}}, true); err != nil && !invalid.Is(err) {
			t.Errorf("%v is no fault of the template", err)
		}
	})
}
