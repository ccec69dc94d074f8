package queue

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/redis/go-redis/v9"

	"lorikeet/tuning"
)

// live is what a worker says about its attempt between checkpoints.
type live struct {
	Attempt  int                `json:"attempt"`
	Phase    string             `json:"phase,omitempty"`
	Progress *tuning.Progress   `json:"progress,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
}

func (d *dispatch) live(ctx context.Context, id string) (*live, error) {
	var data []byte
	err := d.hint(ctx, func(ctx context.Context) (err error) {
		data, err = d.rdb.Get(ctx, d.key("live:"+id)).Bytes()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l live
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	return &l, nil
}
