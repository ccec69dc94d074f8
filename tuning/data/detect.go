package data

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lorikeet/adapters/invalid"
)

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
		if columns["source"] == "" || columns["target"] == "" || len(columns) > 2 {
			return plan{}, invalid.Field("columns", "name the languages of %q as source and target", t)
		}
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
