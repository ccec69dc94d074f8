package safetensors

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
)

// write is the file of tensors, open.
func write(t testing.TB, tensors []Out, metadata map[string]string) (*File, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	f, err := open(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return f, b.Bytes()
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	// 200,000 elements are several pieces of each type.
	long := make([]float32, 200_000)
	for i := range long {
		long[i] = float32(i-100_000) / 8
	}
	small := []float32{0, -1.5, 3, float32(math.Inf(-1))}
	f, raw := write(t, []Out{
		{"f32", F32, []int{2, 2}, small},
		{"f64", F64, []int{4}, small},
		{"f16", F16, []int{4, 1}, small},
		{"bf16", BF16, []int{1, 4}, small},
		{"long.f32", F32, []int{400, 500}, long},
		{"long.f64", F64, []int{200_000}, long},
		{"i32", I32, []int{3}, []int32{-1, 0, math.MaxInt32}},
		{"i64", I64, []int{2}, []int64{math.MinInt64, 7}},
		{"u64", U64, []int{1}, []byte{1, 0, 0, 0, 0, 0, 0, 0}},
		{"u32", U32, []int{1}, []byte{0xff, 0xff, 0xff, 0xff}},
		{"i16", I16, []int{2}, []byte{0xff, 0xff, 2, 1}},
		{"u16", U16, []int{1}, []byte{0xff, 0xff}},
		{"i8", I8, []int{2}, []byte{0xff, 3}},
		{"u8", U8, []int{1}, []byte{0xff}},
		{"bool", Bool, []int{2}, []byte{1, 0}},
		{"scalar", F32, nil, []float32{42}},
		{"empty", F32, []int{3, 0}, []float32{}},
		{"<\"&\n🦜", U8, []int{0}, []byte(nil)},
	}, map[string]string{"format": "pt", "<a>": "\"é\""})

	if !slices.IsSorted(f.Names()) || len(f.Names()) != 18 {
		t.Errorf("names %q", f.Names())
	}
	if want := map[string]string{"format": "pt", "<a>": "\"é\""}; !reflect.DeepEqual(f.Metadata(), want) {
		t.Errorf("metadata %v", f.Metadata())
	}
	floats := map[string][]float32{
		"f32": small, "f64": small, "f16": small, "bf16": small,
		"long.f32": long, "long.f64": long, "scalar": {42}, "empty": {},
	}
	for name, want := range floats {
		if got, err := f.Float32s(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ints := map[string][]int64{
		"i32": {-1, 0, math.MaxInt32}, "i64": {math.MinInt64, 7}, "u64": {1}, "u32": {math.MaxUint32},
		"i16": {-1, 258}, "u16": {math.MaxUint16}, "i8": {-1, 3}, "u8": {255}, "bool": {1, 0},
	}
	for name, want := range ints {
		if got, err := f.Int64s(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if i, ok := f.Info("f32"); !ok || i.DType != F32 || !slices.Equal(i.Shape, []int{2, 2}) || i.Len() != 4 {
		t.Errorf("info %v", i)
	}
	if s, err := f.Section("i16"); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(s); err != nil || !bytes.Equal(b, []byte{0xff, 0xff, 2, 1}) {
		t.Errorf("section %v %v", b, err)
	}
	for _, n := range f.Names() {
		e := f.tensors[n]
		if width := int64(e.DType.Bits() / 8); (f.data+e.begin)%width != 0 {
			t.Errorf("%s is not aligned", n)
		}
	}
	// The order of the tensors given does not matter.
	reversed := []Out{{"b", F32, []int{1}, []float32{2}}, {"a", F32, []int{1}, []float32{1}}, {"c", I64, []int{1}, []int64{3}}}
	_, one := write(t, reversed, nil)
	slices.Reverse(reversed)
	if _, two := write(t, reversed, nil); !bytes.Equal(one, two) {
		t.Error("the order of the tensors shows in the file")
	}
	// A file cut anywhere is refused.
	for n := 0; n < len(raw); n += 1 + len(raw)/997 {
		if _, err := open(raw[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(raw), err)
		}
	}
}

func TestReadingTheWrongTypeIsAnError(t *testing.T) {
	f, _ := write(t, []Out{
		{"i", I64, []int{1}, []int64{1}}, {"f", F32, []int{1}, []float32{1}},
		{"f8", F8E4M3, []int{1}, []byte{1}}, {"big", U64, []int{1}, bytes.Repeat([]byte{0xff}, 8)},
	}, nil)
	for name, err := range map[string]error{
		"float32 of I64":    second(f.Float32s("i")),
		"float32 of F8":     second(f.Float32s("f8")),
		"integers of F32":   second(f.Int64s("f")),
		"a U64 above int64": second(f.Int64s("big")),
	} {
		if !invalid.Is(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"float32": second(f.Float32s("x")), "integers": second(f.Int64s("x")), "bytes": second(f.Bytes("x")), "section": second(f.Section("x")),
	} {
		if !errors.Is(err, ErrNoTensor) || !strings.Contains(err.Error(), `"x"`) {
			t.Errorf("%s of a tensor that is not there: %v", name, err)
		}
	}
	if _, ok := f.Info("x"); ok {
		t.Error("a tensor that is not there has an Info")
	}
}

func second[T any](_ T, err error) error { return err }

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		tensors []Out
		meta    map[string]string
		want    string
	}{
		{"data of another length", []Out{{"a", F32, []int{3}, []float32{1}}}, nil, "takes 12 bytes, the data makes 4"},
		{"bytes of another length", []Out{{"a", BF16, []int{3}, []byte{1}}}, nil, "takes 6 bytes, the data makes 1"},
		{"a name that is there twice", []Out{{"a", F32, []int{0}, []float32{}}, {"a", I64, []int{0}, []int64{}}}, nil, "there twice"},
		{"the name of the metadata", []Out{{"__metadata__", F32, []int{0}, []float32{}}}, nil, "cannot be a tensor's name"},
		{"a name that is not UTF-8", []Out{{"\xff", F32, []int{0}, []float32{}}}, nil, "cannot be a tensor's name"},
		{"metadata that is not UTF-8", nil, map[string]string{"a": "\xff"}, "not UTF-8"},
		{"an unknown type", []Out{{"a", "F33", []int{0}, []float32{}}}, nil, "unknown"},
		{"a negative dimension", []Out{{"a", F32, []int{-1}, []float32{}}}, nil, "negative"},
		{"a shape that overflows", []Out{{"a", F32, []int{math.MaxInt, 3}, []float32{}}}, nil, "overflows"},
		{"float32 as integers", []Out{{"a", I32, []int{1}, []float32{1}}}, nil, "cannot be written as I32"},
		{"int64 as I32", []Out{{"a", I32, []int{1}, []int64{1}}}, nil, "cannot be written as I32"},
		{"another type of data", []Out{{"a", F64, []int{1}, []float64{1}}}, nil, "[]float64 cannot be written"},
		{"no data", []Out{{"a", F64, []int{1}, nil}}, nil, "<nil> cannot be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			err := Write(&b, c.tensors, c.meta)
			if !errors.Is(err, ErrMalformed) || !invalid.Is(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want faults that say %q", err, c.want)
			}
			if b.Len() > 0 {
				t.Errorf("%d bytes were written", b.Len())
			}
		})
	}
}

func TestWriteReturnsTheErrorOfItsWriter(t *testing.T) {
	full := errors.New("disk full")
	for _, dtype := range []DType{F32, F64, F16, BF16} {
		for room := range 3 {
			err := Write(&limited{room, full}, []Out{{"a", dtype, []int{1}, []float32{1}}, {"b", dtype, []int{1}, []float32{1}}}, nil)
			if !errors.Is(err, full) || errors.Is(err, ErrMalformed) {
				t.Errorf("%s after %d writes: %v", dtype, room, err)
			}
		}
	}
}

// limited takes so many writes.
type limited struct {
	room int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.room--; l.room < 0 {
		return 0, l.err
	}
	return len(p), nil
}

func TestSwapReversesEachElement(t *testing.T) {
	b := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	swap(b, 4)
	if want := []byte{4, 3, 2, 1, 8, 7, 6, 5}; !bytes.Equal(b, want) {
		t.Error(b)
	}
}

func benchmarkRead(b *testing.B, dtype DType) {
	const n = 4 << 20
	f, _ := write(b, []Out{{"a", dtype, []int{n}, make([]float32, n)}}, nil)
	b.SetBytes(4 * n)
	for b.Loop() {
		if _, err := f.Float32s("a"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloat32sOfF32(b *testing.B)  { benchmarkRead(b, F32) }
func BenchmarkFloat32sOfF16(b *testing.B)  { benchmarkRead(b, F16) }
func BenchmarkFloat32sOfBF16(b *testing.B) { benchmarkRead(b, BF16) }
