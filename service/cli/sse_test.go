package cli

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// read is all of a stream.
func read(r io.Reader) (all []event, err error) {
	for e, err := range events(r) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func TestEvents(t *testing.T) {
	// The dashboard's reader is tried with the same stream.
	text := "\uFEFF: hello\r\nid: 1\ndata: a\ndata:b\n\nevent: step\rdata: {\"x\": 1}\rid: 2\r\r\nretry: 25\nnothing\ndata\n\nid: x\x00y\ndata: end\n\n: bye\ndata: not whole"
	want := []event{{"1", "", "a\nb"}, {"2", "step", `{"x": 1}`}, {"2", "", ""}, {"2", "", "end"}}
	for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
		if got, err := read(r); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	}
	broken := errors.New("reset by peer")
	got, err := read(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
	for _, large := range []string{strings.Repeat("x", largestEvent+1), strings.Repeat("data: "+strings.Repeat("y", 1<<20)+"\n", 9)} {
		if _, err := read(strings.NewReader(large)); !errors.Is(err, errEventTooLarge) {
			t.Errorf("%d bytes: %v", len(large), err)
		}
	}
}

// An event comes when its last line has ended, not when something follows.
func TestEventsComeAtOnce(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n"} {
		r, w := io.Pipe()
		got := make(chan event)
		go func() {
			for e := range events(r) {
				got <- e
			}
			close(got)
		}()
		if _, err := w.Write([]byte("data: now" + end)); err != nil {
			t.Fatal(err)
		}
		if e := <-got; e.Data != "now" {
			t.Errorf("%q: %q", end, e.Data)
		}
		_ = w.Close()
		<-got
	}
}

// FuzzEvents: however the network cuts a stream, and whatever its line ends, the events are
// the same, and none holds what would be another line.
func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: step\ndata: {}\n\n", 3)
	f.Add("\uFEFFdata: a\r\ndata: b\r\n\r\n:x\r\n", 1)
	f.Add("data\r\rdata:\n\nid\ndata: c\n\n", 7)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		whole, err := read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range whole {
			if strings.ContainsAny(e.ID+e.Name, "\r\n") || strings.Contains(e.Data, "\r") {
				t.Fatalf("%q", e)
			}
		}
		at := 0
		if len(text) > 0 {
			at = (cut%len(text) + len(text)) % len(text)
		}
		again, err := read(io.MultiReader(strings.NewReader(text[:at]), iotest.OneByteReader(strings.NewReader(text[at:]))))
		if err != nil || !slices.Equal(whole, again) {
			t.Fatalf("cut at %d: %q, whole: %q, %v", at, again, whole, err)
		}
		one := bytes.ReplaceAll(bytes.ReplaceAll([]byte(text), []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		if same, err := read(bytes.NewReader(one)); err != nil || !slices.Equal(whole, same) {
			t.Fatalf("with LF: %q, as it is: %q, %v", same, whole, err)
		}
	})
}
