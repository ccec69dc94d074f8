package safetensors

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/adapters/sharedtest"
)

// The fixtures were written by the reference implementation: reading one and
// writing it again has to give the same bytes.
func TestFixturesOfTheReferenceAreReadAndWrittenByteForByte(t *testing.T) {
	files, tensors := 0, 0
	err := filepath.WalkDir(sharedtest.Fixture(t, "."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".safetensors") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := open(raw)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		var outs []Out
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			out := Out{Name: name, DType: info.DType, Shape: info.Shape}
			switch info.DType {
			case F32, F16, BF16, F64:
				floats, err := f.Float32s(name)
				if err != nil || len(floats) != info.Len() {
					t.Errorf("%s: %s: %d elements, %v", path, name, len(floats), err)
				}
				if out.Data = floats; info.DType == F64 { // float32 holds not all of it
					out.Data, _ = f.Bytes(name)
				}
			case I64:
				ints, err := f.Int64s(name)
				if err != nil || len(ints) != info.Len() {
					t.Errorf("%s: %s: %d elements, %v", path, name, len(ints), err)
				}
				out.Data = ints
			default:
				if out.Data, err = f.Bytes(name); err != nil {
					t.Errorf("%s: %s: %v", path, name, err)
				}
			}
			outs = append(outs, out)
			tensors++
		}
		var again bytes.Buffer
		if err := Write(&again, outs, f.metadata); err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(again.Bytes(), raw) {
			t.Errorf("%s: written again it differs", path)
		}
		files++
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
	t.Logf("%d files, %d tensors", files, tensors)
}

// The reference reads what Write writes, and agrees on what it says; it is asked
// where python3 (or $LORIKEET_PYTHON) has it.
func TestTheReferenceReadsWhatWeWrite(t *testing.T) {
	python := os.Getenv("LORIKEET_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import safetensors").Run(); err != nil {
		t.Skip("missing Python package safetensors")
	}
	values := []float32{0, 1, -2.5, 65504, 1e-7, float32(math.Inf(1))}
	var b bytes.Buffer
	err := Write(&b, []Out{
		{"é/\"\n", F32, []int{2, 3}, values}, {"h", F16, []int{6}, values}, {"b", BF16, []int{6}, values},
		{"d", F64, []int{3, 2}, values}, {"i", I64, []int{}, []int64{-3}}, {"e", U8, []int{0, 4}, []byte{}},
	}, map[string]string{"format": "pt", "a": "<&>"})
	if err != nil {
		t.Fatal(err)
	}
	const script = `
import json, sys
from safetensors import deserialize
raw = sys.stdin.buffer.read()
for name, t in sorted(deserialize(raw)):
    print(json.dumps([name, t["dtype"], t["shape"], bytes(t["data"]).hex()]))`
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin, cmd.Stderr = &b, os.Stderr
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := `["b", "BF16", [6], "0000803f20c08047d733807f"]
["d", "F64", [3, 2], "0000000000000000000000000000f03f00000000000004c00000000000fcef40000000a0f2d77a3e000000000000f07f"]
["e", "U8", [0, 4], ""]
["h", "F16", [6], "0000003c00c1ff7b0200007c"]
["i", "I64", [], "fdffffffffffffff"]
["\u00e9/\"\n", "F32", [2, 3], "000000000000803f000020c000e07f4795bfd6330000807f"]
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
