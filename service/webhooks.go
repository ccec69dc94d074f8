package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"lorikeet/inference/hub"
	"lorikeet/tuning/webhooks"
)

// checkWebhook reports what is wrong with the operator's own webhook.
func (c *config) checkWebhook() error {
	if (c.webhook == "") != (c.webhookSecret == "") {
		return errors.New("--webhook and --webhook-secret go together: give both")
	}
	if c.webhook == "" {
		return nil
	}
	u, err := url.Parse(c.webhook)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return fmt.Errorf("--webhook %q is not an address such as https://hooks.example/lorikeet", c.webhook)
	}
	if err := webhooks.CheckSecret(c.webhookSecret); err != nil {
		return fmt.Errorf("--webhook-secret: %w", err)
	}
	return nil
}

// webhooks tells others that jobs are over. Where callers name an address it is guarded;
// the operator's own may be anywhere.
func (c *config) webhooks(p *parts) *webhooks.Service {
	local := loopback(c.addr) && !c.needsKeys()
	o := webhooks.Options{Store: p.store, Client: &http.Client{Transport: hub.Outbound(local)}, Local: local, Log: p.log}
	if c.webhook != "" {
		o.Own, o.OwnSecret, o.OwnClient = c.webhook, c.webhookSecret, &http.Client{Transport: hub.Guarded(c.webhook)}
	}
	return webhooks.New(o)
}
