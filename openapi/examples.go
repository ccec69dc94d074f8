package openapi

import (
	_ "embed" // for examples.json
	"encoding/json"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// examples.json maps an operation to what is shown there: "request", or a status, and
// the media type, to the value. Where there are several for one place, each has a name
// after the media type. A test checks every one against its schema.
//
//go:embed examples.json
var exampleFile []byte

// illustrate puts an example on every operation: on its request, on its answer, and
// on its errors.
func illustrate(doc *openapi3.T) error {
	var examples map[string]map[string]any
	if err := json.Unmarshal(exampleFile, &examples); err != nil {
		return fmt.Errorf("examples.json: %w", err)
	}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			given := examples[op.OperationID]
			if op.RequestBody != nil {
				for media, m := range op.RequestBody.Value.Content {
					place(m, given, "request "+media)
				}
			}
			for code, r := range op.Responses.Map() {
				for media, m := range r.Value.Content {
					if !place(m, given, code+" "+media) && media == "application/problem+json" {
						m.Example = problems[code]
					}
				}
			}
		}
	}
	return nil
}

// place puts the examples given for a place there, and reports whether there are any.
func place(m *openapi3.MediaType, given map[string]any, at string) bool {
	if e, ok := given[at]; ok {
		m.Example = e
		return true
	}
	for key, e := range given {
		if name, ok := strings.CutPrefix(key, at+" "); ok {
			if m.Examples == nil {
				m.Examples = openapi3.Examples{}
			}
			m.Examples[name] = &openapi3.ExampleRef{Value: openapi3.NewExample(e)}
		}
	}
	return m.Examples != nil
}

// problems are examples of errors, by status.
var problems = map[string]any{
	"400": problem("Unknown field", 400, "unknown_field", `mdoel: unknown field; did you mean "model"?`, "mdoel"),
	"401": problem("API key needed", 401, "missing_api_key", `an API key is needed: send "Authorization: Bearer lk_…" or "X-API-Key: lk_…"`, ""),
	"403": problem("API key does not allow this", 403, "insufficient_scope", "the API key does not allow this: this takes a key of scope tune, yours has predict", ""),
	"404": problem("Adapter not found", 404, "adapter_not_found", `no such adapter: "imdb@9" does not exist; versions: 1, 2, 3`, "adapter"),
	"409": problem("Job is over", 409, "job_over", "the job is over: it succeeded", "id"),
	"413": problem("Body too large", 413, "body_too_large", "the body is too large: at most 32 MiB are accepted here", ""),
	"415": problem("Unsupported media type", 415, "unsupported_media_type", "this content type is not understood here: text/xml; send application/json", ""),
	"422": problem("Invalid request", 422, "invalid", "lora.r: must be between 1 and 256, is 0", "lora.r"),
	"429": problem("Queue is full", 429, "queue_full", "the queue is full", ""),
	"503": problem("Too busy", 503, "busy", "too many requests are waiting", ""),
	"507": problem("Disk full", 507, "no_space", "the server's disk is full; nothing was stored; free space and send the request again", ""),
}

func problem(title string, status int, code, detail, field string) map[string]any {
	kind := "invalid_request_error"
	switch {
	case status == 401:
		kind = "authentication_error"
	case status == 403:
		kind = "permission_error"
	case status == 429:
		kind = "rate_limit_error"
	case status >= 500:
		kind = "server_error"
	}
	e := map[string]any{"message": detail, "type": kind, "code": code}
	faults := []any{}
	if field != "" {
		e["param"] = field
		faults = append(faults, map[string]any{"field": field, "reason": detail})
	}
	return map[string]any{"type": "about:blank", "title": title, "status": float64(status), "detail": detail,
		"code": code, "request_id": "req_5f0c2b7e9a1d4c3f8e6b7a90", "errors": faults, "error": e}
}
