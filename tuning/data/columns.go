package data

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

// plan says which column of the file is which field of a row.
type plan struct {
	kind    Kind
	columns map[string]string // field to column, as the file names it
	// languages are the members of translation dicts that are source and target;
	// the column itself is then columns["translation"].
	languages [2]string
}

// The names that columns have in the wild, in the order in which they are preferred.
// Sources: the data sets of GLUE, the Hugging Face hub and Kaggle, the formats of
// Alpaca, ShareGPT, LLaMA-Factory, OpenAI and TRL.
var (
	textNames = []string{
		"text", "sentence", "review", "content", "tweet", "comment", "comment_text", "review_text", "review_body", "reviewtext",
		"text_review", "body", "message", "sms", "utterance", "document", "headline", "query", "question", "post", "description",
		"texts", "sentences", "text_a", "sentence1", "input_text", "input", "title", "prompt", "clean_text", "cleaned_text", "statement", "phrase", "string",
	}
	labelNames = []string{
		"label", "labels", "sentiment", "class", "category", "target", "intent", "emotion", "topic", "gold_label", "quality",
		"is_duplicate", "score", "rating", "stars", "overall", "polarity", "similarity", "similarity_score", "class_index", "class_label",
		"label_text", "label_name", "coarse_label", "tag", "type", "y", "output", "answer", "relevance", "stance", "toxic", "spam",
	}
	pairNames = [][2]string{
		{"text", "text_pair"}, {"sentence1", "sentence2"}, {"sentence_1", "sentence_2"}, {"premise", "hypothesis"},
		{"question1", "question2"}, {"question_1", "question_2"}, {"#1_string", "#2_string"}, {"question", "sentence"},
		{"question", "passage"}, {"query", "passage"}, {"query", "document"}, {"text1", "text2"}, {"text_1", "text_2"},
		{"text_a", "text_b"}, {"sentence_a", "sentence_b"}, {"s1", "s2"}, {"q1", "q2"}, {"claim", "evidence"},
		{"question", "answer"}, {"context", "response"}, {"prompt", "response"},
	}
	seq2seqNames = [][2]string{
		{"source", "target"}, {"src", "tgt"}, {"prompt", "completion"}, {"prompt", "response"}, {"source_text", "target_text"},
		{"input_text", "target_text"}, {"input_text", "output_text"}, {"text", "target_text"}, {"input", "output"}, {"inputs", "targets"},
		{"inputs", "outputs"}, {"input", "target"}, {"query", "response"}, {"document", "summary"}, {"article", "highlights"},
		{"article", "summary"}, {"dialogue", "summary"}, {"text", "summary"}, {"question", "answer"},
	}
	instructionNames = []string{"instruction", "instructions"}
	inputNames       = []string{"input", "inputs", "context"}
	outputNames      = []string{"output", "outputs", "response", "completion", "answer", "target"}
	messagesNames    = []string{"messages", "conversations", "conversation", "dialog", "dialogue", "chat"}
)

// iso639 are the two-letter language codes, as columns of parallel texts are named.
const iso639 = " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "

// isLanguage knows "en", "zh-CN" and "pt_br".
func isLanguage(name string) bool {
	code, region, _ := strings.Cut(normal(name), "_")
	return len(code) == 2 && len(region) <= 4 && strings.Contains(iso639, " "+code+" ")
}

// normal is how names are compared: "Review Text" is "review_text".
func normal(name string) string {
	name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\uFEFF")))
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' || r == '_' }), "_")
}

var columnNames = func() map[string]bool {
	known := map[string]bool{"translation": true, "id": true, "idx": true, "index": true}
	for _, list := range [][]string{textNames, labelNames, instructionNames, inputNames, outputNames, messagesNames} {
		for _, n := range list {
			known[n] = true
		}
	}
	for _, list := range [][][2]string{pairNames, seq2seqNames} {
		for _, n := range list {
			known[n[0]], known[n[1]] = true, true
		}
	}
	return known
}()

