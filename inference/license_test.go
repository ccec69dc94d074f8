package inference

import (
	"testing"
	"testing/fstest"
)

func FuzzFrontMatter(f *testing.F) {
	f.Add([]byte("---\nlicense: mit\n---\n"))
	f.Add([]byte("---\r\nlicense:\r\n - mit\r\n---"))
	f.Fuzz(func(t *testing.T, card []byte) {
		dir := fstest.MapFS{"README.md": &fstest.MapFile{Data: card}}
		if l := license(dir); len(l) > 64 {
			t.Errorf("%d bytes", len(l))
		}
	})
}
