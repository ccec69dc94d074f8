package datasets

import (
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
)

// given is what Upload gives out.
func given(t *testing.T, s *Service, d Dataset) string {
	t.Helper()
	b, digest, err := s.Upload(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, b.Size())
	if _, err := b.ReadAt(text, 0); err != nil || store.CheckDigest(digest) != nil {
		t.Fatal(digest, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnUploadIsKeptByteByByte(t *testing.T) {
	s, dir := newService(t)
	const odd = "\ufefftext;label\r\ngood;positive\r\nbad;negative"
	d, _, err := s.CreateKept(t.Context(), "", strings.NewReader(odd), data.Options{Name: "a.csv"})
	if err != nil {
		t.Fatal(err)
	}
	if got := given(t, s, d); got != odd {
		t.Errorf("it comes back as %q", got)
	}
	used, err := s.Digests(t.Context())
	if err != nil || !used[d.Digest] || !used[d.Canonical] {
		t.Errorf("what must not be collected is %v, %v", used, err)
	}
	rows := `{"text":"good","label":"positive"}` + "\n" + `{"text":"bad","label":"negative"}` + "\n"
	plain, _, err := s.Create(t.Context(), strings.NewReader(csv), data.Options{Name: "b.csv"})
	if err != nil {
		t.Fatal(err)
	}
	if got := given(t, s, plain); got != rows {
		t.Errorf("of what was not kept come %q", got)
	}
	before := blobs(t, dir)
	if _, _, err := s.CreateKept(t.Context(), "", strings.NewReader(csv+"x\n"), data.Options{Name: "c.csv"}); !invalid.Is(err) || blobs(t, dir) != before {
		t.Errorf("of a bad file %d blobs stay, %v", blobs(t, dir)-before, err)
	}
}

func TestLabelledInputs(t *testing.T) {
	s, _ := newService(t)
	create := func(text string) string {
		t.Helper()
		d, _, err := s.Create(t.Context(), strings.NewReader(text), data.Options{Name: "a.jsonl"})
		if err != nil {
			t.Fatal(err)
		}
		return d.Canonical
	}
	turn := func(text, label string) string {
		return `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"` + text + `"},{"role":"assistant","content":"` + label + `"}]}` + "\n"
	}
	train := create(turn("a", "yes") + turn("b", " no"))
	in, err := s.Labelled(t.Context(), Inputs{Kind: data.Chat, Train: train, Validation: create(turn("c", "no"))})
	if err != nil || in.Kind != data.Classification || !slices.Equal(in.Labels, []string{"no", "yes"}) {
		t.Fatalf("%+v, %v", in, err)
	}
	got, err := s.Rows(t.Context(), in.Train)
	if err != nil || len(got) != 2 || got[1].Text != "b" || got[1].Label != "no" {
		t.Errorf("rows %+v, %v", got, err)
	}
	_, err = s.Labelled(t.Context(), Inputs{Kind: data.Chat, Train: train, Validation: create(turn("c", "maybe"))})
	if faults := invalid.Faults(err); len(faults) != 1 || faults[0].Field != "validation.rows[0].label" {
		t.Errorf("an unknown label: %v", err)
	}
	_, err = s.Labelled(t.Context(), Inputs{Kind: data.Chat, Train: create(`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}` + "\n")})
	if faults := invalid.Faults(err); len(faults) != 1 || faults[0].Field != "dataset.rows[0].messages" {
		t.Errorf("a longer conversation: %v", err)
	}
	same := Inputs{Kind: data.Classification, Train: train}
	if in, err := s.Labelled(t.Context(), same); err != nil || in.Train != train {
		t.Errorf("labelled rows become %+v, %v", in, err)
	}
}
