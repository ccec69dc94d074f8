package corpus

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// List is what the corpus of the built-in models is made of. debian is where the Debian
// packages are installed (/usr) or unpacked, goroot the Go distribution, data a folder
// of rows. A source that is not there gives nothing.
func List(debian, goroot, data string, seed uint64) []Source {
	wordnet := os.DirFS(filepath.Join(debian, "share/wordnet"))
	rows := func(dir string, fields ...string) Source {
		return Source{Name: "data/" + dir, Text: Rows(os.DirFS(filepath.Join(data, dir)), fields...)}
	}
	licensed := func(s Source, licence string, limit int) Source {
		s.Licence, s.Limit = licence, limit
		return s
	}
	fortune := func(name string) bool { return path.Ext(name) == "" && !strings.HasPrefix(name, "mario") }
	dict := func(name string) bool { return strings.HasSuffix(name, ".dict.dz") }
	return []Source{
		{Name: "reviews.txt", Licence: "Apache-2.0, written for this project", Limit: 60000, Text: Reviews(90000, seed)},
		licensed(rows("translation/tatoeba_en_zh", "en"), "CC BY 2.0 FR", 0),
		licensed(rows("instruction/self_instruct_seed", "instruction", "input", "output"), "Apache-2.0", 0),
		licensed(rows("instruction/p3_t0_sample", "instruction", "input", "output"), "Apache-2.0", 12000),
		licensed(rows("instruction/gsm8k", "instruction"), "MIT", 0),
		licensed(rows("formats/llamafactory", "content", "value", "output"), "Apache-2.0", 0),
		licensed(rows("formats/mt_bench", "turns"), "Apache-2.0", 0),
		licensed(rows("translation/wmt_en_ro_sample", "en"), "Apache-2.0", 0),
		{Name: "wordnet-base (examples)", Licence: "WordNet 3.0", Text: WordNet(wordnet, true)},
		{Name: "wordnet-base (definitions)", Licence: "WordNet 3.0", Limit: 40000, Text: WordNet(wordnet, false)},
		{Name: "fortunes, fortunes-min", Licence: "BSD", Text: Paragraphs(os.DirFS(filepath.Join(debian, "share/games/fortunes")), fortune)},
		{Name: "dict-devil, dict-jargon", Licence: "public domain", Text: Paragraphs(os.DirFS(filepath.Join(debian, "share/dictd")), dict)},
		{Name: "python3-doc", Licence: "PSF", Limit: 8000, Text: HTML(os.DirFS(filepath.Join(debian, "share/doc/python3.11/html")))},
		{Name: "Go", Licence: "BSD", Limit: 8000, Text: GoComments(os.DirFS(filepath.Join(goroot, "src")))},
	}
}

// WriteFile writes the sentences of the sources, one a line, and says how much came
// from where.
func WriteFile(file string, list []Source) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	w := bufio.NewWriter(f)
	count := map[string]int{}
	for source, s := range Collect(list) {
		count[source]++
		if _, err := fmt.Fprintln(w, s); err != nil {
			return err
		}
	}
	for _, s := range list {
		fmt.Printf("%7d sentences  %s (%s)\n", count[s.Name], s.Name, s.Licence)
	}
	return w.Flush()
}

// ReadFile reads what WriteFile wrote.
func ReadFile(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		out = append(out, lines.Text())
	}
	return out, lines.Err()
}
