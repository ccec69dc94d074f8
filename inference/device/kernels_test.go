//go:build cgo && unix

package device

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"lorikeet/inference/device/kernels"
	"lorikeet/inference/nn"
)

// form is a way in which factors come to a product: as what they are, from a [m, k] and b
// [k, n] of float32. Each gives the result in the order of a's rows and b's columns.
type form struct {
	name    string
	graph   func(a, b *graph.Node) *graph.Node
	rounded func(a, b float32) (float32, float32) // what the factors are then
}

var forms = []form{
	{"plain", func(a, b *graph.Node) *graph.Node { return graph.Einsum("mk,kn->mn", a, b) }, asTheyAre},
	{"b turned", func(a, b *graph.Node) *graph.Node { return graph.Einsum("mk,nk->mn", a, graph.Transpose(b, 0, 1)) }, asTheyAre},
	{"a turned", func(a, b *graph.Node) *graph.Node { return graph.Einsum("km,kn->mn", graph.Transpose(a, 0, 1), b) }, asTheyAre},
	{"bfloat16", func(a, b *graph.Node) *graph.Node { return graph.Einsum("mk,kn->mn", rounded(a), rounded(b)) }, func(a, b float32) (float32, float32) { return half(a), half(b) }},
	{"bfloat16 weights", func(a, b *graph.Node) *graph.Node { return graph.Einsum("mk,kn->mn", a, rounded(b)) }, func(a, b float32) (float32, float32) { return a, half(b) }},
	{"int8", func(a, b *graph.Node) *graph.Node {
		codes := graph.ConvertDType(graph.Round(graph.MulScalar(b, 20)), dtypes.Int8)
		return graph.Einsum("mk,kn->mn", a, graph.ConvertDType(codes, dtypes.Float32))
	}, func(a, b float32) (float32, float32) { return a, float32(math.RoundToEven(float64(b * 20))) }},
}

func rounded(x *graph.Node) *graph.Node {
	return graph.ConvertDType(graph.ConvertDType(x, dtypes.BFloat16), dtypes.Float32)
}

func asTheyAre(a, b float32) (float32, float32) { return a, b }

func half(x float32) float32 { return bfloat16.FromFloat32(x).Float32() }

// openKernels opens the plugin with a level of kernels; log hears what it does.
func openKernels(t *testing.T, level string) (d *Device, log *bytes.Buffer) {
	t.Helper()
	o := FromEnv(os.Getenv)
	o.Kernels = level
	log = &bytes.Buffer{}
	o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return openXLA(t, o), log
}

func levels(t *testing.T) []string {
	t.Helper()
	if kernels.Supported() == kernels.None {
		t.Skip("no kernels for this processor")
	}
	l := []string{"avx2", "avx512", "avx512bf16", "amx"}[:kernels.Supported()]
	if kernels.Supported() == kernels.AMX {
		l = append(l, "bf16x3")
	}
	return l
}

