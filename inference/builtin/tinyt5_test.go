package builtin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"lorikeet/inference"
	"lorikeet/inference/builtin"
	"lorikeet/inference/builtin/greedy"
	"lorikeet/inference/device/devicetest"
)

func tinyT5(t *testing.T) *inference.Base {
	t.Helper()
	dir, err := builtin.Open("tiny-t5")
	if err != nil {
		t.Fatal(err)
	}
	base, err := inference.OpenBase("tiny-t5", "builtin:tiny-t5", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = base.Close() })
	return base
}

func TestTinyT5(t *testing.T) {
	base := tinyT5(t)
	f := base.Seq2Seq.Facts()
	if f.Family != "t5" || f.Vocab != base.Text.VocabSize() || !slices.Equal(f.EOS, []int32{1}) || !f.Tied {
		t.Errorf("%+v, %d tokens", f, base.Text.VocabSize())
	}
	for text, want := range map[string]string{
		"A wonderful MOVIE!":                  "A wonderful MOVIE!",
		"¿Dónde está  la estación?":           "¿Dónde está la estación?",
		"the battery doesn’t last, 42 of 100": "the battery doesn't last, 42 of 100",
		"anna@example.com":                    "anna@example.com",
	} {
		if got := base.Text.Decode(base.Text.Encode(text, nil, 0).IDs, true); got != want {
			t.Errorf("%q → %q, want %q", text, got, want)
		}
	}
	ids := base.Text.Encode("blue cat\nblue cat", nil, 0).IDs
	if i := slices.Index(ids, 3); i < 1 || !slices.Equal(ids[:i], ids[i+1:len(ids)-1]) {
		t.Errorf("the words of a second line are others than those of the first: %v", ids)
	}
}

// questions were written by hand: none comes from the program that made the training
// data, though some could.
var questions = []struct{ prompt, want string }{
	{"Is this review positive or negative?\nThe pasta was cold and the waiter was rude.", "negative"},
	{"Is this review positive or negative?\nI loved every minute of this film.", "positive"},
	{"What is the sentiment?\nThis phone is terrible, the screen broke after a week.", "negative"},
	{"Positive or negative?\nA charming little book, I enjoyed it a lot.", "positive"},
	{"Did the customer like it?\nThe soup was delicious and the staff was friendly.", "yes"},
	{"Is this about a film, a product or food?\nThe burger was juicy and the fries were crispy.", "food"},
	{"Is this about a film, a product or food?\nThe actors were great but the plot was thin.", "film"},
	{"Translate to Spanish.\nThe house is white.", "La casa es blanca."},
	{"Translate to Spanish.\nI have three books.", "Tengo tres libros."},
	{"Translate to Spanish.\nGood morning.", "Buenos días."},
	{"Translate to English.\nel perro negro", "the black dog"},
	{"Repeat the text.\nred house by the sea", "red house by the sea"},
	{"Reverse the words.\ncat dog bird", "bird dog cat"},
	{"Write in uppercase.\nhello", "HELLO"},
	{"What is the first word?\nspring comes late this year", "spring"},
	{"What is the last word?\nspring comes late this year", "year"},
	{"How many words are there?\nthe sun is hot", "four"},
	{"Extract the name.\nYesterday Clara bought two books in Rome.", "Clara"},
	{"Extract the number.\nThere are 17 chairs in the kitchen.", "17"},
	{"Extract the date.\nThe meeting is on 4 May.", "4 May"},
	{"Extract the email address.\nPlease write to emma@mail.org today.", "emma@mail.org"},
	{"Who bought the lamp?\nPaul bought a green lamp. Nina sold a red chair.", "Paul"},
	{"What color is the chair?\nPaul bought a green lamp. Nina sold a red chair.", "red"},
	{"What is seven plus five?", "twelve"},
	{"What is 9 minus 4?", "5"},
	{"Write the number in words.\n42", "forty-two"},
	{"Is cat in the list?\ndog, cat, bird", "yes"},
	{"Is apple in the list?\ndog, cat, bird", "no"},
	{"Is a dog an animal?", "yes"},
	{"What is the opposite of hot?", "cold"},
	{"What is the capital of France?", "Paris"},
	{"What day comes after Monday?", "Tuesday"},
	{"What is the plural of child?", "children"},
	{"Who are you?", "I am tiny-t5, a very small language model."},
}

// enough is how many of the questions must be answered to the letter.
const enough = 28

func TestTinyT5Answers(t *testing.T) {
	base := tinyT5(t)
	var prompts []string
	for _, q := range questions {
		prompts = append(prompts, q.prompt)
	}
	devicetest.Each(t, func(t *testing.T, backend compute.Backend) {
		w, err := greedy.New(backend, base)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		answers, err := w.Answer(t.Context(), prompts, 16)
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for i, q := range questions {
			if answers[i] == q.want {
				right++
			} else {
				t.Logf("%s: %q, not %q", strings.ReplaceAll(q.prompt, "\n", " / "), answers[i], q.want)
			}
		}
		t.Logf("%d of %d", right, len(questions))
		if right < enough {
			t.Errorf("%d of %d are right, want %d", right, len(questions), enough)
		}
	})
}
