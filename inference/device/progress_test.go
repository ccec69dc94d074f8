package device

import (
	"strings"
	"testing"
)

func TestMeter(t *testing.T) {
	t.Run("a line for each quarter where there is no terminal", func(t *testing.T) {
		var b strings.Builder
		m := Options{Progress: &b}.meter("plugin", 4<<20)
		for n := range int64(41) {
			m.set(n * 4 << 20 / 40)
		}
		m.finish()
		want := "plugin: 0% of 4.0 MiB\nplugin: 25% of 4.0 MiB\nplugin: 50% of 4.0 MiB\nplugin: 75% of 4.0 MiB\nplugin: 4.0 MiB, done\n"
		if b.String() != want {
			t.Errorf("%q", b.String())
		}
	})
	t.Run("a bar on a terminal", func(t *testing.T) {
		var b strings.Builder
		m := &meter{w: &b, title: "plugin", total: 4 << 20, tty: true}
		m.set(1 << 20)
		m.set(8 << 20) // more than was said, and too soon to draw
		m.finish()
		want := "\rplugin [======                  ]  25% of 4.0 MiB\x1b[K" +
			"\rplugin [========================] 100% of 4.0 MiB\x1b[K" +
			"\rplugin: 8.0 MiB, done\x1b[K\n"
		if b.String() != want {
			t.Errorf("%q", b.String())
		}
	})
	t.Run("no share of an unknown whole", func(t *testing.T) {
		var b strings.Builder
		m := &meter{w: &b, title: "plugin", tty: true}
		m.set(1 << 20)
		if b.String() != "\rplugin: 1.0 MiB\x1b[K" {
			t.Errorf("%q", b.String())
		}
	})
}