func numbers(random *rand.Rand, dims ...int) *tensors.Tensor {
	n := 1
	for _, x := range dims {
		n *= x
	}
	l := make([]float32, n)
	for i := range l {
		l[i] = float32(random.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(l, dims...)
}

// bound is how far a sum of products may be off, for the sum of their magnitudes.
func bound(level, form string) float64 {
	if level == "bf16x3" && form != "bfloat16" {
		return 0x1p-16
	}
	return 0x1p-21
}

// TestKernelsMultiply compares products of all types, orders and many sizes with float64, on
// each level that this machine has.
func TestKernelsMultiply(t *testing.T) {
	for _, level := range levels(t) {
		t.Run(level, func(t *testing.T) {
			d, log := openKernels(t, level)
			if d.Info().Kernels != level {
				t.Fatalf("kernels are %q", d.Info().Kernels)
			}
			random := rand.New(rand.NewPCG(1, 2))
			used := 0
			for _, f := range forms {
				exec, err := graph.NewExec(d.Backend, func(a, b *graph.Node) (c, norm *graph.Node) { return f.graph(a, b), inferring(a) })
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range [][3]int{{1, 700, 300}, {2, 300, 70}, {3, 517, 129}, {5, 400, 33}, {17, 385, 64}, {31, 96, 100}, {32, 32, 64}, {33, 1000, 48}, {100, 40, 300}, {200, 770, 260}, {700, 401, 50}} {
					m, k, n := s[0], s[1], s[2]
					a, b := numbers(random, m, k), numbers(random, k, n)
					log.Reset()
					out, err := exec.Call(a, b)
					if err != nil {
						t.Fatal(err)
					}
					c := out[0]
					used += strings.Count(log.String(), "products=1")
					if off := apart(tensors.MustCopyFlatData[float32](a), tensors.MustCopyFlatData[float32](b), tensors.MustCopyFlatData[float32](c), k, n, f.rounded); off > bound(level, f.name) {
						t.Errorf("%s, %d x %d x %d: off by %.2g of the magnitudes", f.name, m, k, n, off)
					}
				}
				exec.Finalize()
			}
			if used < 40 {
				t.Errorf("%d products were by our kernels", used)
			}
		})
	}
}

// inferring is a norm as nn writes it, by which a program is known to be none that learns.
func inferring(x *graph.Node) *graph.Node {
	mean := graph.ReduceAndKeep(graph.Square(x), graph.ReduceMean, -1)
	weight := graph.ExpandLeftToRank(graph.Ones(x.Graph(), shapes.Make(dtypes.Float32, x.Shape().Dim(-1))), x.Rank())
	return graph.Mul(graph.Div(x, graph.Sqrt(graph.AddScalar(mean, 1e-6))), weight)
}

// apart is the largest distance of c from a·b, for the sum of the products' magnitudes.
func apart(a, b, c []float32, k, n int, rounded func(a, b float32) (float32, float32)) float64 {
	worst := 0.0
	for i := range len(a) / k {
		for j := range n {
			sum, size := 0.0, 0.0
			for l := range k {
				x, y := rounded(a[i*k+l], b[l*n+j])
				sum += float64(x) * float64(y)
				size += math.Abs(float64(x) * float64(y))
			}
			worst = max(worst, math.Abs(sum-float64(c[i*n+j]))/size)
		}
	}
	return worst
}

// attention is the models' own, so that a change of how it is written that hides it from the kernel
// shows here. Keys are the values too.
func attention(q, k, bias *graph.Node) *graph.Node {
	flat := func(x *graph.Node) *graph.Node { return graph.Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1), -1) }
	return nn.Attend(nn.NewPass(q.Graph()), flat(q), flat(k), flat(k), bias, q.Shape().Dim(2), 0)
}

// keysSeen has each sequence see fewer keys than the one before.
func keysSeen(k *graph.Node) *graph.Node {
	shape := shapes.Make(dtypes.Float32, 3, 1, 1, 65)
	hidden := graph.GreaterThan(graph.Iota(k.Graph(), shape, 3), graph.AddScalar(graph.MulScalar(graph.Iota(k.Graph(), shape, 0), -20), 60))
	return graph.MulScalar(graph.ConvertDType(hidden, dtypes.Float32), -1e9)
}

// TestKernelsAttend compares the batched products of attention, whose axes lie apart in
// memory, with those of the plugin.
func TestKernelsAttend(t *testing.T) {
	graphs := map[string]func(q, k *graph.Node) *graph.Node{
		"scores":  func(q, k *graph.Node) *graph.Node { return graph.Einsum("bqhd,bkhd->bhqk", q, k) },
		"context": func(q, k *graph.Node) *graph.Node { return graph.Einsum("bqhd,bqhe->bhde", q, k) },
		"folded": func(q, k *graph.Node) *graph.Node {
			return graph.Einsum("bqhd,khd->bqk", q, graph.Squeeze(graph.Slice(k, graph.AxisElem(0)), 0))
		},
		"softmax": func(q, k *graph.Node) *graph.Node { return attention(q, k, keysSeen(k)) },
		"bias": func(q, k *graph.Node) *graph.Node {
			return attention(q, k, graph.MulScalar(graph.IotaFull(q.Graph(), shapes.Make(dtypes.Float32, 1, 4, 65, 65)), 1e-4))
		},
		"own": func(q, k *graph.Node) *graph.Node { return graph.Einsum("bqhd,bkhd->bqhk", q, k) },
	}
	results := map[string]map[string][]float32{}
	for _, level := range append([]string{"off"}, levels(t)...) {
		d, log := openKernels(t, level)
		results[level] = map[string][]float32{}
		for name, g := range graphs {
			exec, err := graph.NewExec(d.Backend, func(q, k *graph.Node) (y, norm *graph.Node) { return g(q, k), inferring(q) })
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(3, 4))
			q, k := numbers(random, 3, 65, 4, 40), numbers(random, 3, 65, 4, 40)
			results[level][name] = tensors.MustCopyFlatData[float32](exec.MustCall(q, k)[0])
			exec.Finalize()
			if fused := strings.Contains(log.String(), "attention=1"); fused != (level != "off" && (name == "softmax" || name == "bias")) {
				t.Errorf("%s by %s: fused: %t", name, level, fused)
			}
			log.Reset()
		}
	}
	for level, by := range results {
		for name, got := range by {
			for i, want := range results["off"][name] {
				if math.Abs(float64(got[i]-want)) > 2e-3 {
					t.Fatalf("%s by %s: element %d is %v, without kernels %v", name, level, i, got[i], want)
				}
			}
		}
	}
}

