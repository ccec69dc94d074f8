package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/safetensors"
)

var config = []byte(`{"model_type":"bert"}`)

// tensors of three types and two sizes.
func tensors() []safetensors.Out {
	return []safetensors.Out{
		{Name: "a.weight", DType: safetensors.F32, Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
		{Name: "b.weight", DType: safetensors.BF16, Shape: []int{4}, Data: []float32{1, -2, 0.5, 0}},
		{Name: "c.weight", DType: safetensors.F16, Shape: []int{1, 2}, Data: []float32{0.25, 65504}},
		{Name: "d.ids", DType: safetensors.I64, Shape: []int{1, 2}, Data: []int64{0, 1}},
	}
}

func file(t testing.TB, tensors ...safetensors.Out) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

// sharded is the folder of tensors() with a file for each of them but the last,
// which lies in the first's.
func sharded(t testing.TB) fstest.MapFS {
	t.Helper()
	all := tensors()
	return fstest.MapFS{
		ConfigFile:                         {Data: config},
		"model-00001-of-00003.safetensors": file(t, all[0], all[3]),
		"model-00002-of-00003.safetensors": file(t, all[1]),
		"model-00003-of-00003.safetensors": file(t, all[2]),
		IndexFile: {Data: []byte(`{"metadata":{"total_size":52,"total_parameters":"14"},"weight_map":{
			"a.weight":"model-00001-of-00003.safetensors","b.weight":"model-00002-of-00003.safetensors",
			"c.weight":"model-00003-of-00003.safetensors","d.ids":"model-00001-of-00003.safetensors"}}`)},
	}
}

func single(t testing.TB) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{ConfigFile: {Data: config}, WeightsFile: file(t, tensors()...)}
}

func TestAModelReadsTheSameHoweverItIsStored(t *testing.T) {
	dir := t.TempDir()
	if err := WriteDir(filepath.Join(dir, "new", "model"), config, tensors(), nil); err != nil {
		t.Fatal(err)
	}
	shardDir := t.TempDir()
	if err := os.CopyFS(shardDir, sharded(t)); err != nil {
		t.Fatal(err)
	}
	both := sharded(t)
	both[WeightsFile] = file(t, tensors()...)
	both["model-00002-of-00003.safetensors"] = &fstest.MapFile{Data: []byte("never read")}
	var digests []string
	for name, fsys := range map[string]fs.FS{
		"one file in memory":              single(t),
		"one file written by WriteDir":    os.DirFS(filepath.Join(dir, "new", "model")),
		"shards in memory":                sharded(t),
		"shards on disk":                  os.DirFS(shardDir),
		"files that can only be streamed": streamed{sharded(t)},
		"one file next to broken shards":  both,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Open(fsys)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.Config(), config) {
				t.Errorf("config %s", m.Config())
			}
			if want := []string{"a.weight", "b.weight", "c.weight", "d.ids"}; !slices.Equal(m.Names(), want) {
				t.Errorf("names %v", m.Names())
			}
			for _, want := range tensors()[:3] {
				got, err := m.Float32s(want.Name)
				shape, ok := m.Shape(want.Name)
				if err != nil || !ok || !slices.Equal(got, want.Data.([]float32)) || !slices.Equal(shape, want.Shape) {
					t.Errorf("%s: %v %v %v", want.Name, got, shape, err)
				}
				if info, ok := m.Info(want.Name); !ok || info.DType != want.DType {
					t.Errorf("%s: %v", want.Name, info)
				}
			}
			if _, ok := m.Shape("x"); ok {
				t.Error("a tensor that is not there has a shape")
			}
			if _, err := m.Float32s("x"); !errors.Is(err, ErrNoTensor) {
				t.Errorf("a tensor that is not there: %v", err)
			}
			if _, err := m.Float32s("d.ids"); !invalid.Is(err) {
				t.Errorf("integers as float32: %v", err)
			}
			d, err := m.Digest()
			if err != nil {
				t.Error(err)
			}
			digests = append(digests, d)
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	slices.Sort(digests)
	// Recorded, since a digest is stored with every adapter made for a base; a Python
	// program written from the comment on Digest gave the same.
	const want = "sha256:e06f4ed558352bb3a569d413dd1052cdf152acb879794257b676e79aa90434ec"
	if distinct := slices.Compact(digests); len(distinct) != 1 || distinct[0] != want {
		t.Errorf("digests %v, want %s", distinct, want)
	}
}

// streamed hides every method of the files but Read, Stat and Close.
type streamed struct{ fs.FS }

func (s streamed) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	return struct{ fs.File }{f}, err
}