// isColumnName reports whether a field of the first line reads as a column's name.
func isColumnName(s string) bool { return columnNames[normal(s)] || isLanguage(s) }

// fields of each kind that Options.Columns may name; those with a "?" need not exist.
var fieldsOf = map[Kind][]string{
	Classification: {"text", "text_pair?", "label"},
	Regression:     {"text", "text_pair?", "target"},
	Instruction:    {"instruction", "input?", "output"},
	Chat:           {"messages"},
	Seq2Seq:        {"source", "target"},
	Text:           {"text"},
}

// finder looks for columns in the head of a file.
type finder struct {
	names  []string
	sample []record
}

// find returns the column that goes by one of aliases, "" when there is none.
func (f finder) find(aliases ...string) string {
	for _, a := range aliases {
		for _, n := range f.names {
			if normal(n) == a {
				return n
			}
		}
	}
	return ""
}

// findPair returns the first pair of columns that are both there.
func (f finder) findPair(pairs [][2]string) (a, b string) {
	for _, p := range pairs {
		if a, b := f.find(p[0]), f.find(p[1]); a != "" && b != "" {
			return a, b
		}
	}
	return "", ""
}

// some reports whether any value of the column is as asked.
func (f finder) some(column string, is func(any) bool) bool {
	return slices.ContainsFunc(f.sample, func(r record) bool {
		v, ok := r.fields.get(column)
		return ok && is(v)
	})
}

func isList(v any) bool   { _, ok := v.([]any); return ok }
func isObject(v any) bool { _, ok := v.(object); return ok }
func isText(v any) bool {
	switch v.(type) {
	case string, cell:
		return true
	}
	return false
}
func isNumber(v any) bool { _, ok := v.(json.Number); return ok }
func isBool(v any) bool   { _, ok := v.(bool); return ok }

// detect makes the plan of a file from the names and values at its head, from what
// the user said, and from neither more than it must.
func (p *parser) detect(f finder) (plan, error) {
	if p.opt.Kind != "" && !p.opt.Kind.Known() {
		return plan{}, invalid.Field("kind", "unknown kind %q; there are classification, regression, instruction, chat, seq2seq and text", p.opt.Kind)
	}
	columns := p.plan.columns
	if p.opt.Columns != nil {
		columns = p.opt.Columns
	}
	if columns != nil {
		return p.mapped(f, columns)
	}
	return p.detectKind(f, p.opt.Kind)
}

// mapped takes the columns the user named, and detects the rest.
func (p *parser) mapped(f finder, columns map[string]string) (plan, error) {
	kind := p.opt.Kind
	if kind == "" {
		kind = kindOf(columns)
	}
	columns = maps.Clone(columns)
	if label, ok := columns["label"]; ok && kind == Regression {
		delete(columns, "label")
		columns["target"] = label
	}
	if t := f.find("translation", "translations"); kind == Seq2Seq && t != "" && f.some(t, isObject) {
		return plan{kind: kind, columns: map[string]string{"translation": t}, languages: [2]string{columns["source"], columns["target"]}}, nil
	}
	known := map[string]bool{}
	for _, field := range fieldsOf[kind] {
		known[strings.TrimSuffix(field, "?")] = true
	}
	var faults []error
	for field, column := range columns {
		switch {
		case !known[field]:
			faults = append(faults, invalid.Field("columns."+field, "%s rows have no such field; they have %s", kind, strings.Join(fieldsOf[kind], ", ")))
		case !slices.Contains(f.names, column):
			faults = append(faults, invalid.Field("columns."+field, "the file has no column %q; it has %s", column, quoteList(f.names)))
		}
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return plan{}, joinFaults(faults)
	}
	rest := finder{sample: f.sample}
	for _, n := range f.names {
		used := false
		for _, c := range columns {
			used = used || c == n
		}
		if !used {
			rest.names = append(rest.names, n)
		}
	}
	pl := plan{kind: kind, columns: columns}
	aliases := map[string][]string{
		"text": textNames, "label": labelNames, "target": labelNames, "messages": messagesNames,
		"instruction": instructionNames, "input": inputNames, "output": outputNames,
	}
	if kind == Seq2Seq {
		aliases["target"] = outputNames
	}
	for _, field := range fieldsOf[kind] {
		name := strings.TrimSuffix(field, "?")
		if pl.columns[name] == "" {
			if found := rest.find(aliases[name]...); found != "" {
				pl.columns[name] = found
			} else if name == field {
				faults = append(faults, invalid.Field("columns."+name, "name the column; the file has %s", quoteList(f.names)))
			}
		}
	}
	return pl, joinFaults(faults)
}

