package kernels

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	unary  = regexp.MustCompile(`^(%[\w.#]+)\)(?: \{ permutation = array<i64: ([\d, ]+)> \})? : \(tensor<([^<>]*)>\) -> tensor<([^<>]*)>`)
	binary = regexp.MustCompile(`(?s)^(%[\w.#]+), (%[\w.#]+)\) \{(.*?)\} : \(tensor<([^<>]*)>, tensor<([^<>]*)>\) -> tensor<([^<>]*)>`)
	axes   = regexp.MustCompile(`(lhs|rhs)_(batching|contracting)_dimensions = \[([\d, ]*)\]`)
)

// taken are the types of factors that kernels multiply, when the result is float32.
var taken = map[string]bool{"f32 f32": true, "f32 i8": true, "f32 bf16": true, "bf16 bf16": true}

// tensor is what a value of the program is made of: a tensor in memory, seen with other
// strides, or its values in another type.
type tensor struct {
	name    string // of the tensor in memory
	typ     string // of the tensor in memory, as in "2x3xf32"
	element string
	dims    []int
	strides []int // in elements
	rounded bool  // float32 in memory, taken as bfloat16
}

// size is how many elements it has.
func (t tensor) size() int {
	n := 1
	for _, d := range t.dims {
		n *= d
	}
	return n
}

// Calls counts what was replaced.
type Calls struct {
	Products  int // calls for them
	Followed  int // of these, with what follows the product
	Adapted   int // and with what adapters add
	Narrow    int // and with results in bfloat16
	Attention int
	Norms     int
	Gathers   int
	Blank     int // calls of all of these that leave out rows that nobody reads
}

// Rewrite replaces what a StableHLO program, in the text that go-xla writes, computes by
// products, attention and norms for which a kernel of the level is faster. A program
// without is given back as it is.
func Rewrite(program string, level Level) (string, Calls) {
	var calls Calls
	if level == None || !strings.Contains(program, "stablehlo.dot_general") {
		return program, calls
	}
	var out strings.Builder
	done := 0
	for _, f := range functions(program) {
		for i, text := range f.replaced(level, &calls) {
			if text == "" {
				continue
			}
			s := f.list[i]
			out.WriteString(program[done:s.at])
			out.WriteString(text)
			done = s.body + s.length()
		}
	}
	out.WriteString(program[done:])
	return out.String(), calls
}

// replaced gives for each statement what takes its place; nothing where it stays.
func (f *function) replaced(level Level, calls *Calls) []string {
	texts := make([]string, len(f.list))
	seen := map[string]tensor{} // what was transposed or converted
	narrow := map[int]tensor{}  // results of calls that are bfloat16
	norms := map[int]norm{}
	for i := range f.list {
		if n, ok := f.findNorm(i); ok {
			norms[n.last] = n
			calls.Norms++
			f.infers = true
		}
	}
	for i, s := range f.list {
		delete(seen, s.result)
		if texts[i] == "" {
			f.setLive(s)
		}
		switch {
		case norms[i].typ != "":
			r := rows{mask: f.mask(norms[i].x)}
			texts[i] = s.result + " = " + norms[i].call(level, r.mask)
			f.leaves(s.result, r, calls)
		case narrow[i].name != "":
			seen[s.result] = narrow[i]
		case s.op == "stablehlo.transpose", s.op == "stablehlo.convert", s.op == "stablehlo.reshape":
			if v, ok := view(s.op, s.rest, seen); ok {
				seen[s.result] = v
			}
		case s.op == "stablehlo.gather":
			if text, ok := s.gather(); ok {
				texts[i] = text
				calls.Gathers++
			}
		case s.op == "stablehlo.dot_general" && !f.taken[i]:
			m := binary.FindStringSubmatch(s.rest)
			if m == nil {
				continue
			}
			if a, ok := f.findAttention(m, seen); ok {
				texts[i] = a.call(s.result, m[6], level)
				calls.Attention++
				f.leaves(s.result, rows{a.live, true}, calls)
			} else if d, ok := f.dot(i, m, seen, level); ok {
				texts[d.last], narrow[d.last] = d.call(f.list[d.last].result)
				calls.Products++
				r := rows{mask: d.live}
				f.leaves(f.list[d.last].result, r, calls)
				if d.narrow && d.live.name != "" {
					f.live[narrow[d.last].name] = r
				}
				if d.last != i {
					calls.Followed++
				}
				if d.lowRank.rank > 0 {
					calls.Adapted++
				}
				if d.narrow {
					calls.Narrow++
				}
			}
		}
	}
	return texts
}

// length is how long the text of a statement is that a call takes the place of.
func (s statement) length() int {
	switch s.op {
	case "stablehlo.dot_general":
		return len(binary.FindString(s.rest))
	case "stablehlo.gather":
		return len(gathered.FindString(s.rest))
	}
	return len(oneLine.FindString(s.rest))
}

