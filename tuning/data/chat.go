package data

import (
	"encoding/json"
	"fmt"
	"strings"
)

// roles are the names that turns go by in OpenAI's messages and in ShareGPT's
// conversations.
var roles = map[string]string{
	"system": "system", "developer": "system",
	"user": "user", "human": "user",
	"assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant", "bot": "assistant",
	"tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}

// messages reads a conversation: OpenAI's {"role", "content"} or ShareGPT's {"from",
// "value"}.
func (r *reading) messages() []Message {
	var all []Message
	for _, field := range []string{"messages", "completion"} {
		column := r.plan.columns[field]
		if column == "" {
			continue
		}
		v, ok := r.rec.fields.get(column)
		list, isList := v.([]any)
		switch {
		case !ok:
			r.fault(column, "missing")
		case !isList:
			r.fault(column, "want a list of messages, got %s", typeName(v))
		case len(list) == 0:
			r.fault(column, "the list is empty")
		}
		for i, m := range list {
			if m, ok := r.message(fmt.Sprintf("%s[%d]", column, i), m); ok {
				all = append(all, m)
			}
		}
	}
	if len(r.faults) > 0 {
		return nil
	}
	for _, m := range all {
		if m.Role == "assistant" && (m.Weight == nil || *m.Weight > 0) {
			return all
		}
	}
	r.fault(r.plan.columns["messages"], "no message of the assistant to learn from")
	return nil
}

func (r *reading) message(at string, v any) (Message, bool) {
	o, ok := v.(object)
	if !ok {
		r.fault(at, "want an object with role and content, got %s", typeName(v))
		return Message{}, false
	}
	before := len(r.faults)
	var m Message
	name, v, ok := either(o, "role", "from")
	word, isText := v.(string)
	switch {
	case !ok:
		r.fault(at+".role", "missing")
	case !isText:
		r.fault(at+"."+name, "want a text, got %s", typeName(v))
	default:
		if m.Role, ok = roles[strings.ToLower(strings.TrimSpace(word))]; !ok {
			r.fault(at+"."+name, "unknown role %q; there are system, user, assistant and tool", clip(word, 40))
		}
	}
	name, v, ok = either(o, "content", "value")
	if calls, has := o.get("tool_calls"); has && calls != nil && v == nil {
		r.fault(at+".tool_calls", "calls of tools cannot be learned: give the turn a text")
	} else {
		m.Content = r.content(at+"."+name, v, ok)
	}
	if m.Role == "assistant" {
		m.Weight = r.weight(at, o)
	}
	return m, len(r.faults) == before
}

// either returns the member that goes by one of two names.
func either(o object, a, b string) (name string, v any, ok bool) {
	if v, ok = o.get(a); ok {
		return a, v, true
	}
	if v, ok = o.get(b); ok {
		return b, v, true
	}
	return a, nil, false
}

// content reads a text, or OpenAI's list of typed parts, all of which must be texts.
func (r *reading) content(at string, v any, ok bool) string {
	parts, isList := v.([]any)
	if !isList {
		return r.textValue(at, v, ok, false)
	}
	var b strings.Builder
	for i, part := range parts {
		at := fmt.Sprintf("%s[%d]", at, i)
		o, ok := part.(object)
		if !ok {
			r.fault(at, "want a part with type and text, got %s", typeName(part))
			continue
		}
		if kind, _ := o.get("type"); kind != "text" && kind != "input_text" && kind != "output_text" {
			r.fault(at+".type", "only parts of type text can be learned")
			continue
		}
		name, v, ok := either(o, "text", "value")
		b.WriteString(r.textValue(at+"."+name, v, ok, true))
	}
	if strings.TrimSpace(b.String()) == "" && len(r.faults) == 0 {
		r.fault(at, "the text is empty")
	}
	return b.String()
}

// weight reads how much an assistant's turn counts in the loss; nil for 1.
func (r *reading) weight(at string, o object) *float64 {
	name, v, ok := either(o, "weight", "loss_weight")
	if !ok || v == nil {
		return nil
	}
	n, isNumber := v.(json.Number)
	x, err := n.Float64()
	if !isNumber || err != nil || !(x >= 0 && x <= 1) {
		r.fault(at+"."+name, "want a number from 0 to 1")
		return nil
	}
	if x == 1 {
		return nil
	}
	return &x
}
