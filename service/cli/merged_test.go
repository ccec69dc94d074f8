package cli

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tarred is a tar file of names and contents; a name that begins with "->" is a link.
func tarred(t testing.TB, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i+1 < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
		if name, link := strings.CutPrefix(files[i], "->"); link {
			h = &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: files[i+1]}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeSymlink {
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tree is every file below a folder.
func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestMergedDownload(t *testing.T) {
	whole := tarred(t, "imdb-2/config.json", "{}", "imdb-2/model.safetensors", strings.Repeat("w", 5000))
	tars := map[string]string{
		"out":    tarred(t, "imdb-2/config.json", "{}", "imdb-2/../../evil", "x", "imdb-2/model.safetensors", "w"),
		"up":     tarred(t, "../config.json", "{}", "x/..", "w"),
		"root":   tarred(t, "/etc/passwd", "x"),
		"deep":   tarred(t, "a/b/config.json", "{}"),
		"bare":   tarred(t, "config.json", "{}"),
		"twice":  tarred(t, "a/config.json", "{}", "b/config.json", "{}"),
		"link":   tarred(t, "->imdb-2/config.json", "/etc/passwd"),
		"few":    tarred(t, "imdb-2/config.json", "{}"),
		"none":   "",
		"cut":    whole[:3000],
		"noise":  strings.Repeat("noise ", 500),
		"many":   tarred(t, slices.Concat(many(300), []string{"a/config.json", "{}"})...),
		"broken": whole[:len(whole)-1024],
	}
	answers := map[string]http.HandlerFunc{"GET /adapters/imdb/versions/2/merged": says(whole), "GET /adapters/imdb": says(`{"name":"imdb","version":2}`),
		"GET /adapters/imdb/versions/2": says(`{"name":"imdb","version":2}`)}
	for name, text := range tars {
		answers["GET /adapters/"+name] = says(`{"name":"` + name + `","version":1}`)
		answers["GET /adapters/"+name+"/versions/1/merged"] = says(text)
	}
	answers["GET /adapters/broken/versions/1/merged"] = func(w http.ResponseWriter, _ *http.Request) { // the service ends in the middle
		_, _ = w.Write([]byte(tars["broken"]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	f := newFake(t, answers)
	t.Chdir(t.TempDir())
	out, errOut, code := f.run("", "adapters", "download", "imdb", "--merged")
	if want := filepath.Join("imdb-2", "config.json") + "\n" + filepath.Join("imdb-2", "model.safetensors") + "\n"; code != 0 || out != want {
		t.Fatalf("%d %q %s", code, out, errOut)
	}
	if text, err := os.ReadFile(filepath.Join("imdb-2", "model.safetensors")); err != nil || len(text) != 5000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, errOut, code := f.run("", "adapters", "download", "imdb", "--merged"); code != failed || !strings.Contains(errOut, "is not empty") {
		t.Errorf("into a folder with files: %d %s", code, errOut)
	}
	if out, _, code := f.run("", "adapters", "download", "imdb", "--merged", "--tar", "-"); code != 0 || out != whole {
		t.Errorf("to standard output: %d, %d bytes", code, len(out))
	}
	if out, _, code := f.run("", "adapters", "download", "imdb", "--merged", "--tar", "m.tar"); code != 0 || out != "m.tar\n" {
		t.Errorf("%d %q", code, out)
	}
	if text, err := os.ReadFile("m.tar"); err != nil || string(text) != whole {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Run("into the folder where one stands", func(t *testing.T) {
		t.Chdir("empty")
		f := newFake(t, answers)
		if out, errOut, code := f.run("", "adapters", "download", "imdb@2", "--merged", "--to", ".", "--json"); code != 0 || !strings.HasPrefix(out, "{") || len(tree(t, ".")) != 2 {
			t.Errorf("%d %q %s: %v", code, out, errOut, tree(t, "."))
		}
	})
	before := tree(t, ".")
	for name := range tars {
		for _, to := range [][]string{{"--to", "bad"}, {"--tar", "bad.tar"}} {
			if out, errOut, code := f.run("", append([]string{"adapters", "download", name, "--merged"}, to...)...); code != failed || out != "" {
				t.Errorf("%s %v: %d %q %s", name, to, code, out, errOut)
			}
		}
	}
	if after := tree(t, "."); !slices.Equal(before, after) {
		t.Errorf("%v becomes %v", before, after)
	}
	for _, args := range [][]string{{"--tar", "x"}, {"--merged", "--tar", "x", "--to", "y"}} {
		if _, _, code := f.run("", append([]string{"adapters", "download", "imdb"}, args...)...); code != misused {
			t.Errorf("%v: %d", args, code)
		}
	}
}

func many(n int) (files []string) {
	for i := range n {
		files = append(files, fmt.Sprintf("a/%d", i), "x")
	}
	return files
}

// FuzzUnpack unpacks what may be a tar file: nothing is written but files of the one folder.
func FuzzUnpack(f *testing.F) {
	for _, files := range [][]string{{"a/config.json", "{}", "a/model.safetensors", "w"}, {"a/../../x", "y"}, {"->a/config.json", "/etc"}, {"/x", "y"}, {`a/..\x`, "y"}} {
		f.Add([]byte(tarred(f, files...)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "in", "dir")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		names, err := unpack(bytes.NewReader(text), dir, newBar(&bytes.Buffer{}))
		all := tree(t, top)
		if err == nil && len(all) != len(names) {
			t.Errorf("%q were said to be written, there are %q", names, all)
		}
		for _, name := range all {
			if info, err := os.Lstat(filepath.Join(top, name)); err != nil || !info.Mode().IsRegular() || filepath.Dir(name) != filepath.Join("in", "dir") {
				t.Errorf("%q is written: %v", name, err)
			}
		}
	})
}
