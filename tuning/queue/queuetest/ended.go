package queuetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"lorikeet/tuning"
)

// Records creates records; see [lorikeet/adapters/store.Dir].
type Records interface {
	Create(ctx context.Context, key string, data []byte) error
}

// Ended writes the records of n jobs that succeeded, each a second after the one before
// and the last so long ago, and returns their ids, the newest first.
func Ended(ctx context.Context, s Records, n int, ago time.Duration) ([]string, error) {
	last := time.Now().UTC().Add(-ago).Truncate(time.Millisecond)
	ids := make([]string, n)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				err := ended(ctx, s, ids[i], last.Add(-time.Duration(i)*time.Second))
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	for i := range ids {
		ids[i] = "job_" + strings.ToLower(rand.Text()[:20])
		next <- i
	}
	close(next)
	wg.Wait()
	return ids, errors.Join(errs...)
}

func ended(ctx context.Context, s Records, id string, at time.Time) error {
	spec := tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "imdb"}.WithDefaults()
	for _, r := range []struct {
		key    string
		record map[string]any
	}{
		{"spec", map[string]any{"id": id, "spec": spec, "created_at": at.Add(-time.Minute)}},
		{"attempts/000001", map[string]any{"worker": "w", "at": at.Add(-time.Minute)}},
		{"final", map[string]any{"status": tuning.Succeeded, "attempt": 1, "steps": 36, "metrics": map[string]float64{"eval_accuracy": 0.9}, "at": at}},
		{"registered", map[string]any{"result": tuning.Result{Adapter: "imdb@1", Kind: "adapter"}, "at": at}},
	} {
		data, err := json.Marshal(r.record)
		if err == nil {
			err = s.Create(ctx, "jobs/"+id+"/"+r.key, data)
		}
		if err != nil {
			return fmt.Errorf("job %s: %s: %w", id, r.key, err)
		}
	}
	return nil
}