// layer is what models do around their products: the activation of one, the residual of
// another, and norms.
func layer(p *nn.Pass, activation string, matrices dtypes.DType) *graph.Node {
	p.Matrices = matrices
	b := p.Root()
	x := p.Input("x", dtypes.Float32, 2, 43, 96)
	y := nn.Activate(activation, b.At("up").Linear(x, 150, true))
	y = b.At("norm").Norm(graph.Add(x, b.At("down").Linear(y, 96, true)), 1e-12)
	return b.At("rms").RMSNorm(y, 1e-6)
}

// random gives a program's inputs and weights, the same ones each time.
func random(backend compute.Backend, seed uint64) func(p nn.Param) (compute.Buffer, bool, error) {
	random := rand.New(rand.NewPCG(seed, 8))
	return func(p nn.Param) (b compute.Buffer, given bool, err error) {
		values := make([]float32, p.Shape.Size())
		for i := range values {
			values[i] = float32(random.NormFloat64())
		}
		switch p.Shape.DType {
		case dtypes.BFloat16:
			halves := make([]bfloat16.BFloat16, len(values))
			for i, v := range values {
				halves[i] = bfloat16.FromFloat32(v)
			}
			b, err = nn.Upload(backend, halves, p.Shape.Dimensions...)
		case dtypes.Int8:
			codes := make([]int8, len(values))
			for i, v := range values {
				codes[i] = int8(v * 20)
			}
			b, err = nn.Upload(backend, codes, p.Shape.Dimensions...)
		default:
			b, err = nn.Upload(backend, values, p.Shape.Dimensions...)
		}
		return b, true, err
	}
}

// TestKernelsFollow compares what models do around their products, all of it by kernels, with
// the plugin.
func TestKernelsFollow(t *testing.T) {
	type kind struct {
		activation string
		matrices   dtypes.DType
	}
	kinds := []kind{{"gelu", dtypes.Float32}, {"relu", dtypes.Float32}, {"silu", dtypes.Float32}, {"tanh", dtypes.Float32}, {"gelu", dtypes.BFloat16}, {"gelu", dtypes.Int8}}
	results := map[string]map[kind][]float32{}
	for _, level := range append([]string{"off"}, levels(t)...) {
		d, log := openKernels(t, level)
		results[level] = map[kind][]float32{}
		for _, k := range kinds {
			program, err := nn.Compile(d.Backend, "layer", func(p *nn.Pass) []*graph.Node { return []*graph.Node{layer(p, k.activation, k.matrices)} })
			if err != nil {
				t.Fatal(err)
			}
			out, err := program.Run(random(d.Backend, 7))
			if err != nil {
				t.Fatal(err)
			}
			if results[level][k], err = nn.Download(out[0]); err != nil {
				t.Fatal(err)
			}
			program.Free()
			want := "products=2 followed=2 adapted=0 narrow=0 attention=0 norms=2"
			if level == "avx512bf16" && k.matrices == dtypes.BFloat16 {
				want = strings.Replace(want, "narrow=0", "narrow=1", 1)
			}
			if level != "off" && !strings.Contains(log.String(), want) {
				t.Errorf("%v by %s: %s, want %s", k, level, log, want)
			}
			log.Reset()
		}
	}
	for level, by := range results {
		for k, got := range by {
			bound := 2e-5
			if k.matrices == dtypes.BFloat16 || level == "bf16x3" {
				bound = 2e-2 // of a sum that is rounded to the other side
			}
			for i, want := range results["off"][k] {
				if !(math.Abs(float64(got[i]-want)) <= bound) {
					t.Fatalf("%v by %s: element %d is %v, without kernels %v", k, level, i, got[i], want)
				}
			}
		}
	}
}

