package tasks

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

var (
	units = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
	tens  = strings.Fields("- - twenty thirty forty fifty sixty seventy eighty ninety")
)

// inWords spells a number from 0 to 199.
func inWords(n int) string {
	switch {
	case n < 20:
		return units[n]
	case n < 100 && n%10 == 0:
		return tens[n/10]
	case n < 100:
		return tens[n/10] + "-" + units[n%10]
	case n == 100:
		return "one hundred"
	}
	return "one hundred " + inWords(n-100)
}

// pairOf is the key of two numbers: what is held out is held out in words and digits,
// and whichever comes first.
func pairOf(op string, x, y int) string {
	if op == "+" && x > y {
		x, y = y, x
	}
	return fmt.Sprint(x, op, y)
}

// wordy is a number, now in words, now in digits.
func wordy(words bool, n int) string {
	if words {
		return inWords(n)
	}
	return strconv.Itoa(n)
}

func add(_ *Maker, r *rand.Rand) Example {
	x, y, w := r.IntN(21), r.IntN(21), r.IntN(3) > 0
	return Example{Instruction: ask(r, "add", map[string]string{"x": wordy(w, x), "y": wordy(w, y)}), Output: wordy(w, x+y), key: pairOf("+", x, y)}
}

func subtract(_ *Maker, r *rand.Rand) Example {
	x, y, w := r.IntN(21), r.IntN(21), r.IntN(3) > 0
	if x < y {
		x, y = y, x
	}
	return Example{Instruction: ask(r, "subtract", map[string]string{"x": wordy(w, x), "y": wordy(w, y)}), Output: wordy(w, x-y), key: pairOf("-", x, y)}
}

func sum(_ *Maker, r *rand.Rand) Example {
	x, y, w := r.IntN(21), r.IntN(21), r.IntN(2) > 0
	op, word, result := "+", "plus", x+y
	if r.IntN(3) == 0 {
		op, word = "-", "minus"
		if x < y {
			x, y = y, x
		}
		result = x - y
	}
	if !w {
		word = op
	}
	e := Example{Input: wordy(w, x) + " " + word + " " + wordy(w, y), Output: wordy(w, result), key: pairOf(op, x, y)}
	e.Instruction = ask(r, "sum", nil)
	if op == "-" && strings.Contains(strings.ToLower(e.Instruction), "add") || strings.Contains(strings.ToLower(e.Instruction), "sum") {
		e.Instruction = "Calculate."
	}
	return e
}

func spell(_ *Maker, r *rand.Rand) Example {
	n := r.IntN(101)
	return Example{Input: strconv.Itoa(n), Output: inWords(n), key: strconv.Itoa(n)}
}

func digits(_ *Maker, r *rand.Rand) Example {
	n := r.IntN(101)
	return Example{Input: inWords(n), Output: strconv.Itoa(n), key: strconv.Itoa(n)}
}

// two are different numbers, written alike.
func two(r *rand.Rand) (x, y int, w bool) {
	x, y = r.IntN(50), r.IntN(49)
	if y >= x {
		y++
	}
	return x, y, r.IntN(2) == 0
}

func larger(_ *Maker, r *rand.Rand) Example {
	x, y, w := two(r)
	return Example{Input: wordy(w, x) + " or " + wordy(w, y), Output: wordy(w, max(x, y)), key: pairOf("+", x, y)}
}

func smaller(_ *Maker, r *rand.Rand) Example {
	x, y, w := two(r)
	return Example{Input: wordy(w, x) + " or " + wordy(w, y), Output: wordy(w, min(x, y)), key: pairOf("+", x, y)}
}

func next(_ *Maker, r *rand.Rand) Example {
	n, w := r.IntN(60), r.IntN(2) == 0
	return Example{Instruction: ask(r, "next", map[string]string{"x": wordy(w, n)}), Output: wordy(w, n+1), key: fmt.Sprint(w, n)}
}
