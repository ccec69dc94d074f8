package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lorikeet/inference/inferencetest"
)

func TestWebhookSettings(t *testing.T) {
	for name, c := range map[string]struct {
		url, secret string
		good        bool
	}{
		"none":                       {"", "", true},
		"an address and its secret":  {"https://hooks.example/a", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true},
		"a private address":          {"http://10.0.0.7:9000/a", "a secret of more than 16 bytes", true},
		"no secret":                  {"https://hooks.example/a", "", false},
		"a secret alone":             {"", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false},
		"no address":                 {"hooks.example", "a secret of more than 16 bytes", false},
		"another scheme":             {"file:///etc/passwd", "a secret of more than 16 bytes", false},
		"a short secret":             {"https://hooks.example/a", "short", false},
		"a secret that is no base64": {"https://hooks.example/a", "whsec_!!!", false},
	} {
		err := (&config{webhook: c.url, webhookSecret: c.secret}).checkWebhook()
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && c.secret != "" && strings.Contains(err.Error(), c.secret) {
			t.Errorf("%s: the secret is told: %v", name, err)
		}
	}
}

// The operator's endpoint is told when a job is over, by the running service.
func TestTheOperatorIsTold(t *testing.T) {
	told := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("webhook-signature") == "" {
			t.Errorf("%v, %v", r.Header, err)
		}
		told <- string(body)
	}))
	defer receiver.Close()
	c, _ := launch(t, "--base", "tiny="+inferencetest.BERT(t, "negative", "positive"), "--data", t.TempDir(),
		"--webhook", receiver.URL, "--webhook-secret", "a secret of more than 16 bytes")
	set := c.upload(201, "/datasets", nil, map[string][]byte{"file": rows(16)})
	job := c.call(202, "POST", "/tune/lora", map[string]any{"model": "tiny", "name": "reviews", "dataset": map[string]any{"id": set["id"]},
		"hyperparameters": map[string]any{"epochs": 1}})
	id, _ := job["id"].(string)
	c.finish(id)
	select {
	case body := <-told:
		if !strings.Contains(body, `"type":"fine_tuning.job.succeeded"`) || !strings.Contains(body, id) {
			t.Errorf("told %s", body)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told")
	}
}
