//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	"lorikeet/adapters"
)

// newClient is an HTTP client that keeps its connections.
func newClient(connections int) *http.Client {
	return &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxIdleConns: 0}}
}

// problem is what is read of an error's body.
type problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// reply is an answer of the service.
type reply struct {
	status int
	body   []byte
}

func (r reply) problem() (p problem) {
	_ = json.Unmarshal(r.body, &p) // what is no problem has no code
	return p
}

// String shows what is wrong.
func (r reply) String() string { return fmt.Sprintf("%d %.300s", r.status, r.body) }

// call sends a request and reads the whole answer. body is JSON, a form, or nil.
func call(ctx context.Context, c *http.Client, method, url string, body any) (reply, error) {
	var payload []byte
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case form:
		payload, kind = b.body, b.kind
	default:
		var err error
		if payload, err = json.Marshal(b); err != nil {
			return reply{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(payload))
	if err != nil {
		return reply{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, b}, err
}

// form is a multipart body.
type form struct {
	kind string
	body []byte
}

// importForm is the form that registers an adapter.
func importForm(name string, f files) (form, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, field := range [][2]string{{"name", name}, {"model", f.base}} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			return form{}, err
		}
	}
	for file, content := range map[string][]byte{adapters.ConfigFile: f.config, adapters.WeightsFile: f.weights} {
		part, err := w.CreateFormFile(file, file)
		if err == nil {
			_, err = part.Write(content)
		}
		if err != nil {
			return form{}, err
		}
	}
	err := w.Close()
	return form{w.FormDataContentType(), body.Bytes()}, err
}

// version is what is read of an adapter.
type version struct {
	Name     string `json:"name"`
	Version  int    `json:"version"`
	Digest   string `json:"digest"`
	Versions []int  `json:"versions"` // of a series
	Files    map[string]struct {
		Digest string `json:"digest"`
	} `json:"files"`
}

// prediction is what is read of an answer of /predict.
type prediction struct {
	Adapter *version `json:"adapter"`
	Results []scored `json:"results"`
}

type scored struct {
	Scores []struct {
		Label string  `json:"label"`
		Score float64 `json:"score"`
	} `json:"scores"`
	Adapter string `json:"adapter"` // in a mixed batch: name@version
	Digest  string `json:"digest"`
}
