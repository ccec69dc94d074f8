package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("--webhook %q is not an address such as https://hooks.example/lorikeet", c.webhook)
	}
	if rest, ok := strings.CutPrefix(c.webhookSecret, "whsec_"); ok {
		if b, err := base64.StdEncoding.DecodeString(rest); err != nil || len(b) < 16 {
			return errors.New("--webhook-secret must be at least 16 bytes in base64 after whsec_")
		}
	} else if len(c.webhookSecret) < 16 {
		return errors.New("--webhook-secret must have at least 16 bytes")
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