// parse reads the type of a tensor whose sizes are known.
func parse(name, typ string) (tensor, bool) {
	words := strings.Split(typ, "x")
	t := tensor{name: name, typ: typ, element: words[len(words)-1]}
	for _, w := range words[:len(words)-1] {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n > 1<<31 {
			return t, false
		}
		t.dims = append(t.dims, n)
	}
	t.strides = make([]int, len(t.dims))
	size := 1
	for i := len(t.dims) - 1; i >= 0; i-- {
		t.strides[i] = size
		if size > (1<<62)/t.dims[i] {
			return t, false
		}
		size *= t.dims[i]
	}
	return t, true
}

// operand is a value that a statement uses.
func operand(name, typ string, seen map[string]tensor) (tensor, bool) {
	if t, ok := seen[name]; ok {
		return t, true
	}
	return parse(name, typ)
}

// view is the result of a transpose, of a conversion to float32 that a kernel can make, or
// of a new shape for one of these.
func view(op, rest string, seen map[string]tensor) (tensor, bool) {
	m := unary.FindStringSubmatch(rest)
	if m == nil {
		return tensor{}, false
	}
	t, ok := operand(m[1], m[3], seen)
	if !ok {
		return t, false
	}
	switch op {
	case "stablehlo.reshape":
		before, _ := parse("", strings.Join(append(words(t.dims), t.element), "x"))
		after, ok := parse(t.name, m[4])
		if _, known := seen[m[1]]; !known || !ok || !slices.Equal(before.strides, t.strides) {
			return t, false
		}
		t.dims, t.strides = after.dims, after.strides
		return t, true
	case "stablehlo.convert":
		if t.element == "f32" {
			_, known := seen[m[1]]
			t.rounded = strings.HasSuffix(m[4], "xbf16") || known && t.rounded && strings.HasSuffix(m[4], "xf32")
			return t, t.rounded
		}
		return t, strings.HasSuffix(m[4], "xf32") && (t.element == "i8" || t.element == "bf16") || strings.HasSuffix(m[4], "xbf16") && t.element == "bf16"
	}
	perm, ok := ints(m[2])
	if !ok || len(perm) != len(t.dims) {
		return t, false
	}
	u := t
	u.dims, u.strides = make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		if p >= len(t.dims) {
			return t, false
		}
		u.dims[i], u.strides[i] = t.dims[p], t.strides[p]
	}
	return u, true
}

// productCall is the custom call that stands for a product.
const productCall = "lorikeet_dot"

// dotCall is what a dot_general does, and what follows it.
type dotCall struct {
	chain
	a, b    tensor
	product product
	level   Level
	narrow  bool   // the result is bfloat16
	live    tensor // the mask of the rows, if there is one
}

// dot finds the call for a dot_general, the statement at i, if it is worth it.
func (f *function) dot(i int, m []string, seen map[string]tensor, level Level) (d dotCall, ok bool) {
	if strings.Contains(m[3], "algorithm =") {
		return d, false
	}
	a, okA := operand(m[1], m[4], seen)
	b, okB := operand(m[2], m[5], seen)
	if !okA || !okB || b.rounded || !strings.HasSuffix(m[6], "xf32") || !taken[a.element+" "+b.element] {
		return d, false
	}
	p, ok := newProduct(a, b, m[3])
	if !ok || !p.worth(b.element, level, f.infers) {
		return d, false
	}
	d = dotCall{chain: f.follow(i, m[6], p.n.size, seen), a: a, b: b, product: p, level: level}
	d.live = p.mask(f, a)
	d.narrow = level == AVX512BF16 && (a.rounded || a.element == "bf16") && b.element == "bf16" && p.m.size > 3 && p.k.size <= mostNarrow && f.rounded(f.list[d.last].result)
	return d, true
}

// mostNarrow is how many steps of k are summed up without being put down in between: twice KC in vector.c.
const mostNarrow = 768

// rounded tells whether all that uses a value takes it as bfloat16.
func (f *function) rounded(name string) bool {
	for _, u := range f.uses[name] {
		if u < 0 {
			return false
		}
		s := f.list[u]
		args, _, _, result := s.args(s.op)
		if len(args) != 1 || args[0] != name || s.op != "stablehlo.convert" && s.op != "stablehlo.reshape" || s.op == "stablehlo.convert" && !strings.HasSuffix(result, "xbf16") ||
			s.op == "stablehlo.reshape" && !f.rounded(s.result) {
			return false
		}
	}
	return len(f.uses[name]) > 0
}

// call is the statement, for the name of what the last of the chain gives, and what that
// is in memory where it is bfloat16.
func (d dotCall) call(result string) (text string, narrow tensor) {
	numbers, after := d.numbers()
	rounded := 0
	if d.a.rounded {
		rounded = 1
	}
	live, _ := given(d.live)
	args := slices.Concat([]tensor{d.a, d.b}, after, live)
	numbers = slices.Concat(d.product.sizes(), []int{int(d.level), rounded}, numbers)
	if !d.narrow {
		return result + " = " + call(productCall, args, numbers, d.typ), narrow
	}
	narrow, _ = parse(own(result), strings.TrimSuffix(d.typ, "f32")+"bf16")
	return narrow.name + " = " + call(productCall, args, numbers, narrow.typ) +
		"\n    " + result + ` = "stablehlo.convert"(` + narrow.name + ") : (tensor<" + narrow.typ + ">) -> tensor<" + d.typ + ">", narrow
}

