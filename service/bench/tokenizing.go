package main

import (
	"context"
	"fmt"
)

// tokenizing turns texts of a made-up language, as long as reviews are, into tokens.
func tokenizing(ctx context.Context, b *bench) error {
	texts := prose(3, lexicon(pick(b.options, 6000, 60000)), pick(b.options, 50, 2000), 800)
	bytes := 0
	for _, t := range texts {
		bytes += len(t)
	}
	for _, m := range []struct{ name, model string }{
		{"WordPiece", pick(b.options, "quick-bert", "minilm")}, {"BPE", pick(b.options, "quick-llama", "llama-124m")}, {"Unigram", pick(b.options, "quick-t5", "t5-small")}} {
		if !b.wants("tokenizers", m.name) {
			continue
		}
		if err := tokenizingOf(ctx, b, m.name, m.model, texts, bytes); err != nil {
			return err
		}
	}
	return nil
}

func tokenizingOf(ctx context.Context, b *bench, name, model string, texts []string, bytes int) error {
	dir, err := b.model(ctx, model)
	if err != nil {
		return err
	}
	ours, err := b.ours("tokenize", settings{Model: dir})
	if err != nil {
		return err
	}
	defer ours.close()
	peer, err := b.peer("tokenize", settings{Model: dir})
	if err != nil {
		return err
	}
	defer peer.close()
	tokens := 0
	run := func(title string, p *process) player {
		return player{name: title, round: func() (float64, error) {
			var r reply
			err := p.ask(order{Op: "tokenize", Texts: texts, Repeat: 3}, &r)
			if tokens == 0 {
				tokens = r.Tokens
			}
			if err == nil && r.Tokens != tokens {
				err = fmt.Errorf("%d tokens, ours are %d", r.Tokens, tokens)
			}
			return float64(bytes) / 1e6 / r.Seconds, err
		}}
	}
	players := []player{run(oursName, ours)}
	if peer != nil {
		players = append(players, run(tokenizers, peer))
	}
	return b.play(testCase{Group: "tokenizers", Name: name, Unit: "MB/s", More: true}, players)
}
