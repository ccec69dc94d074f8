package jinja

// An expr is an expression; it gives a value.
type expr interface{ eval(*state) value }

// A stmt is a statement; it tells whether it leaves the loop it is in.
type stmt interface{ exec(*state) leave }

type leave int

const (
	stay leave = iota
	leaveRound
	leaveLoop
)

type (
	literal struct{ value value }
	lookup  struct{ name string }
	items   struct { // [a, b] or (a, b)
		list  []expr
		tuple bool
	}
	pairs  struct{ keys, values []expr }
	either struct{ test, then, other expr } // other may be nil
	logic  struct {
		and         bool
		left, right expr
	}
	not     struct{ of expr }
	compare struct {
		first expr
		ops   []string
		rest  []expr
	}
	binary struct {
		op          string
		left, right expr
	}
	negative struct{ of expr }
	positive struct{ of expr }
	attr     struct {
		of   expr
		name string
	}
	index struct{ of, at expr }
	slice struct{ of, from, to, step expr } // each may be nil but of
	call  struct {
		of   expr
		args arguments
	}
	filtered struct {
		of   expr
		name string
		args arguments
	}
	tested struct {
		of   expr
		name string
		args arguments
	}
	arguments struct {
		pos   []expr
		names []string
		named []expr
	}
)

type (
	text   struct{ s string }
	output struct {
		of   expr
		line int
	}
	ifs struct {
		tests  []expr
		bodies [][]stmt // one more than tests where there is an else
		line   int
	}
	loop struct {
		into  target
		over  expr
		where expr // may be nil
		body  []stmt
		none  []stmt
		line  int
	}
	set struct {
		into target
		to   expr
		line int
	}
	capture struct { // {% set x %}…{% endset %}
		into    target
		filters []filtered
		body    []stmt
		line    int
	}
	scoped struct { // with and generation
		into []target
		to   []expr
		body []stmt
	}
	piped struct { // {% filter f %}…{% endfilter %}
		filters []filtered
		body    []stmt
		line    int
	}
	macro struct {
		name     string
		params   []string
		defaults []expr // of the last params
		body     []stmt
	}
	jump struct{ leave leave }
)

// target is what is assigned to: a name, an attribute of a namespace, or several.
type target struct {
	name  string
	attr  string
	parts []target
}
