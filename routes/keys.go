package routes

import (
	"context"
	"log/slog"
	"time"

	"lorikeet/routes/access"
)

// keyRoutes answers /keys.
type keyRoutes struct {
	keys keyring
	ends *ends
}

// apiKey is a key as it is shown: without the secret, which nobody has but who was
// given it.
type apiKey struct {
	ID        string     `json:"id" example:"key_k3v9q2mzt7xw5n4jhd6a"`
	Name      string     `json:"name" example:"search service"`
	Tenant    string     `json:"tenant" example:"acme"`
	Scope     string     `json:"scope" example:"tune" enums:"predict,tune,admin,metrics"`
	Active    bool       `json:"active" example:"true"` // neither expired nor revoked
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
} // @name Key

func viewOf(k access.Key) apiKey {
	return apiKey{ID: k.ID, Name: k.Name, Tenant: tenantName(k.Tenant), Scope: string(k.Scope), Active: k.Active(time.Now()),
		CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt}
}

// createKeyRequest asks for a new key.
type createKeyRequest struct {
	Name      string     `json:"name,omitempty" example:"search service"`
	Scope     string     `json:"scope" example:"tune" enums:"predict,tune,admin,metrics"`
	Tenant    string     `json:"tenant,omitempty" example:"acme"` // whose jobs, data sets and adapters it sees and makes; left out: "default"
	ExpiresAt *time.Time `json:"expires_at,omitempty"`            // left out: never
} // @name CreateKeyRequest

// createdKey holds the key itself, this once.
type createdKey struct {
	apiKey
	Key string `json:"key" example:"lk_k3v9q2mzt7xw5n4jhd6a_…"` // shown this once; only its hash is stored
} // @name CreatedKey

// list shows the keys.
//
//	@Summary		List keys
//	@Description	Lists the API keys, the newest first, expired and revoked ones too. What a key is sent as is not stored and cannot be shown again.
//	@ID				listKeys
//	@Tags			keys
//	@Produce		json
//	@Param			limit	query		int		false	"keys in a page"	minimum(1)	maximum(100)	default(20)
//	@Param			after	query		string	false	"last_id of the page before"
//	@Success		200		{object}	page[apiKey]
//	@Failure		default	{object}	Problem
//	@Router			/keys [get]
func (k keyRoutes) list(ctx context.Context, in paging) (page[apiKey], error) {
	if err := in.check(); err != nil {
		return page[apiKey]{}, err
	}
	all, err := k.keys.List(ctx)
	if err != nil {
		return page[apiKey]{}, err
	}
	views := make([]apiKey, len(all))
	for i, key := range all {
		views[i] = viewOf(key)
	}
	return cutByTime(ctx, k.ends, views, in, false, func(v apiKey) string { return v.ID }, func(v apiKey) time.Time { return v.CreatedAt })
}

// create makes a key.
//
//	@Summary		Make a key
//	@Description	Makes an API key and shows it, this once. predict asks models; tune also has data sets, jobs and adapters of its tenant; admin does everything for every tenant; metrics reads /metrics and nothing else. Every replica knows the key within a second.
//	@ID				createKey
//	@Tags			keys
//	@Accept			json
//	@Produce		json
//	@Param			request	body		createKeyRequest	true	"what the key is to allow"
//	@Success		201		{object}	createdKey
//	@Failure		default	{object}	Problem
//	@Router			/keys [post]
func (k keyRoutes) create(ctx context.Context, in createKeyRequest) (createdKey, error) {
	key, token, err := k.keys.Create(ctx, access.Request{Name: in.Name, Tenant: in.Tenant, Scope: access.Scope(in.Scope), ExpiresAt: in.ExpiresAt})
	if err != nil {
		return createdKey{}, err
	}
	note(ctx, slog.String("made", key.ID), slog.String("made_scope", string(key.Scope)), slog.String("made_for", tenantName(key.Tenant)))
	return createdKey{viewOf(key), token}, nil
}

// keyRequest names a key.
type keyRequest struct {
	ID string `json:"-" path:"id"`
}

// revoke ends a key.
//
//	@Summary		Revoke a key
//	@Description	Makes a key open nothing any more: here at once, in other replicas within a second. Its streams and waits end then; what else is being answered ends well. It stays in the list.
//	@ID				revokeKey
//	@Tags			keys
//	@Param			id	path	string	true	"the key"
//	@Success		204	"revoked"
//	@Failure		default	{object}	Problem
//	@Router			/keys/{id} [delete]
func (k keyRoutes) revoke(ctx context.Context, in keyRequest) (none, error) {
	_, err := k.keys.Revoke(ctx, in.ID)
	return none{}, err
}
