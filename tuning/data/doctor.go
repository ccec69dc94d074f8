package data

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What can be wrong with rows that are well formed. All but Imbalance and RareLabel are of
// single rows, which can be left out.
const (
	Duplicate     = "duplicate"      // question and answer of an earlier row, letter by letter
	Normalised    = "normalised"     // the same but for case, punctuation, blanks and forms of characters
	NearDuplicate = "near_duplicate" // most of an earlier row's text, and its answer
	Contradiction = "contradiction"  // the text of another row, with another label or number
	Leakage       = "leakage"        // a text of the validation rows, or nearly one
	Empty         = "empty"          // nothing to read, or nothing to answer
	Encoding      = "encoding"       // characters that were lost or doubly encoded
	Length        = "length"         // far longer than the others
	Imbalance     = "imbalance"      // a label with ten times the rows of another
	RareLabel     = "rare_label"     // a label with fewer than five rows
)

// Ailments are those of rows, in the order in which they are told.
var Ailments = []string{Duplicate, Normalised, NearDuplicate, Contradiction, Leakage, Empty, Encoding, Length}

// Cures are the ailments whose rows are left out unless a caller says otherwise: those for
// which there is no good reason to stay.
var Cures = []string{Duplicate, Normalised, Contradiction, Leakage, Empty, Encoding}

// Bounds of what an examination remembers, about 120 MB in all: rows that are looked
// through, rows that are compared by their words, and examples of each ailment.
const (
	DoctorRows = 1_000_000
	nearRows   = 100_000
	examples   = 50
)

// Diagnosis is what an examination found.
type Diagnosis struct {
	Rows         int       `json:"rows"`             // looked through
	Unread       int       `json:"unread,omitempty"` // beyond the first million: not looked through
	NearCompared int       `json:"near_compared"`    // of them, compared by their words; shorter rows, and those beyond 100,000, are not
	Validation   int       `json:"validation_rows"`  // that they were compared with
	Sound        int       `json:"sound_rows"`       // with nothing the matter
	Findings     []Finding `json:"findings"`
}

// Finding is one ailment.
type Finding struct {
	Kind     string  `json:"kind" example:"duplicate" enums:"duplicate,normalised,near_duplicate,contradiction,leakage,empty,encoding,length,imbalance,rare_label"`
	Count    int     `json:"count" example:"12"` // rows, or labels
	Advice   string  `json:"advice"`
	Examples []Trace `json:"examples"` // the first 50
}

// Trace points at a row: its number in the data set, from 1, headers and blank lines of
// the file not counted.
type Trace struct {
	Row    int    `json:"row,omitempty" example:"17"`
	Of     int    `json:"of,omitempty" example:"4"` // the other row; of a leakage, the validation row
	Detail string `json:"detail,omitempty"`
}

var advice = map[string]string{
	Duplicate:     "the row counts twice in training, and in a split may stand on both sides",
	Normalised:    "the same row in another writing counts twice",
	NearDuplicate: "look whether the rows differ in what matters; in a split they may stand on both sides",
	Contradiction: "no model can be right about both; decide which answer holds",
	Leakage:       "what was learned is asked again: scores on the validation rows are too good",
	Empty:         "nothing can be learned from the row",
	Encoding:      "the file was read or saved in a wrong encoding; save it as UTF-8 from the source",
	Length:        "what exceeds max_length tokens is cut off; look whether several rows ran together",
	Imbalance:     "accuracy says little; look at f1_macro, or bring more rows of the rare label",
	RareLabel:     "a label with so few rows can hardly be both learned and measured",
}

// doctor looks through rows, each once, in order.
type doctor struct {
	found     map[string]*Finding
	sick      map[int][]string // rows with what they have
	exact     map[uint64]earlier
	folded    map[uint64]earlier
	near      *crowd
	held      map[uint64]int // normalised texts of the validation rows
	heldNear  *crowd
	lengths   []uint32
	labels    map[string]int
	sketched  int
	diagnosis Diagnosis
}

