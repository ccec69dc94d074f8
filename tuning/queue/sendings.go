package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"lorikeet/adapters/store"
)

// Sending is one time that a client sent a request. OpenAI's clients send a request again
// by themselves when no answer comes, without an idempotency key, but count how often they
// did.
type Sending struct {
	By    string    // who sent it: a key, a tenant
	Body  string    // what was sent, or a hash of it
	Again bool      // it was sent before, and no answer came
	At    time.Time // when it began to arrive
}

// sentAgainWithin is how long after a request the same one may be taken for it, sent
// again: as long as OpenAI's clients wait for an answer.
const sentAgainWithin = 10 * time.Minute

// sendingRecord is below sendings/<hash of who and what>/<n>.
type sendingRecord struct {
	Key   string    `json:"key"`
	Again bool      `json:"again,omitempty"`
	At    time.Time `json:"at"`
}

const sendingsFolder = "sendings/"

// SendingKey gives the idempotency key of a sending: a new one, or where it is sent again
// that of the newest sending before, so that both make one job, also when they are
// answered by two processes, at once, or out of order. Two equal requests of which
// neither is sent again have two keys. The record is durable before the job is made.
func (q *Queue) SendingKey(ctx context.Context, s Sending) (string, error) {
	sum := sha256.Sum256([]byte(s.By + "\x00" + s.Body))
	folder := sendingsFolder + hex.EncodeToString(sum[:20]) + "/"
	for {
		keys, err := q.store.List(ctx, folder)
		if err != nil {
			return "", fmt.Errorf("sending: %w", err)
		}
		n := 0
		if len(keys) > 0 {
			last := keys[len(keys)-1]
			if _, err := fmt.Sscanf(last[len(folder):], "%d", &n); err != nil {
				return "", fmt.Errorf("sending %s: %w", last, err)
			}
			r, err := read[sendingRecord](ctx, q, last)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return "", fmt.Errorf("sending: %w", err)
			}
			// One that is sent again may overtake the first, which is still on its way.
			same := s.Again || r.Again && r.At.After(s.At)
			if err == nil && same && time.Since(r.At) < sentAgainWithin {
				return r.Key, nil
			}
		}
		r := sendingRecord{Key: "sent-" + rand.Text(), Again: s.Again, At: time.Now().UTC()}
		err = q.create(ctx, fmt.Sprintf("%s%06d", folder, n+1), r)
		if err == nil {
			return r.Key, nil
		}
		if !errors.Is(err, store.ErrExists) { // else an equal request was faster
			return "", fmt.Errorf("sending: %w", err)
		}
	}
}

// forgetSendings deletes the records that are too old to matter.
func (q *Queue) forgetSendings(ctx context.Context) error {
	keys, err := q.store.List(ctx, sendingsFolder)
	if err != nil {
		return err
	}
	return inParallel(keys, func(key string) error {
		r, err := read[sendingRecord](ctx, q, key)
		if err == nil && time.Since(r.At) > 2*sentAgainWithin || errors.Is(err, store.ErrCorrupt) {
			err = q.store.Delete(ctx, key)
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}
