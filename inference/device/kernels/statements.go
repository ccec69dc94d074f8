package kernels

import (
	"regexp"
	"strconv"
	"strings"
)

// statement is one of a function's: what it defines, its operation, and its text from
// after the opening bracket of its arguments.
type statement struct {
	result, op, rest string
	at, body         int // in the program: its name, and rest
}

// function is what a program's function says, by the names of its values.
type function struct {
	list    []statement
	defined map[string]int   // statements by what they define
	uses    map[string][]int // statements that a value is used in, and those that a return follows
	taken   map[int]bool     // statements that a product's call does
	infers  bool             // it has norms whose insides nothing else wants, as gradients do
	live    map[string]rows  // values of which some rows are not read
}

// A statement as go-xla writes it:
//
//	%7 = "stablehlo.transpose"(%6) { permutation = array<i64: 1, 0> } : (tensor<3x2xf32>) -> tensor<2x3xf32>
//
// and over several lines
//
//	%8 = "stablehlo.dot_general"(%5, %7) {
//	  dot_dimension_numbers = #stablehlo.dot<
//	  lhs_batching_dimensions = [],
//	  …
//	} : (tensor<4x3xf32>, tensor<3x2xf32>) -> tensor<4x2xf32>
var (
	begins    = regexp.MustCompile(`(?m)^ *(?:func\.func .*|(%[\w, %:.#]+) = "([\w.]+)"\()`)
	oneLine   = regexp.MustCompile(`^([^()]*)\)(?: \{ ([^\n]*?) \})? : \(([^()]*)\) -> tensor<([^<>]*)>`)
	reduction = regexp.MustCompile(`(?s)^(%[\w.#]+), %[\w.#]+\) \(\{\s*\^\w+\(%lhs: [^()]*\) :\s*%[\w.#]+ = "stablehlo\.(\w+)"\(%lhs, %rhs\)[^{}]*\}\) \{ dimensions = array<i64: (\d+)> \} : \(tensor<([^<>]*)>`)
	scalar    = regexp.MustCompile(`^\) \{ value = dense<([^<>]+)> : tensor<f32> \}`)
	ofTensor  = regexp.MustCompile(`tensor<([^<>]*)>`)
)

// functions finds those of a program.
func functions(program string) []*function {
	var all []*function
	at := begins.FindAllStringSubmatchIndex(program, -1)
	for i, m := range at {
		if m[2] < 0 {
			all = append(all, &function{defined: map[string]int{}, uses: map[string][]int{}, taken: map[int]bool{}, live: map[string]rows{}})
			continue
		}
		if len(all) == 0 {
			continue // no function yet: no program
		}
		f := all[len(all)-1]
		end := len(program)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		s := statement{result: program[m[2]:m[3]], op: program[m[4]:m[5]], rest: program[m[1]:end], at: m[2], body: m[1]}
		if s.op == "stablehlo.reduce" {
			s.rest = program[m[1]:] // the statement that it reduces by begins another
		}
		if _, twice := f.defined[s.result]; twice { // as in reductions
			f.uses[s.result] = append(f.uses[s.result], -1, -1)
		}
		f.defined[s.result] = len(f.list)
		for _, name := range names(program[m[1]:end]) {
			f.uses[name] = append(f.uses[name], len(f.list))
		}
		f.list = append(f.list, s)
	}
	return all
}

// names are the values that a text names, as often as it does.
func names(text string) []string {
	var l []string
	for {
		at := strings.IndexByte(text, '%')
		if at < 0 {
			return l
		}
		text = text[at:]
		end := 1
		for end < len(text) && (text[end] == '_' || text[end] == '.' || text[end] == '#' || '0' <= text[end] && text[end] <= '9' || 'a' <= text[end]|0x20 && text[end]|0x20 <= 'z') {
			end++
		}
		l = append(l, text[:end])
		text = text[end:]
	}
}

// definition is the statement that defines a value.
func (f *function) definition(name string) statement {
	if i, ok := f.defined[name]; ok {
		return f.list[i]
	}
	return statement{}
}

// args are the arguments of a statement, if it is of that operation and on one line, and the type
// of what it defines.
func (s statement) args(op string) (args, types []string, attributes, result string) {
	if s.op != op {
		return nil, nil, "", ""
	}
	m := oneLine.FindStringSubmatch(s.rest)
	if m == nil {
		return nil, nil, "", ""
	}
	args = strings.Split(m[1], ", ")
	for _, t := range ofTensor.FindAllStringSubmatch(m[3], -1) {
		types = append(types, t[1])
	}
	if len(types) != len(args) {
		return nil, nil, "", ""
	}
	return args, types, m[2], m[4]
}

