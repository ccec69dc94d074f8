package kernels

import (
	"strings"
	"testing"
)

// program is what go-xla writes, with a body.
func program(body string) string {
	return "module @m {\n  func.func @main(%arg0: tensor<64x48xf32>, %arg1: tensor<32x48xf32>) -> tensor<64x32xf32> {\n" + body +
		"    \"stablehlo.return\"(%9) : (tensor<64x32xf32>) -> ()\n  }\n}\n"
}

// product is a dot_general of two values with these types, batch and contracting axes.
func dotOf(a, b, types, batch, contracting string) string {
	l, r, _ := strings.Cut(contracting, ";")
	bl, br, _ := strings.Cut(batch, ";")
	return `    %9 = "stablehlo.dot_general"(` + a + ", " + b + `) {
      dot_dimension_numbers = #stablehlo.dot<
  lhs_batching_dimensions = [` + bl + `],
  rhs_batching_dimensions = [` + br + `],
  lhs_contracting_dimensions = [` + l + `],
  rhs_contracting_dimensions = [` + r + `]
>,
      precision_config = [#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]
    } : ` + types + "\n"
}

func TestRewrite(t *testing.T) {
	const plain = "(tensor<64x48xf32>, tensor<48x32xf32>) -> tensor<64x32xf32>"
	turn := `    %0 = "stablehlo.transpose"(%arg1) { permutation = array<i64: 1, 0> } : (tensor<32x48xf32>) -> tensor<48x32xf32>` + "\n"
	for name, c := range map[string]struct{ body, want string }{
		"as it lies": {dotOf("%arg0", "%1", plain, ";", "1;0"),
			`%9 = "stablehlo.custom_call"(%arg0, %1) {call_target_name = "lorikeet_dot", api_version = 4 : i32, has_side_effect = false, ` +
				`backend_config = {dims = array<i64: 64, 32, 48, 48, 1, 32, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0>}} : ` + plain},
		"of a transpose": {turn + dotOf("%arg0", "%0", plain, ";", "1;0"),
			`(%arg0, %arg1) {call_target_name = "lorikeet_dot", api_version = 4 : i32, has_side_effect = false, ` +
				`backend_config = {dims = array<i64: 64, 32, 48, 48, 1, 1, 48, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0>}} : (tensor<64x48xf32>, tensor<32x48xf32>) -> tensor<64x32xf32>`},
		"of int8": {`    %0 = "stablehlo.convert"(%arg1) : (tensor<48x32xi8>) -> tensor<48x32xf32>` + "\n" + dotOf("%arg0", "%0", plain, ";", "1;0"),
			`(tensor<64x48xf32>, tensor<48x32xi8>) -> tensor<64x32xf32>`},
		"of bfloat16 in another shape": {`    %0 = "stablehlo.convert"(%5) : (tensor<4x16x48xbf16>) -> tensor<4x16x48xf32>
    %2 = "stablehlo.reshape"(%0) : (tensor<4x16x48xf32>) -> tensor<64x48xf32>
    %3 = "stablehlo.convert"(%arg1) : (tensor<48x32xbf16>) -> tensor<48x32xf32>` + "\n" + dotOf("%2", "%3", plain, ";", "1;0"),
			`array<i64: 64, 32, 48, 48, 1, 32, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0>}} : (tensor<4x16x48xbf16>, tensor<48x32xbf16>) -> tensor<64x32xf32>`},
		"of attention's scores": {dotOf("%q", "%k", "(tensor<2x64x4x16xf32>, tensor<2x32x4x16xf32>) -> tensor<2x4x64x32xf32>", "0, 2;0, 2", "3;3"),
			`array<i64: 64, 32, 16, 64, 1, 1, 64, 1, 2, 4, 0, 4096, 16, 0, 2048, 16, 1, 0, 0, 0, 0, 0>`},
		"with axes of a's that lie apart": {dotOf("%q", "%k", "(tensor<2x64x4x16xf32>, tensor<64x32xf32>) -> tensor<2x4x16x32xf32>", ";", "1;0"),
			`array<i64: 64, 32, 64, 1, 64, 32, 1, 1, 1, 2, 0, 0, 4096, 0, 0, 0, 1, 0, 0, 0, 0, 0>`},
	} {
		got, n := Rewrite(program(c.body), AVX2)
		if n.Products != 1 || !strings.Contains(got, c.want) || strings.Contains(got, "dot_general") {
			t.Errorf("%s: %+v rewritten:\n%s\nwant\n%s", name, n, got, c.want)
		}
	}
	other := strings.ReplaceAll(plain, "f32", "f64")
	for name, body := range map[string]string{
		"other types":           dotOf("%arg0", "%1", other, ";", "1;0"),
		"bfloat16 results":      dotOf("%arg0", "%1", strings.ReplaceAll(plain, "f32", "bf16"), ";", "1;0"),
		"few multiplications":   dotOf("%arg0", "%1", "(tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>", ";", "1;0"),
		"sizes yet unknown":     dotOf("%arg0", "%1", "(tensor<?x48xf32>, tensor<48x32xf32>) -> tensor<?x32xf32>", ";", "1;0"),
		"outer products":        dotOf("%arg0", "%1", "(tensor<640xf32>, tensor<480xf32>) -> tensor<640x480xf32>", ";", ";"),
		"axes out of range":     dotOf("%arg0", "%1", plain, ";", "7;0"),
		"sizes that do not fit": dotOf("%arg0", "%1", "(tensor<64x47xf32>, tensor<48x32xf32>) -> tensor<64x32xf32>", ";", "1;0"),
		"b's own axes that lie apart": dotOf("%arg0", "%1",
			"(tensor<64x48xf32>, tensor<16x48x2xf32>) -> tensor<64x16x2xf32>", ";", "1;1"),
	} {
		if got, n := Rewrite(program(body), AVX2); n != (Calls{}) || got != program(body) {
			t.Errorf("%s: %+v rewritten:\n%s", name, n, got)
		}
	}
	scores := dotOf("%q", "%k", "(tensor<2x4x4x64xf32>, tensor<2x512x4x64xf32>) -> tensor<2x4x4x512xf32>", "0, 2;0, 2", "3;3")
	for level, want := range map[Level]int{AVX2: 1, AVX512: 0} {
		if _, n := Rewrite(program(scores), level); n.Products != want {
			t.Errorf("at level %s %d products of few rows are ours", level, n.Products)
		}
	}
	// A name means what it was last given, and nothing in the next function.
	stale := turn + `    %0 = "stablehlo.negate"(%arg1) : (tensor<48x32xf32>) -> tensor<48x32xf32>` + "\n" + dotOf("%arg0", "%0", plain, ";", "1;0")
	next := turn + "  }\n  func.func @next(%0: tensor<48x32xf32>) -> tensor<64x32xf32> {\n" + dotOf("%arg0", "%0", plain, ";", "1;0")
	for _, body := range []string{stale, next} {
		if got, n := Rewrite(program(body), AVX2); n.Products != 1 || !strings.Contains(got, "(%arg0, %0) {call") {
			t.Errorf("%+v rewritten:\n%s", n, got)
		}
	}
}

