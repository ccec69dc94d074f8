package main

import (
	"context"
	"encoding/json"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"lorikeet/inference/text"
)

// tokenizer is our side where text becomes tokens: all threads on one list of texts.
type tokenizer struct{ *text.Tokenizer }

func openTokenizer(s settings) (tokenizer, error) {
	t, err := text.Load(os.DirFS(s.Model))
	return tokenizer{t}, err
}

func (tokenizer) versions() string { return runtime.Version() }
func (tokenizer) close()           {}

func (t tokenizer) answer(_ context.Context, line []byte) (any, error) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, err
	}
	var r reply
	var err error
	r.Seconds, err = timed(o.Repeat, func() error {
		var next, tokens atomic.Int64
		var group sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for {
					i := int(next.Add(1)) - 1
					if i >= len(o.Texts) {
						return
					}
					tokens.Add(int64(len(t.Encode(o.Texts[i], nil, 0).IDs)))
				}
			})
		}
		group.Wait()
		r.Tokens = int(tokens.Load())
		return nil
	})
	return r, err
}
