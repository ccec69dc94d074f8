package routes

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
)

// trafficRequest splits the requests for a name.
type trafficRequest struct {
	Name     string         `json:"-" path:"name" swaggerignore:"true"`
	Versions map[string]int `json:"versions" example:"3:90,4:10"`                                                  // weight of each version, by its number
	Sticky   string         `json:"sticky,omitempty" example:"header" enums:"header,client,none" default:"header"` // what keeps a caller on one version: the header X-Canary-Key, the API key, or nothing
} // @name TrafficRequest

// traffic is how the requests for a name are split.
type traffic struct {
	Name     string         `json:"name" example:"imdb"`
	Active   bool           `json:"active" example:"true"` // false: the current version answers all
	Versions map[string]int `json:"versions" example:"3:90,4:10"`
	Sticky   string         `json:"sticky,omitempty" example:"header" enums:"header,client,none"`
} // @name Traffic

func (a adapterRoutes) traffic(name string) traffic {
	out := traffic{Name: name, Versions: map[string]int{}}
	t, active := a.registry.Splits(name)
	if !active {
		return out
	}
	out.Active, out.Sticky = true, t.Sticky
	for n, weight := range t.Versions {
		out.Versions[strconv.Itoa(n)] = weight
	}
	return out
}

// showTraffic tells how a name's requests are split.
//
//	@Summary		Show the split of an adapter's traffic
//	@Description	Tells between which versions of an adapter or variant the requests for its bare name are split.
//	@ID				getTraffic
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Success		200		{object}	traffic
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/traffic [get]
func (a adapterRoutes) showTraffic(ctx context.Context, in adapterRequest) (traffic, error) {
	if err := a.named(ctx, in.Name); err != nil {
		return traffic{}, err
	}
	return a.traffic(in.Name), nil
}

// named is the error for a name that does not exist.
func (a adapterRoutes) named(ctx context.Context, name string) error {
	err := checkName(name)
	if err == nil {
		_, err = a.registry.Get(ctx, name)
	}
	return err
}

// setTraffic splits a name's requests.
//
//	@Summary		Split an adapter's traffic
//	@Description	Splits the requests for the bare name between versions of it, by weight: a canary. Every answer names the version that gave it. A request with the header X-Canary-Key (sticky: header), or of the same API key (sticky: client), gets the same version each time, on every replica; while a later version's weight grows, who has it keeps it. "imdb@3" stays that version. A rollback, or DELETE, ends the split; a version that is registered meanwhile waits. Per version, the metrics have lorikeet_version_request_duration_seconds.
//	@ID				setTraffic
//	@Tags			adapters
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"the adapter"
//	@Param			request	body		trafficRequest	true	"the weights"
//	@Success		200		{object}	traffic
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/traffic [post]
func (a adapterRoutes) setTraffic(ctx context.Context, in trafficRequest) (traffic, error) {
	if err := a.named(ctx, in.Name); err != nil {
		return traffic{}, err
	}
	t := adapters.Traffic{Versions: map[int]int{}, Sticky: cmp.Or(in.Sticky, adapters.StickyHeader)}
	for _, text := range slices.Sorted(maps.Keys(in.Versions)) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || strconv.Itoa(n) != text {
			return traffic{}, invalid.Field("versions."+brief(text), "is not the number of a version")
		}
		t.Versions[n] = in.Versions[text]
	}
	if len(t.Versions) == 0 {
		return traffic{}, invalid.Field("versions", `is missing; give the weight of each version, such as {"3":90,"4":10}; DELETE ends a split`)
	}
	if err := a.registry.Split(ctx, in.Name, t); err != nil {
		return traffic{}, err
	}
	note(ctx, slog.String("adapter", in.Name))
	return a.traffic(in.Name), nil
}

// endTraffic lets the current version answer all again.
//
//	@Summary		End the split of an adapter's traffic
//	@Description	Lets the current version of the name answer all requests for it again. It is no mistake if they are not split.
//	@ID				endTraffic
//	@Tags			adapters
//	@Param			name	path	string	true	"the adapter"
//	@Success		204		"not split any more"
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/traffic [delete]
func (a adapterRoutes) endTraffic(ctx context.Context, in adapterRequest) (none, error) {
	if err := a.named(ctx, in.Name); err != nil {
		return none{}, err
	}
	return none{}, a.registry.Split(ctx, in.Name, adapters.Traffic{})
}

// askerOf is who asks, as far as a split of traffic cares.
func askerOf(ctx context.Context, key string) adapters.Asker {
	return adapters.Asker{Key: key, Client: callerIn(ctx).key.ID}
}
