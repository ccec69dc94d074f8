package adapters

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dlclark/regexp2"

	"lorikeet/adapters/invalid"
)

// matcher decides which modules a Config targets and with what rank and scale, by
// PEFT's rules (tuners_utils.check_target_module_exists, other.get_pattern_key;
// peft 0.21.2). Its patterns are Python regular expressions, hence regexp2; a time
// limit keeps a hostile one from holding the process.
type matcher struct {
	config  Config
	targets *regexp2.Regexp
	exclude *regexp2.Regexp
	layers  []*regexp2.Regexp
	ranks   []*regexp2.Regexp // beside config.RankPattern
	alphas  []*regexp2.Regexp
}

const matchTimeout = 50 * time.Millisecond

func (c Config) matcher() (*matcher, error) {
	m := &matcher{config: c}
	var failed error
	compile := func(field, expr string) *regexp2.Regexp {
		re, err := regexp2.Compile(expr, regexp2.None)
		if err != nil {
			if failed == nil {
				failed = invalid.Field(field, "%q is not a regular expression: %v", expr, err)
			}
			return nil
		}
		re.MatchTimeout = matchTimeout
		return re
	}
	if p := c.Targets.Pattern; p != "" && !c.Targets.allLinear() {
		m.targets = compile("target_modules", `\A(?:`+p+`)\z`)
	}
	if p := c.Exclude.Pattern; p != "" {
		m.exclude = compile("exclude_modules", `\A(?:`+p+`)\z`)
	}
	layers := c.LayersPattern.List
	if p := c.LayersPattern.Pattern; p != "" {
		layers = []string{p}
	}
	for _, l := range layers {
		m.layers = append(m.layers, compile("layers_pattern", `\A(?:^|.*?\.)`+l+`\.(?<idx>\d+)\.`))
	}
	if len(layers) == 0 {
		m.layers = append(m.layers, compile("layers_pattern", `\A.*?\.[^.]*\.(?<idx>\d+)\.`))
	}
	for _, p := range c.RankPattern {
		m.ranks = append(m.ranks, compile("rank_pattern", `\A(.*\.)?(`+p.Key+`)$`))
	}
	for _, p := range c.AlphaPattern {
		m.alphas = append(m.alphas, compile("alpha_pattern", `\A(.*\.)?(`+p.Key+`)$`))
	}
	return m, failed
}

func (n Names) allLinear() bool { return strings.EqualFold(n.Pattern, "all-linear") }

func matches(re *regexp2.Regexp, s string) bool {
	if re == nil {
		return false
	}
	ok, err := re.MatchString(s) // the only error is the time limit
	return ok && err == nil
}

// targeted reports whether LoRA goes on the module.
func (m *matcher) targeted(mod Module) bool {
	if mod.Kind == Norm || m.excluded(mod.Path) || m.saved(mod.Path) {
		return false
	}
	t := m.config.Targets
	switch {
	case t.allLinear():
		return mod.Kind == Linear || mod.Kind == Head && !mod.Labels
	case t.Pattern != "":
		return matches(m.targets, mod.Path)
	case slices.Contains(t.List, mod.Path): // named in full: layers_to_transform does not apply
		return true
	}
	return endsWithAny(mod.Path, t.List) && m.inLayers(mod.Path)
}

func (m *matcher) excluded(path string) bool {
	e := m.config.Exclude
	return matches(m.exclude, path) || slices.Contains(e.List, path) || endsWithAny(path, e.List)
}

// saved reports whether the module, or one that holds it, is stored whole. PEFT
// compares the ends of names letter by letter here: "classifier" also means
// "pre_classifier" (other._set_trainable).
func (m *matcher) saved(path string) bool {
	for {
		if slices.ContainsFunc(m.config.Save, func(name string) bool { return name != "" && strings.HasSuffix(path, name) }) {
			return true
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}

func endsWithAny(path string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(path, "."+n) })
}

func (m *matcher) inLayers(path string) bool {
	if len(m.config.Layers) == 0 {
		return true
	}
	for _, re := range m.layers {
		if re == nil {
			continue
		}
		match, err := re.FindStringMatch(path)
		if err != nil || match == nil {
			continue
		}
		n, err := strconv.Atoi(match.GroupByName("idx").String())
		return err == nil && slices.Contains(m.config.Layers, n)
	}
	return false
}

// rank gives the rank of a module's factors and the α/r (or α/√r, rsLoRA:
// Kalajdzievski 2023) that scales them.
func (m *matcher) rank(path string) (int, float64) {
	c := m.config
	r, alpha := c.R, c.Alpha
	for i, re := range m.ranks {
		if matches(re, path) {
			r = c.RankPattern[i].Value
			break
		}
	}
	for i, re := range m.alphas {
		if matches(re, path) {
			alpha = c.AlphaPattern[i].Value
			break
		}
	}
	if c.RSLoRA {
		return r, alpha / math.Sqrt(float64(r))
	}
	return r, alpha / float64(r)
}

// Plan is what a Config asks for on a base.
type Plan struct {
	Ranks map[string]Rank // modules with LoRA, by path
	Saved []string        // modules stored whole
}

// Rank of one module's factors, and their scale.
type Rank struct {
	R     int
	Scale float64
}

// Plan applies the target rules to a base. A config that targets nothing there is
// refused, as PEFT does.
func (c Config) Plan(l Layout) (Plan, error) {
	if c.Targets.Empty() {
		c.Targets.List = l.standard()
	}
	m, err := c.matcher()
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Ranks: map[string]Rank{}}
	for _, mod := range l {
		switch {
		case mod.Kind != Norm && m.saved(mod.Path):
			p.Saved = append(p.Saved, mod.Path)
		case m.targeted(mod):
			r, scale := m.rank(mod.Path)
			p.Ranks[mod.Path] = Rank{r, scale}
		}
	}
	if len(p.Ranks) == 0 {
		return p, invalid.Field("target_modules", "%s match no module of the base; its linear layers end in: %s",
			c.Targets, strings.Join(l.leaves(), ", "))
	}
	return p, nil
}

func (n Names) String() string {
	if n.Pattern != "" {
		return fmt.Sprintf("%q", n.Pattern)
	}
	return fmt.Sprintf("%q", n.List)
}

// standard is what PEFT targets where a config does not say, for the families it has
// a default for: the query and value projections, under the family's names.
func (l Layout) standard() []string {
	leaves := l.leaves()
	for _, pair := range [][]string{{"query", "value"}, {"q_lin", "v_lin"}, {"q_proj", "v_proj"}, {"q", "v"}} {
		if slices.Contains(leaves, pair[0]) && slices.Contains(leaves, pair[1]) {
			return pair
		}
	}
	return nil
}

// leaves lists the last names of the linear layers, each once.
func (l Layout) leaves() []string {
	var names []string
	for _, m := range l {
		if m.Kind == Linear || m.Kind == Head || m.Kind == Output {
			name := m.Path[strings.LastIndexByte(m.Path, '.')+1:]
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