// padded is a layer of a model that reads texts, each beside the factors of an adapter of its own.
func padded(p *nn.Pass, matrices dtypes.DType) *graph.Node {
	p.Matrices = matrices
	b := p.Root()
	mask := p.Input("mask", dtypes.Int32, batch, length)
	x := nn.Blank(b.At("embeddings").Norm(p.Input("x", dtypes.Float32, batch, length, 96), 1e-12), mask)
	y := nn.Attend(p, b.At("q").Linear(x, 96, true), b.At("k").Linear(x, 96, true), b.At("v").Linear(x, 96, true), nn.MaskBias(mask), 4, 0)
	x = b.At("norm").Norm(graph.Add(x, b.At("o").Linear(y, 96, true)), 1e-12)
	y = nn.Activate("gelu", b.At("up").Linear(x, 150, true))
	y = b.At("down").Linear(y, 96, true)
	h := graph.Einsum("bti,bri->btr", x, p.Input("lora_A", dtypes.Float32, batch, 16, 96))
	y = graph.Add(y, graph.Einsum("btr,bro->bto", h, p.Input("lora_B", dtypes.Float32, batch, 16, 96)))
	return b.At("rms").RMSNorm(graph.Add(x, y), 1e-6)
}

const batch, length = 5, 43

// TestKernelsLeavePaddingOut compares the rows that are read of a layer, for texts of several
// lengths, with the plugin's, and wants zeros for the others.
func TestKernelsLeavePaddingOut(t *testing.T) {
	masks := map[string]func(text, token int) bool{
		"of several lengths": func(text, token int) bool { return token < []int{43, 1, 0, 17, 30}[text] },
		"on the left":        func(text, token int) bool { return token >= []int{0, 42, 43, 7, 20}[text] },
		"all over":           func(text, token int) bool { return (text*length+token*token)%3 != 0 },
		"nothing":            func(int, int) bool { return false },
		"none":               func(int, int) bool { return true },
	}
	for _, matrices := range []dtypes.DType{dtypes.Float32, dtypes.BFloat16, dtypes.Int8} {
		results := map[string]map[string][]float32{}
		for _, level := range append([]string{"off"}, levels(t)...) {
			d, log := openKernels(t, level)
			results[level] = map[string][]float32{}
			program, err := nn.Compile(d.Backend, "padded", func(p *nn.Pass) []*graph.Node { return []*graph.Node{padded(p, matrices)} })
			if err != nil {
				t.Fatal(err)
			}
			// All but the first norm: seven products, one of them of the adapters, attention and two norms.
			if level != "off" && !strings.Contains(log.String(), "blank=10") {
				t.Errorf("%s, %v: %s", level, matrices, log)
			}
			for name, seen := range masks {
				others := random(d.Backend, 11)
				out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
					b, given, err := others(p)
					if p.Name != "mask" || err != nil {
						return b, given, err
					}
					mask := make([]int32, batch*length)
					for i := range mask {
						if seen(i/length, i%length) {
							mask[i] = 1
						}
					}
					b, err = nn.Upload(d.Backend, mask, batch, length)
					return b, true, err
				})
				if err != nil {
					t.Fatal(err)
				}
				if results[level][name], err = nn.Download(out[0]); err != nil {
					t.Fatal(err)
				}
			}
			program.Free()
		}
		for level, by := range results {
			bound := 1e-3 // weights of 1 make scores of hundreds, and rounding large; another row's results are 1 away
			if matrices == dtypes.BFloat16 || level == "bf16x3" {
				bound = 5e-2 // of a sum that is rounded to the other side
			} else if matrices == dtypes.Int8 {
				bound = 1e-2 // codes of 20 are larger weights
			}
			for name, got := range by {
				for i, want := range results["off"][name] {
					if seen := masks[name](i/96/length, i/96%length); !seen && level != "off" && got[i] != 0 && level != "amx" && level != "bf16x3" {
						t.Fatalf("%v by %s, padding %s: element %d of a row that nobody reads is %v", matrices, level, name, i, got[i])
					} else if seen && !(math.Abs(float64(got[i]-want)) <= bound) {
						t.Fatalf("%v by %s, padding %s: element %d is %v, without kernels %v", matrices, level, name, i, got[i], want)
					}
				}
			}
		}
	}
}

