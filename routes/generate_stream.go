package routes

import (
	"context"
	"fmt"
	"net/http"

	"lorikeet/inference"
)

// textOrder is a text to be written.
type textOrder struct {
	by       generate
	request  inference.GenerateRequest
	warnings []string
	tokens   bool // are wanted in the answer
}

// textPiece is one event of a stream.
type textPiece struct {
	Text string `json:"text"`
}

// done is the last line of a stream, as clients of OpenAI's API know it.
const done = "data: [DONE]\n\n"

// write answers with the text as it comes. The engine calls back on this goroutine: a
// caller who reads slowly holds up nobody else, and the text of one who has left ends.
func (t *textOrder) write(w http.ResponseWriter, r *http.Request) error {
	staying, leave, err := stay(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	ctx, stop := until(staying, t.by.closing)
	defer stop()
	out := newEventWriter(w)
	halt := out.beat(t.by.heartbeat, stop)
	defer halt()
	answer, err := t.ask(ctx, func(text string) error {
		if err := out.data("", textPiece{text}); err != nil {
			return fmt.Errorf("%w: the caller has left: %w", context.Canceled, err)
		}
		return nil
	})
	halt() // from here on the head is out, or it is not
	switch {
	case err == nil:
	case !out.started():
		return err
	default:
		v := visitOf(r)
		v.err = err // the status is out: only the log can tell
		if r.Context().Err() == nil {
			_ = out.data("error", problem(err, v.id)) // the caller may have left: no one to tell
		}
		return nil
	}
	if out.data("", generationEnd{Model: answer.Model, Adapter: t.adapter(answer), ending: t.ending(answer)}) == nil {
		_ = out.send(done)
	}
	return nil
}