func TestDigestTellsCheckpointsApart(t *testing.T) {
	digest := func(config string, edit func([]safetensors.Out)) string {
		all := tensors()
		edit(all)
		m, err := Open(fstest.MapFS{ConfigFile: {Data: []byte(config)}, WeightsFile: file(t, all...)})
		if err != nil {
			t.Fatal(err)
		}
		d, err := m.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seen := map[string]string{}
	for name, d := range map[string]string{
		"the original":   digest(string(config), func([]safetensors.Out) {}),
		"another config": digest(`{"model_type":"roberta"}`, func([]safetensors.Out) {}),
		"another value":  digest(string(config), func(o []safetensors.Out) { o[0].Data.([]float32)[5] = 7 }),
		"another name":   digest(string(config), func(o []safetensors.Out) { o[0].Name = "a.bias" }),
		"another shape":  digest(string(config), func(o []safetensors.Out) { o[0].Shape = []int{3, 2} }),
		"another rank":   digest(string(config), func(o []safetensors.Out) { o[0].Shape = []int{3, 2, 1} }),
		"another type":   digest(string(config), func(o []safetensors.Out) { o[1].DType = safetensors.F16 }),
		"swapped values": digest(string(config), func(o []safetensors.Out) { o[1].Name, o[2].Name = o[2].Name, o[1].Name }),
	} {
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s share a digest", name, other)
		}
		seen[d] = name
	}
}

