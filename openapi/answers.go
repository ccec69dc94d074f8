package openapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// failures are the statuses that an operation may answer with beside those that its
// method, path and body bring with them.
var failures = map[string][]int{
	"predict":               {404, 503},
	"generate":              {404, 503},
	"tuneFull":              {404, 409, 429, 503, 507},
	"tuneLora":              {404, 409, 429, 503, 507},
	"tuneInstruction":       {404, 409, 429, 503, 507},
	"createChatCompletion":  {404, 503},
	"createCompletion":      {404, 503},
	"openaiDeleteModel":     {507},
	"openaiCreateFile":      {507},
	"openaiCreateJob":       {404, 409, 429, 503, 507},
	"openaiCancelJob":       {409},
	"openaiPauseJob":        {409},
	"openaiResumeJob":       {409},
	"openaiGetFileContent":  {206, 304, 412, 416},
	"cancelJob":             {409},
	"deleteJob":             {409, 507},
	"pauseJob":              {409},
	"resumeJob":             {409},
	"createDataset":         {507},
	"createAdapter":         {404, 503, 507},
	"rollbackAdapter":       {507},
	"deleteAdapter":         {507},
	"deleteAdapterVersion":  {507},
	"loadAdapter":           {503},
	"pinAdapter":            {503},
	"readyz":                {503},
	"metrics":               {503}, // when too many scrape at once
	"dashboardFile":         {304},
	"getAdapterFile":        {206, 304, 412, 416},
	"getMergedAdapter":      {422, 503},
	"mergeAdapters":         {404, 503, 507},
	"setTraffic":            {507},
	"endTraffic":            {507},
	"cleanDataset":          {507},
	"getQuarantine":         {206, 304, 412, 416},
	"addFeedback":           {409, 507},
	"addFeedbackV1":         {409, 507},
	"createFeedbackDataset": {507},
}

// about says what a status means here.
var about = map[int]string{
	206: "the range that was asked for",
	304: "the caller has this file already",
	400: "malformed JSON, or a field or parameter that this operation does not have",
	401: "no API key came, or one that is not accepted",
	403: "the key's scope does not allow this, the thing is another tenant's, or the request comes from a web page that may not send it",
	404: "a name or id that does not exist",
	408: "the body stopped arriving",
	409: "not possible in the state that things are in; sending it again will not help",
	412: "a condition in the request does not hold",
	413: "the body is too large",
	415: "a content type that is not understood here",
	416: "the file has no such range",
	422: "understood, but wrong; every mistake is named with its field or line",
	429: "too many requests, or too many jobs; or the queue is full",
	500: "our fault; the log holds the cause under the request id",
	503: "not now: loading, too busy, shutting down, or the keys cannot be read",
	507: "the disk is full; nothing was stored",
}

// answers adds the errors of an operation, the headers, and the content types of
// what is not JSON.
func answers(method, path, scope string, op *openapi3.Operation) {
	codes := append([]int{400, 403, 500}, failures[op.OperationID]...)
	if scope != "" && scope != open {
		codes = append(codes, 401, 429, 503)
	}
	if strings.Contains(path, "{") {
		codes = append(codes, 404)
	}
	if len(op.Parameters) > 0 || op.RequestBody != nil {
		if !strings.HasPrefix(path, openaiPrefix) { // there it is a 400
			codes = append(codes, 422) // a parameter of the wrong type
		}
	}
	if op.RequestBody != nil {
		codes = append(codes, 408, 413, 415)
	}
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		r := openapi3.NewResponse().WithDescription(about[code])
		switch {
		case code == http.StatusPartialContent:
			r.Content = binary()
		case code >= http.StatusBadRequest && code != http.StatusPreconditionFailed:
			r.Content = openapi3.Content{"application/problem+json": openapi3.NewMediaType().WithSchemaRef(ref("Problem"))}
		}
		if code == 429 || code == 503 {
			header(r, "Retry-After", "seconds to wait before the request is worth sending again")
		}
		if code == 401 {
			header(r, "WWW-Authenticate", "the scheme, and whether the key was at fault")
		}
		if code == 429 {
			header(r, "RateLimit-Limit", "requests that this key may send at once")
			header(r, "RateLimit-Remaining", "how many of them are left")
			header(r, "RateLimit-Reset", "seconds until all of them are")
		}
		if code == 409 {
			header(r, "X-Should-Retry", "\"false\"")
		}
		op.Responses.Set(strconv.Itoa(code), &openapi3.ResponseRef{Value: r})
	}
	for code, r := range op.Responses.Map() {
		header(r.Value, "X-Request-Id", "the caller's, or a new one")
		switch {
		case code == "default":
			r.Value.Content = openapi3.Content{"application/problem+json": openapi3.NewMediaType().WithSchemaRef(ref("Problem"))}
			*r.Value.Description = "an error"
		case op.OperationID == "createKey", op.OperationID == "addFeedback", strings.HasPrefix(path, openaiPrefix): // it is in the list, and nowhere alone
		case code == "201", code == "202", code == "302":
			header(r.Value, "Location", "where the new thing is")
		}
	}
	content(op)
}