// TestFollow has what follows a product done with it, as far as nothing else wants what comes between.
func TestFollow(t *testing.T) {
	line := func(result, op, args, types, to string) string {
		return "    " + result + ` = "stablehlo.` + op + `"(` + args + ") : (" + types + ") -> tensor<" + to + ">\n"
	}
	const y = "tensor<64x32xf32>"
	repeat := func(result, what, axes, of string) string {
		return "    " + result + ` = "stablehlo.broadcast_in_dim"(` + what + ") { broadcast_dimensions = array<i64" + axes + "> } : (tensor<" + of + ">) -> " + y + "\n"
	}
	two := y + ", " + y
	product := strings.Replace(dotOf("%arg0", "%1", "(tensor<64x48xf32>, tensor<48x32xf32>) -> "+y, ";", "1;0"), "%9", "%2", 1)
	bias := repeat("%3", "%b", ": 1", "32xf32")
	zero := `    %6 = "stablehlo.constant"() { value = dense<0.0> : tensor<f32> } : () -> tensor<f32>` + "\n" + repeat("%7", "%6", "", "f32")
	for name, c := range map[string]struct {
		body, want string // of the call
		numbers    string
	}{
		"nothing":              {product + line("%9", "negate", "%2", y, "64x32xf32"), "%2 = ", "0, 0"},
		"a bias":               {product + bias + line("%9", "add", "%2, %3", two, "64x32xf32"), "%9 = ", "0, 2"},
		"a bias, twice wanted": {product + bias + line("%9", "add", "%2, %3", two, "64x32xf32") + line("%10", "add", "%2, %9", two, "64x32xf32"), "%2 = ", "0, 0"},
		"a scale and a bias": {product + repeat("%4", "%s", ": 1", "32xf32") + line("%5", "multiply", "%2, %4", two, "64x32xf32") + bias + line("%9", "add", "%3, %5", two, "64x32xf32"),
			"%9 = ", "0, 3"},
		"a scale after the bias": {product + bias + line("%4", "add", "%2, %3", two, "64x32xf32") + line("%9", "multiply", "%4, %3", two, "64x32xf32"), "%4 = ", "0, 2"},
		"another axis":           {product + repeat("%4", "%s", ": 0", "64xf32") + line("%9", "add", "%2, %4", two, "64x32xf32"), "%2 = ", "0, 0"},
		"a sum with itself":      {product + line("%9", "add", "%2, %2", two, "64x32xf32"), "%2 = ", "0, 0"},
		"a residual":             {product + bias + line("%4", "add", "%2, %3", two, "64x32xf32") + line("%9", "add", "%r, %4", two, "64x32xf32"), "%9 = ", "0, 6"},
		"three sums": {product + line("%3", "add", "%2, %q", two, "64x32xf32") + line("%4", "add", "%r, %3", two, "64x32xf32") + line("%9", "add", "%4, %s", two, "64x32xf32"),
			"%4 = ", "0, 12"},
		"relu":           {product + zero + line("%9", "maximum", "%7, %2", two, "64x32xf32"), "%9 = ", "1, 0"},
		"silu":           {product + line("%3", "logistic", "%2", y, "64x32xf32") + line("%9", "multiply", "%2, %3", two, "64x32xf32"), "%9 = ", "3, 0"},
		"not quite silu": {product + line("%3", "logistic", "%r", y, "64x32xf32") + line("%9", "multiply", "%2, %3", two, "64x32xf32"), "%2 = ", "0, 0"},
	} {
		got, _ := Rewrite(program(c.body), AVX2)
		if !strings.Contains(got, c.want+`"stablehlo.custom_call"(`) || !strings.Contains(got, ", 1, 0, "+c.numbers+", 0, 0>}}") {
			t.Errorf("%s:\n%s\nwant %s with %s", name, got, c.want, c.numbers)
		}
	}
}