func TestOpenRefuses(t *testing.T) {
	const one, two, three = "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"
	for _, c := range []struct {
		name string
		edit func(fstest.MapFS) // of the sharded folder
		want []string           // each in the error's text
	}{
		{"a folder with no config", func(f fstest.MapFS) { delete(f, ConfigFile) }, []string{"config.json: the file is missing"}},
		{"an adapter in place of a model", func(f fstest.MapFS) {
			clear(f)
			f["adapter_config.json"] = &fstest.MapFile{Data: []byte(`{}`)}
			f["adapter_model.safetensors"] = file(t)
		}, []string{"config.json: the file is missing", "LoRA adapter"}},
		{"an empty folder, with both faults", func(f fstest.MapFS) { clear(f) }, []string{"config.json: the file is missing", "no model.safetensors and no model.safetensors.index.json"}},
		{"a config that is not JSON", func(f fstest.MapFS) { f[ConfigFile].Data = []byte("{") }, []string{"config.json: the file does not hold a JSON object"}},
		{"a config that is a list", func(f fstest.MapFS) { f[ConfigFile].Data = []byte("[]") }, []string{"config.json: the file does not hold a JSON object"}},
		{"a config of 17 MB", func(f fstest.MapFS) { f[ConfigFile].Data = bytes.Repeat([]byte(" "), 17<<20) }, []string{"config.json: the file has more than"}},
		{"pickled weights, and says how to convert them", func(f fstest.MapFS) {
			clear(f)
			f[ConfigFile] = &fstest.MapFile{Data: config}
			f["pytorch_model.bin"] = &fstest.MapFile{Data: []byte("PK\x03\x04")}
		}, []string{"pickle", "refused", "save_file", "torch.load"}},
		{"GGUF weights", func(f fstest.MapFS) { delete(f, IndexFile); f["q4.gguf"] = f[one] }, []string{"q4.gguf holds GGUF"}},
		{"shards with no index", func(f fstest.MapFS) { delete(f, IndexFile) }, []string{one + " holds shards, but not the index"}},
		{"a pickle under the name of safetensors", func(f fstest.MapFS) { f[WeightsFile] = &fstest.MapFile{Data: []byte("\x80\x02}q\x00.")} },
			[]string{"model.safetensors: this is a Python pickle"}},
		{"a folder under the name of the weights", func(f fstest.MapFS) { f[WeightsFile+"/x"] = &fstest.MapFile{} }, []string{"model.safetensors: this is a folder"}},
		{"a missing shard", func(f fstest.MapFS) { delete(f, two) }, []string{two + ": the shard is missing"}},
		{"two missing shards, both told", func(f fstest.MapFS) { delete(f, two); delete(f, one) }, []string{one + ": the shard is missing; model.safetensors.index.json has 2 tensors", two}},
		{"a shard that is cut", func(f fstest.MapFS) { f[two].Data = f[two].Data[:len(f[two].Data)-1] }, []string{two + ": the file is cut short"}},
		{"a tensor of the index that is in no shard", func(f fstest.MapFS) {
			f[IndexFile].Data = bytes.Replace(f[IndexFile].Data, []byte(`"weight_map":{`), []byte(`"weight_map":{"e":"`+two+`",`), 1)
		}, []string{two + ": model.safetensors.index.json has tensors in this shard that it does not hold: \"e\""}},
		{"a tensor that is in another shard than the index says", func(f fstest.MapFS) {
			f[IndexFile].Data = bytes.Replace(f[IndexFile].Data, []byte(three), []byte(two), 1)
		}, []string{two + ": model.safetensors.index.json has tensors in this shard that it does not hold: \"c.weight\""}},
		{"a tensor that the index does not list", func(f fstest.MapFS) {
			f[two] = file(t, tensors()[1], tensors()[2])
		}, []string{two + ": the shard holds tensors that", `"c.weight"`}},
		{"an index that is not JSON", func(f fstest.MapFS) { f[IndexFile].Data = []byte("{") }, []string{"not JSON"}},
		{"an index that is not UTF-8", func(f fstest.MapFS) { f[IndexFile].Data = []byte("{\"\xff\":1}") }, []string{"not JSON"}},
		{"an index that is a list", func(f fstest.MapFS) { f[IndexFile].Data = []byte("[]") }, []string{"JSON object"}},
		{"an index of endless depth", func(f fstest.MapFS) { f[IndexFile].Data = []byte(strings.Repeat("[", 1_000_000)) }, []string{"not JSON"}},
		{"an index with no weight_map", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"metadata":{}}`) }, []string{"weight_map is missing"}},
		{"an index with an empty weight_map", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"weight_map":{}}`) }, []string{"empty"}},
		{"an index with two weight_maps", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"weight_map":{},"weight_map":{}}`) }, []string{"weight_map is there twice"}},
		{"an index whose weight_map is a list", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"weight_map":[]}`) }, []string{"not an object"}},
		{"an index with a tensor twice", func(f fstest.MapFS) {
			f[IndexFile].Data = fmt.Appendf(nil, `{"weight_map":{"b.weight":"%s","b.weight":"%s"}}`, two, two)
		}, []string{`"b.weight" is there twice`}},
		{"an index with a number for a file", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"weight_map":{"a":7}}`) }, []string{`the file of "a" is not a string`}},
		{"an index that leads out of the folder", func(f fstest.MapFS) {
			f[IndexFile].Data = []byte(`{"weight_map":{"a":"../x.safetensors","b":"/etc/x.safetensors","c":"a/../../x.safetensors","d":"C:\\x.safetensors","e":"","f":"x//y.safetensors"}}`)
		}, []string{`"../x.safetensors": the name leads out`, `"/etc/x.safetensors": the`, `"a/../../x.safetensors": the`, `"C:\\x.safetensors": the`, `"": the`, `"x//y.safetensors": the`}},
		{"an index of pickles", func(f fstest.MapFS) { f[IndexFile].Data = []byte(`{"weight_map":{"a":"pytorch_model.bin"}}`) }, []string{"refused"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fsys := sharded(t)
			c.edit(fsys)
			_, err := Open(fsys)
			if !invalid.Is(err) {
				t.Fatalf("got %v, want faults", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
		})
	}
}

func TestAnErrorOfTheDiskIsNotAFaultOfTheModel(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := Open(failing{single(t), broken})
	if !errors.Is(err, broken) || invalid.Is(err) {
		t.Errorf("got %v", err)
	}
}

// failing serves files whose reads fail.
type failing struct {
	fs.FS
	err error
}

func (f failing) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	return badFile{file, iotest.ErrReader(f.err)}, err
}

type badFile struct {
	fs.File
	r io.Reader
}

func (b badFile) Read(p []byte) (int, error) { return b.r.Read(p) }

func TestWriteDirLeavesWhatWasThereWhenItFails(t *testing.T) {
	dir := t.TempDir()
	if err := WriteDir(dir, config, tensors(), nil); err != nil {
		t.Fatal(err)
	}
	bad := []safetensors.Out{{Name: "a", DType: safetensors.F32, Shape: []int{2}, Data: []float32{1}}}
	if err := WriteDir(dir, config, bad, nil); !invalid.Is(err) {
		t.Errorf("got %v", err)
	}
	if err := WriteDir(dir, []byte("no JSON"), tensors(), nil); !invalid.Is(err) {
		t.Errorf("got %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left %v, %v", entries, err)
	}
	m, err := Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if len(m.Names()) != 4 {
		t.Error(m.Names())
	}
	// And it replaces a model that is there.
	if err := WriteDir(dir, config, tensors()[:1], nil); err != nil {
		t.Fatal(err)
	}
	again, err := Open(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if len(again.Names()) != 1 {
		t.Error(again.Names())
	}
}

// FuzzIndex wants any bytes to be refused with faults, or to be an index that
// names files inside the folder only.
func FuzzIndex(f *testing.F) {
	f.Add(sharded(f)[IndexFile].Data)
	f.Add([]byte(`{"weight_map":{"a":"../b.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":{"b":[1]}},"weight_map":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		index, err := parseIndex(b)
		if err != nil {
			if !invalid.Is(err) {
				t.Fatal(err)
			}
			return
		}
		var plain struct {
			WeightMap map[string]string `json:"weight_map"`
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		if err := dec.Decode(&plain); err == nil && len(plain.WeightMap) < len(index) {
			t.Fatalf("%v, but encoding/json reads %v", index, plain.WeightMap)
		}
		for name, file := range index {
			if !fs.ValidPath(file) || !filepath.IsLocal(filepath.FromSlash(file)) {
				t.Fatalf("%q in %q", name, file)
			}
		}
	})
}
