package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/tuning/data"
	"lorikeet/tuning/datasets"
)

// process is a service as one of several processes has it.
func process(t *testing.T, dir string) (*Service, *datasets.Service) {
	t.Helper()
	d, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	sets := datasets.New(datasets.Options{Store: d})
	return New(d, sets, slog.New(slog.DiscardHandler)), sets
}

func labelled(text, label string) json.RawMessage {
	b, _ := json.Marshal(map[string]string{"text": text, "label": label})
	return b
}

func add(t *testing.T, s *Service, collection string, rows ...json.RawMessage) (last Entry) {
	t.Helper()
	for _, r := range rows {
		var err error
		if last, err = s.Add(t.Context(), "acme", collection, r, Entry{}); err != nil {
			t.Fatalf("%s: %v", r, err)
		}
	}
	return last
}

// rowsOf are the rows of a data set, as JSON.
func rowsOf(t *testing.T, sets *datasets.Service, d datasets.Dataset) string {
	t.Helper()
	var all []string
	for r, err := range sets.Stream(t.Context(), d.Canonical) {
		if err != nil {
			t.Fatal(err)
		}
		b, _ := r.MarshalJSON() // as it is stored
		all = append(all, string(b))
	}
	return strings.Join(all, "\n")
}

func TestFeedbackBecomesADataSet(t *testing.T) {
	s, sets := process(t, t.TempDir())
	add(t, s, "mood", labelled("good", "negative"), labelled("bad", "negative"), labelled("odd", "neutral"))
	last := add(t, s, "mood", labelled("good", "positive"))
	d, created, err := s.Dataset(t.Context(), "acme", "mood", Making{})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	if d.Rows != 3 || d.Kind != data.Classification || d.Labels["positive"] != 1 || d.Name != "mood (feedback)" || d.Tenant != "acme" ||
		*d.Feedback != (datasets.Feedback{Collection: "mood", Rows: 3, Overruled: 1, Last: last.ID}) {
		t.Errorf("%+v, %+v", d, d.Feedback)
	}
	if got := rowsOf(t, sets, d); got != `{"text":"bad","label":"negative"}
{"text":"odd","label":"neutral"}
{"text":"good","label":"positive"}` {
		t.Errorf("the rows are %s", got)
	}
	if again, created, err := s.Dataset(t.Context(), "acme", "mood", Making{Name: "other"}); err != nil || created || again.ID != d.ID || again.Name != d.Name {
		t.Errorf("again it is %+v, %v, %v", again, created, err)
	}
	if stored, err := sets.Get(t.Context(), d.ID); err != nil || stored.Feedback == nil || stored.Feedback.Last != last.ID {
		t.Errorf("kept is %+v, %v", stored, err)
	}

	old, _, err := sets.CreateFor(t.Context(), "acme", strings.NewReader("text,label\nfine,positive\nbad,positive\nbad,positive\ngood,positive\nmeh,negative\n"), data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	both, created, err := s.Dataset(t.Context(), "acme", "mood", Making{With: &old, Name: "both", Clear: true})
	if err != nil || !created || both.Feedback.Replaced != 3 || both.Feedback.With != old.ID || both.Rows != 5 {
		t.Fatalf("%+v, %+v, %v", both, both.Feedback, err)
	}
	if got := rowsOf(t, sets, both); got != `{"text":"fine","label":"positive"}
{"text":"bad","label":"negative"}
{"text":"good","label":"positive"}
{"text":"meh","label":"negative"}
{"text":"odd","label":"neutral"}` {
		t.Errorf("the rows are %s", got)
	}
	if sum, err := s.Summary(t.Context(), "acme", "mood"); err != nil || sum.Rows != 0 {
		t.Errorf("after clear there is %+v, %v", sum, err)
	}
	_, _, err = s.Dataset(t.Context(), "acme", "mood", Making{})
	if !invalid.Is(err) {
		t.Errorf("of nothing: %v", err)
	}
	t.Run("cleared rows are gone, later ones are not", func(t *testing.T) {
		add(t, s, "mood", labelled("late", "positive"))
		if next, _, err := s.Dataset(t.Context(), "acme", "mood", Making{With: &both}); err != nil || next.Rows != 6 {
			t.Errorf("%+v, %v", next, err)
		}
	})
	t.Run("one label alone is refused as an upload of it is", func(t *testing.T) {
		_, _, err := s.Dataset(t.Context(), "acme", "mood", Making{})
		if f := invalid.Faults(err); len(f) != 1 || f[0].Line != 0 || f[0].Field != "label" {
			t.Errorf("%v", err)
		}
	})
	t.Run("data sets of other rows are refused", func(t *testing.T) {
		for _, text := range []string{"text,score\na,0.5\nb,1.5\n", "text,text_pair,label\na,b,x\nc,d,y\n"} {
			other, _, err := sets.CreateFor(t.Context(), "acme", strings.NewReader(text), data.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = s.Dataset(t.Context(), "acme", "mood", Making{With: &other})
			if f := invalid.Faults(err); len(f) != 1 || f[0].Field != "with" {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// All kinds of row come out of a data set as they went in.
func TestEveryKindOfRow(t *testing.T) {
	s, sets := process(t, t.TempDir())
	for kind, rows := range map[data.Kind][2]string{
		data.Classification: {`{"text":"a","text_pair":"b","label":"1"}`, `{"text":"a","text_pair":"c","label":"2.50"}`},
		data.Regression:     {`{"text":"a","target":0.5}`, `{"text":"b","target":-3}`},
		data.Instruction:    {`{"instruction":"a","input":"","output":"b"}`, `{"instruction":"a","input":" c\n","output":"<d>"}`},
		data.Chat:           {`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]}`},
		data.Seq2Seq:        {`{"source":"a","target":"1"}`, `{"source":"b","target":"2"}`},
	} {
		add(t, s, string(kind), json.RawMessage(rows[0]), json.RawMessage(rows[1]))
		d, _, err := s.Dataset(t.Context(), "acme", string(kind), Making{})
		if err != nil || d.Kind != kind {
			t.Errorf("%s: %+v, %v", kind, d, err)
			continue
		}
		if got := rowsOf(t, sets, d); got != rows[0]+"\n"+rows[1] {
			t.Errorf("%s: the rows are %s", kind, got)
		}
	}
}

func TestWhatIsNoFeedback(t *testing.T) {
	s, _ := process(t, t.TempDir())
	add(t, s, "mood", labelled("good", "positive"))
	for name, c := range map[string]struct{ collection, row, field string }{
		"a name that is none":        {"Mood", `{"text":"a","label":"b"}`, "collection"},
		"a path":                     {"../mood", `{"text":"a","label":"b"}`, "collection"},
		"no name":                    {"", `{"text":"a","label":"b"}`, "collection"},
		"a text without an answer":   {"new", `{"text":"a"}`, "row"},
		"a question alone":           {"new", `{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"b"}]}`, "row.messages"},
		"an empty label":             {"mood", `{"text":"a","label":""}`, "row.label"},
		"another kind":               {"mood", `{"instruction":"a","output":"b"}`, "row"},
		"a pair among single texts":  {"mood", `{"text":"a","text_pair":"b","label":"c"}`, "row"},
		"a row as long as a chapter": {"mood", `{"text":"` + strings.Repeat("a", MaxRow) + `","label":"c"}`, "row"},
		"what is no JSON":            {"mood", `{`, "row"},
	} {
		_, err := s.Add(t.Context(), "acme", c.collection, json.RawMessage(c.row), Entry{})
		if f := invalid.Faults(err); len(f) == 0 || f[0].Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := s.List(t.Context(), "acme"); err != nil || len(all) != 1 || all[0].Rows != 1 {
		t.Errorf("there is %+v, %v", all, err)
	}
}

// Several processes lose no row, and agree on what kind a collection is.
func TestProcessesShareACollection(t *testing.T) {
	dir := t.TempDir()
	first, sets := process(t, dir)
	second, _ := process(t, dir)
	var wg sync.WaitGroup
	var mu sync.Mutex
	kinds := map[data.Kind]int{}
	for p, s := range []*Service{first, second} {
		for i := range 40 {
			wg.Go(func() {
				row := labelled(fmt.Sprintf("text %d of %d", i, p), []string{"a", "b"}[i%2])
				if i%4 == 3 {
					row = json.RawMessage(fmt.Sprintf(`{"source":"text %d of %d","target":"b"}`, i, p))
				}
				e, err := s.Add(t.Context(), "", "shared", row, Entry{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					kinds[e.Row.Kind]++
				} else if !invalid.Is(err) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if len(kinds) != 1 {
		t.Fatalf("accepted were %v", kinds)
	}
	d, _, err := first.Dataset(t.Context(), "", "shared", Making{})
	if err != nil || d.Rows != kinds[d.Kind] || d.Rows < 20 {
		t.Errorf("%d rows of %v: %v", d.Rows, kinds, err)
	}
	if all, err := second.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].Rows != d.Rows {
		t.Errorf("the other lists %+v, %v", all, err)
	}
	for _, label := range []string{"4", "4.5"} { // a number is a label among labels, and a value among values
		if e := add(t, first, "labels", labelled("a", "x"), json.RawMessage(`{"text":"b","label":`+label+`}`)); e.Row.Label != label {
			t.Errorf("among labels it is %+v", e.Row)
		}
		if e := add(t, first, "values", json.RawMessage(`{"text":"a","target":1}`), json.RawMessage(`{"text":"b","label":`+label+`}`)); e.Row.Target == nil {
			t.Errorf("among values it is %+v", e.Row)
		}
	}
	if n := len(strings.Split(rowsOf(t, sets, d), "\n")); n != d.Rows {
		t.Errorf("%d rows are stored", n)
	}
}

func TestCollections(t *testing.T) {
	s, _ := process(t, t.TempDir())
	yes, no := true, false
	for i, c := range []struct {
		text, label, adapter string
		correct              *bool
	}{{"a", "x", "mood@1", &yes}, {"b", "y", "mood@1", &no}, {"b", "x", "mood@2", &no}, {"c", "x", "", nil}} {
		e, err := s.Add(t.Context(), "acme", "mood", labelled(c.text, c.label), Entry{Adapter: c.adapter, Correct: c.correct})
		if err != nil || !validID(e.ID) {
			t.Fatal(i, e.ID, err)
		}
	}
	sum, err := s.Summary(t.Context(), "acme", "mood")
	want := Summary{Collection: Collection{"mood", data.Classification, 4, sum.CreatedAt}, Texts: 3, Labels: map[string]int{"x": 3}, Answers: Tally{1, 2, 1},
		Adapters: []Answerer{{"mood@1", Tally{1, 1, 0}}, {"mood@2", Tally{0, 1, 0}}}}
	if got, want := fmt.Sprintf("%+v", sum), fmt.Sprintf("%+v", want); err != nil || got != want {
		t.Errorf("%s, want %s; %v", got, want, err)
	}
	var texts []string
	after := ""
	for more := true; more; {
		var page []Entry
		if page, more, err = s.Rows(t.Context(), "acme", "mood", after, 3); err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			texts = append(texts, e.Row.Text)
			after = e.ID
		}
	}
	if got := strings.Join(texts, ""); got != "cbba" {
		t.Errorf("the newest first, they are %s", got)
	}
	if err := s.DeleteRow(t.Context(), "acme", "mood", after); err != nil {
		t.Error(err)
	}
	for _, id := range []string{after, "fb_x", "../about", ""} {
		if err := s.DeleteRow(t.Context(), "acme", "mood", id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := s.Summary(t.Context(), "other", "mood"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another tenant's: %v", err)
	}
	if err := s.Delete(t.Context(), "acme", "mood"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{s.Delete(t.Context(), "acme", "mood"), s.DeleteRow(t.Context(), "acme", "mood", after)} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("of a deleted collection: %v", err)
		}
	}
	add(t, s, "mood", json.RawMessage(`{"source":"a","target":"b"}`)) // begun anew, of another kind
	t.Run("are bounded", func(t *testing.T) {
		for i := range MaxCollections - 1 {
			add(t, s, fmt.Sprint("c", i), labelled("a", "b"))
		}
		if _, err := s.Add(t.Context(), "acme", "more", labelled("a", "b"), Entry{}); !errors.Is(err, ErrFull) {
			t.Errorf("one more: %v", err)
		}
		if _, err := s.Add(t.Context(), "other", "more", labelled("a", "b"), Entry{}); err != nil {
			t.Errorf("of another tenant: %v", err)
		}
	})
}

// crowded is a store whose collections are as full as they may be.
type crowded struct{ Store }

func (c crowded) List(ctx context.Context, prefix string) ([]string, error) {
	keys, err := c.Store.List(ctx, prefix)
	for i := range MaxRows {
		keys = append(keys, fmt.Sprintf("%sfb_%024d", prefix, i))
	}
	return keys, err
}

func TestAFullCollection(t *testing.T) {
	s, _ := process(t, t.TempDir())
	s.store = crowded{s.store}
	if _, err := s.Add(t.Context(), "acme", "mood", labelled("a", "b"), Entry{}); !errors.Is(err, ErrFull) {
		t.Errorf("the error is %v", err)
	}
}
