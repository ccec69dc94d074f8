package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lorikeet/inference/text"
)

// writing is what the Python sides that write are asked.
type writing struct {
	Variant string   `json:"variant"`
	IDs     []int32  `json:"ids"`
	Pieces  []string `json:"pieces"`
	Batch   int      `json:"batch"`
	New     int      `json:"new"`
	Repeat  int      `json:"repeat"`
}

// generation writes texts greedily, several of them at once as requests of their own.
func generation(ctx context.Context, b *bench) error {
	type model struct {
		name, title string
		ct2         bool
	}
	models := pick(b.options, []model{{"quick-t5", "T5", true}, {"quick-llama", "LLaMA", false}},
		[]model{{"t5-small", "T5-small", true}, {"llama-124m", "LLaMA 124M", false}, {"marian", "Marian", true}})
	batches, source, length := []int{1, 8}, 32, pick(b.options, 8, 64)
	if len(b.batches) > 0 { // the command "generate"
		batches, source, length = b.batches, b.source, b.length
	}
	if b.base != "" {
		models = []model{{b.base, filepath.Base(b.base), false}}
	}
	for _, m := range models {
		if !slices.ContainsFunc(batches, func(batch int) bool { return b.wants("generate", writes(m.title, batch)) }) {
			continue
		}
		dir := b.base
		if dir == "" {
			var err error
			if dir, err = b.model(ctx, m.name); err != nil {
				return err
			}
		}
		if err := generationOf(b, dir, m.title, m.ct2, batches, source, length); err != nil {
			return err
		}
	}
	return nil
}

func writes(title string, batch int) string {
	return fmt.Sprintf("%s, %s", title, map[bool]string{true: "1 text", false: fmt.Sprintf("%d texts", batch)}[batch == 1])
}

func generationOf(b *bench, dir, title string, ct2 bool, batches []int, source, length int) error {
	t, err := text.Load(os.DirFS(dir))
	if err != nil {
		return err
	}
	prompt, ids := promptOf(t, source)
	var pieces []string
	for _, id := range ids {
		piece, _ := t.Token(id)
		pieces = append(pieces, piece)
	}
	ours, err := b.ours("engine", settings{Model: dir, Slots: 16})
	if err != nil {
		return err
	}
	defer ours.close()
	halves, err := b.ours("engine", settings{Model: dir, Slots: 16, BF16: true})
	if err != nil {
		return err
	}
	defer halves.close()
	with := settings{Model: dir, Export: filepath.Join(b.cache, "exports", filepath.Base(dir)+"-ct2")}
	torch, err := b.peer("generate", with)
	if err != nil {
		return err
	}
	defer torch.close()
	var other *process
	if ct2 {
		if other, err = b.peer("ctranslate2", with); err != nil {
			return err
		}
		defer other.close()
	}
	for _, batch := range batches {
		mine := func(name string, p *process) player {
			write := func() (float64, error) {
				var r reply
				err := p.ask(order{Op: "generate", Prompt: prompt, Batch: batch, New: length, Repeat: 1}, &r)
				return float64(r.Tokens) / r.Seconds, err
			}
			return player{name: name, round: write,
				settle: func() error { // several rounds: what is compiled in the background follows from how texts meet
					for range 3 {
						if err := p.ask(order{Op: "settle"}, &reply{}); err != nil {
							return err
						}
						if _, err := write(); err != nil {
							return err
						}
					}
					return nil
				}}
		}
		players := []player{mine(oursName, ours), mine(halfName, halves)}
		peer := func(name string, p *process, variant string) {
			players = append(players, player{name: name, round: func() (float64, error) {
				var r reply
				err := p.ask(writing{variant, ids, pieces, batch, length, 1}, &r)
				return float64(r.Tokens) / r.Seconds, err
			}})
		}
		if torch != nil {
			peer(torchF32, torch, "float32")
			peer(torchBF16, torch, "bfloat16")
		}
		if other != nil {
			peer(ct2F32, other, "float32")
			peer(ct2Int8, other, "int8")
		}
		if err := b.play(testCase{Group: "generate", Name: writes(title, batch), Unit: "tokens/s", More: true}, players); err != nil {
			return err
		}
	}
	return nil
}

// promptOf is a text of about n tokens, and the tokens.
func promptOf(t *text.Tokenizer, n int) (string, []int32) {
	words := lexicon(200)
	for i := 1; ; i++ {
		s := strings.Join(words[:i], " ")
		if ids := t.Encode(s, nil, 0).IDs; len(ids) >= n || i == len(words) {
			return s, ids
		}
	}
}
