package routes

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
)

// registry is what HTTP needs of the adapter registry.
type registry interface {
	Resolve(ctx context.Context, ref string) (adapters.Version, error)
	Route(ctx context.Context, ref string, who adapters.Asker) (adapters.Version, error)
	Get(ctx context.Context, name string) (adapters.Summary, error)
	List(context.Context) []adapters.Summary
	Rollback(ctx context.Context, name string, version int) (adapters.Version, error)
	Delete(ctx context.Context, name string, version int) error
	Split(ctx context.Context, name string, t adapters.Traffic) error
	Splits(name string) (adapters.Traffic, bool)
	Owns(ctx context.Context, tenant, name string) error
	OpenFile(ctx context.Context, v adapters.Version, file string) (store.Blob, adapters.File, error)
}

// adapterRoutes answers /adapters.
type adapterRoutes struct {
	engine   engine
	registry registry
	sources  sources
	limits   Limits
	metrics  *meters
}

// adapterVersion is one immutable version of an adapter, or of a variant.
type adapterVersion struct {
	Name       string                 `json:"name" example:"imdb"`
	Version    int                    `json:"version" example:"3"`
	Digest     string                 `json:"digest" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Kind       string                 `json:"kind" example:"adapter" enums:"adapter,variant"`
	Base       string                 `json:"base" example:"bert"`
	BaseDigest string                 `json:"base_digest" example:"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"`
	Rank       int                    `json:"rank,omitempty" example:"8"`
	Targets    []string               `json:"targets" example:"query,value"`
	Labels     []string               `json:"labels" example:"negative,positive"`
	Template   string                 `json:"template,omitempty" example:"chat"` // what made the prompts it was taught
	Bytes      int64                  `json:"bytes" example:"301064"`
	Residency  string                 `json:"residency" example:"device" enums:"device,host,disk"` // where its weights are now
	Pinned     bool                   `json:"pinned" example:"false"`                              // it stays on the device
	Metrics    map[string]float64     `json:"metrics" example:"eval_accuracy:0.9"`
	Gate       *adapters.Gate         `json:"gate,omitempty"` // of a version whose job was to promote it only if it is better
	Job        string                 `json:"job,omitempty" example:"job_k3v9"`
	Source     string                 `json:"source,omitempty" example:"upload"`
	Files      map[string]adapterFile `json:"files"`
	CreatedAt  time.Time              `json:"created_at"`
} // @name AdapterVersion

// adapterFile is one of the PEFT files of a version.
type adapterFile struct {
	Digest string `json:"digest" example:"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	Bytes  int64  `json:"bytes" example:"299512"`
} // @name AdapterFile

// adapterSeries is an adapter: its current version, and the numbers of all.
type adapterSeries struct {
	adapterVersion
	Versions []int    `json:"versions" example:"1,2,3"`
	Traffic  *traffic `json:"traffic,omitempty"` // where the requests for the name are split
} // @name Adapter

func (a adapterRoutes) view(ctx context.Context, v adapters.Version) (adapterVersion, error) {
	where, err := a.engine.Residency(ctx, v)
	if err != nil {
		return adapterVersion{}, err
	}
	out := adapterVersion{
		Name: v.Name, Version: v.Version, Digest: v.Digest, Kind: v.Kind,
		Base: v.Base, BaseDigest: v.BaseDigest, Rank: v.Rank,
		Targets: list(v.Targets), Labels: list(v.Labels), Template: v.Template, Bytes: v.Bytes,
		Residency: where.Tier, Pinned: where.Pinned,
		Metrics: v.Metrics, Gate: v.Gate, Job: v.Job, Source: v.Source, CreatedAt: v.CreatedAt,
		Files: map[string]adapterFile{},
	}
	if out.Metrics == nil {
		out.Metrics = map[string]float64{}
	}
	for name, f := range v.Files {
		out.Files[name] = adapterFile{Digest: f.Digest, Bytes: f.Size}
	}
	if _, own := v.Files[adapters.CardFile]; !own {
		_, card := cardOf(v)
		out.Files[adapters.CardFile] = adapterFile{Digest: card.Digest, Bytes: card.Size}
	}
	return out, nil
}

// list is s, but never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (a adapterRoutes) series(ctx context.Context, s adapters.Summary) (adapterSeries, error) {
	var out adapterSeries
	for _, v := range s.Versions {
		out.Versions = append(out.Versions, v.Version)
		if v.Version == s.Current {
			var err error
			if out.adapterVersion, err = a.view(ctx, v); err != nil {
				return adapterSeries{}, err
			}
		}
	}
	if t := a.traffic(s.Name); t.Active {
		out.Traffic = &t
	}
	return out, nil
}

