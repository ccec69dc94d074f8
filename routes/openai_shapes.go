package routes

import (
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"

	"lorikeet/inference"
)

// leastLogprob stands for what JSON cannot hold, the logarithm of 0, as in OpenAI's API.
const leastLogprob = -9999

func finite(logprob float64) float64 {
	if !(logprob > leastLogprob) || math.IsInf(logprob, 1) { // also what is no number
		return leastLogprob
	}
	return min(logprob, 0) // above is rounding
}

// chatWhole is the whole answer to a conversation.
func chatWhole(h completionHead, choices []writtenText, used openaiUsage) chatCompletion {
	out := chatCompletion{ID: h.id, Object: "chat.completion", Created: h.created, Model: h.model, Fingerprint: h.fingerprint, Usage: used}
	for i, c := range choices {
		out.Choices = append(out.Choices, chatChoice{Index: i, Message: chatAnswer{Role: "assistant", Content: c.text},
			Logprobs: chatScores(c.tokens, c.tokens != nil), FinishReason: c.finish})
	}
	return out
}

// chatScores are nil where they were not asked for.
func chatScores(tokens []inference.TokenLogprob, asked bool) *chatLogprobs {
	if !asked {
		return nil
	}
	out := &chatLogprobs{Content: []tokenLogprob{}}
	for _, t := range tokens {
		token := tokenLogprob{topLogprob: chatToken(t), Top: []topLogprob{}}
		for _, top := range t.Top {
			token.Top = append(token.Top, chatToken(top))
		}
		out.Content = append(out.Content, token)
	}
	return out
}

func chatToken(t inference.TokenLogprob) topLogprob {
	out := topLogprob{Token: strings.ToValidUTF8(string(t.Bytes), "\ufffd"), Logprob: finite(t.Logprob), Bytes: make([]int, len(t.Bytes))}
	for i, b := range t.Bytes {
		out.Bytes[i] = int(b)
	}
	return out
}

// chatChunk is one event of a streamed conversation.
type chatChunk struct {
	ID          string          `json:"id"`
	Object      string          `json:"object"`
	Created     int64           `json:"created"`
	Model       string          `json:"model"`
	Fingerprint string          `json:"system_fingerprint"`
	Choices     []chatDelta     `json:"choices"`
	Usage       json.RawMessage `json:"usage,omitempty"`
}

type chatDelta struct {
	Index int `json:"index"`
	Delta struct {
		Role    string  `json:"role,omitempty"` // with the first
		Content *string `json:"content,omitempty"`
	} `json:"delta"`
	Logprobs     *chatLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

func chatPiece(h completionHead, d *delta, usage json.RawMessage) any {
	out := chatChunk{ID: h.id, Object: "chat.completion.chunk", Created: h.created, Model: h.model, Fingerprint: h.fingerprint, Choices: []chatDelta{}, Usage: usage}
	if d == nil {
		return out
	}
	c := chatDelta{Index: d.index}
	if d.first {
		c.Delta.Role = "assistant"
	}
	if d.text != "" || d.first {
		c.Delta.Content = &d.text
		c.Logprobs = chatScores(d.tokens, d.scored)
	}
	if d.finish != "" {
		c.FinishReason = &d.finish
	}
	out.Choices = append(out.Choices, c)
	return out
}

// textWhole is the whole answer to prompts.
func textWhole(h completionHead, choices []writtenText, used openaiUsage) completion {
	out := completion{ID: h.id, Object: "text_completion", Created: h.created, Model: h.model, Fingerprint: h.fingerprint, Usage: used}
	for i, c := range choices {
		out.Choices = append(out.Choices, completionChoice{Index: i, Text: c.text, Logprobs: textTokens(c.tokens, c.tokens != nil, 0), FinishReason: new(c.finish)})
	}
	return out
}

func textTokens(tokens []inference.TokenLogprob, asked bool, offset int) *completionLogprobs {
	if !asked {
		return nil
	}
	out := &completionLogprobs{Tokens: []string{}, Logprobs: []float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for _, t := range tokens {
		top := map[string]float64{}
		for _, p := range t.Top {
			if name := textToken(p); !has(top, name) { // the likeliest of those that look alike
				top[name] = finite(p.Logprob)
			}
		}
		out.Tokens = append(out.Tokens, textToken(t))
		out.Logprobs = append(out.Logprobs, finite(t.Logprob))
		out.Top = append(out.Top, top)
		out.Offsets = append(out.Offsets, offset)
		offset += utf8.RuneCount(t.Bytes)
	}
	return out
}

func has[V any](m map[string]V, name string) bool { _, ok := m[name]; return ok }

// textToken is a token as a text; one that is no whole characters as "bytes:\xe2\x82",
// as OpenAI's older API has it.
func textToken(t inference.TokenLogprob) string {
	if utf8.Valid(t.Bytes) {
		return string(t.Bytes)
	}
	const hex = "0123456789abcdef"
	var s strings.Builder
	s.WriteString("bytes:")
	for _, b := range t.Bytes {
		s.WriteString(`\x`)
		s.WriteByte(hex[b>>4])
		s.WriteByte(hex[b&15])
	}
	return s.String()
}

// textChunk is one event of a streamed text.
type textChunk struct {
	completion
	Usage json.RawMessage `json:"usage,omitempty"` // in place of completion's
}

func textDelta(h completionHead, d *delta, usage json.RawMessage) any {
	out := textChunk{completion: completion{ID: h.id, Object: "text_completion", Created: h.created, Model: h.model, Fingerprint: h.fingerprint,
		Choices: []completionChoice{}}, Usage: usage}
	if d == nil {
		return out
	}
	c := completionChoice{Index: d.index, Text: d.text, Logprobs: textTokens(d.tokens, d.scored && d.text != "", d.offset)}
	if d.finish != "" {
		c.FinishReason = &d.finish
	}
	out.Choices = append(out.Choices, c)
	return out
}
