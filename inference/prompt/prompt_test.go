package prompt

import (
	"strings"
	"testing"
	"testing/fstest"

	"lorikeet/adapters/invalid"
)

func TestTemplates(t *testing.T) {
	chat := NewChat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}", nil)
	both := Ask{Instruction: "Translate.", Input: "Hello"}
	turn := Ask{Messages: []Message{{System, "Be terse."}, {User, "Hi"}}}
	for _, c := range []struct {
		about, template string
		ask             Ask
		want            string
		whole           bool
	}{
		{"plain puts a line between", "plain", both, "Translate.\nHello", false},
		{"plain leaves an instruction as it is", "plain", Ask{Instruction: " a "}, " a ", false},
		{"plain leaves an input as it is", "plain", Ask{Input: "a\n"}, "a\n", false},
		{"plain reads a system message as the instruction", "plain", turn, "Be terse.\nHi", false},
		{"plain reads a user's message as the instruction", "plain", Ask{Messages: turn.Messages[1:]}, "Hi", false},
		{"t5 names the parts", "t5", both, "instruction: Translate. input: Hello", false},
		{"t5 names the one part", "t5", Ask{Instruction: "Go"}, "instruction: Go", false},
		{"alpaca with an input", "alpaca", both, "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nTranslate.\n\n### Input:\nHello\n\n### Response:", false},
		{"alpaca without", "alpaca", Ask{Instruction: "Go"}, "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nGo\n\n### Response:", false},
		{"chat makes one message of both", "chat", both, "<user>Translate.\nHello<assistant>", true},
		{"chat takes turns", "chat", turn, "<system>Be terse.<user>Hi<assistant>", true},
		{"no name is the base's own", "", Ask{Input: "x"}, "<user>x<assistant>", true},
	} {
		t.Run(c.about, func(t *testing.T) {
			template, err := Named(c.template, chat)
			if err != nil {
				t.Fatal(err)
			}
			got, err := template.Prompt(c.ask)
			if err != nil || got.Text != c.want || got.Whole != c.whole {
				t.Errorf("got %q, whole %v, %v; want %q", got.Text, got.Whole, err, c.want)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	if template, err := Named("", nil); err != nil || template.Name() != "plain" {
		t.Errorf("no name and no chat template: %q, %v", template.Name(), err)
	}
	for _, name := range []string{"chat", "vicuna"} {
		_, err := Named(name, nil)
		if f := invalid.Faults(err); len(f) != 1 || f[0].Field != "template" || !strings.Contains(f[0].Reason, "plain, t5, alpaca") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range Names {
		if template, err := Named(name, NewChat("", nil)); err != nil || template.Name() != name {
			t.Errorf("%s: %q, %v", name, template.Name(), err)
		}
	}
}

func TestFaults(t *testing.T) {
	message := func(roles ...string) (m []Message) {
		for _, r := range roles {
			m = append(m, Message{r, "x"})
		}
		return m
	}
	for _, c := range []struct {
		about string
		ask   Ask
		field string
	}{
		{"nothing asked", Ask{Input: " \n"}, "instruction"},
		{"both ways of asking", Ask{Input: "x", Messages: message(User)}, "messages"},
		{"no messages", Ask{Messages: []Message{}}, "messages"},
		{"an unknown role", Ask{Messages: message("tool", User)}, "messages[0].role"},
		{"a system message later", Ask{Messages: message(User, Assistant, System, User)}, "messages[2].role"},
		{"two of the user's in a row", Ask{Messages: message(User, User)}, "messages[1].role"},
		{"the assistant first", Ask{Messages: message(System, Assistant, User)}, "messages[1].role"},
		{"the assistant last", Ask{Messages: message(User, Assistant)}, "messages[1].role"},
		{"only a system message", Ask{Messages: message(System)}, "messages[0].role"},
		{"empty content", Ask{Messages: []Message{{User, " "}}}, "messages[0].content"},
		{"turns for a template of one", Ask{Messages: message(User, Assistant, User)}, "messages"},
	} {
		t.Run(c.about, func(t *testing.T) {
			template, _ := Named("plain", nil)
			_, err := template.Prompt(c.ask)
			if f := invalid.Faults(err); len(f) == 0 || f[0].Field != c.field {
				t.Errorf("%v; want a fault of %s", err, c.field)
			}
		})
	}
	if err := CheckMessages(message(System, User, Assistant), true); err != nil {
		t.Errorf("an answered conversation: %v", err)
	}
	if err := CheckMessages(message(User), true); err == nil {
		t.Error("an unanswered conversation passed for an answered one")
	}
	if err := CheckMessages([]Message{{"bot", ""}, {User, ""}}, false); len(invalid.Faults(err)) != 3 {
		t.Errorf("not every mistake is told: %v", err)
	}
}

func TestReadChat(t *testing.T) {
	config := `{"bos_token":{"content":"<s>"},"chat_template":"{{ bos_token }}{{ eos_token }}"}`
	for _, c := range []struct {
		about string
		files map[string]string
		want  string // "": no template
	}{
		{"no files", nil, ""},
		{"no template", map[string]string{"tokenizer_config.json": `{}`}, ""},
		{"a text, tokens from two files", map[string]string{"tokenizer_config.json": config, "special_tokens_map.json": `{"eos_token":"</s>","bos_token":"no"}`}, "<s></s>"},
		{"a list", map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]}`}, "yes"},
		{"a list without a default", map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"no"}]}`}, ""},
		{"a file before the configuration", map[string]string{"tokenizer_config.json": config, "chat_template.jinja": "file\n"}, "file"},
	} {
		t.Run(c.about, func(t *testing.T) {
			dir := fstest.MapFS{}
			for name, text := range c.files {
				dir[name] = &fstest.MapFile{Data: []byte(text)}
			}
			chat, err := ReadChat(dir)
			if err != nil || (chat == nil) != (c.want == "") {
				t.Fatalf("%v, %v", chat, err)
			}
			if chat != nil {
				if got, err := chat.Render([]Message{{User, "x"}}, true); got != c.want || err != nil {
					t.Errorf("%q, %v; want %q", got, err, c.want)
				}
			}
		})
	}
	for _, text := range []string{`[`, `{"chat_template":7}`} {
		if _, err := ReadChat(fstest.MapFS{"tokenizer_config.json": {Data: []byte(text)}}); err == nil {
			t.Errorf("%s is read as a configuration", text)
		}
	}
}

func TestBrokenChat(t *testing.T) {
	for _, source := range []string{"{% if %}", "{% include 'x' %}", "{{ none.x.y }}", "{{ raise_exception('no tools here') }}"} {
		chat, err := ReadChat(fstest.MapFS{"chat_template.jinja": {Data: []byte(source)}})
		if err != nil {
			t.Errorf("%s: the base does not open: %v", source, err)
			continue
		}
		template, err := Named("", chat)
		if err != nil {
			t.Errorf("%s: %v", source, err)
		}
		if got, err := template.Prompt(Ask{Input: "x"}); !invalid.Is(err) {
			t.Errorf("%s gives %q, %v; want a fault", source, got.Text, err)
		}
	}
}
