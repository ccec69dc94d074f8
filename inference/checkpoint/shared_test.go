package checkpoint

import (
	"os"
	"path/filepath"
	"testing"

	"lorikeet/adapters/sharedtest"
)

func TestEveryModelOfTheFixturesOpens(t *testing.T) {
	configs, err := filepath.Glob(filepath.Join(sharedtest.Fixture(t, "."), "*", WeightsFile))
	if err != nil || len(configs) == 0 {
		t.Fatal("no models", err)
	}
	for _, path := range configs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := Open(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for _, name := range m.Names() {
				shape, _ := m.Shape(name)
				n := 1
				for _, d := range shape {
					n *= d
				}
				if got, err := m.Float32s(name); err != nil || len(got) != n {
					t.Errorf("%s %v: %d elements, %v", name, shape, len(got), err)
				}
			}
			if d, err := m.Digest(); err != nil || len(d) != len("sha256:")+64 {
				t.Error(d, err)
			}
		})
	}
}
