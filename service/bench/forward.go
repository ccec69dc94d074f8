package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"lorikeet/inference/text"
)

// size is a batch of texts of the same length.
type size struct{ batch, length int }

func (s size) String() string { return fmt.Sprintf("%dx%d", s.batch, s.length) }

// reader is a model that scores, and what reports call it.
type reader struct{ model, title string }

// sample makes texts of exactly so many tokens, and what every side's tokenizer makes
// of them.
func sample(t *text.Tokenizer, seed uint64, s size) (texts []string, ids [][]int32, err error) {
	words := lexicon(1000)
	r := randomOf(seed)
	for range s.batch {
		line := plainText(r, words, s.length-2) // [CLS] and [SEP]
		e := t.Encode(line, nil, 0)
		if len(e.IDs) != s.length {
			return nil, nil, fmt.Errorf("a text of %d words became %d tokens", s.length-2, len(e.IDs))
		}
		texts, ids = append(texts, line), append(ids, e.IDs)
	}
	return texts, ids, nil
}

// scorers are the sides that score with one model. close ends them.
type scorers struct {
	*bench
	ours, half, extra *process // float32, bfloat16, and another backend
	torch, onnx       *process
	first             [][]float32 // logits of ours, which the peers' have to equal
}

func (b *bench) scorers(ctx context.Context, model string, adapters int) (*scorers, *text.Tokenizer, error) {
	dir, t, err := b.tokenized(ctx, model)
	if err != nil {
		return nil, nil, err
	}
	folders, err := b.adapterFolders(dir, adapters, 8)
	if err != nil {
		return nil, nil, err
	}
	s := &scorers{bench: b}
	small := model != "bert-base"
	with := settings{Model: dir, Adapters: folders, Export: filepath.Join(b.cache, "exports", model)}
	if s.ours, err = b.ours("engine", with); err != nil {
		return nil, nil, err
	}
	if s.torch, err = b.peer("forward", with); err == nil {
		s.onnx, err = b.peer("forward", with)
	}
	if err == nil {
		as := with
		as.Adapters, as.BF16 = nil, true
		s.half, err = b.ours("engine", as)
	}
	if err == nil && b.extra != "" && small {
		with.Backend = b.extra
		s.extra, err = b.ours("engine", with)
	}
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s, t, nil
}

func (s *scorers) close() {
	s.ours.close()
	s.half.close()
	s.extra.close()
	s.torch.close()
	s.onnx.close()
}

// extraTokens bounds the batches of a second backend of ours, and only the smaller model
// is run on it: the Go backend would take longer than all the others together.
const extraTokens = 1024

// lorikeet is a player of ours.
func (s *scorers) lorikeet(name string, p *process, texts, adapters []string) player {
	w := timedBy(name, func(repeat int) (float64, error) {
		var r reply
		err := p.ask(order{Op: "predict", Texts: texts, Adapters: adapters, Repeat: repeat}, &r)
		if name == oursName {
			s.first = r.Logits
		}
		return r.Seconds, err
	})
	w.settle = func() error { return p.ask(order{Op: "settle"}, &reply{}) }
	return w
}

// scoring is what the Python side of forward is asked.
type scoring struct {
	Variant  string    `json:"variant"`
	IDs      [][]int32 `json:"ids"`
	Adapters []string  `json:"adapters,omitempty"`
	Repeat   int       `json:"repeat"`
}

// python is a player of the peers. Where it computes in float32 its logits have to be ours.
func (s *scorers) python(name, variant string, ids [][]int32, adapters []string) player {
	return timedBy(name, func(repeat int) (float64, error) {
		var r reply
		peer := s.torch
		if strings.HasPrefix(variant, "onnx") {
			peer = s.onnx
		}
		if err := peer.ask(scoring{variant, ids, adapters, repeat}, &r); err != nil {
			return 0, err
		}
		switch variant {
		case "float32", "peft", "onnx":
			if off := apart(s.first, r.Logits); off > 1e-3 {
				return 0, fmt.Errorf("its logits are %.2g off ours", off)
			}
		}
		return r.Seconds, nil
	})
}

// apart is the largest difference of two tables.
func apart(a, b [][]float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var most float64
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return math.Inf(1)
		}
		for j := range a[i] {
			most = max(most, math.Abs(float64(a[i][j]-b[i][j])))
		}
	}
	return most
}

// forward scores batches: a bare base, one adapter, and eight of them taking turns.
func forward(ctx context.Context, b *bench) error {
	models := pick(b.options, []reader{{"quick-bert", "BERT"}}, []reader{{"minilm", "MiniLM"}, {"bert-base", "BERT-base"}})
	sizes := pick(b.options, []size{{1, 16}, {8, 16}}, []size{{1, 16}, {1, 128}, {8, 128}, {32, 128}})
	for _, m := range models {
		if !b.wants("forward", forwardNames(m.title, sizes)...) { // it takes a while to open
			continue
		}
		if err := forwardOf(ctx, b, m, sizes); err != nil {
			return err
		}
	}
	return nil
}

func forwardOf(ctx context.Context, b *bench, m reader, sizes []size) error {
	s, t, err := b.scorers(ctx, m.model, 8)
	if err != nil {
		return err
	}
	defer s.close()
	for i, n := range sizes {
		texts, ids, err := sample(t, uint64(i), n)
		if err != nil {
			return err
		}
		bare := []player{s.lorikeet(oursName, s.ours, texts, nil), s.lorikeet(halfName, s.half, texts, nil)}
		if s.extra != nil && n.batch*n.length <= extraTokens {
			bare = append(bare, s.lorikeet(goName, s.extra, texts, nil))
		}
		if s.torch != nil {
			for _, v := range [][2]string{{torchF32, "float32"}, {torchBF16, "bfloat16"}, {compiled, "compile"}, {onnxF32, "onnx"}, {onnxInt8, "onnx int8"}} {
				bare = append(bare, s.python(v[0], v[1], ids, nil))
			}
		}
		if err := b.play(testCase{Group: "forward", Name: fmt.Sprintf("%s %s, bare base", m.title, n), Unit: "ms"}, bare); err != nil {
			return err
		}
		for _, kind := range []struct {
			name  string
			count int
		}{{"one adapter", 1}, {"eight adapters mixed", 8}} {
			if n.batch < kind.count {
				continue
			}
			names := make([]string, n.batch)
			for i := range names {
				names[i] = fmt.Sprintf("a%d", i%kind.count)
			}
			players := []player{s.lorikeet(oursName, s.ours, texts, names), s.lorikeet(baseName, s.ours, texts, nil)}
			if s.torch != nil {
				players = append(players, s.python(peftName, "peft", ids, names))
			}
			if err := b.play(testCase{Group: "forward", Name: fmt.Sprintf("%s %s, %s", m.title, n, kind.name), Unit: "ms"}, players); err != nil {
				return err
			}
		}
	}
	return nil
}

// forwardNames are the cases of a model.
func forwardNames(title string, sizes []size) (names []string) {
	for _, s := range sizes {
		for _, kind := range []string{"bare base", "one adapter", "eight adapters mixed"} {
			names = append(names, fmt.Sprintf("%s %s, %s", title, s, kind))
		}
	}
	return names
}
