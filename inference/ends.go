package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// readEnds finds the tokens that end what the base writes: those of generation_config.json
// and config.json (eos_token_id, a number or a list), then the tokenizer's. A chat model
// ends its turn with one and a text with another: each of them ends an answer.
func (b *Base) readEnds() error {
	b.ends = nil
	if !b.Generates() {
		return nil
	}
	generation, err := fs.ReadFile(b.dir, "generation_config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	add := func(id int32) {
		if id >= 0 && int(id) < b.Facts().Vocab && !slices.Contains(b.ends, id) {
			b.ends = append(b.ends, id)
		}
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{"generation_config.json", generation}, {"config.json", b.Config()}} {
		var c struct {
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if len(f.content) == 0 {
			continue
		}
		if err := json.Unmarshal(f.content, &c); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		var one *int32
		var list []int32
		if json.Unmarshal(c.EOS, &one) == nil && one != nil {
			list = []int32{*one}
		} else if len(c.EOS) > 0 && one == nil && json.Unmarshal(c.EOS, &list) != nil {
			return fmt.Errorf("%s: eos_token_id: want a token or a list of tokens", f.name)
		}
		for _, id := range list {
			add(id)
		}
	}
	if b.Seq2Seq != nil {
		for _, id := range b.Seq2Seq.Facts().EOS { // with the family's own where config.json has none
			add(id)
		}
	}
	if id, ok := b.Text.EOS(); ok {
		add(id)
	}
	return nil
}

// Ends are the tokens each of which ends what the base writes.
func (b *Base) Ends() []int32 { return b.ends }
