package routes

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"lorikeet/tuning/queue"
)

// queueState is how long the queue is and who works on it.
type queueState struct {
	Classes []classState  `json:"classes"`
	Workers []workerState `json:"workers"` // only administrators see them, and everyone where no key is asked for
} // @name QueueState

// classState is the queue of one worker class. Its counts are of all tenants.
type classState struct {
	Class   string  `json:"class" example:"default"` // default: jobs that ask for no class
	Queued  int     `json:"queued" example:"2"`
	Running int     `json:"running" example:"1"`
	Oldest  float64 `json:"oldest_seconds" example:"12.5"` // how long the oldest has waited
	Workers int     `json:"workers" example:"1"`
	Slots   int     `json:"slots" example:"1"` // jobs that they can run at once
	Busy    int     `json:"busy" example:"1"`  // jobs that they run
} // @name QueueClass

// workerState is what a worker last said of itself.
type workerState struct {
	ID    string  `json:"id" example:"w_9f86d081"`
	Host  string  `json:"host" example:"gpu-1"`
	Class string  `json:"class" example:"default"`
	Slots int     `json:"slots" example:"1"`
	Busy  int     `json:"busy" example:"1"`
	Seen  float64 `json:"seen_seconds" example:"1.5"` // how long ago
} // @name QueueWorker

// state shows the queue.
//
//	@Summary		Show the queue
//	@Description	Tells how many jobs wait and run, by worker class, and which workers there are. The counts are of all tenants; workers are listed for administrators only.
//	@ID				queueState
//	@Tags			tuning
//	@Produce		json
//	@Success		200	{object}	queueState
//	@Failure		default	{object}	Problem
//	@Router			/tune/queue [get]
func (t tuningJobs) state(ctx context.Context, _ none) (queueState, error) {
	stats, err := t.queue.Stats(ctx)
	if err != nil {
		return queueState{}, err
	}
	return queueStateOf(stats, callerIn(ctx).all), nil
}

func queueStateOf(stats queue.Stats, all bool) queueState {
	classes := map[string]*classState{}
	class := func(name string) *classState {
		if classes[name] == nil {
			classes[name] = &classState{Class: name}
		}
		return classes[name]
	}
	for name, c := range stats.Classes {
		s := class(name)
		s.Queued, s.Running, s.Oldest = c.Queued, c.Running, c.Oldest.Seconds()
	}
	out := queueState{Classes: []classState{}, Workers: []workerState{}}
	for _, w := range stats.Workers {
		s := class(w.Class)
		s.Workers, s.Slots, s.Busy = s.Workers+1, s.Slots+w.Slots, s.Busy+w.Busy
		if all {
			out.Workers = append(out.Workers, workerState{ID: w.ID, Host: w.Host, Class: w.Class, Slots: w.Slots, Busy: w.Busy, Seen: w.Seen.Seconds()})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		out.Classes = append(out.Classes, *classes[name])
	}
	slices.SortFunc(out.Workers, func(a, b workerState) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID))
	})
	return out
}
