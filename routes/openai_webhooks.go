package routes

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning/webhooks"
)

// hooks is what HTTP needs of the webhooks.
type hooks interface {
	Create(context.Context, webhooks.Endpoint) (webhooks.Endpoint, error)
	Get(ctx context.Context, id string) (webhooks.Endpoint, error)
	List(context.Context) ([]webhooks.Endpoint, error)
	Update(ctx context.Context, id string, change func(*webhooks.Endpoint)) (webhooks.Endpoint, error)
	Rotate(ctx context.Context, id string, keep time.Duration) (webhooks.Endpoint, error)
	Delete(ctx context.Context, id string) error
	Test(ctx context.Context, id, kind string) (status int, err error)
	Stats() webhooks.Stats
}

// openaiWebhooks answers /v1/webhook_endpoints.
type openaiWebhooks struct {
	hooks hooks
	ends  *ends
}

// webhookEndpoint is an address that is told when jobs are over.
type webhookEndpoint struct {
	ID         string   `json:"id" example:"we_k3v9q2mzt7xw5n4jhd6a"`
	Object     string   `json:"object" example:"webhook_endpoint" enums:"webhook_endpoint"`
	Name       string   `json:"name" example:"pipeline"`
	URL        string   `json:"url" example:"https://hooks.example/lorikeet"`
	EventTypes []string `json:"event_types" example:"fine_tuning.job.succeeded"`
	Hint       string   `json:"signing_secret_hint" example:"whsec_…9Q8="`
	CreatedAt  int64    `json:"created_at" example:"1764288000"`
	UpdatedAt  int64    `json:"updated_at" example:"1764288000"`
} // @name WebhookEndpoint