func header(r *openapi3.Response, name, about string) {
	if r.Headers == nil {
		r.Headers = openapi3.Headers{}
	}
	r.Headers[name] = &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
		Description: about, Schema: inline(openapi3.NewStringSchema())}}}
}

func binary() openapi3.Content {
	return openapi3.Content{"application/octet-stream": openapi3.NewMediaType().WithSchemaRef(
		inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Format: "binary"}))}
}

// streams are the operations that may answer with server-sent events, and what these are.
var streams = map[string]string{
	"jobEvents":            "Server-sent events. Each has an id, an event (step, eval, checkpoint or status) and data: the JSON object that is data of an Event.",
	"generate":             "Server-sent events, when the request says stream. First data: {\"text\": …} for each piece of the text; then data: a Generation without text; then data: [DONE]. An event named error has a Problem as its data, and is the last.",
	"createChatCompletion": "Server-sent events, when the request says stream: data: a chat.completion.chunk for each piece; then data: [DONE].",
	"createCompletion":     "Server-sent events, when the request says stream: data: a text_completion for each piece; then data: [DONE].",
}

// content corrects the answers that are not, or not only, JSON.
func content(op *openapi3.Operation) {
	ok := op.Responses.Value("200")
	if ok == nil {
		return
	}
	if about := streams[op.OperationID]; about != "" {
		// The schema has no type: OpenAPI 3.0 does not say whether it is of the whole text or
		// of an event, and readers differ.
		ok.Value.Content["text/event-stream"] = openapi3.NewMediaType().WithSchemaRef(inline(&openapi3.Schema{Description: about}))
	}
	switch op.OperationID {
	case "openaiGetFileContent":
		ok.Value.Content = binary()
		ok.Value.Content["text/csv"] = openapi3.NewMediaType().WithSchemaRef(text("the results of a job"))
		ok.Value.Content["application/x-ndjson"] = openapi3.NewMediaType().WithSchemaRef(text("rows, a line each"))
		ok.Value.Content["application/json"] = openapi3.NewMediaType().WithSchemaRef(rawEvent())
		header(ok.Value, "ETag", "the digest of an upload")
	case "getAdapterFile":
		ok.Value.Content = binary()
		ok.Value.Content["application/json"] = openapi3.NewMediaType().WithSchemaRef(rawEvent())
		ok.Value.Content["text/markdown"] = openapi3.NewMediaType().WithSchemaRef(text("the model card, README.md"))
		header(ok.Value, "ETag", "the digest of the file")
	case "getMergedAdapter":
		ok.Value.Content = openapi3.Content{"application/x-tar": openapi3.NewMediaType().WithSchemaRef(
			inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Format: "binary"}))}
	case "getQuarantine":
		ok.Value.Content = openapi3.Content{"application/x-ndjson": openapi3.NewMediaType().WithSchemaRef(text("JSON lines, each with row, reasons and data"))}
	case "metrics":
		ok.Value.Content = openapi3.Content{
			"text/plain":                   openapi3.NewMediaType().WithSchemaRef(text("")),
			"application/openmetrics-text": openapi3.NewMediaType().WithSchemaRef(text("")),
		}
	case "dashboardFile":
		ok.Value.Content = openapi3.Content{
			"text/javascript": openapi3.NewMediaType().WithSchemaRef(text("")),
			"text/css":        openapi3.NewMediaType().WithSchemaRef(text("")),
			"image/svg+xml":   openapi3.NewMediaType().WithSchemaRef(text("")),
		}
		header(ok.Value, "ETag", "the digest of the file")
	case "docs", "home":
		ok.Value.Content = openapi3.Content{"text/html": openapi3.NewMediaType().WithSchemaRef(text(""))}
	}
}