// kindOf is the kind that the fields of a column map belong to.
func kindOf(columns map[string]string) Kind {
	has := func(field string) bool { _, ok := columns[field]; return ok }
	switch {
	case has("messages"):
		return Chat
	case has("instruction"), has("output"):
		return Instruction
	case has("source"):
		return Seq2Seq
	case has("target"):
		return Regression
	}
	return Classification
}

// detectKind tries the kinds from the most to the least particular.
func (p *parser) detectKind(f finder, want Kind) (plan, error) {
	for _, try := range []struct {
		kind Kind
		find func(finder) (plan, error)
	}{
		{Chat, p.findChat}, {Instruction, p.findInstruction}, {Seq2Seq, p.findSeq2Seq}, {Classification, p.findClassification}, {Text, p.findText},
	} {
		if want == "" || want == try.kind || want == Regression && try.kind == Classification {
			if pl, err := try.find(f); pl.kind != "" || err != nil {
				return pl, err
			}
		}
	}
	what := "cannot tell from the columns what the rows teach"
	if want != "" {
		what = fmt.Sprintf("the columns are not those of %s rows", want)
	}
	return plan{}, invalid.Line(1, "", "%s: the file has %s. Rows have text and label; instruction, input and output; messages; source and target, or prompt and completion; or text. Rename the columns, or say with `columns` which is which", what, quoteList(f.names))
}

func (p *parser) findChat(f finder) (plan, error) {
	if m := f.find(messagesNames...); m != "" && f.some(m, isList) {
		return plan{kind: Chat, columns: map[string]string{"messages": m}}, nil
	}
	// TRL's conversational prompt and completion.
	if a, b := f.find("prompt"), f.find("completion"); a != "" && b != "" && f.some(a, isList) && f.some(b, isList) {
		return plan{kind: Chat, columns: map[string]string{"messages": a, "completion": b}}, nil
	}
	return plan{}, nil
}

func (p *parser) findInstruction(f finder) (plan, error) {
	instruction, output := f.find(instructionNames...), f.find(outputNames...)
	if instruction == "" || output == "" {
		return plan{}, nil
	}
	pl := plan{kind: Instruction, columns: map[string]string{"instruction": instruction, "output": output}}
	if input := f.find(inputNames...); input != "" {
		pl.columns["input"] = input
	}
	return pl, nil
}

func (p *parser) findSeq2Seq(f finder) (plan, error) {
	if t := f.find("translation", "translations"); t != "" && f.some(t, isObject) {
		return p.findLanguages(f, t)
	}
	source, target := f.findPair(seq2seqNames)
	if source != "" && !f.some(target, isNumber) && !f.some(target, isBool) && !f.some(source, isList) && !f.some(target, isList) {
		label := f.find("label", "labels", "gold_label")
		if p.opt.Kind == "" && normal(source) == "question" && label != "" {
			return plan{}, nil // a pair of texts to classify
		}
		if p.opt.Kind == "" && label != "" {
			return plan{}, invalid.Line(1, "", "the rows may teach to write %q from %q (seq2seq) or to find the %q (classification): say which with `kind`", target, source, label)
		}
		return plan{kind: Seq2Seq, columns: map[string]string{"source": source, "target": target}}, nil
	}
	var languages []string
	for _, n := range f.names {
		if isLanguage(n) && f.some(n, isText) {
			languages = append(languages, n)
		}
	}
	if len(languages) == 2 && f.find(append(textNames, labelNames...)...) == "" {
		p.warnDirection(languages[0], languages[1])
		return plan{kind: Seq2Seq, columns: map[string]string{"source": languages[0], "target": languages[1]}}, nil
	}
	return plan{}, nil
}