// args are the arguments that a value is computed from, if by that operation.
func (f *function) args(name, op string) (args, types []string, attributes string) {
	args, types, attributes, _ = f.definition(name).args("stablehlo." + op)
	return args, types, attributes
}

// only is the one statement that uses a value.
func (f *function) only(name string) (statement, int, bool) {
	if u := f.uses[name]; len(u) == 1 && u[0] >= 0 {
		return f.list[u[0]], u[0], true
	}
	return statement{}, 0, false
}

// row tells whether a value is the sum or the maximum over the last axis of x, for each
// element of x.
func (f *function) row(name, op, x string) bool { return f.reduced(f.perRow(name), op, x) }

// perRow is what a value repeats along the last axis; nothing where it does not.
func (f *function) perRow(name string) string {
	b, _, _ := f.args(name, "broadcast_in_dim")
	if b == nil {
		return ""
	}
	r, _, _ := f.args(b[0], "reshape")
	if r == nil {
		return ""
	}
	return r[0]
}

// reduced tells whether a value is the sum or the maximum over the last axis of x.
func (f *function) reduced(name, op, x string) bool {
	s := f.definition(name)
	if s.op != "stablehlo.reduce" {
		return false
	}
	m := reduction.FindStringSubmatch(s.rest)
	return m != nil && m[1] == x && m[2] == op && m[3] == strconv.Itoa(strings.Count(m[4], "x")-1)
}

// constant is a number that stands for all elements.
func (f *function) constant(name string) (float32, bool) {
	b, _, _ := f.args(name, "broadcast_in_dim")
	if b == nil || f.definition(b[0]).op != "stablehlo.constant" {
		return 0, false
	}
	m := scalar.FindStringSubmatch(f.definition(b[0]).rest)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 32)
	return float32(v), err == nil
}

// is tells whether a value is that number everywhere.
func (f *function) is(name string, v float32) bool {
	c, ok := f.constant(name)
	return ok && c == v
}

// vector is a value of n floats that is repeated along all axes but the last, of n.
func (f *function) vector(name string, n int) (tensor, bool) {
	s := f.definition(name)
	b, types, attributes, result := s.args("stablehlo.broadcast_in_dim")
	if b == nil || n < 2 {
		return tensor{}, false
	}
	v, okV := parse(b[0], types[0])
	whole, okW := parse(name, result)
	axes, okA := ints(strings.TrimSuffix(strings.TrimPrefix(attributes, "broadcast_dimensions = array<i64: "), ">"))
	if !okV || !okW || !okA || v.element != "f32" || len(v.dims) == 0 || len(axes) != len(v.dims) || v.size() != n || v.dims[len(v.dims)-1] != n ||
		axes[len(axes)-1] != len(whole.dims)-1 || whole.dims[len(whole.dims)-1] != n {
		return tensor{}, false
	}
	return v, true
}

// given are those arguments that there are, and which these are, a bit for each.
func given(all ...tensor) (some []tensor, which int) {
	for i, t := range all {
		if t.name != "" {
			some, which = append(some, t), which|1<<i
		}
	}
	return some, which
}

// call is a custom call of ours.
func call(target string, args []tensor, numbers []int, result string) string {
	var names, types []string
	for _, a := range args {
		names = append(names, a.name)
		types = append(types, "tensor<"+a.typ+">")
	}
	return `"stablehlo.custom_call"(` + strings.Join(names, ", ") + `) {call_target_name = "` + target + `", api_version = 4 : i32, ` +
		`has_side_effect = false, backend_config = {dims = array<i64: ` + strings.Join(words(numbers), ", ") + `>}} : (` + strings.Join(types, ", ") + `) -> tensor<` + result + `>`
}

func ints(s string) ([]int, bool) {
	var l []int
	for w := range strings.SplitSeq(s, ",") {
		w = strings.TrimSpace(w)
		if w == "" {
			continue
		}
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 {
			return nil, false
		}
		l = append(l, n)
	}
	return l, true
}

func words(l []int) []string {
	w := make([]string, len(l))
	for i, n := range l {
		w[i] = strconv.Itoa(n)
	}
	return w
}
