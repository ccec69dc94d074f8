package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"lorikeet/adapters/invalid"
	"lorikeet/inference/arch"
)

// rules are what a base says of the texts it writes, in generation_config.json, and
// where that is silent in config.json.
type rules struct {
	ends   []int32   // each of them ends a text
	forced []int32   // a text that reaches its limit ends with the first; empty: with anything
	banned [][]int32 // a sequence that must not be written: most are of one token, a Marian's padding
}

// GenerationFile holds what a base says of the texts it writes.
const GenerationFile = "generation_config.json"

// readRules reads them. The tokenizer's end of text always ends one.
func (b *Base) readRules(dir fs.FS) error {
	var c struct {
		Ends     arch.TokenIDs `json:"eos_token_id"`
		Forced   arch.TokenIDs `json:"forced_eos_token_id"`
		Bad      [][]int32     `json:"bad_words_ids"`
		Suppress arch.TokenIDs `json:"suppress_tokens"`
	}
	if err := json.Unmarshal(b.model.Config(), &c); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	raw, err := fs.ReadFile(dir, GenerationFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(raw, &c); err != nil {
			return invalid.Field(GenerationFile, "%v", err)
		}
	}
	b.rules = rules{ends: c.Ends, forced: c.Forced}
	if end, ok := b.Text.EOS(); ok && !slices.Contains(b.rules.ends, end) {
		b.rules.ends = append(b.rules.ends, end)
	}
	for _, id := range c.Suppress {
		c.Bad = append(c.Bad, []int32{id})
	}
	vocab := b.outputs()
	known := func(id int32) bool { return id >= 0 && int(id) < vocab }
	for _, bad := range c.Bad {
		// Sequences that nothing can come of are left out, as is a ban on the end.
		if len(bad) > 0 && !slices.ContainsFunc(bad, func(id int32) bool { return !known(id) }) && (len(bad) > 1 || !slices.Contains(b.rules.ends, bad[0])) {
			b.rules.banned = append(b.rules.banned, bad)
		}
	}
	for _, id := range append(slices.Clone(b.rules.ends), b.rules.forced...) {
		if !known(id) {
			return invalid.Field("eos_token_id", "%d is not below the %d tokens the model writes", id, vocab)
		}
	}
	return nil
}

// outputs is the width of the scores.
func (b *Base) outputs() int {
	if b.Seq2Seq != nil {
		return b.Seq2Seq.Facts().Outputs
	}
	return b.Facts().Vocab
}

// Banned are the tokens that a text of the base must not hold.
func (b *Base) Banned() []int32 {
	var ids []int32
	for _, bad := range b.rules.banned {
		if len(bad) == 1 {
			ids = append(ids, bad[0])
		}
	}
	return ids
}

// ForcesEnd reports whether a text that reaches its limit ends there with an end token,
// which takes the place of its last.
func (b *Base) ForcesEnd() bool { return len(b.rules.forced) > 0 }

// Ends are the tokens that end a text of the base.
func (b *Base) Ends() []int32 { return b.rules.ends }
