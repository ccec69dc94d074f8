package main

import (
	"math"
	"strings"
)

// The names of the sides, as reports show them.
const (
	oursName   = "lorikeet"
	baseName   = "lorikeet, bare base"
	halfName   = "lorikeet, --bf16"
	goName     = "lorikeet, Go backend"
	torchF32   = "PyTorch f32"
	torchBF16  = "PyTorch bf16"
	compiled   = "torch.compile f32"
	peftName   = "PEFT f32"
	onnxF32    = "ONNX Runtime f32"
	onnxInt8   = "ONNX Runtime int8"
	ct2F32     = "CTranslate2 f32"
	ct2Int8    = "CTranslate2 int8"
	fastAPI    = "FastAPI + transformers"
	tokenizers = "Hugging Face tokenizers"
)

// targets are what the project wants to reach: at least so many times as fast as a peer,
// in the same run. A peer that did not run leaves its target out.
func targets(c testCase) []check {
	var out []check
	times := func(side string, want float64) {
		if s := c.side(side); s != nil && s.Times != nil {
			out = append(out, check{What: "times " + side, Want: want, Got: s.Times.Median})
		}
	}
	is := func(group, part string) bool { return c.Group == group && strings.Contains(c.Name, part) }
	switch {
	case is("forward", "bare base"):
		times(torchF32, 2)
		if strings.Contains(c.Name, "8x128") || strings.Contains(c.Name, "32x128") {
			times(onnxF32, 1)
			if got := least(c, halfName, torchBF16, onnxF32); !math.IsInf(got, 1) {
				out = append(out, check{What: "--bf16: times the better of PyTorch bf16 and ONNX Runtime f32", Want: 1, Got: got})
			}
		}
		if g, f := c.side(goName), c.side(torchF32); strings.Contains(c.Name, "MiniLM 8x128") && g != nil && f != nil {
			out = append(out, check{What: "time of the Go backend over PyTorch f32", Want: 2, Most: true, Got: spreadOf(ratios(g.Values, f.Values)).Median})
		}
	case is("forward", "eight adapters"):
		if s := c.side(baseName); s != nil { // times the base is faster: below one
			out = append(out, check{What: "time over the bare base", Want: 1.05, Most: true, Got: 1 / s.Times.Median})
		}
	case is("train", "memory"):
		times(torchF32, 1)
	case c.Group == "train":
		times(torchF32, 1.5)
	case is("generate", "T5-small"):
		times(torchF32, 2)
	case is("generate", "LLaMA"):
		times(torchF32, 1.5)
	case is("http", "16 clients, requests"):
		times(fastAPI, 5)
		if got := least(c, halfName, fastAPI); !math.IsInf(got, 1) && !math.IsNaN(got) {
			out = append(out, check{What: "--bf16: times " + fastAPI, Want: 5, Got: 1 / got})
		}
	case is("http", "ready, warm"):
		if len(c.Sides[0].Values) > 0 {
			out = append(out, check{What: "seconds to ready", Want: 3, Most: true, Got: c.Sides[0].Spread.Median})
		}
	case is("adapters", "1000 registered, Zipf"):
		if s := c.side("one adapter"); s != nil && s.Times != nil {
			out = append(out, check{What: "of the throughput of one", Want: 0.9, Got: s.Times.Median})
		}
	}
	return out
}

// least is the advantage of a side over the best of some others.
func least(c testCase, name string, others ...string) float64 {
	got := math.Inf(1)
	ours := c.side(name)
	for _, n := range others {
		if s := c.side(n); s != nil && ours != nil {
			got = min(got, spreadOf(ratios(s.Values, ours.Values)).Median)
		}
	}
	return got
}
