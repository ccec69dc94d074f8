package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/inference"
)

// The routes below /v1 are those of OpenAI's API, with its shapes, so that its clients
// and what is built on them work here unchanged: they speak to the same parts as the
// other routes do. What a request asks for and we cannot do is refused with its name;
// what changes nothing here (a user's name, a service tier) is taken and passed over.

const openaiPrefix = "/v1/"

// openai is every operation below /v1.
func (h *Handler) openai(o Options) []operation {
	const (
		get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
		ok             = http.StatusOK
	)
	var (
		m = openaiModels{o.Engine, o.Adapters, o.Info.Started}
		c = completions{openaiModels: m, metrics: h.metrics, heartbeat: h.limits.Heartbeat, closing: h.closing}
		f = openaiFiles{o.Datasets, o.Jobs, h.limits, h.metrics, h.ends}
		t = openaiJobs{openaiModels: m, tune: tune{o.Engine, o.Datasets, o.Planner, o.Jobs}, rows: o.Datasets}
		w = openaiWebhooks{o.Webhooks, h.ends}
		b = feedbackRoutes{o.Feedback, o.Datasets}
	)
	return []operation{
		{get, "/v1/models", handle(m.list), ok, predicts, false},
		{get, "/v1/models/{model}", handle(m.get), ok, predicts, false},
		{del, "/v1/models/{model}", handle(m.remove), ok, tunes, false},
		{post, "/v1/chat/completions", handle(c.chat), ok, predicts, false},
		{post, "/v1/completions", handle(c.complete), ok, predicts, false},
		{post, "/v1/feedback", handle(b.addBelowV1), http.StatusCreated, predicts, false},

		{post, "/v1/files", handle(f.create), ok, tunes, false},
		{get, "/v1/files", handle(f.list), ok, tunes, false},
		{get, "/v1/files/{file_id}", handle(f.get), ok, tunes, false},
		{del, "/v1/files/{file_id}", handle(f.remove), ok, tunes, false},
		{get, "/v1/files/{file_id}/content", handle(f.content), ok, tunes, false},

		{post, "/v1/fine_tuning/jobs", handle(t.create), ok, tunes, false},
		{get, "/v1/fine_tuning/jobs", handle(t.list), ok, tunes, false},
		{get, "/v1/fine_tuning/jobs/{fine_tuning_job_id}", handle(t.get), ok, tunes, false},
		{post, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/cancel", handle(t.cancel), ok, tunes, false},
		{post, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/pause", handle(t.pause), ok, tunes, false},
		{post, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/resume", handle(t.resume), ok, tunes, false},
		{get, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/events", handle(t.events), ok, tunes, false},
		{get, "/v1/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints", handle(t.checkpoints), ok, tunes, false},

		{post, "/v1/webhook_endpoints", handle(w.create), ok, tunes, false},
		{get, "/v1/webhook_endpoints", handle(w.list), ok, tunes, false},
		{get, "/v1/webhook_endpoints/{webhook_endpoint_id}", handle(w.get), ok, tunes, false},
		{post, "/v1/webhook_endpoints/{webhook_endpoint_id}", handle(w.update), ok, tunes, false},
		{del, "/v1/webhook_endpoints/{webhook_endpoint_id}", handle(w.remove), ok, tunes, false},
		{post, "/v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", handle(w.rotate), ok, tunes, false},
		{post, "/v1/webhook_endpoints/{webhook_endpoint_id}/test", handle(w.test), ok, tunes, false},
		{get, "/v1/webhook_event_types", handle(w.types), ok, tunes, false},
	}
}

// listing is a list as OpenAI's clients read it: the next page comes after its last id.
type listing[T any] struct {
	Object  string `json:"object" example:"list" enums:"list"`
	Data    []T    `json:"data"`
	HasMore bool   `json:"has_more" example:"false"`
	FirstID string `json:"first_id,omitempty"`
	LastID  string `json:"last_id,omitempty"`
}

func listingOf[T any](p page[T]) listing[T] {
	return listing[T]{"list", list(p.Data), p.HasMore, p.FirstID, p.LastID}
}

// deleted says that something is no more.
type deleted struct {
	ID      string `json:"id" example:"imdb@3"`
	Object  string `json:"object" example:"model"`
	Deleted bool   `json:"deleted" example:"true"`
} // @name Deleted

// unsupported is a field of OpenAI's API that asks for what cannot be done here. That it
// is absent, null, false or empty asks for nothing.
type unsupported struct{}

// UnmarshalJSON refuses everything that asks for something.
func (*unsupported) UnmarshalJSON(data []byte) error {
	switch strings.Join(strings.Fields(string(data)), "") {
	case "null", "false", "[]", "{}", `""`, `"none"`, `"auto"`:
		return nil
	}
	return &invalid.Fault{Reason: "is not supported by this service; leave it out"}
}

// ignored is a field of OpenAI's API that changes nothing here.
type ignored struct{}

// UnmarshalJSON takes anything.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

// openaiModels knows what may be named in `model`, and answers /v1/models.
type openaiModels struct {
	engine   engine
	registry registry
	started  time.Time
}

// openaiModel is a base, or a fine-tuned model.
type openaiModel struct {
	ID      string  `json:"id" example:"imdb@3"` // "imdb" is the current version
	Object  string  `json:"object" example:"model" enums:"model"`
	Created int64   `json:"created" example:"1764288000"`
	OwnedBy string  `json:"owned_by" example:"default"` // "lorikeet" for a base, else the tenant
	Root    string  `json:"root" example:"imdb@3"`      // the version that the id means now
	Parent  *string `json:"parent" example:"bert"`      // its base; null for a base
	Kind    string  `json:"kind" example:"adapter" enums:"base,adapter,variant"`
	Task    string  `json:"task,omitempty" example:"text-classification"`
} // @name OpenAIModel

// modelRequest names a model.
type modelRequest struct {
	Model string `json:"-" path:"model"`
}

// list shows what may be named in `model`.
//
//	@Summary		List models (OpenAI)
//	@Description	Lists what may be named as model: bases, and adapters and full fine-tunes, each by its name, which means its current version, and as name@version.
//	@ID				openaiListModels
//	@Tags			openai
//	@Produce		json
//	@Success		200	{object}	listing[openaiModel]
//	@Failure		default	{object}	Problem
//	@Router			/v1/models [get]
func (m openaiModels) list(ctx context.Context, _ none) (listing[openaiModel], error) {
	bases, err := basesOf(ctx, m.engine)
	if err != nil {
		return listing[openaiModel]{}, err
	}
	var all []openaiModel
	for _, b := range bases {
		all = append(all, m.base(b))
	}
	for _, s := range m.registry.List(ctx) {
		for _, v := range slices.Backward(s.Versions) {
			if v.Version == s.Current {
				all = append(all, tunedModel(v.Name, v, bases))
			}
			all = append(all, tunedModel(v.String(), v, bases))
		}
	}
	return listingOf(pageOf(all, false, func(v openaiModel) string { return v.ID })), nil
}

func (m openaiModels) base(b inference.Model) openaiModel {
	return openaiModel{ID: b.Name, Object: "model", Created: m.started.Unix(), OwnedBy: "lorikeet", Root: b.Name, Kind: b.Kind, Task: b.Task}
}

func tunedModel(id string, v adapters.Version, bases []inference.Model) openaiModel {
	out := openaiModel{ID: id, Object: "model", Created: v.CreatedAt.Unix(), OwnedBy: tenantName(v.Tenant), Root: v.String(), Parent: &v.Base, Kind: v.Kind}
	for _, b := range bases {
		if b.Name == v.Base {
			out.Task = b.Task
		}
	}
	return out
}

// get shows a model.
//
//	@Summary		Show a model (OpenAI)
//	@Description	Shows a base, an adapter or a full fine-tune.
//	@ID				openaiGetModel
//	@Tags			openai
//	@Produce		json
//	@Param			model	path		string	true	"its name, or name@version"
//	@Success		200		{object}	openaiModel
//	@Failure		default	{object}	Problem
//	@Router			/v1/models/{model} [get]
func (m openaiModels) get(ctx context.Context, in modelRequest) (openaiModel, error) {
	found, err := m.find(ctx, in.Model)
	if err != nil {
		return openaiModel{}, err
	}
	if found.version == nil {
		return m.base(found.base), nil
	}
	return tunedModel(in.Model, *found.version, []inference.Model{found.base}), nil
}

// remove deletes a fine-tuned model.
//
//	@Summary		Delete a model (OpenAI)
//	@Description	Deletes a fine-tuned model: one version, or with the bare name all of them. A base cannot be deleted.
//	@ID				openaiDeleteModel
//	@Tags			openai
//	@Produce		json
//	@Param			model	path		string	true	"its name, or name@version"
//	@Success		200		{object}	deleted
//	@Failure		default	{object}	Problem
//	@Router			/v1/models/{model} [delete]
func (m openaiModels) remove(ctx context.Context, in modelRequest) (deleted, error) {
	found, err := m.find(ctx, in.Model)
	if err != nil && !errors.Is(err, inference.ErrWrongBase) {
		return deleted{}, err
	}
	if found.version == nil {
		return deleted{}, invalid.Field("model", "%q is a base: only fine-tuned models can be deleted", brief(in.Model))
	}
	number := 0
	if strings.Contains(in.Model, "@") {
		number = found.version.Version
	}
	return deleted{in.Model, "model", true}, m.registry.Delete(ctx, found.version.Name, number)
}

// askedModel is what a request's `model` means.
type askedModel struct {
	base    inference.Model
	version *adapters.Version // nil: the bare base
}

// find looks up what a name means to all: its current version.
func (m openaiModels) find(ctx context.Context, name string) (askedModel, error) {
	return m.look(ctx, name, m.registry.Resolve)
}

// route looks up what answers this asker, where the traffic of a name is split. The version
// is fixed here, so that all texts of a request are written by the same weights.
func (m openaiModels) route(ctx context.Context, name string, who adapters.Asker) (askedModel, error) {
	return m.look(ctx, name, func(ctx context.Context, ref string) (adapters.Version, error) {
		return m.registry.Route(ctx, ref, who)
	})
}

func (m openaiModels) look(ctx context.Context, name string, version func(context.Context, string) (adapters.Version, error)) (askedModel, error) {
	bases, err := basesOf(ctx, m.engine)
	if err != nil {
		return askedModel{}, err
	}
	base := func(name string) (askedModel, bool) {
		i := slices.IndexFunc(bases, func(b inference.Model) bool { return b.Name == name })
		if i < 0 {
			return askedModel{}, false
		}
		return askedModel{base: bases[i]}, true
	}
	if found, ok := base(name); ok {
		return found, nil
	}
	v, err := version(ctx, name)
	if errors.Is(err, adapters.ErrNotFound) || errors.Is(err, adapters.ErrName) {
		return askedModel{}, fmt.Errorf("%w: %q; GET /v1/models lists what there is", inference.ErrUnknownModel, brief(name))
	}
	if err != nil {
		return askedModel{}, err
	}
	found, ok := base(v.Base)
	found.version = &v
	if !ok {
		return found, fmt.Errorf("%w: %s was made for base %q, which is not loaded", inference.ErrWrongBase, v.Ref, v.Base)
	}
	return found, nil
}

// name is what the engine and the answer call it.
func (a askedModel) name() string {
	if a.version != nil {
		return a.version.String()
	}
	return a.base.Name
}

// fingerprint tells weights apart.
func (a askedModel) fingerprint() string {
	digest := a.base.Digest
	if a.version != nil {
		digest = a.version.Digest
	}
	digest = strings.TrimPrefix(digest, "sha256:")
	return "fp_" + digest[:min(12, len(digest))]
}

// scores reports whether the model gives labels, and writes no texts.
func (a askedModel) scores() bool { return a.base.Task == inference.TaskClassification }

// rawNull is null where a field must be there and has no value.
var rawNull = json.RawMessage("null")