// Examine looks through rows, and through the validation rows they may have been mixed up
// with (nil: there are none). sick tells for each row that has something what it has.
func Examine(rows, validation iter.Seq2[Row, error]) (d Diagnosis, sick map[int][]string, err error) {
	x := &doctor{found: map[string]*Finding{}, sick: map[int][]string{}, exact: map[uint64]earlier{}, folded: map[uint64]earlier{},
		near: newCrowd(nearRows), held: map[uint64]int{}, heldNear: newCrowd(nearRows), labels: map[string]int{}}
	if validation != nil {
		for r, err := range validation {
			if err != nil {
				return d, nil, err
			}
			if x.diagnosis.Validation++; x.diagnosis.Validation <= DoctorRows {
				x.hold(r, x.diagnosis.Validation)
			}
		}
	}
	n := 0
	for r, err := range rows {
		if err != nil {
			return d, nil, err
		}
		if n++; n <= DoctorRows {
			x.look(r, n)
		}
	}
	x.diagnosis.Rows, x.diagnosis.Unread = min(n, DoctorRows), max(0, n-DoctorRows)
	x.diagnosis.NearCompared = x.sketched
	x.outliers()
	x.balance()
	x.diagnosis.Sound = x.diagnosis.Rows - len(x.sick)
	x.diagnosis.Findings = []Finding{}
	for _, kind := range append(slices.Clone(Ailments), Imbalance, RareLabel) {
		if f := x.found[kind]; f != nil {
			x.diagnosis.Findings = append(x.diagnosis.Findings, *f)
		}
	}
	return x.diagnosis, x.sick, nil
}

// find notes an ailment; row 0 is that of a label.
func (x *doctor) find(kind string, row, of int, format string, args ...any) {
	f := x.found[kind]
	if f == nil {
		f = &Finding{Kind: kind, Advice: advice[kind], Examples: []Trace{}}
		x.found[kind] = f
	}
	if row > 0 {
		if slices.Contains(x.sick[row], kind) {
			return
		}
		x.sick[row] = append(x.sick[row], kind)
	}
	f.Count++
	if len(f.Examples) < examples {
		f.Examples = append(f.Examples, Trace{Row: row, Of: of, Detail: fmt.Sprintf(format, args...)})
	}
}

// hold keeps a validation row to find again.
func (x *doctor) hold(r Row, row int) {
	text := normalised(r.Question())
	key := sum64(text)
	if _, ok := x.held[key]; !ok {
		x.held[key] = row
	}
	if s, ok := sketch(text); ok {
		x.heldNear.put(&s, row, 0)
	}
}

func (x *doctor) look(r Row, row int) {
	question, answer := r.Question(), r.answer()
	x.lengths = append(x.lengths, uint32(min(utf8.RuneCountInString(question)+utf8.RuneCountInString(answer), 1<<31))) //nolint:gosec // bounded
	if r.Kind == Classification {
		x.labels[r.Label]++
	}
	if why := hollow(r); why != "" {
		x.find(Empty, row, 0, "%s is empty", why)
		return // it has nothing that could be compared
	}
	if why := mangled(question + "\x00" + answer); why != "" {
		x.find(Encoding, row, 0, "%s", why)
	}
	x.compare(r, row, question, answer)
}

