package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"lorikeet/adapters/invalid"
)

// file puts a header before data bytes.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	return append(b, make([]byte, data)...)
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestOpenAcceptsWhatTheReferenceAccepts(t *testing.T) {
	for name, b := range map[string][]byte{
		"a file with no tensors":                     file(`{}`, 0),
		"a file with nothing but metadata":           file(`{"__metadata__":{"format":"pt"}}`, 0),
		"spaces after the header":                    file(`{}      `, 0),
		"a scalar":                                   file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4),
		"an empty tensor":                            file(`{"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}}`, 0),
		"members in another order":                   file(`{"a":{"data_offsets":[0,2],"shape":[2],"dtype":"U8"}}`, 2),
		"tensors in another order than their bytes":  file(`{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 3),
		"an empty tensor between two others":         file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2),
		"a tensor with no name":                      file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"a name with escapes":                        file(`{"\u00e9\n\ud83e\udd9c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"four bit elements that fill their bytes":    file(`{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2),
		"a header of 640 bytes, which looks pickled": file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`+strings.Repeat(" ", 640-54+1), 1),
	} {
		t.Run(name, func(t *testing.T) {
			f, err := open(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range f.Names() {
				if _, err := f.Bytes(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if b := file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`+strings.Repeat(" ", 640-54+1), 1); b[0] != 0x80 || b[1] != 2 {
		t.Error("the header of the last case does not look pickled")
	}
}

func TestOpenRefuses(t *testing.T) {
	entry := func(name, dtype, shape string, begin, end int64) string {
		return fmt.Sprintf(`"%s":{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, begin, end)
	}
	one := func(member string) []byte { return file("{"+member+"}", 4) }
	for _, c := range []struct {
		name string
		file []byte
		want []string // each in the error's text
	}{
		{"an empty file", nil, []string{"0 bytes"}},
		{"a file shorter than its length field", []byte{1, 2, 3}, []string{"3 bytes"}},
		{"a header length above the limit", file(strings.Repeat("x", 20), 0)[:8+0], []string{"8 bytes"}},
		{"a header length of 2^64-1", append(bytes.Repeat([]byte{0xff}, 8), "{}"...), []string{"at most 100000000"}},
		{"a header length beyond the file", binary.LittleEndian.AppendUint64(nil, 9e7), []string{"8 bytes"}},
		{"a header length that lies by one", append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...), []string{"claims 3 bytes, the file has 2"}},
		{"a header length that stops too early", append(binary.LittleEndian.AppendUint64(nil, 1), "{}"...), []string{"does not begin"}},
		{"a header that is an array", file(`[1]`, 0), []string{"does not begin with '{'"}},
		{"a header that begins with a space", file(` {}`, 0), []string{"does not begin with '{'"}},
		{"a header that is not UTF-8", file("{\"\xff\":1}", 0), []string{"not UTF-8"}},
		{"half a surrogate pair in a name", one(entry(`\ud83e`, "F32", "[1]", 0, 4)), []string{"not valid Unicode"}},
		{"JSON that is cut", file(`{"a":{"dtype":`, 0), []string{"ends early"}},
		{"JSON with a comma too many", file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},}`, 0), []string{"header: at byte"}},
		{"something after the header", file(`{} {}`, 0), []string{"after the end of the header"}},
		{"a NUL after the header", file("{}\x00", 0), []string{"after the end of the header"}},
		{"deep JSON in place of a tensor", file(`{"a":`+strings.Repeat("[", 1_000_000)+`}`, 0), []string{"unexpected ["}},
		{"deep JSON in a shape", file(`{"a":{"dtype":"F32","shape":`+strings.Repeat("[", 1_000_000), 0), []string{"unexpected ["}},
		{"deep JSON in the metadata", file(`{"__metadata__":`+strings.Repeat(`{"a":`, 1_000_000), 0), []string{"unexpected {"}},
		{"metadata that is a list", file(`{"__metadata__":[]}`, 0), []string{"unexpected ["}},
		{"metadata that is not a string", file(`{"__metadata__":{"step":3}}`, 0), []string{`"step"`, "unexpected 3"}},
		{"metadata that is null", file(`{"__metadata__":null}`, 0), []string{"unexpected null"}},
		{"a metadata key that is there twice", file(`{"__metadata__":{"a":"1","a":"2"}}`, 0), []string{`"a" is there twice`}},
		{"two metadatas", file(`{"__metadata__":{},"__metadata__":{}}`, 0), []string{"there twice"}},
		{"two tensors of one name", one(entry("a", "U8", "[2]", 0, 2) + "," + entry("a", "U8", "[2]", 2, 4)), []string{"a: the name is there twice"}},
		{"two tensors of one name, spelled differently", one(entry("a", "U8", "[2]", 0, 2) + "," + entry(`\u0061`, "U8", "[2]", 2, 4)), []string{"a: the name is there twice"}},
		{"a member that is there twice", one(`"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}`), []string{"dtype is there twice"}},
		{"a member that the format does not know", one(`"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]}`), []string{`unknown member "strides"`}},
		{"a tensor with no members", one(`"a":{}`), []string{"dtype is missing", "shape is missing", "data_offsets is missing"}},
		{"a tensor that is a number", one(`"a":4`), []string{"unexpected 4"}},
		{"an unknown type", one(entry("a", "F33", "[1]", 0, 4)), []string{`unknown dtype "F33"`}},
		{"a type in lower case", one(entry("a", "f32", "[1]", 0, 4)), []string{`unknown dtype "f32"`}},
		{"a type that is not a string", one(`"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}`), []string{"unexpected 7"}},
		{"a negative dimension", one(entry("a", "F32", "[-1]", 0, 4)), []string{"shape: -1 is not a whole number"}},
		{"two negative dimensions", one(entry("a", "F32", "[-1,-1]", 0, 4)), []string{"shape: -1"}},
		{"a dimension with a fraction", one(entry("a", "F32", "[1.0]", 0, 4)), []string{"shape: 1.0"}},
		{"a dimension with an exponent", one(entry("a", "F32", "[1e0]", 0, 4)), []string{"shape: 1e0"}},
		{"a dimension of 2^63", one(entry("a", "F32", "[9223372036854775808]", 0, 4)), []string{"shape: 9223372036854775808"}},
		{"a dimension that is a string", one(entry("a", "F32", `["1"]`, 0, 4)), []string{"unexpected 1"}},
		{"a shape that overflows to the right size", one(entry("a", "F32", "[4611686018427387905,4]", 0, 16)), []string{"the shape overflows"}},
		{"a shape whose bytes overflow", one(entry("a", "F32", "[4611686018427387904,2]", 0, 4)), []string{"the shape overflows"}},
		{"a shape that overflows before a zero", one(entry("a", "F32", "[4611686018427387904,4611686018427387904,0]", 0, 0)), []string{"the shape overflows"}},
		{"a shape of 65 dimensions", one(entry("a", "F32", "[1"+strings.Repeat(",1", 64)+"]", 0, 4)), []string{"shape holds more than 64"}},
		{"four bit elements that end within a byte", one(entry("a", "F4", "[3]", 0, 2)), []string{"do not fill their last byte"}},
		{"offsets that are three numbers", one(`"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}`), []string{"more than 2"}},
		{"offsets that are one number", one(`"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}`), []string{"two numbers"}},
		{"a negative offset", one(entry("a", "F32", "[1]", -4, 0)), []string{"data_offsets: -4"}},
		{"offsets that run backwards", one(entry("a", "F32", "[1]", 4, 0)), []string{"end before they begin"}},
		{"a shape larger than the offsets", one(entry("a", "F32", "[2]", 0, 4)), []string{"takes 8 bytes", "hold 4"}},
		{"tensors that overlap", one(entry("a", "U8", "[3]", 0, 3) + "," + entry("b", "U8", "[2]", 2, 4)), []string{`b: overlaps "a"`}},
		{"two tensors of the same bytes", one(entry("a", "U8", "[4]", 0, 4) + "," + entry("b", "U8", "[4]", 0, 4)), []string{`b: overlaps "a"`}},
		{"a hole before the first tensor", one(entry("a", "U8", "[3]", 1, 4)), []string{"a hole"}},
		{"a hole between tensors", one(entry("a", "U8", "[1]", 0, 1) + "," + entry("b", "U8", "[1]", 3, 4)), []string{"b: a hole: the bytes from 1 to 3"}},
		{"a file that is cut short", one(entry("a", "F32", "[2]", 0, 8)), []string{"cut short", "8 bytes of tensors, it holds 4"}},
		{"bytes after the last tensor", one(entry("a", "U8", "[1]", 0, 1)), []string{"last 3 bytes"}},
		{"a tensor of exabytes", one(entry("a", "U8", "[9223372036854775807]", 0, 9223372036854775807)), []string{"cut short"}},
		{"a pickle", append([]byte("\x80\x02}q\x00X\x01\x00\x00\x00"), make([]byte, 50)...), []string{"pickle", "refused", "save_file"}},
		{"a zip of PyTorch", append([]byte("PK\x03\x04\x00\x00\x08\x08"), make([]byte, 50)...), []string{"pickle", "refused", "save_file"}},
		{"a GGUF file", append([]byte("GGUF\x03\x00\x00\x00"), make([]byte, 50)...), []string{"GGUF"}},
		{"a Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), []string{"git lfs pull"}},
		{"a web page", []byte("<!DOCTYPE html><title>Not found</title>"), []string{"web page"}},
		{"an error of an API", []byte(`{"error":"not found"}`), []string{"begins with JSON"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(c.file)
			if !errors.Is(err, ErrMalformed) || !invalid.Is(err) {
				t.Fatalf("got %v, want ErrMalformed with faults", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestOpenTellsAllFaultsAtOnceAndNotAThousand(t *testing.T) {
	_, err := open(file(`{"a":{"dtype":"X","shape":[-1],"data_offsets":[0]},"b":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 0))
	var fields []string
	for _, f := range invalid.Faults(err) {
		fields = append(fields, f.Field)
	}
	if want := []string{"a", "a", "a", "b"}; !reflect.DeepEqual(fields, want) {
		t.Errorf("faults in %v, want %v: %v", fields, want, err)
	}
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"%d%s":{"dtype":"X","shape":[1],"data_offsets":[0,1]}`, i, strings.Repeat("n", 500))
	}
	_, err = open(file("{"+b.String()[1:]+"}", 1))
	if n := len(invalid.Faults(err)); n != shown+1 || !strings.Contains(err.Error(), "and 4980 more") || len(err.Error()) > 10_000 {
		t.Errorf("%d faults, %d bytes of text", n, len(err.Error()))
	}
}

func TestAnErrorOfTheDiskIsNotAFaultOfTheFile(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := Open(readerAt{iotest.ErrReader(broken)}, 100)
	if !errors.Is(err, broken) || errors.Is(err, ErrMalformed) || invalid.Is(err) {
		t.Errorf("got %v", err)
	}
	// A file that has shrunk since its size was taken.
	b := file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)
	f, err := Open(bytes.NewReader(b[:len(b)-4]), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Float32s("a"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

type readerAt struct{ io.Reader }

func (r readerAt) ReadAt(p []byte, _ int64) (int, error) { return r.Read(p) }

// FuzzOpen wants any bytes to be refused with faults, or to be read whole and to
// come out of Write such that they read the same.
func FuzzOpen(f *testing.F) {
	f.Add(file(`{}`, 0))
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}`, 10))
	f.Add(file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},"b":{"dtype":"I64","shape":[0],"data_offsets":[1,1]}}`, 1))
	f.Add(file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[3,1]}}`, 9))
	f.Add([]byte("\x80\x02}q\x00."))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := open(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || !invalid.Is(err) {
				t.Fatalf("an error that is not about the file: %v", err)
			}
			return
		}
		var outs []Out
		for _, name := range in.Names() {
			info, ok := in.Info(name)
			raw, err := in.Bytes(name)
			if !ok || err != nil {
				t.Fatal(name, err)
			}
			if floats, err := in.Float32s(name); err == nil && len(floats) != info.Len() {
				t.Fatalf("%v: %d floats", info, len(floats))
			}
			if ints, err := in.Int64s(name); err == nil && len(ints) != info.Len() {
				t.Fatalf("%v: %d integers", info, len(ints))
			}
			outs = append(outs, Out{name, info.DType, info.Shape, raw})
		}
		var again bytes.Buffer
		if err := Write(&again, outs, in.Metadata()); err != nil {
			t.Fatal(err)
		}
		back, err := open(again.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back.Names(), in.Names()) || !reflect.DeepEqual(back.Metadata(), in.Metadata()) {
			t.Fatalf("%v %v became %v %v", in.Names(), in.Metadata(), back.Names(), back.Metadata())
		}
		for _, o := range outs {
			info, _ := back.Info(o.Name)
			raw, err := back.Bytes(o.Name)
			if err != nil || info.DType != o.DType || !reflect.DeepEqual(info.Shape, o.Shape) || !bytes.Equal(raw, o.Data.([]byte)) {
				t.Fatalf("%v became %v, %v", o, info, err)
			}
		}
	})
}
