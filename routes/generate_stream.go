package routes

import (
	"context"
	"fmt"
	"net/http"
	"time"

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
	var answer inference.Generated
	out, err := textStream{t.by.heartbeat, t.by.closing, "error"}.run(w, r, func(ctx context.Context, out *eventWriter) (err error) {
		answer, err = t.ask(ctx, func(text string) error { return left(out.data("", textPiece{text})) })
		return err
	})
	if out == nil {
		return err
	}
	if out.data("", generationEnd{Model: answer.Model, Adapter: t.adapter(answer), ending: t.ending(answer)}) == nil {
		_ = out.send(done)
	}
	return nil
}

// textStream answers with what is written, event by event.
type textStream struct {
	heartbeat time.Duration
	closing   context.Context // ends when what is still being written has to stop
	event     string          // the name of one that tells an error
}

// run has write send its events. What goes wrong before the first of them is its error,
// for a status as usual; what goes wrong later is told as an event. out is nil when the
// stream is over: only one that went well is still to be ended.
func (s textStream) run(w http.ResponseWriter, r *http.Request, write func(context.Context, *eventWriter) error) (out *eventWriter, err error) {
	staying, leave, err := stay(r.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, stop := until(staying, s.closing)
	defer stop()
	out = newEventWriter(w)
	halt := out.beat(s.heartbeat, stop)
	defer halt()
	err = write(ctx, out)
	halt() // from here on the head is out, or it is not
	switch {
	case err == nil:
		return out, nil
	case !out.started():
		return nil, err
	}
	v := visitOf(r)
	err = v.spoken(err)
	v.err = err // the status is out: only the log can tell
	if r.Context().Err() == nil {
		_ = out.data(s.event, problem(err, v.id)) // the caller may have left: no one to tell
	}
	return nil, nil
}

// left tells the engine that nobody listens any more.
func left(err error) error {
	if err != nil {
		return fmt.Errorf("%w: the caller has left: %w", context.Canceled, err)
	}
	return nil
}
