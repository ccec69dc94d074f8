package inference

import (
	"context"
	"strings"
	"time"

	"lorikeet/inference/text"
)

// draft is a text that is being written, or waits for its place in the batch.
type draft struct {
	ctx     context.Context
	adapter *Prepared // nil: the bare base
	prompt  []int32
	search  search
	plain   bool // no scores are needed
	beams   int
	most    int // tokens it may have
	since   time.Time
	pieces  chan piece // has room for everything: the owner of the device never waits for a reader
	token   func(TokenLogprob)

	// Of the owner of the device.
	rows    []int // of the batch, one for each candidate
	begun   time.Time
	first   time.Time
	written int // tokens, with the one that ended the text
	told    int // of the search's result
	voice   voice
}

// piece is a stretch of the text, or its end.
type piece struct {
	text  string
	token *TokenLogprob // of the token that the text became certain with
	end   *ending
}

// ending is how a text came out.
type ending struct {
	err                  error
	text                 string
	tokens               []int32
	finish               string
	written              int
	queue, first, writes time.Duration
}

// room is what the text needs at most.
func (d *draft) room(reads bool) room {
	if reads {
		return room{rows: d.beams, length: d.most, source: len(d.prompt)}
	}
	return room{rows: d.beams, length: len(d.prompt) + d.most}
}

// tell passes on what is certain of the text of a single candidate. It reports whether
// a stop string has come.
func (d *draft) tell() (stopped bool) {
	if d.beams > 1 { // it may change until the end
		return false
	}
	tokens, _ := d.search.result()
	for ; d.told < len(tokens); d.told++ {
		s, over := d.voice.push(tokens[d.told])
		if p := (piece{text: s, token: d.logprob(d.told)}); s != "" || p.token != nil {
			d.pieces <- p
		}
		if over {
			d.told++
			return true
		}
	}
	return false
}

// close tells the rest and how the text ended.
func (d *draft) close(err error, stopped bool) {
	e := ending{err: err, finish: FinishLength, written: d.written}
	if err == nil {
		tokens, ended := d.search.result()
		if d.beams > 1 {
			for _, id := range tokens {
				s, over := d.voice.push(id)
				d.pieces <- piece{text: s}
				d.told++
				if stopped = stopped || over; over {
					break
				}
			}
		}
		if ended || stopped {
			e.finish = FinishStop
		}
		if rest := d.voice.flush(); rest != "" {
			d.pieces <- piece{text: rest}
		}
		e.tokens, e.text = tokens[:d.told], d.voice.said.String()
		if d.beams > 1 && ended {
			e.written = len(tokens) + 1
		}
	}
	if now := time.Now(); !d.begun.IsZero() {
		e.queue, e.writes = d.begun.Sub(d.since), now.Sub(d.begun)
		if !d.first.IsZero() {
			e.first = d.first.Sub(d.since)
		}
	}
	d.pieces <- piece{end: &e}
}

// voice turns tokens into text, up to a stop string. What might be the beginning of
// one is held back until it is certain.
type voice struct {
	stream *text.Stream
	stops  []string
	held   string
	over   bool
	said   strings.Builder
}

// push adds a token and gives the text that is certain; over: a stop string was reached.
func (v *voice) push(id int32) (certain string, over bool) { return v.add(v.stream.Push(id)) }

func (v *voice) add(s string) (certain string, over bool) {
	if v.over {
		return "", true
	}
	v.held += s
	cut := len(v.held)
	for _, stop := range v.stops {
		if at := strings.Index(v.held, stop); at >= 0 && (!v.over || at < cut) {
			cut, v.over = at, true
		}
	}
	if v.over {
		return v.give(cut), true
	}
	for _, stop := range v.stops {
		// The longest end of the text that may become this stop string.
		for n := min(len(stop)-1, len(v.held)); n > 0; n-- {
			if strings.HasSuffix(v.held, stop[:n]) {
				cut = min(cut, len(v.held)-n)
				break
			}
		}
	}
	return v.give(cut), false
}

// give passes on the first n bytes that were held.
func (v *voice) give(n int) string {
	s := v.held[:n]
	v.held = v.held[n:]
	v.said.WriteString(s)
	return s
}

// flush ends the text and gives what is left of it.
func (v *voice) flush() string {
	if v.over {
		return ""
	}
	s, _ := v.add(v.stream.Flush())
	if v.over {
		return s
	}
	return s + v.give(len(v.held))
}

// leave frees the draft's rows of a batch.
func (d *draft) leave(rows []*draft) {
	for i, other := range rows {
		if other == d {
			rows[i] = nil
		}
	}
	d.rows = nil
}