// list shows the adapters.
//
//	@Summary		List adapters
//	@Description	Lists adapters and variants by name, each as its current version.
//	@ID				listAdapters
//	@Tags			adapters
//	@Produce		json
//	@Param			limit	query		int		false	"adapters in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"last_id of the page before"
//	@Success		200		{object}	page[adapterSeries]
//	@Failure		default	{object}	Problem
//	@Router			/adapters [get]
func (a adapterRoutes) list(ctx context.Context, in paging) (page[adapterSeries], error) {
	if err := in.check(); err != nil {
		return page[adapterSeries]{}, err
	}
	name := func(s adapters.Summary) string { return s.Name }
	p, err := cut(a.registry.List(ctx), in, name, byName(name))
	if err != nil {
		return page[adapterSeries]{}, err
	}
	views := make([]adapterSeries, len(p.Data))
	for i, s := range p.Data {
		if views[i], err = a.series(ctx, s); err != nil {
			return page[adapterSeries]{}, err
		}
	}
	return page[adapterSeries]{Data: views, HasMore: p.HasMore, FirstID: p.FirstID, LastID: p.LastID}, nil
}

// adapterRequest names an adapter.
type adapterRequest struct {
	Name string `json:"-" path:"name"`
}

// versionRequest names one version of an adapter.
type versionRequest struct {
	Name    string `json:"-" path:"name"`
	Version int    `json:"-" path:"v"`
}

// get shows an adapter.
//
//	@Summary		Show an adapter
//	@Description	Shows the current version of an adapter or variant, and the numbers of all its versions.
//	@ID				getAdapter
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Success		200		{object}	adapterSeries
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name} [get]
func (a adapterRoutes) get(ctx context.Context, in adapterRequest) (adapterSeries, error) {
	if err := checkName(in.Name); err != nil {
		return adapterSeries{}, err
	}
	s, err := a.registry.Get(ctx, in.Name)
	if err != nil {
		return adapterSeries{}, err
	}
	return a.series(ctx, s)
}

// version shows one version.
//
//	@Summary		Show a version
//	@Description	Shows one version of an adapter: its base, digest, rank, targets, labels, size, metrics, the job it comes from, and where it is now (device, host or disk).
//	@ID				getAdapterVersion
//	@Tags			adapters
//	@Produce		json
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Success		200		{object}	adapterVersion
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v} [get]
func (a adapterRoutes) version(ctx context.Context, in versionRequest) (adapterVersion, error) {
	v, err := a.find(ctx, in)
	if err != nil {
		return adapterVersion{}, err
	}
	return a.view(ctx, v)
}

func (a adapterRoutes) find(ctx context.Context, in versionRequest) (adapters.Version, error) {
	if err := checkVersion(in.Name, in.Version); err != nil {
		return adapters.Version{}, err
	}
	return a.registry.Resolve(ctx, fmt.Sprintf("%s@%d", in.Name, in.Version))
}

// rollbackRequest names the version that becomes current.
type rollbackRequest struct {
	Name    string `json:"-" path:"name" swaggerignore:"true"`
	Version *int   `json:"version" example:"2"`
} // @name RollbackRequest

// rollback makes a version the current one.
//
//	@Summary		Roll back
//	@Description	Makes a version, older or newer, the current one of its name. The next request is answered by it.
//	@ID				rollbackAdapter
//	@Tags			adapters
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"the adapter"
//	@Param			request	body		rollbackRequest	true	"the version that becomes current"
//	@Success		200		{object}	adapterSeries
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/rollback [post]
func (a adapterRoutes) rollback(ctx context.Context, in rollbackRequest) (adapterSeries, error) {
	if in.Version == nil {
		return adapterSeries{}, invalid.Field("version", "is missing; say which version becomes current")
	}
	if err := checkVersion(in.Name, *in.Version); err != nil {
		return adapterSeries{}, err
	}
	v, err := a.registry.Rollback(ctx, in.Name, *in.Version)
	if err != nil {
		return adapterSeries{}, err
	}
	note(ctx, slog.String("adapter", v.String()))
	s, err := a.registry.Get(ctx, in.Name)
	if err != nil {
		return adapterSeries{}, err
	}
	return a.series(ctx, s)
}

// remove deletes an adapter.
//
//	@Summary		Delete an adapter
//	@Description	Deletes an adapter with all its versions. Requests in flight end well.
//	@ID				deleteAdapter
//	@Tags			adapters
//	@Param			name	path	string	true	"the adapter"
//	@Success		204		"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name} [delete]
func (a adapterRoutes) remove(ctx context.Context, in adapterRequest) (none, error) {
	if err := checkName(in.Name); err != nil {
		return none{}, err
	}
	return none{}, a.registry.Delete(ctx, in.Name, 0)
}

// removeVersion deletes one version.
//
//	@Summary		Delete a version
//	@Description	Deletes one version of an adapter. When it was the current one, the newest that is left takes its place.
//	@ID				deleteAdapterVersion
//	@Tags			adapters
//	@Param			name	path	string	true	"the adapter"
//	@Param			v		path	int		true	"the version"	minimum(1)
//	@Success		204		"deleted"
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v} [delete]
func (a adapterRoutes) removeVersion(ctx context.Context, in versionRequest) (none, error) {
	if err := checkVersion(in.Name, in.Version); err != nil {
		return none{}, err
	}
	return none{}, a.registry.Delete(ctx, in.Name, in.Version)
}
