package prompt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/prompt/jinja"
)

// Chat is the chat template that a model came with.
type Chat struct {
	source   string
	template *jinja.Template
	broken   error // why it cannot be used
	special  map[string]any
	now      func() time.Time
}

// specials are the tokens that a template may name, as in transformers.
var specials = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// ReadChat reads a model's chat template: chat_template.jinja, else chat_template in
// tokenizer_config.json, which is one template or a list of named ones, of which
// "default" counts. It gives nil where there is none.
//
// A template that cannot be parsed is no error here, because the model works without:
// Render reports it to whoever asks for it, and Broken to whoever opens the model.
func ReadChat(dir fs.FS) (*Chat, error) {
	var config map[string]json.RawMessage
	if err := readJSON(dir, "tokenizer_config.json", &config); err != nil {
		return nil, err
	}
	source, err := readSource(dir, config["chat_template"])
	if source == "" || err != nil {
		return nil, err
	}
	var more map[string]json.RawMessage
	if err := readJSON(dir, "special_tokens_map.json", &more); err != nil {
		return nil, err
	}
	special := map[string]any{}
	for _, name := range specials {
		for _, file := range []map[string]json.RawMessage{config, more} {
			if token := tokenText(file[name]); token != "" {
				special[name] = token
				break
			}
		}
	}
	return NewChat(source, special), nil
}

// NewChat makes a chat template of its source and the special tokens it may name.
func NewChat(source string, special map[string]any) *Chat {
	c := &Chat{source: source, special: special, now: time.Now}
	if c.template, c.broken = jinja.Parse(source); c.broken != nil {
		c.broken = invalid.Field("template", "the base's chat template cannot be used (choose one of plain, t5, alpaca): %v", c.broken)
	}
	return c
}

// Source is the template's text.
func (c *Chat) Source() string { return c.source }

// Broken tells why the template cannot be used, nil if it can.
func (c *Chat) Broken() error { return c.broken }

// Render writes a conversation; generate adds what opens the assistant's turn. The
// roles' order is the template's to judge here: CheckMessages is stricter.
func (c *Chat) Render(messages []Message, generate bool) (string, error) {
	if c.broken != nil {
		return "", c.broken
	}
	turns := make([]any, len(messages))
	for i, m := range messages {
		turns[i] = jinja.Pairs{{Key: "role", Value: m.Role}, {Key: "content", Value: m.Content}}
	}
	vars := map[string]any{"messages": turns, "add_generation_prompt": generate, "tools": nil, "documents": nil}
	for name, token := range c.special {
		vars[name] = token
	}
	text, err := c.template.Render(vars, c.now())
	var mistake *jinja.Error
	if errors.As(err, &mistake) {
		if mistake.Raised {
			return "", invalid.Field("messages", "the base's chat template refuses them: %s", mistake.Reason)
		}
		return "", invalid.Field("template", "the base's chat template cannot be used (choose one of plain, t5, alpaca): %v", err)
	}
	return text, err
}

// readSource finds the template's text, "" if there is none.
func readSource(dir fs.FS, configured json.RawMessage) (string, error) {
	file, err := fs.ReadFile(dir, "chat_template.jinja")
	if err == nil {
		return string(file), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("chat_template.jinja: %w", err)
	}
	var text string
	if configured == nil || json.Unmarshal(configured, &text) == nil {
		return text, nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(configured, &named); err != nil {
		return "", invalid.Field("tokenizer_config.json.chat_template", "is neither a text nor a list of named texts")
	}
	for _, n := range named {
		if n.Name == "default" {
			return n.Template, nil
		}
	}
	return "", nil
}

// tokenText reads a special token, which is a text or an object with its content.
func tokenText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var token struct{ Content string }
	if json.Unmarshal(raw, &token) != nil {
		return ""
	}
	return token.Content
}

// readJSON leaves to alone where there is no such file.
func readJSON(dir fs.FS, name string, to any) error {
	file, err := fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(file, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
