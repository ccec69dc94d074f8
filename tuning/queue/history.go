package queue

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"lorikeet/tuning"
)

// Events are kept in the store as gzipped JSON lines: in pieces while a job runs, at
// least one with each checkpoint, and as one blob named by the final record.

func encodeEvents(events []logged) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	enc := json.NewEncoder(z)
	for _, e := range events {
		if err := enc.Encode(e.Event); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

func decodeEvents(data []byte) ([]logged, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	var events []logged
	for dec := json.NewDecoder(z); ; {
		var e tuning.Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		id, ok := parseEventID(e.ID)
		if !ok {
			return nil, fmt.Errorf("history: %q is no event id", clip(e.ID))
		}
		events = append(events, logged{id, e})
	}
}

// archive stores all events of a job as one blob; empty when there is nothing to
// tell.
func (q *Queue) archive(ctx context.Context, s *state) (digest string, err error) {
	if s.attempts == 0 {
		return "", nil
	}
	events, err := q.history(ctx, s, eventID{})
	if err != nil {
		return "", err
	}
	data, err := encodeEvents(events)
	if err != nil {
		return "", err
	}
	digest, _, err = q.store.PutBlob(ctx, bytes.NewReader(data))
	return digest, err
}

func (q *Queue) readArchive(ctx context.Context, digest string) ([]logged, error) {
	var b bytes.Buffer
	if _, err := q.store.Fetch(ctx, digest, &b); err != nil {
		return nil, err
	}
	return decodeEvents(b.Bytes())
}

// dropPieces removes what the final record's history holds.
func (q *Queue) dropPieces(ctx context.Context, s *state) {
	for _, key := range s.history {
		if err := q.store.Delete(ctx, key); err != nil {
			q.log.Warn("history cannot be tidied", "record", key, "error", err)
		}
	}
}