// own is a name for what only the rewritten program has.
func own(name string) string {
	return "%lorikeet_" + strings.NewReplacer("%", "", "#", "_").Replace(name)
}

// axis is a dimension that both factors have, or one of them.
type axis struct{ size, a, b int }

// product is the kernels' form of a product: lorikeet_product in matmul.h.
type product struct {
	m, n, k axis
	batch   []axis
}

// batches is how many axes of pairs of matrices the kernels take.
const batches = 3

// newProduct finds it in the attributes of a dot_general. The result's axes are those of the
// batch, then a's own, then b's.
func newProduct(a, b tensor, attributes string) (p product, ok bool) {
	numbers := numbersOf(attributes)
	own := func(t tensor, side string) ([]int, bool) {
		var l []int
		for i := range t.dims {
			if !slices.Contains(numbers[side+"batching"], i) && !slices.Contains(numbers[side+"contracting"], i) {
				l = append(l, i)
			}
		}
		return l, len(l)+len(numbers[side+"batching"])+len(numbers[side+"contracting"]) == len(t.dims)
	}
	shared := func(kind string) ([]axis, bool) {
		var l []axis
		left, right := numbers["lhs"+kind], numbers["rhs"+kind]
		if len(left) != len(right) {
			return nil, false
		}
		for i, x := range left {
			y := right[i]
			if x >= len(a.dims) || y >= len(b.dims) || a.dims[x] != b.dims[y] {
				return nil, false
			}
			l = append(l, axis{a.dims[x], a.strides[x], b.strides[y]})
		}
		return l, true
	}
	left, okA := own(a, "lhs")
	right, okB := own(b, "rhs")
	batch, okBatch := shared("batching")
	k, okK := shared("contracting")
	if !okA || !okB || !okBatch || !okK {
		return p, false
	}
	var m, n []axis
	for _, i := range left {
		m = append(m, axis{size: a.dims[i], a: a.strides[i]})
	}
	for _, i := range right {
		n = append(n, axis{size: b.dims[i], b: b.strides[i]})
	}
	m, n, k = merge(m), merge(n), merge(k)
	if len(n) > 1 || len(k) != 1 {
		return p, false
	}
	// What does not merge of a's own axes is one more axis of pairs, all with the same b.
	if len(m) > 1 {
		batch = append(batch, m[:len(m)-1]...)
		m = m[len(m)-1:]
	}
	p = product{m: single(m), n: single(n), k: k[0], batch: merge(batch)}
	if len(p.batch) > batches {
		return p, false
	}
	return p, true
}

// numbersOf reads the axes in the attributes of a dot_general.
func numbersOf(attributes string) map[string][]int {
	numbers := map[string][]int{}
	for _, m := range axes.FindAllStringSubmatch(attributes, -1) {
		numbers[m[1]+m[2]], _ = ints(m[3]) // digits alone match
	}
	return numbers
}

// merge makes one axis of neighbours that are one in memory.
func merge(l []axis) []axis {
	var merged []axis
	for _, x := range l {
		if x.size == 1 {
			continue
		}
		if last := len(merged) - 1; last >= 0 && merged[last].a == x.a*x.size && merged[last].b == x.b*x.size {
			merged[last] = axis{merged[last].size * x.size, x.a, x.b}
			continue
		}
		merged = append(merged, x)
	}
	return merged
}

func single(l []axis) axis {
	if len(l) == 0 {
		return axis{size: 1}
	}
	return l[0]
}

// worth tells whether a kernel of the level was measured to be faster than the plugin's own
// products, in a program that infers, so that it is all ours, or in one that learns: there
// most passes are the plugin's, whose threads ours would take turns with. See docs/BENCHMARKS.md.
func (p product) worth(b string, level Level, infers bool) bool {
	pairs := 1
	for _, x := range p.batch {
		pairs *= x.size
	}
	size := float64(p.m.size) * float64(p.n.size) * float64(p.k.size) * float64(pairs)
	switch {
	case size < 1<<15: // done while others are still being started
		return false
	case b != "f32": // the plugin would write all of it as float32 first
		return true
	case p.m.size < 4 && p.n.b != 1: // all of b would be turned round for a few rows, as when a text is written
		return false
	default: // with AVX-512 the plugin is as fast where a text is written, at attention's many products of few rows
		return level == AVX2 || level == BF16x3 && pairs == 1 || infers && (pairs == 1 || p.m.size >= leastQueries)
	}
}

// sizes is the list of numbers that ffi.c reads.
func (p product) sizes() []int {
	l := []int{p.m.size, p.n.size, p.k.size, p.m.a, p.k.a, p.k.b, p.n.b}
	batch := append(slices.Repeat([]axis{{size: 1}}, batches-len(p.batch)), p.batch...)
	for _, x := range batch {
		l = append(l, x.size)
	}
	for _, x := range batch {
		l = append(l, x.a)
	}
	for _, x := range batch {
		l = append(l, x.b)
	}
	return l
}
