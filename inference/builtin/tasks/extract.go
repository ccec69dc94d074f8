package tasks

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// scene is a sentence whose parts are known.
type scene struct {
	text  string
	parts map[string]string
}

// templates of scenes; a part is written <name>.
var templates = []string{
	"<person> <verb> <number> <things> in <city>.", "<person> <verb> a <color> <thing>.", "On <date>, <person> <went> to <city>.",
	"<person> was born on <date> in <city>.", "<person> lives in <city> and has <number> <things>.", "The <color> <thing> belongs to <person>.",
	"<person> is <number> years old.", "The meeting with <person> is on <date>.", "My <job> <person> comes from <city>.",
	"<person> <verb> <number> <color> <things> on <date>.", "We met <person> in <city> on <date>.", "The <job> in <city> has <number> <color> <things>.",
	"The train to <city> leaves on <date>.", "There are <number> <things> in the <place>.", "<person> likes the <color> <clothing>.",
	"I gave <person> <number> <things>.", "The shop in <city> opens on <date>.", "A <color> <vehicle> stopped near the <place>.",
	"<person> called the <job> on <date>.", "<number> people saw <person> in the <place>.", "<person> wore a <color> <clothing> in <city>.",
	"The <job> told <person> to wait.", "The flight from <city> lands on <date>.", "Please send the <thing> to <person>.",
}

// filled writes a template.
func filled(r *rand.Rand, template string) scene {
	s := scene{parts: map[string]string{}}
	var out strings.Builder
	for rest := template; ; {
		before, after, ok := strings.Cut(rest, "<")
		out.WriteString(before)
		if !ok {
			break
		}
		name, tail, _ := strings.Cut(after, ">")
		value := part(r, name)
		s.parts[name] = value
		out.WriteString(value)
		rest = tail
	}
	s.text = anUpper(out.String())
	return s
}

// anUpper is a sentence with its capital and its articles right.
func anUpper(s string) string { return upperFirst(articles(s)) }

func articles(s string) string {
	w := strings.Split(s, " ")
	for i := range len(w) - 1 {
		if (w[i] == "a" || w[i] == "A") && w[i+1] != "" && strings.ContainsRune("aeio", rune(w[i+1][0])) {
			w[i] += "n"
		}
	}
	return strings.Join(w, " ")
}

func part(r *rand.Rand, name string) string {
	switch name {
	case "person":
		p := pick(r, words[pick(r, []string{"male", "female"})])
		if r.IntN(3) == 0 {
			p = invented(r)
		}
		if r.IntN(4) == 0 {
			p += " " + pick(r, words["family"])
		}
		return p
	case "number":
		return wordy(r.IntN(2) == 0, 2+r.IntN(60))
	case "date":
		return date(r)
	case "things":
		return pluralOf(pick(r, words["thing"]))
	}
	if name == "city" && r.IntN(3) == 0 {
		return invented(r)
	}
	return pick(r, words[name])
}

// invented is a name that nobody has, so that names are known by where they stand.
func invented(r *rand.Rand) string {
	syllables := strings.Fields("ba be bo da den do fa fer ga gor ha hel i jo ka kel ki la len lo ma mar mi mo na nor o pa per ra ren ri ro sa sel so ta ten to u va vel vi wa wen ya yu za zor")
	name := ""
	for range 2 + r.IntN(2) {
		name += pick(r, syllables)
	}
	return upperFirst(strings.TrimSuffix(name+pick(r, strings.Fields("- - - n s l r d k th")), "-"))
}

func pluralOf(w string) string {
	for _, p := range facts["plural"] {
		if p.a == w {
			return p.b
		}
	}
	if strings.HasSuffix(w, "x") || strings.HasSuffix(w, "s") || strings.HasSuffix(w, "ch") || strings.HasSuffix(w, "sh") {
		return w + "es"
	}
	return w + "s"
}

func date(r *rand.Rand) string {
	day, month := 1+r.IntN(28), pick(r, words["month"])
	switch r.IntN(5) {
	case 0:
		return pick(r, words["day"])
	case 1:
		return fmt.Sprint(month, " ", day)
	case 2:
		return fmt.Sprint(day, " ", month, " ", 1950+r.IntN(80))
	}
	return fmt.Sprint(day, " ", month)
}

// sentence writes a scene of any template.
func sentence(r *rand.Rand) scene { return filled(r, pick(r, templates)) }

// extract asks for one part of a scene.
func extract(name string) func(*Maker, *rand.Rand) Example {
	var fit []string
	for _, t := range templates {
		if strings.Contains(t, "<"+name+">") {
			fit = append(fit, t)
		}
	}
	return func(_ *Maker, r *rand.Rand) Example {
		s := filled(r, pick(r, fit))
		return Example{Input: s.text, Output: value(s, name)}
	}
}