// TestKernelsAddWhatAdaptersDo compares a product with what each example's own adapter adds, for
// texts of several lengths and of one token, and for pooled vectors, with the plugin's.
func TestKernelsAddWhatAdaptersDo(t *testing.T) {
	for _, of := range [][]int{{5, 43, 96}, {5, 7, 96}, {5, 1, 96}, {1, 30, 96}, {5, 96}} {
		adapted := func(p *nn.Pass) []*graph.Node {
			p.Bank = &nn.Bank{Slots: p.Input("slots", dtypes.Int32, of[0], 2), Size: 4, Profile: nn.Profile{Pages: 2}}
			x := p.Root().At("norm").RMSNorm(p.Input("x", dtypes.Float32, of...), 1e-6)
			return []*graph.Node{graph.Add(nn.Activate("relu", p.Root().At("up").Linear(x, 150, true)), p.Root().At("straight").Linear(x, 150, false))}
		}
		results := map[string][]float32{}
		for _, level := range append([]string{"off"}, levels(t)...) {
			d, log := openKernels(t, level)
			program, err := nn.Compile(d.Backend, "adapted", adapted)
			if err != nil {
				t.Fatal(err)
			}
			if level != "off" && !strings.Contains(log.String(), "adapted=2") {
				t.Errorf("%v by %s: %s", of, level, log)
			}
			others := random(d.Backend, 13)
			out, err := program.Run(func(p nn.Param) (compute.Buffer, bool, error) {
				b, given, err := others(p)
				if p.Name != "slots" || err != nil {
					return b, given, err
				}
				b, err = nn.Upload(d.Backend, []int32{1, 0, 2, 3, 0, 0, 3, 0, 1, 2}[:2*of[0]], of[0], 2)
				return b, true, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if results[level], err = nn.Download(out[0]); err != nil {
				t.Fatal(err)
			}
			program.Free()
		}
		for level, got := range results {
			bound := 1e-3 // results are of hundreds
			if level == "bf16x3" {
				bound = 5e-2
			}
			for i, want := range results["off"] {
				if !(math.Abs(float64(got[i]-want)) <= bound) {
					t.Fatalf("%v by %s: element %d is %v, without kernels %v", of, level, i, got[i], want)
				}
			}
		}
	}
}

// TestKernelsGather compares rows of tables, some of them numbered beyond their ends, with
// the plugin's.
func TestKernelsGather(t *testing.T) {
	rows := func(table, index *graph.Node) (a, b, product *graph.Node) {
		flat := graph.Reshape(table, 50, -1)
		return graph.Gather(table, index), graph.Gather(flat, graph.Reshape(index, -1, 1)), graph.Einsum("mk,nk->mn", flat, flat)
	}
	results := map[string][][]float32{}
	for _, level := range append([]string{"off"}, levels(t)...) {
		d, log := openKernels(t, level)
		table := numbers(rand.New(rand.NewPCG(9, 10)), 50, 3, 70)
		index := tensors.FromFlatDataAndDimensions([]int32{0, 49, 7, 50, -1, -1 << 31, 1<<31 - 1, 7}, 4, 2, 1)
		exec, err := graph.NewExec(d.Backend, rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, out := range exec.MustCall(table, index)[:2] {
			results[level] = append(results[level], tensors.MustCopyFlatData[float32](out))
		}
		exec.Finalize()
		if level != "off" && !strings.Contains(log.String(), "gathers=2") {
			t.Errorf("by %s: %s", level, log)
		}
		if !slices.EqualFunc(results[level], results["off"], slices.Equal) {
			t.Errorf("by %s: %v, without kernels %v", level, results[level], results["off"])
		}
	}
}

func TestUnknownKernelsAreRefused(t *testing.T) {
	_, err := Open(context.Background(), "go", Options{Kernels: "sse"})
	if err == nil || !strings.Contains(fmt.Sprint(err), "avx512") {
		t.Errorf("kernels sse: %v", err)
	}
}

// TestKernelsAreInKeptPrograms runs a program with kernels that another device compiled.
func TestKernelsAreInKeptPrograms(t *testing.T) {
	level := levels(t)[0]
	o := FromEnv(os.Getenv)
	o.CompileCache, o.Kernels = t.TempDir(), level
	for round := range 2 {
		d := openXLA(t, o)
		exec, err := graph.NewExec(d.Backend, forms[0].graph)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(5, 6))
		a, b := numbers(random, 64, 96), numbers(random, 96, 48)
		c := tensors.MustCopyFlatData[float32](exec.MustCall1(a, b))
		if off := apart(tensors.MustCopyFlatData[float32](a), tensors.MustCopyFlatData[float32](b), c, 96, 48, asTheyAre); off > bound(level, "plain") {
			t.Errorf("round %d: off by %.2g", round, off)
		}
		exec.Finalize()
		if hits, misses := interposed.cache.Stats(); hits != round || misses != 1-round {
			t.Errorf("round %d: %d hits and %d misses", round, hits, misses)
		}
	}
}