// TestFollowAdapters has what adapters add done with a product, where it is of the form of nn's.
func TestFollowAdapters(t *testing.T) {
	const y = "tensor<2x32x40xf32>"
	base := strings.Replace(dotOf("%x", "%w", "(tensor<2x32x48xf32>, tensor<48x40xf32>) -> "+y, ";", "2;0"), "%9", "%2", 1)
	low := func(types, batch, contracting string) string {
		return strings.Replace(dotOf("%low", "%up", types, batch, contracting), "%9", "%3", 1)
	}
	sum := `    %9 = "stablehlo.add"(%2, %3) : (` + y + ", " + y + ") -> " + y + "\n"
	added := low("(tensor<2x32x16xf32>, tensor<2x16x40xf32>) -> "+y, "0;0", "2;1")
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"of each text":    {base + added + sum, 1},
		"wanted twice":    {base + added + sum + strings.Replace(sum, "%9", "%10", 1), 0},
		"of rank 4":       {base + low("(tensor<2x32x4xf32>, tensor<2x4x40xf32>) -> "+y, "0;0", "2;1") + sum, 0},
		"of a large rank": {base + low("(tensor<2x32x128xf32>, tensor<2x128x40xf32>) -> "+y, "0;0", "2;1") + sum, 0},
		"turned":          {base + low("(tensor<2x32x16xf32>, tensor<2x40x16xf32>) -> "+y, "0;0", "2;2") + sum, 0},
		"one for all":     {base + low("(tensor<2x32x16xf32>, tensor<16x40xf32>) -> "+y, ";", "2;0") + sum, 1},
		"of halves":       {base + low("(tensor<2x32x16xbf16>, tensor<2x16x40xbf16>) -> "+y, "0;0", "2;1") + sum, 0},
	} {
		got, n := Rewrite(program(c.body), AVX2)
		if n.Adapted != c.want || strings.Contains(got, "%w, %low, %up)") != (c.want == 1) {
			t.Errorf("%s: %+v\n%s", name, n, got)
		}
	}
}

