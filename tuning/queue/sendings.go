package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

const (
	sendingsFolder = "sendings/"
	sentPrefix     = "sent-"
)

// SendingKey gives the idempotency key of a sending: a new one, or where it is sent again
// that of the newest sending before, so that both make one job, also when they are
// answered by two processes, at once, or out of order. Two equal requests of which
// neither is sent again have two keys. The record is durable before the job is made.
func (q *Queue) SendingKey(ctx context.Context, s Sending) (string, error) {
	sum := sha256.Sum256([]byte(s.By + "\x00" + s.Body))
	folder := sendingsFolder + hex.EncodeToString(sum[:20]) + "/"
	var key string
	_, err := store.Amend(ctx, q.store, folder, func(n int, latest []byte) ([]byte, error) {
		var r sendingRecord
		if n > 0 {
			if err := json.Unmarshal(latest, &r); err != nil {
				return nil, err
			}
			// One that is sent again may overtake the first, which is still on its way.
			same := s.Again || r.Again && r.At.After(s.At)
			if key = r.Key; same && time.Since(r.At) < sentAgainWithin {
				return nil, nil
			}
		}
		key = sentPrefix + rand.Text()
		return json.Marshal(sendingRecord{Key: key, Again: s.Again, At: time.Now().UTC()})
	})
	if err != nil {
		return "", fmt.Errorf("sending: %w", err)
	}
	return key, nil
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
