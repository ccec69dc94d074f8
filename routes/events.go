package routes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// eventsRequest asks for the history of a job: as a page, or as a stream when
// Accept says so.
type eventsRequest struct {
	ID     string `json:"-" path:"id"`
	Limit  int    `json:"-" query:"limit" default:"100"`
	After  string `json:"-" query:"after"`
	LastID string `json:"-" header:"Last-Event-ID"`
	Accept string `json:"-" header:"Accept" swaggerignore:"true"`
}

// eventFeed is a page of events, or a stream that is about to begin.
type eventFeed struct {
	page   *page[tuning.Event]
	stream *eventStream
}

// events shows what happened to a job.
//
//	@Summary		Follow a job
//	@Description	The history of a job, the oldest event first. With `Accept: text/event-stream` it is a stream that replays what was missed since Last-Event-ID (or after), goes on as things happen, and ends when the job is over. The events are step, eval, checkpoint and status; a comment every 15 s keeps the connection open. A stream asked for again after its end answers 204, which tells an EventSource to stop.
//	@ID				jobEvents
//	@Tags			tuning
//	@Produce		json
//	@Produce		text/event-stream
//	@Param			id				path		string	true	"the job"
//	@Param			limit			query		int		false	"events in a page"	minimum(1)	maximum(1000)	default(100)
//	@Param			after			query		string	false	"last_id of the page before"
//	@Param			Last-Event-ID	header		string	false	"the last event seen; a stream goes on after it"
//	@Success		200				{object}	page[tuning.Event]
//	@Success		204				"the stream is over"
//	@Failure		default	{object}	Problem
//	@Router			/tune/jobs/{id}/events [get]
func (t tuningJobs) events(ctx context.Context, in eventsRequest) (eventFeed, error) {
	after := in.After
	if in.LastID != "" {
		after = in.LastID
	}
	if wantsStream(in.Accept) {
		return t.follow(ctx, in.ID, after)
	}
	const most = 1000
	limit := in.Limit
	if limit < 1 || limit > most {
		return eventFeed{}, invalid.Field("limit", "must be from 1 to %d, not %d", most, limit)
	}
	found, err := t.queue.Events(ctx, in.ID, after, limit+1)
	if err != nil {
		return eventFeed{}, err
	}
	more := len(found) > limit
	p := pageOf(found[:min(limit, len(found))], more, func(e tuning.Event) string { return e.ID })
	return eventFeed{page: &p}, nil
}

// wantsStream reports whether an Accept header names the stream.
func wantsStream(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		media, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
			return true
		}
	}
	return false
}

func (t tuningJobs) follow(ctx context.Context, id, after string) (eventFeed, error) {
	j, err := t.queue.Get(ctx, id)
	if err != nil {
		return eventFeed{}, err
	}
	if j.Status.Over() && after != "" {
		left, err := t.queue.Events(ctx, id, after, 1)
		if err != nil {
			return eventFeed{}, err
		}
		if len(left) == 0 {
			return eventFeed{stream: &eventStream{over: true}}, nil
		}
	}
	ctx, stop := context.WithCancel(ctx)
	events, err := t.queue.Follow(ctx, id, after)
	if err != nil {
		stop()
		return eventFeed{}, err
	}
	return eventFeed{stream: &eventStream{events: events, stop: stop, heartbeat: t.heartbeat}}, nil
}

func (f eventFeed) write(w http.ResponseWriter, r *http.Request) error {
	if f.stream == nil {
		return encode(w, r, http.StatusOK, f.page)
	}
	return f.stream.write(w, r)
}

// eventStream is the stream of a job's events.
type eventStream struct {
	over      bool // nothing will ever come
	events    <-chan tuning.Event
	stop      context.CancelFunc
	heartbeat time.Duration
}

// farewell is a comment: clients pass over it and connect again.
const farewell = ": the service is stopping; connect again to go on\n\n"

func (s *eventStream) write(w http.ResponseWriter, r *http.Request) error {
	if s.over {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	defer func() { // whoever feeds the channel ends before we do
		s.stop()
		for range s.events {
		}
	}()
	out := newEventWriter(w)
	out.begin()
	if r.Method == http.MethodHead {
		return nil
	}
	if out.send("retry: 2000\n\n") != nil {
		return nil
	}
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-s.events:
			switch {
			case !ok && context.Cause(r.Context()) == errDraining:
				_ = out.send(farewell) // whoever has left needs none
				return nil
			case !ok:
				return nil
			}
			if out.send(frame(e)) != nil {
				return nil
			}
			beat.Reset(s.heartbeat)
		case <-r.Context().Done():
			if context.Cause(r.Context()) == errDraining {
				_ = out.send(farewell)
			}
			return nil
		case <-beat.C:
			if out.send(heartbeat) != nil {
				return nil
			}
		}
	}
}

// frame writes one event. A line break inside the data or a name would begin
// another field, so the data is compacted and the names are cleaned.
func frame(e tuning.Event) string {
	var data bytes.Buffer
	if err := json.Compact(&data, e.Data); err != nil {
		data.Reset()
		data.WriteString("null")
	}
	clean := strings.NewReplacer("\n", "", "\r", "", "\x00", "")
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", clean.Replace(e.ID), clean.Replace(e.Type), data.Bytes())
}