// compare looks for an earlier row that is the same, and for one of the validation rows.
func (x *doctor) compare(r Row, row int, question, answer string) {
	text := normalised(question)
	key, said := sum64(text), sum64(normalised(answer))
	if of, ok := x.held[key]; ok {
		x.find(Leakage, row, of, "the text of the validation row")
	}
	letters, spoken := sum64(question), sum64(answer)
	repeated := false
	if before, ok := x.exact[letters]; ok && before.answer == spoken {
		x.find(Duplicate, row, before.line, "")
		repeated = true
	} else if !ok {
		x.exact[letters] = earlier{spoken, row}
	}
	if before, ok := x.folded[key]; !ok {
		x.folded[key] = earlier{said, row}
	} else if before.answer == said {
		if !repeated {
			x.find(Normalised, row, before.line, "")
		}
		repeated = true
	} else if r.Kind == Classification || r.Kind == Regression {
		x.find(Contradiction, row, before.line, "%s", clipped(answer))
		x.find(Contradiction, before.line, row, "")
	}
	s, ok := sketch(text)
	if !ok {
		return
	}
	if of := x.heldNear.find(&s, 0, false); of > 0 && !slices.Contains(x.sick[row], Leakage) {
		x.find(Leakage, row, of, "nearly the text of the validation row")
	}
	if repeated {
		return
	}
	if of := x.near.find(&s, said, true); of > 0 {
		x.find(NearDuplicate, row, of, "")
		return
	}
	if x.near.put(&s, row, said); !x.near.full {
		x.sketched++
	}
}

// hollow names the part of a row that is empty.
func hollow(r Row) string {
	blank := func(s string) bool { return strings.TrimFunc(s, unseen) == "" }
	switch r.Kind {
	case Classification, Regression, Text:
		if blank(r.Text) {
			return "the text"
		}
	case Instruction:
		switch {
		case blank(r.Instruction) && blank(r.Input):
			return "the instruction"
		case blank(r.Output):
			return "the output"
		}
	case Seq2Seq:
		switch {
		case blank(r.Source):
			return "the source"
		case blank(r.TargetText):
			return "the target"
		}
	case Chat:
		for _, m := range r.Messages {
			if m.Role == "assistant" && m.Counts() > 0 && !blank(m.Content) {
				return ""
			}
		}
		return "what the assistant says"
	}
	return ""
}

// unseen are characters that print nothing.
func unseen(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r)
}

// mangled says what of a text was damaged before it came here: characters that are lost,
// UTF-8 that was read as Latin-1 or Windows-1252 and saved again, control characters.
func mangled(text string) string {
	var before rune
	for i, r := range text {
		switch {
		case r == utf8.RuneError:
			return "holds U+FFFD, which stands for a lost character"
		case (before == 'Ã' || before == 'Â') && (r >= 0x80 && r <= 0xBF || strings.ContainsRune("€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œŸ", r)),
			before == 'â' && r == '€', before == 'ï' && r == '»', before == 'ð' && r == 'Ÿ':
			return fmt.Sprintf("holds %q, which looks like UTF-8 that was read as Windows-1252", string(before)+string(r))
		case r != 0 && unicode.IsControl(r) && !unicode.IsSpace(r):
			return fmt.Sprintf("holds the control character %U at byte %d", r, i)
		}
		before = r
	}
	return ""
}

// outliers finds rows that are far longer than the others: above three quartile ranges
// over the upper quartile (Tukey's outer fence), and four times the median.
func (x *doctor) outliers() {
	n := len(x.lengths)
	if n < 20 {
		return
	}
	sorted := slices.Sorted(slices.Values(x.lengths))
	low, middle, high := sorted[n/4], sorted[n/2], sorted[3*n/4]
	fence := max(high+3*(high-low), 4*middle, 200)
	for i, size := range x.lengths {
		if size > fence {
			x.find(Length, i+1, 0, "%d characters; half of the rows have at most %d", size, middle)
		}
	}
}

func (x *doctor) balance() {
	if len(x.labels) < 2 {
		return
	}
	names := slices.SortedFunc(maps.Keys(x.labels), func(a, b string) int { return cmp.Or(cmp.Compare(x.labels[a], x.labels[b]), cmp.Compare(a, b)) })
	most := names[len(names)-1]
	for _, l := range names {
		if n := x.labels[l]; n*10 <= x.labels[most] {
			x.find(Imbalance, 0, 0, "%d rows of %s, %d of %s", n, clipped(l), x.labels[most], clipped(most))
		}
		if n := x.labels[l]; n < 5 {
			x.find(RareLabel, 0, 0, "%d rows of %s", n, clipped(l))
		}
	}
}

func clipped(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
