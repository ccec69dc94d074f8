package tasks

import (
	"math/rand/v2"
	"strings"
)

// noun is an English noun with its Spanish.
type noun struct {
	en, es   string
	feminine bool
}

func someNoun(r *rand.Rand) noun {
	p := pick(r, spanish["noun"])
	es, gender, _ := strings.Cut(p.b, " ")
	return noun{p.a, es, gender == "f"}
}

// gendered picks the form that fits the noun.
func (n noun) gendered(masculine, feminine string) string {
	if n.feminine {
		return feminine
	}
	return masculine
}

// plural is the noun of more than one.
func (n noun) plural() (en, es string) { return pluralOf(n.en), pluralSpanish(n.es) }

// pluralSpanish adds -s after a vowel and -es after a consonant, where the accent of a
// last syllable becomes needless.
func pluralSpanish(w string) string {
	switch {
	case strings.HasSuffix(w, "ión"):
		return strings.TrimSuffix(w, "ón") + "ones"
	case strings.HasSuffix(w, "ón"):
		return strings.TrimSuffix(w, "ón") + "ones"
	case strings.ContainsAny(w[len(w)-1:], "aeiou") || strings.HasSuffix(w, "é"):
		return w + "s"
	}
	return w + "es"
}

// adjective gives an English adjective and its form for a noun.
func adjective(r *rand.Rand, n noun) (en, es string) {
	p := pick(r, spanish["adj"])
	m, f, _ := strings.Cut(p.b, " ")
	return p.a, n.gendered(m, f)
}

// forms are the sentences that can be translated, both sides at once.
var forms = []func(r *rand.Rand) (en, es string){
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		return "the " + n.en, n.gendered("el ", "la ") + n.es
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		en, es := adjective(r, n)
		return "the " + en + " " + n.en, n.gendered("el ", "la ") + n.es + " " + es
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		en, es := adjective(r, n)
		return "The " + n.en + " is " + en + ".", n.gendered("El ", "La ") + n.es + " es " + es + "."
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		en, es := adjective(r, n)
		return "My " + n.en + " is " + en + ".", "Mi " + n.es + " es " + es + "."
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		en, es := adjective(r, n)
		return "This " + n.en + " is " + en + ".", n.gendered("Este ", "Esta ") + n.es + " es " + es + "."
	},
	func(r *rand.Rand) (string, string) {
		n, p := someNoun(r), pick(r, spanish[pick(r, []string{"have", "want"})])
		return articles(p.a + " a " + n.en + "."), p.b + " " + n.gendered("un ", "una ") + n.es + "."
	},
	func(r *rand.Rand) (string, string) {
		n, p := someNoun(r), pick(r, spanish[pick(r, []string{"have", "want"})])
		en, es := adjective(r, n)
		return articles(p.a + " a " + en + " " + n.en + "."), p.b + " " + n.gendered("un ", "una ") + n.es + " " + es + "."
	},
	func(r *rand.Rand) (string, string) {
		n, p, k := someNoun(r), pick(r, spanish["have"]), pick(r, spanish["number"])
		en, es := n.plural()
		return p.a + " " + k.a + " " + en + ".", p.b + " " + k.b + " " + es + "."
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		return "Where is the " + n.en + "?", "¿Dónde está " + n.gendered("el ", "la ") + n.es + "?"
	},
	func(r *rand.Rand) (string, string) {
		n, p := someNoun(r), pick(r, spanish["place"])
		return "The " + n.en + " is in " + p.a + ".", n.gendered("El ", "La ") + n.es + " está en " + p.b + "."
	},
	func(r *rand.Rand) (string, string) {
		n := someNoun(r)
		return "I like the " + n.en + ".", "Me gusta " + n.gendered("el ", "la ") + n.es + "."
	},
	func(r *rand.Rand) (string, string) { return withMass(r, "drink") },
	func(r *rand.Rand) (string, string) { return withMass(r, "eat") },
	func(r *rand.Rand) (string, string) {
		p, q := pick(r, spanish[pick(r, []string{"live", "am"})]), pick(r, spanish["place"])
		return p.a + " in " + q.a + ".", p.b + " en " + q.b + "."
	},
	func(r *rand.Rand) (string, string) {
		p := pick(r, spanish["phrase"])
		return p.a, p.b
	},
}

// drinks are those of the mass nouns that one drinks.
var drinks = map[string]bool{"water": true, "milk": true, "coffee": true, "tea": true, "wine": true}

// withMass is "I drink milk in the morning", or eating what is no drink.
func withMass(r *rand.Rand, verb string) (string, string) {
	for {
		p, q := pick(r, spanish[verb]), pick(r, spanish["mass"])
		if drinks[q.a] != (verb == "drink") {
			continue
		}
		en, es := p.a+" "+q.a, p.b+" "+q.b
		if r.IntN(2) == 0 {
			w := pick(r, spanish["when"])
			en, es = en+" "+w.a, es+" "+w.b
		}
		return en + ".", es + "."
	}
}

// both is a sentence in both languages: with a capital where it ends as a sentence
// does, and sometimes without either.
func both(r *rand.Rand) (en, es string) {
	en, es = pick(r, forms)(r)
	if !strings.ContainsAny(en, ".?!") {
		return en, es
	}
	en, es = upperFirst(en), upperFirst(es)
	if r.IntN(6) == 0 && strings.HasSuffix(en, ".") && strings.HasSuffix(es, ".") && !strings.Contains(es, "¿") {
		en, es = strings.TrimSuffix(en, "."), strings.TrimSuffix(es, ".")
	}
	return en, es
}

// sameText is the key of a translation: what is held out is so both ways, whatever its
// capitals.
func sameText(en string) string { return strings.ToLower(strings.TrimRight(en, ".")) }

func toSpanish(_ *Maker, r *rand.Rand) Example {
	en, es := both(r)
	return Example{Input: en, Output: es, key: sameText(en)}
}

func toEnglish(_ *Maker, r *rand.Rand) Example {
	en, es := both(r)
	return Example{Input: es, Output: en, key: sameText(en)}
}
