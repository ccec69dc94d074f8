package data

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"unicode/utf8"

	"lorikeet/adapters/invalid"
)

// checks looks at what is right by itself but may be wrong with its neighbours.
type checks struct {
	plan      plan
	rows      int
	labels    map[string]int // classification
	trimmed   int
	shortened int // labels that lost a ".0"
	types     labelType

	seed          maphash.Seed
	seen          map[uint64]earlier // by question
	full          bool               // seen has reached its limit
	duplicates    int
	duplicate     [2]int // lines of the first pair
	contradicts   int
	contradiction [2]int
	long          int
	longest       int // characters
	replaced      int // rows with U+FFFD
	noUser        int // conversations without a user's turn
	noReply       int // conversations whose last turn teaches nothing
}

// earlier is what is remembered of a row.
type earlier struct {
	answer uint64
	line   int
}

// labelType tells which JSON types the labels had.
type labelType int

const (
	typeText labelType = 1 << iota
	typeNumber
	typeBool
)

const (
	// maxSeen rows are compared with all before them: about 50 MB of hashes.
	maxSeen = 1_000_000
	// Characters from which on a text probably has more tokens than a model takes:
	// about 512 tokens in an encoder, 2048 in a generating model.
	longText     = 2_000
	longDialogue = 8_000
)

func (c *checks) begin(p plan) {
	c.plan, c.seed, c.seen = p, maphash.MakeSeed(), map[uint64]earlier{}
	if p.kind == Classification {
		c.labels = map[string]int{}
	}
}

// look takes note of a good row. A fault ends the reading.
func (c *checks) look(r Row, maxClasses int) error {
	c.rows++
	if r.Kind == Classification {
		if c.labels[r.Label]++; len(c.labels) > maxClasses {
			return invalid.Line(r.Line, c.plan.columns["label"], "more than %d different labels: is this the column with the labels?", maxClasses)
		}
	}
	question, answer := r.Question(), r.answer()
	size, limit := utf8.RuneCountInString(question), longText
	if r.Kind != Classification && r.Kind != Regression {
		size, limit = size+utf8.RuneCountInString(answer), longDialogue
	}
	if size > limit {
		c.long++
		c.longest = max(c.longest, size)
	}
	if strings.ContainsRune(question, utf8.RuneError) || strings.ContainsRune(answer, utf8.RuneError) {
		c.replaced++
	}
	if r.Kind == Chat {
		if !slices.ContainsFunc(r.Messages, func(m Message) bool { return m.Role == "user" }) {
			c.noUser++
		}
		if r.Messages[len(r.Messages)-1].Role != "assistant" {
			c.noReply++
		}
	}
	c.compare(r, question, answer)
	return nil
}

// compare looks for an earlier row that asks the same.
func (c *checks) compare(r Row, question, answer string) {
	key := maphash.String(c.seed, question)
	now := earlier{maphash.String(c.seed, answer), r.Line}
	before, ok := c.seen[key]
	switch {
	case ok && before.answer == now.answer:
		if c.duplicates++; c.duplicates == 1 {
			c.duplicate = [2]int{before.line, now.line}
		}
	case ok && r.Kind == Classification:
		if c.contradicts++; c.contradicts == 1 {
			c.contradiction = [2]int{before.line, now.line}
		}
	case !ok && len(c.seen) >= maxSeen:
		c.full = true
	case !ok:
		c.seen[key] = now
	}
}

// warnings says what a user should look at before a job is spent on it. complete
// means that no row was refused, so that what is missing is missing in the file.
func (c *checks) warnings(complete bool) []string {
	var w []string
	warn := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	if complete && c.rows > 0 && c.rows < 10 {
		warn("few rows: %d are too few to learn much", c.rows)
	}
	if c.duplicates > 0 {
		warn("repeated rows: %d (first: line %d repeats line %d)", c.duplicates, c.duplicate[1], c.duplicate[0])
	}
	if c.contradicts > 0 {
		warn("contradictory rows: %d have the text of an earlier row and another label (first: lines %d and %d)", c.contradicts, c.contradiction[0], c.contradiction[1])
	}
	if c.full {
		warn("only the first %d different rows were looked through for duplicates", maxSeen)
	}
	if c.long > 0 {
		warn("long rows: %d, up to %d characters; what exceeds max_length tokens will be cut off", c.long, c.longest)
	}
	if c.trimmed > 0 {
		warn("texts with blanks around them, which were cut off: %d", c.trimmed)
	}
	if c.shortened > 0 {
		warn("labels written like 1.0 were read as 1: %d", c.shortened)
	}
	if c.replaced > 0 {
		warn("rows that hold U+FFFD, which stands for a character that was lost before: %d", c.replaced)
	}
	if c.noUser > 0 {
		warn("conversations without a message of the user: %d", c.noUser)
	}
	if c.noReply > 0 {
		warn("conversations that go on after the assistant's last message, where nothing is learned: %d", c.noReply)
	}
	return append(w, c.labelWarnings(complete)...)
}

func (c *checks) labelWarnings(complete bool) []string {
	if len(c.labels) == 0 {
		return nil
	}
	var w []string
	warn := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	names := Report{Labels: c.labels}.Classes()
	var rare, absent []string
	var numeric int
	least, most := names[0], names[0]
	folded := map[string]string{}
	for _, n := range names {
		if c.labels[n] < c.labels[least] {
			least = n
		}
		if c.labels[n] > c.labels[most] {
			most = n
		}
		if c.labels[n] < 2 {
			rare = append(rare, n)
		}
		switch strings.ToLower(n) {
		case "na", "n/a", "none", "unknown", "?", "-":
			absent = append(absent, n)
		}
		if _, ok := number(n); ok {
			numeric++
		}
		fold := strings.ToLower(strings.Join(strings.Fields(n), " "))
		if other, ok := folded[fold]; ok {
			warn("the labels %q and %q differ in case or blanks only, and are two classes", other, n)
		}
		folded[fold] = n
	}
	if complete && len(rare) > 0 {
		warn("labels with a single row, which cannot be both learned and evaluated: %s", quoteList(rare))
	}
	if ratio := float64(c.labels[most]) / float64(c.labels[least]); ratio >= 10 && c.labels[most] >= 20 {
		warn("the classes are uneven: %d rows of %q, %d of %q", c.labels[most], most, c.labels[least], least)
	}
	if len(absent) > 0 {
		warn("the label %s may mean that there is none; it was taken for a class", quoteList(absent))
	}
	if numeric > 0 && numeric < len(names) {
		warn("some labels are numbers and some are words: %s", quoteList(names))
	}
	if c.types&(c.types-1) != 0 {
		warn("the labels have different JSON types; they are compared as strings")
	}
	if len(names) > 50 && len(names)*2 > c.rows {
		warn("%d labels in %d rows: is %q the column with the labels?", len(names), c.rows, c.plan.columns["label"])
	}
	if numeric == len(names) && len(names) > 20 {
		warn("%d labels, all of them numbers: if they are scores, set `kind` to regression", len(names))
	}
	return w
}