// findLanguages reads the direction off the first translation dict.
func (p *parser) findLanguages(f finder, column string) (plan, error) {
	for _, r := range f.sample {
		v, _ := r.fields.get(column)
		o, ok := v.(object)
		if !ok {
			continue
		}
		if len(o.names) != 2 {
			return plan{}, invalid.Line(r.line, column, "%s; a pair has two", count(len(o.names), "language"))
		}
		p.warnDirection(o.names[0], o.names[1])
		return plan{kind: Seq2Seq, columns: map[string]string{"translation": column}, languages: [2]string{o.names[0], o.names[1]}}, nil
	}
	return plan{}, nil
}

func (p *parser) warnDirection(from, to string) {
	p.warn("%q was taken for the source and %q for the target, the order in which they stand; to turn them, name both with `columns`", from, to)
}

func (p *parser) findClassification(f finder) (plan, error) {
	label := f.find(labelNames...)
	if label == "" {
		for _, n := range f.names {
			for _, suffix := range []string{"_label", "_sentiment", "_class", "_category", "_labels"} {
				if label == "" && strings.HasSuffix(normal(n), suffix) {
					label = n
				}
			}
		}
	}
	text, pair := f.findPair(pairNames)
	if text == "" || text == label || pair == label || f.some(pair, isNumber) || f.some(pair, isBool) {
		text, pair = f.find(slices.DeleteFunc(slices.Clone(textNames), func(n string) bool { return n == normal(label) })...), ""
	}
	// Of two columns, the one that is known says what the other is.
	if len(f.names) == 2 && (text == "") != (label == "") {
		known := text + label
		other := f.names[0]
		if other == known {
			other = f.names[1]
		}
		switch {
		case text == "" && f.some(other, isText):
			text = other
			p.warn("column %q was taken for the text", other)
		case label == "" && p.repeating(f, other):
			label = other
			p.warn("column %q was taken for the label", other)
		}
	}
	if label == "" || text == "" {
		return plan{}, nil
	}
	pl := plan{kind: Classification, columns: map[string]string{"text": text, "label": label}}
	if pair != "" {
		pl.columns["text_pair"] = pair
	}
	return pl, nil
}

// repeating reports whether a column has few values, as labels do.
func (p *parser) repeating(f finder, column string) bool {
	seen := map[string]bool{}
	for _, r := range f.sample {
		v, _ := r.fields.get(column)
		s := fmt.Sprint(v)
		if len(s) > 40 {
			return false
		}
		seen[s] = true
	}
	return len(f.sample) >= 4 && len(seen)*2 <= len(f.sample)
}

func (p *parser) findText(f finder) (plan, error) {
	if text := f.find(textNames...); text != "" && f.some(text, func(v any) bool { return isText(v) || isNumber(v) || v == nil }) {
		return plan{kind: Text, columns: map[string]string{"text": text}}, nil
	}
	return plan{}, nil
}

// quoteList names columns in a message, not all when there are many.
func quoteList(names []string) string {
	if len(names) == 0 {
		return "no columns"
	}
	shown := names[:min(len(names), 12)]
	list := make([]string, len(shown))
	for i, n := range shown {
		list[i] = fmt.Sprintf("%q", clip(n, 40))
	}
	text := strings.Join(list, ", ")
	if more := len(names) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