// blanked is what nn's Blank becomes: %5 has zeros where %mask is 0.
const blanked = `    %1 = "stablehlo.reshape"(%mask) : (tensor<2x32xi1>) -> tensor<2x32x1xi1>
    %2 = "stablehlo.broadcast_in_dim"(%1) { broadcast_dimensions = array<i64: 0, 1, 2> } : (tensor<2x32x1xi1>) -> tensor<2x32x48xi1>
    %3 = "stablehlo.constant"() { value = dense<0.0> : tensor<f32> } : () -> tensor<f32>
    %4 = "stablehlo.broadcast_in_dim"(%3) { broadcast_dimensions = array<i64> } : (tensor<f32>) -> tensor<2x32x48xf32>
    %5 = "stablehlo.select"(%2, %x, %4) : (tensor<2x32x48xi1>, tensor<2x32x48xf32>, tensor<2x32x48xf32>) -> tensor<2x32x48xf32>
`

// TestRewriteLeavesRowsOut has the mask go along as far as rows are the same ones, and no further.
func TestRewriteLeavesRowsOut(t *testing.T) {
	const flat = "(tensor<64x48xf32>, tensor<48x32xf32>) -> tensor<64x32xf32>"
	other := func(op, to string) string {
		return "    %6 = \"stablehlo." + op + "\"(%5, %y) : (tensor<2x32x48xf32>, tensor<2x32x48xf32>) -> tensor<" + to + ">\n"
	}
	whole := `    %6 = "stablehlo.reshape"(%5) : (tensor<2x32x48xf32>) -> tensor<64x48xf32>` + "\n"
	turned := `    %6 = "stablehlo.transpose"(%5) { permutation = array<i64: 1, 0, 2> } : (tensor<2x32x48xf32>) -> tensor<32x2x48xf32>` + "\n" +
		`    %7 = "stablehlo.negate"(%6) : (tensor<32x2x48xf32>) -> tensor<32x2x48xf32>` + "\n" +
		`    %8 = "stablehlo.reshape"(%7) : (tensor<32x2x48xf32>) -> tensor<64x48xf32>` + "\n"
	for name, c := range map[string]struct {
		body string
		left int
	}{
		"as it lies":            {blanked + dotOf("%5", "%w", "(tensor<2x32x48xf32>, tensor<48x32xf32>) -> tensor<2x32x32xf32>", ";", "2;0"), 1},
		"with one axis of rows": {blanked + whole + dotOf("%6", "%w", flat, ";", "1;0"), 1},
		"of a sum":              {blanked + other("add", "2x32x48xf32") + dotOf("%6", "%w", "(tensor<2x32x48xf32>, tensor<48x32xf32>) -> tensor<2x32x32xf32>", ";", "2;0"), 1},
		"of each text's own b":  {blanked + dotOf("%5", "%w", "(tensor<2x32x48xf32>, tensor<2x48x32xf32>) -> tensor<2x32x32xf32>", "0;0", "2;1"), 1},
		"as the second factor":  {blanked + dotOf("%w", "%5", "(tensor<64x48xf32>, tensor<2x32x48xf32>) -> tensor<64x2x32xf32>", ";", "1;2"), 0},
		"summed over the rows":  {blanked + whole + dotOf("%6", "%w", "(tensor<64x48xf32>, tensor<64x32xf32>) -> tensor<48x32xf32>", ";", "0;0"), 0},
		"turned round":          {blanked + turned + dotOf("%8", "%w", flat, ";", "1;0"), 0},
		"not by rows":           {blanked + other("reverse", "2x32x48xf32") + dotOf("%6", "%w", "(tensor<2x32x48xf32>, tensor<48x32xf32>) -> tensor<2x32x32xf32>", ";", "2;0"), 0},
		"without zeros":         {strings.Replace(blanked, "dense<0.0>", "dense<1.0>", 1) + dotOf("%5", "%w", "(tensor<2x32x48xf32>, tensor<48x32xf32>) -> tensor<2x32x32xf32>", ";", "2;0"), 0},
	} {
		got, n := Rewrite(program(c.body), AVX2)
		if n.Products != 1 || n.Blank != c.left || strings.Contains(got, ", %1) {call") != (c.left == 1) {
			t.Errorf("%s: %+v, want %d without rows:\n%s", name, n, c.left, got)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add(program(dotOf("%arg0", "%1", "(tensor<64x48xf32>, tensor<48x32xf32>) -> tensor<64x32xf32>", ";", "1;0")))
	f.Add(program(`    %0 = "stablehlo.transpose"(%arg1) { permutation = array<i64: 1, 0> } : (tensor<32x48xf32>) -> tensor<48x32xf32>` + "\n" +
		dotOf("%q", "%0", "(tensor<2x64x4x16xf32>, tensor<2x32x4x16xf32>) -> tensor<2x4x64x32xf32>", "0, 2;0, 2", "3;3")))
	f.Add(program(`    %2 = "stablehlo.convert"(%1) : (tensor<3x2xi8>) -> tensor<3x2xf32>` + "\n" + `    %3 = "stablehlo.reshape"(%2) : (tensor<3x2xf32>) -> tensor<6xf32>` + "\n"))
	f.Add(program(dotOf("%arg0", "%1", "(tensor<64x48xbf16>, tensor<48x32xbf16>) -> tensor<64x32xf32>", ";", "1;0") +
		`    %2 = "stablehlo.broadcast_in_dim"(%b) { broadcast_dimensions = array<i64: 1> } : (tensor<32xf32>) -> tensor<64x32xf32>` + "\n" +
		`    %3 = "stablehlo.add"(%9, %2) : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x32xf32>` + "\n" +
		`    %4 = "stablehlo.convert"(%3) : (tensor<64x32xf32>) -> tensor<64x32xbf16>` + "\n" + `    %5 = "stablehlo.reshape"(%4) : (tensor<64x32xbf16>) -> tensor<2048xbf16>` + "\n"))
	f.Add(program(blanked + dotOf("%5", "%w", "(tensor<2x32x48xf32>, tensor<48x32xf32>) -> tensor<2x32x32xf32>", ";", "2;0")))
	f.Fuzz(func(t *testing.T, text string) {
		for _, level := range []Level{AVX2, AVX512BF16, AMX} {
			got, n := Rewrite(text, level)
			if n == (Calls{}) && got != text || n.Products+n.Attention+n.Norms+n.Gathers != strings.Count(got, "custom_call")-strings.Count(text, "custom_call") {
				t.Errorf("%+v rewritten in %q: %q", n, text, got)
			}
		}
	})
}