// webhookSecret is an endpoint with its secret, which is shown this once.
type webhookSecret struct {
	webhookEndpoint
	Secret string `json:"signing_secret" example:"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
} // @name WebhookEndpointWithSecret

func endpointOf(e webhooks.Endpoint) webhookEndpoint {
	secret := e.Secrets[0].Value
	return webhookEndpoint{ID: e.ID, Object: "webhook_endpoint", Name: e.Name, URL: e.URL, EventTypes: list(e.Events),
		Hint: "whsec_…" + secret[max(0, len(secret)-4):], CreatedAt: e.CreatedAt.Unix(), UpdatedAt: e.UpdatedAt.Unix()}
}

// createWebhookRequest asks for an endpoint.
type createWebhookRequest struct {
	Name       string   `json:"name" example:"pipeline"`
	URL        string   `json:"url" example:"https://hooks.example/lorikeet"` // https, at a public address
	EventTypes []string `json:"event_types" example:"fine_tuning.job.succeeded,fine_tuning.job.failed,fine_tuning.job.cancelled"`
} // @name CreateWebhookEndpointRequest

// create adds an endpoint.
//
//	@Summary		Add a webhook endpoint (OpenAI)
//	@Description	Adds an address that is told by a POST when a job of this tenant is over: {"id", "object": "event", "type": "fine_tuning.job.succeeded", "created_at", "data": {"id": the job}}. The headers webhook-id, webhook-timestamp and webhook-signature are those of Standard Webhooks: client.webhooks.unwrap verifies them with the signing secret, which is shown this once. An answer other than 2xx is tried again, for three days; an event may come twice, with the same webhook-id.
//	@ID				openaiCreateWebhookEndpoint
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			request	body		createWebhookRequest	true	"the address, and what it is told"
//	@Success		200		{object}	webhookSecret
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints [post]
func (w openaiWebhooks) create(ctx context.Context, in createWebhookRequest) (webhookSecret, error) {
	e, err := w.hooks.Create(ctx, webhooks.Endpoint{Name: in.Name, URL: in.URL, Events: in.EventTypes, Tenant: callerIn(ctx).tenant()})
	if err != nil {
		return webhookSecret{}, err
	}
	note(ctx, slog.String("made", e.ID))
	return webhookSecret{endpointOf(e), e.Secrets[0].Value}, nil
}

// list shows the endpoints.
//
//	@Summary		List webhook endpoints (OpenAI)
//	@Description	Lists the addresses that are told when jobs of this tenant are over, the newest first.
//	@ID				openaiListWebhookEndpoints
//	@Tags			openai
//	@Produce		json
//	@Param			limit	query		int		false	"endpoints in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"id of the last endpoint of the page before"
//	@Success		200		{object}	listing[webhookEndpoint]
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints [get]
func (w openaiWebhooks) list(ctx context.Context, in paging) (listing[webhookEndpoint], error) {
	if err := in.check(); err != nil {
		return listing[webhookEndpoint]{}, err
	}
	all, err := w.hooks.List(ctx)
	if err != nil {
		return listing[webhookEndpoint]{}, err
	}
	all = slices.DeleteFunc(all, func(e webhooks.Endpoint) bool { return !callerIn(ctx).sees(e.Tenant) })
	p, err := cutByTime(ctx, w.ends, all, in, false, func(e webhooks.Endpoint) string { return e.ID }, func(e webhooks.Endpoint) time.Time { return e.CreatedAt })
	if err != nil {
		return listing[webhookEndpoint]{}, err
	}
	views := make([]webhookEndpoint, len(p.Data))
	for i, e := range p.Data {
		views[i] = endpointOf(e)
	}
	return listingOf(pageOf(views, p.HasMore, func(e webhookEndpoint) string { return e.ID })), nil
}

// webhookRequest names an endpoint.
type webhookRequest struct {
	ID string `json:"-" path:"webhook_endpoint_id"`
}

// find is the endpoint, if it is the caller's.
func (w openaiWebhooks) find(ctx context.Context, id string) (webhooks.Endpoint, error) {
	e, err := w.hooks.Get(ctx, id)
	if err == nil && !callerIn(ctx).sees(e.Tenant) {
		err = webhooks.ErrNotFound
	}
	return e, err
}

// get shows an endpoint.
//
//	@Summary		Show a webhook endpoint (OpenAI)
//	@Description	Shows an address that is told when jobs are over. Its signing secret is not shown again.
//	@ID				openaiGetWebhookEndpoint
//	@Tags			openai
//	@Produce		json
//	@Param			webhook_endpoint_id	path	string	true	"the endpoint"
//	@Success		200		{object}	webhookEndpoint
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints/{webhook_endpoint_id} [get]
func (w openaiWebhooks) get(ctx context.Context, in webhookRequest) (webhookEndpoint, error) {
	e, err := w.find(ctx, in.ID)
	if err != nil {
		return webhookEndpoint{}, err
	}
	return endpointOf(e), nil
}

// updateWebhookRequest says what is to change.
type updateWebhookRequest struct {
	ID         string   `json:"-" path:"webhook_endpoint_id" swaggerignore:"true"`
	Name       *string  `json:"name,omitempty" example:"pipeline"`
	URL        *string  `json:"url,omitempty" example:"https://hooks.example/lorikeet"`
	EventTypes []string `json:"event_types,omitempty" example:"fine_tuning.job.succeeded"`
} // @name UpdateWebhookEndpointRequest

// update changes an endpoint.
//
//	@Summary		Change a webhook endpoint (OpenAI)
//	@Description	Changes the name, the address or the events of an endpoint; what is not given stays.
//	@ID				openaiUpdateWebhookEndpoint
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			webhook_endpoint_id	path	string	true	"the endpoint"
//	@Param			request	body		updateWebhookRequest	true	"what changes"
//	@Success		200		{object}	webhookEndpoint
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints/{webhook_endpoint_id} [post]
func (w openaiWebhooks) update(ctx context.Context, in updateWebhookRequest) (webhookEndpoint, error) {
	if _, err := w.find(ctx, in.ID); err != nil {
		return webhookEndpoint{}, err
	}
	e, err := w.hooks.Update(ctx, in.ID, func(e *webhooks.Endpoint) {
		if in.Name != nil {
			e.Name = *in.Name
		}
		if in.URL != nil {
			e.URL = *in.URL
		}
		if in.EventTypes != nil {
			e.Events = in.EventTypes
		}
	})
	if err != nil {
		return webhookEndpoint{}, err
	}
	return endpointOf(e), nil
}

// remove deletes an endpoint.
//
//	@Summary		Delete a webhook endpoint (OpenAI)
//	@Description	Deletes an endpoint. What it was still to be told is dropped.
//	@ID				openaiDeleteWebhookEndpoint
//	@Tags			openai
//	@Produce		json
//	@Param			webhook_endpoint_id	path	string	true	"the endpoint"
//	@Success		200		{object}	deleted
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints/{webhook_endpoint_id} [delete]
func (w openaiWebhooks) remove(ctx context.Context, in webhookRequest) (deleted, error) {
	if _, err := w.find(ctx, in.ID); err != nil {
		return deleted{}, err
	}
	return deleted{in.ID, "webhook_endpoint.deleted", true}, w.hooks.Delete(ctx, in.ID)
}

// rotateRequest says whether the old secret goes on for a while.
type rotateRequest struct {
	ID   string `json:"-" path:"webhook_endpoint_id" swaggerignore:"true"`
	Keep *bool  `json:"keep_old_secret_active_for_24_hours,omitempty" default:"false"` // until then both sign
} // @name RotateWebhookSecretRequest

// rotate gives an endpoint a new secret.
//
//	@Summary		Rotate the secret of a webhook endpoint (OpenAI)
//	@Description	Gives an endpoint a new signing secret, shown this once.
//	@ID				openaiRotateWebhookSecret
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			webhook_endpoint_id	path	string	true	"the endpoint"
//	@Param			request	body		rotateRequest	true	"what becomes of the old secret"
//	@Success		200		{object}	webhookSecret
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret [post]
func (w openaiWebhooks) rotate(ctx context.Context, in rotateRequest) (webhookSecret, error) {
	if _, err := w.find(ctx, in.ID); err != nil {
		return webhookSecret{}, err
	}
	keep := time.Duration(0)
	if in.Keep != nil && *in.Keep {
		keep = 24 * time.Hour
	}
	e, err := w.hooks.Rotate(ctx, in.ID, keep)
	if err != nil {
		return webhookSecret{}, err
	}
	return webhookSecret{endpointOf(e), e.Secrets[0].Value}, nil
}

// testWebhookRequest says what to send.
type testWebhookRequest struct {
	ID   string `json:"-" path:"webhook_endpoint_id" swaggerignore:"true"`
	Type string `json:"event_type" example:"fine_tuning.job.succeeded" enums:"fine_tuning.job.succeeded,fine_tuning.job.failed,fine_tuning.job.cancelled"`
} // @name TestWebhookEndpointRequest

// testedWebhook is how the endpoint answered.
type testedWebhook struct {
	Object   string `json:"object" example:"webhook_endpoint.test" enums:"webhook_endpoint.test"`
	Endpoint string `json:"webhook_endpoint_id" example:"we_k3v9q2mzt7xw5n4jhd6a"`
	Type     string `json:"event_type" example:"fine_tuning.job.succeeded"`
	Status   int    `json:"status_code" example:"204"`
	Success  bool   `json:"success" example:"true"` // it answered, whatever the status
} // @name WebhookEndpointTest

// test sends an endpoint an event.
//
//	@Summary		Test a webhook endpoint (OpenAI)
//	@Description	Sends an endpoint an event of a job called job_test, once and at once, and tells the status that it answers with.
//	@ID				openaiTestWebhookEndpoint
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			webhook_endpoint_id	path	string	true	"the endpoint"
//	@Param			request	body		testWebhookRequest	true	"what to send"
//	@Success		200		{object}	testedWebhook
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_endpoints/{webhook_endpoint_id}/test [post]
func (w openaiWebhooks) test(ctx context.Context, in testWebhookRequest) (testedWebhook, error) {
	if !slices.Contains(webhooks.EventTypes, in.Type) {
		return testedWebhook{}, invalid.Field("event_type", "%q is none of %v", brief(in.Type), webhooks.EventTypes)
	}
	if _, err := w.find(ctx, in.ID); err != nil {
		return testedWebhook{}, err
	}
	status, err := w.hooks.Test(ctx, in.ID, in.Type)
	if errors.Is(err, webhooks.ErrRefused) {
		return testedWebhook{}, errors.Join(err, invalid.Field("url", "%v", err))
	}
	return testedWebhook{"webhook_endpoint.test", in.ID, in.Type, status, true}, err
}

// webhookTypes are the events there are.
type webhookTypes struct {
	Object string   `json:"object" example:"list" enums:"list"`
	Data   []string `json:"data" example:"fine_tuning.job.succeeded,fine_tuning.job.failed,fine_tuning.job.cancelled"`
} // @name WebhookEventTypes

// types shows what an endpoint can be told.
//
//	@Summary		List webhook events (OpenAI)
//	@Description	Lists the types of event that an endpoint can be told.
//	@ID				openaiListWebhookEventTypes
//	@Tags			openai
//	@Produce		json
//	@Success		200	{object}	webhookTypes
//	@Failure		default	{object}	Problem
//	@Router			/v1/webhook_event_types [get]
func (w openaiWebhooks) types(context.Context, none) (webhookTypes, error) {
	return webhookTypes{"list", webhooks.EventTypes}, nil
}
