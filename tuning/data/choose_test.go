package data_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/data"
)

// sortedRows is a file as that of IMDB: all rows of one label, then all of the other.
func sortedRows(n int) string {
	var b strings.Builder
	b.WriteString("text,label\n")
	for i := range n {
		fmt.Fprintf(&b, "t%d,%s\n", i, []string{"neg", "pos"}[2*i/n])
	}
	return b.String()
}

func take(t *testing.T, text string, c data.Choice) (texts []string, report data.Report, err error) {
	t.Helper()
	report, err = data.Parse(strings.NewReader(text), data.Options{Choice: c}, func(r data.Row) error {
		texts = append(texts, r.Text)
		return nil
	})
	return texts, report, err
}

func TestChoiceTakesAWindow(t *testing.T) {
	file := "text,label\na,x\nb,y\nc,x\nd,y\ne,x\n"
	for name, c := range map[string]struct {
		choice data.Choice
		want   string
	}{
		"all of it":            {data.Choice{}, "a b c d e"},
		"from the start":       {data.Choice{Limit: 2}, "a b"},
		"in the middle":        {data.Choice{Offset: 1, Limit: 3}, "b c d"},
		"to the end":           {data.Choice{Offset: 3}, "d e"},
		"more than there are":  {data.Choice{Offset: 3, Limit: 9}, "d e"},
		"behind a bad row":     {data.Choice{Offset: 3, Limit: 2}, "d e"},
		"a sample of too many": {data.Choice{Limit: 2, Sample: 9}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, report, err := take(t, file, c.choice)
			if err != nil || report.Rows != len(got) {
				t.Fatal(err, report)
			}
			if c.choice.Sample > 0 {
				slices.Sort(got)
				c.want = "a b"
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	t.Run("what is left out is not checked", func(t *testing.T) {
		bad := "text,label\na,\nb,y\nc,x\n,y\n"
		if got, _, err := take(t, bad, data.Choice{Offset: 1, Limit: 2}); err != nil || strings.Join(got, " ") != "b c" {
			t.Errorf("%s, %v", got, err)
		}
		if _, _, err := take(t, bad, data.Choice{}); len(invalid.Faults(err)) != 2 {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct {
		choice data.Choice
		field  string
	}{
		"past the end":      {data.Choice{Offset: 5}, "offset"},
		"far past the end":  {data.Choice{Offset: 50, Sample: 3}, "offset"},
		"a negative limit":  {data.Choice{Limit: -1}, "limit"},
		"a negative offset": {data.Choice{Offset: -1}, "offset"},
		"a negative sample": {data.Choice{Sample: -1}, "sample"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := take(t, file, c.choice)
			if f := invalid.Faults(err); len(f) != 1 || f[0].Field != c.field {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("the first rows of a sorted file are of one class, which is said", func(t *testing.T) {
		_, _, err := take(t, sortedRows(100), data.Choice{Limit: 20})
		if f := invalid.Faults(err); len(f) != 1 || !strings.Contains(f[0].Reason, "sample") {
			t.Errorf("%v", err)
		}
	})
}

func TestSampleIsDeterministicAndUniform(t *testing.T) {
	const n, size = 400, 100
	file := sortedRows(n)
	first, report, err := take(t, file, data.Choice{Sample: size, Seed: 7})
	if err != nil || len(first) != size || report.Rows != size {
		t.Fatal(err, report)
	}
	again, _, _ := take(t, file, data.Choice{Sample: size, Seed: 7})
	if !slices.Equal(first, again) {
		t.Error("the same seed drew other rows")
	}
	other, _, _ := take(t, file, data.Choice{Sample: size, Seed: 8})
	if slices.Equal(first, other) {
		t.Error("another seed drew the same rows")
	}
	if smaller, _, _ := take(t, file, data.Choice{Sample: size / 2, Seed: 7}); !slices.Equal(first[:size/2], smaller) {
		t.Error("a smaller sample is not the beginning of a larger one")
	}
	// PCG's output is specified: these rows are drawn everywhere.
	if want := []string{"t158", "t287", "t268"}; !slices.Equal(first[:3], want) {
		t.Errorf("drew %s first, want %s", first[:3], want)
	}
	distinct := slices.Clone(first)
	slices.Sort(distinct)
	if len(slices.Compact(distinct)) != size {
		t.Error("a row was drawn twice")
	}
	// Over many seeds each class gives its half, and each row its share. The bounds are
	// five standard deviations of the hypergeometric and the binomial distribution.
	const seeds = 400
	negative, uses := 0, map[string]int{}
	for seed := range int64(seeds) {
		texts, report, err := take(t, file, data.Choice{Sample: size, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		negative += report.Labels["neg"]
		for _, text := range texts {
			uses[text]++
		}
	}
	sd := math.Sqrt(size * 0.25 * (n - size) / (n - 1) / seeds)
	if mean := float64(negative) / seeds; math.Abs(mean-size/2) > 5*sd {
		t.Errorf("on average %.2f of %d are negative, in a file where half are", mean, size)
	}
	for i := range n {
		p := float64(size) / n
		if k := uses[fmt.Sprintf("t%d", i)]; math.Abs(float64(k)-seeds*p) > 5*math.Sqrt(seeds*p*(1-p)) {
			t.Errorf("row %d was drawn %d times of %d", i, k, seeds)
		}
	}
}

func TestChooseAmongCanonicalRows(t *testing.T) {
	var b bytes.Buffer
	w := data.NewWriter(&b)
	all, err := data.Parse(strings.NewReader(sortedRows(50)), data.Options{}, w.Write)
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	var rows []data.Row
	keep := func(r data.Row) error { rows = append(rows, r); return nil }
	report, err := data.Choose(bytes.NewReader(b.Bytes()), all, data.Choice{Sample: 20, Seed: 1}, keep)
	if err != nil || report.Rows != 20 || len(rows) != 20 || report.Labels["neg"]+report.Labels["pos"] != 20 || all.Rows != 50 {
		t.Fatal(err, report)
	}
	if want, _, _ := take(t, sortedRows(50), data.Choice{Sample: 20, Seed: 1}); rows[3].Text != want[3] {
		t.Error("canonical rows are drawn otherwise than those of a file")
	}
	for name, c := range map[string]data.Choice{"one class": {Limit: 5}, "nothing": {Offset: 50}, "less than nothing": {Sample: -1}} {
		if _, err := data.Choose(bytes.NewReader(b.Bytes()), all, c, keep); !invalid.Is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// opened is a File that counts.
func opened(name, text string, n *int) data.File {
	return data.File{Name: name, Open: func() (io.ReadCloser, error) {
		*n++
		return closing{strings.NewReader(text), n}, nil
	}}
}

type closing struct {
	io.Reader
	n *int
}

func (c closing) Close() error { *c.n += 100; return nil }

func TestParseFiles(t *testing.T) {
	parse := func(opt data.Options, files ...data.File) (texts []string, report data.Report, err error) {
		report, err = data.ParseFiles(files, opt, func(r data.Row) error {
			texts = append(texts, r.Text+"="+r.Label)
			return nil
		})
		return texts, report, err
	}
	n := 0
	a, b := opened("a.csv", "text,label\na,0\nb,0\n", &n), opened("b.csv", "text,label\nc,1\nd,1\n", &n)
	t.Run("one class a file is no fault", func(t *testing.T) {
		got, report, err := parse(data.Options{}, a, b)
		if err != nil || strings.Join(got, " ") != "a=0 b=0 c=1 d=1" || report.Rows != 4 || report.Labels["1"] != 2 {
			t.Error(got, report, err)
		}
	})
	t.Run("files are opened when they are wanted, and closed", func(t *testing.T) {
		n = 0
		if _, _, err := parse(data.Options{Choice: data.Choice{Limit: 1}}, a, b); !invalid.Is(err) || n != 101 {
			t.Error(n, err)
		}
		n = 0
		if _, _, err := parse(data.Options{Choice: data.Choice{Sample: 3}}, a, b); err != nil || n != 202 {
			t.Error(n, err)
		}
	})
	t.Run("classes have names", func(t *testing.T) {
		got, report, err := parse(data.Options{ClassNames: map[string][]string{"label": {"neg", "pos"}}}, a, b)
		if err != nil || strings.Join(got, " ") != "a=neg b=neg c=pos d=pos" || report.Labels["pos"] != 2 {
			t.Error(got, report, err)
		}
	})
	t.Run("a number without a name stays, and -1 is no label", func(t *testing.T) {
		odd := opened("b.jsonl", `{"text":"c","label":7}`+"\n"+`{"text":"d","label":-1}`+"\n", &n)
		_, report, err := parse(data.Options{ClassNames: map[string][]string{"label": {"neg", "pos"}}}, odd)
		if f := invalid.Faults(err); len(f) != 1 || f[0].Line != 2 || report.Labels["7"] != 1 {
			t.Error(report, err)
		}
	})
	t.Run("faults name the file", func(t *testing.T) {
		_, _, err := parse(data.Options{}, a, opened("bad.csv", "text,label\nc,1\nd\ne,\n", &n))
		f := invalid.Faults(err)
		if len(f) != 2 || f[0].Field != "bad.csv" || f[0].Line != 3 || f[1].Field != "bad.csv: label" || f[1].Line != 4 {
			t.Error(err)
		}
	})
	t.Run("an empty file is a fault", func(t *testing.T) {
		if _, _, err := parse(data.Options{}, a, opened("none.csv", "", &n)); len(invalid.Faults(err)) != 1 || invalid.Faults(err)[0].Field != "none.csv" {
			t.Error(err)
		}
	})
	t.Run("an error of the disk is not a fault", func(t *testing.T) {
		gone := errors.New("gone")
		_, _, err := parse(data.Options{}, a, data.File{Name: "b.csv", Open: func() (io.ReadCloser, error) { return nil, gone }})
		if !errors.Is(err, gone) || invalid.Is(err) {
			t.Error(err)
		}
	})
}