// value is a part as it stands in the text.
func value(s scene, name string) string {
	v := s.parts[name]
	if !strings.Contains(s.text, v) { // it began the sentence
		v = upperFirst(v)
	}
	return v
}

func email(_ *Maker, r *rand.Rand) Example {
	person := pick(r, words[pick(r, []string{"male", "female"})])
	address := strings.ToLower(person) + "@" + pick(r, []string{"example", "mail", "post", "office", "school"}) + "." + pick(r, []string{"com", "org", "net"})
	form := pick(r, []string{"Write to %s for the tickets.", "You can reach " + person + " at %s.", "My address is %s.", "Please send the bill to %s today.", "Contact: %s", "Questions go to %s, not to me."})
	return Example{Input: fmt.Sprintf(form, address), Output: address}
}

func price(_ *Maker, r *rand.Rand) Example {
	p := "$" + strconv.Itoa(1+r.IntN(199))
	if r.IntN(3) == 0 {
		p = strconv.Itoa(2+r.IntN(90)) + " " + pick(r, []string{"dollars", "euros"})
	}
	thing := pick(r, words["thing"])
	form := pick(r, []string{"The " + thing + " costs %s.", part(r, "person") + " paid %s for the " + thing + ".", "I bought a " + thing + " for %s in " + pick(r, words["city"]) + ".", "It is only %s today."})
	return Example{Input: articles(fmt.Sprintf(form, p)), Output: p}
}

// did are verbs in the past with their plain forms.
var did = [][2]string{{"bought", "buy"}, {"sold", "sell"}, {"found", "find"}, {"lost", "lose"}, {"saw", "see"}, {"took", "take"}, {"painted", "paint"},
	{"wanted", "want"}, {"cleaned", "clean"}, {"opened", "open"}, {"dropped", "drop"}, {"broke", "break"}}

// reading asks about one of two things that happened.
func reading(_ *Maker, r *rand.Rand) Example {
	people := []string{pick(r, words["male"]), pick(r, words["female"])}
	if r.IntN(3) == 0 {
		people[0] = invented(r)
	}
	r.Shuffle(2, func(i, j int) { people[i], people[j] = people[j], people[i] })
	verbs, things, colors := some(r, did, 2), some(r, words["thing"], 2), some(r, words["color"], 2)
	cities := some(r, words["city"], 2)
	n := 1 + r.IntN(2)
	var text []string
	for i := range n {
		s := people[i] + " " + verbs[i][0] + " a " + colors[i] + " " + things[i]
		if n == 1 || r.IntN(2) == 0 {
			s += " in " + cities[i]
		} else {
			cities[i] = ""
		}
		text = append(text, articles(s)+".")
	}
	i := r.IntN(n)
	questions := [][2]string{
		{"Who " + verbs[i][0] + " the " + things[i] + "?", people[i]},
		{"What did " + people[i] + " " + verbs[i][1] + "?", articles("a " + colors[i] + " " + things[i])},
		{"What color is the " + things[i] + "?", colors[i]},
		{"Which color is the " + things[i] + "?", colors[i]},
		{"Did " + people[i] + " " + verbs[i][1] + " a " + things[i] + "?", "yes"},
		{"Did " + people[i] + " " + verbs[i][1] + " a " + other(r, words["thing"], things) + "?", "no"},
	}
	if cities[i] != "" {
		questions = append(questions, [2]string{"Where did " + people[i] + " " + verbs[i][1] + " the " + things[i] + "?", cities[i]},
			[2]string{"Where was " + people[i] + "?", cities[i]})
	}
	q := pick(r, questions)
	return Example{Instruction: articles(q[0]), Input: strings.Join(text, " "), Output: q[1]}
}

// other picks one that is not among those given.
func other(r *rand.Rand, all, than []string) string {
	for {
		if w := pick(r, all); !slices.Contains(than, w) {
			return w
		}
	}
}

// claims are a subject and what is said of it, with "is" or "are" between them.
func claim(r *rand.Rand) (subject, is, rest string) {
	subject, is = "the "+pick(r, words[pick(r, []string{"animal", "thing", "vehicle", "job", "place"})]), "is"
	switch r.IntN(4) {
	case 0:
		subject = pick(r, words[pick(r, []string{"male", "female"})])
	case 1:
		subject, is = pick(r, []string{"we", "they", "you"}), "are"
	}
	rest = pick(r, words["plain"])
	if r.IntN(2) == 0 {
		rest = "in the " + pick(r, words["place"])
	}
	return subject, is, rest
}

func negate(_ *Maker, r *rand.Rand) Example {
	s, is, rest := claim(r)
	s = upperFirst(s)
	return Example{Input: s + " " + is + " " + rest + ".", Output: s + " " + is + " not " + rest + "."}
}

func question(_ *Maker, r *rand.Rand) Example {
	s, is, rest := claim(r)
	return Example{Input: upperFirst(s) + " " + is + " " + rest + ".", Output: upperFirst(is) + " " + s + " " + rest + "?"}
}
