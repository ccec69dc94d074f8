package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/hub"
	"lorikeet/routes/access"
	"lorikeet/tuning"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
	"lorikeet/tuning/webhooks"
)

// What can be wrong with a request before its meaning is looked at.
var (
	errMalformed    = errors.New("the body is not valid JSON")
	errUnknownField = errors.New("the request holds a field that this operation does not have")
	errTooLarge     = errors.New("the body is too large")
	errMediaType    = errors.New("this content type is not understood here")
	errStalled      = errors.New("the body stopped arriving")
	errCut          = errors.New("the body ended before it was complete")
	errNoRoute      = errors.New("there is nothing at this address")
	errNoMethod     = errors.New("this address does not take this method")
	errCrossOrigin  = errors.New("a page of another site may not do this")
	errHost         = errors.New("without API keys only requests to localhost are answered (a web page may be behind this one); start the service with --keys, or with --insecure behind a proxy")
	errNotReady     = errors.New("the service is not ready")
	errDraining     = errors.New("the service is shutting down")
	errNoFile       = errors.New("no such file in this version")
	errNoUpload     = errors.New("no such file")
	errRange        = errors.New("the file does not have this range")
)

// failure is one row of the list from error to answer.
type failure struct {
	err    error
	status int
	code   string
	title  string
	param  string // the field to blame when the error itself names none
}

// failures is the only place where an error becomes a status. The first row that
// matches wins. What is on no row is our fault: the caller sees "internal error",
// the log sees all of it.
var failures = []failure{
	{errMalformed, http.StatusBadRequest, "malformed_json", "Malformed JSON", ""},
	{errUnknownField, http.StatusBadRequest, "unknown_field", "Unknown field", ""},
	{errCut, http.StatusBadRequest, "incomplete_body", "Incomplete body", ""},
	{errStalled, http.StatusRequestTimeout, "body_timeout", "Body stopped arriving", ""},
	{errTooLarge, http.StatusRequestEntityTooLarge, "body_too_large", "Body too large", ""},
	{errMediaType, http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type", ""},
	{errCrossOrigin, http.StatusForbidden, "cross_origin", "Cross-origin request refused", ""},
	{errHost, http.StatusForbidden, "not_local", "Not a local address", ""},
	{access.ErrNoKey, http.StatusUnauthorized, "missing_api_key", "API key needed", ""},
	{access.ErrBadKey, http.StatusUnauthorized, "invalid_api_key", "API key not accepted", ""},
	{access.ErrScope, http.StatusForbidden, "insufficient_scope", "API key does not allow this", ""},
	{access.ErrRate, http.StatusTooManyRequests, "rate_limit_exceeded", "Too many requests", ""},
	{access.ErrStale, http.StatusServiceUnavailable, "keys_unavailable", "Keys cannot be read", ""},
	{access.ErrNotFound, http.StatusNotFound, "key_not_found", "Key not found", "id"},
	{adapters.ErrOwner, http.StatusForbidden, "other_tenant", "Belongs to another tenant", "name"},
	{tuning.ErrQuota, http.StatusTooManyRequests, "job_quota", "Too many jobs", ""},
	{errNoRoute, http.StatusNotFound, "not_found", "Not found", ""},
	{errNoMethod, http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", ""},
	{errNoFile, http.StatusNotFound, "file_not_found", "File not found", "file"},
	{errNoUpload, http.StatusNotFound, "file_not_found", "File not found", "file_id"},
	{errRange, http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable", "No such range", ""},
	{errNotReady, http.StatusServiceUnavailable, "not_ready", "Not ready", ""},
	{errDraining, http.StatusServiceUnavailable, "draining", "Shutting down", ""},

	{inference.ErrUnknownModel, http.StatusNotFound, "model_not_found", "Model not found", "model"},
	{inference.ErrTooLong, http.StatusUnprocessableEntity, "context_length_exceeded", "Prompt too long", "prompt"},
	{inference.ErrNoHead, http.StatusUnprocessableEntity, "no_head", "Model has no head", "adapter"},
	{inference.ErrWrongBase, http.StatusUnprocessableEntity, "wrong_base", "Adapter of another base", "adapter"},
	{inference.ErrBusy, http.StatusServiceUnavailable, "busy", "Too busy", ""},
	{inference.ErrFull, http.StatusServiceUnavailable, "slots_full", "No free slot", ""},
	{inference.ErrLoading, http.StatusServiceUnavailable, "loading", "Still loading", ""},

	{adapters.ErrNotFound, http.StatusNotFound, "adapter_not_found", "Adapter not found", "adapter"},
	{adapters.ErrName, http.StatusUnprocessableEntity, "invalid", "Invalid request", "adapter"},
	{adapters.ErrCorrupt, http.StatusInternalServerError, "adapter_corrupt", "Adapter is damaged", "adapter"},

	{tuning.ErrNotFound, http.StatusNotFound, "job_not_found", "Job not found", "id"},
	{tuning.ErrOver, http.StatusConflict, "job_over", "Job is over", "id"},
	{tuning.ErrState, http.StatusConflict, "job_state", "Not possible in this state", "id"},
	{tuning.ErrConflict, http.StatusConflict, "idempotency_conflict", "Idempotency key used before", "idempotency_key"},
	{tuning.ErrFull, http.StatusTooManyRequests, "queue_full", "Queue is full", ""},

	{webhooks.ErrNotFound, http.StatusNotFound, "webhook_endpoint_not_found", "Webhook endpoint not found", "webhook_endpoint_id"},
	{webhooks.ErrRefused, http.StatusUnprocessableEntity, "webhook_unreachable", "Webhook endpoint not reached", "url"},

	{feedback.ErrNotFound, http.StatusNotFound, "feedback_not_found", "Feedback not found", "collection"},
	{feedback.ErrFull, http.StatusConflict, "feedback_full", "No room for feedback", "collection"},

	{datasets.ErrNotFound, http.StatusNotFound, "dataset_not_found", "Data set not found", "id"},

	{hub.ErrNotFound, http.StatusNotFound, "hub_not_found", "Not found on the hub", "source"},
	{hub.ErrUnauthorized, http.StatusUnprocessableEntity, "hub_unauthorized", "Not allowed by the hub", "source"},
	{hub.ErrOffline, http.StatusUnprocessableEntity, "hub_offline", "Not in the cache", "source"},
	{hub.ErrUnavailable, http.StatusServiceUnavailable, "hub_unavailable", "Hub not reachable", ""},
	{hub.ErrPrivate, http.StatusUnprocessableEntity, "hub_private_address", "Leads to a private address", "source"},
	{hub.ErrCorrupt, http.StatusServiceUnavailable, "hub_corrupt", "Download is corrupt", ""},

	{store.ErrNoSpace, http.StatusInsufficientStorage, "no_space", "Disk full", ""},
	{store.ErrDenied, http.StatusServiceUnavailable, "store_denied", "Store refuses access", ""},
	{store.ErrUnavailable, http.StatusServiceUnavailable, "store_unavailable", "Store not reachable", ""},
	{syscall.ENOSPC, http.StatusInsufficientStorage, "no_space", "Disk full", ""}, // of the folder for temporary files
	{syscall.EDQUOT, http.StatusInsufficientStorage, "no_space", "Disk full", ""},
}

// Answers for what is no sentinel: faults, and contexts that ended.
var (
	invalidRequest = failure{nil, http.StatusUnprocessableEntity, "invalid", "Invalid request", ""}
	clientGone     = failure{nil, statusClientGone, "client_gone", "Client closed the request", ""}
	tooSlow        = failure{nil, http.StatusGatewayTimeout, "timeout", "Took too long", ""}
	internal       = failure{nil, http.StatusInternalServerError, "internal", "Internal error", ""}
)

// statusClientGone is what the log shows when the caller left first (nginx's 499).
const statusClientGone = 499

// Problem is the one error body of every route: the members of RFC 9457, and the
// object `error` that OpenAI clients read.
type Problem struct {
	Type      string          `json:"type" example:"about:blank"`
	Title     string          `json:"title" example:"Adapter not found"`
	Status    int             `json:"status" example:"404"`
	Detail    string          `json:"detail" example:"adapter \"imdb@9\" does not exist; versions: 1, 2, 3"`
	Code      string          `json:"code" example:"adapter_not_found"`
	RequestID string          `json:"request_id" example:"req_5f0c2b7e9a1d4c3f8e6b7a90"`
	Errors    []invalid.Fault `json:"errors"`
	Error     problemError    `json:"error"`
} // @name Problem

// problemError is the error object of the OpenAI API.
type problemError struct {
	Message string `json:"message" example:"adapter \"imdb@9\" does not exist; versions: 1, 2, 3"`
	Type    string `json:"type" example:"invalid_request_error"`
	Param   string `json:"param,omitempty" example:"adapter"`
	Code    string `json:"code" example:"adapter_not_found"`
} // @name ProblemError

// openaiError is an error of a route below /v1. What is wrong with a request is a 400 in
// OpenAI's API, which its clients raise as BadRequestError; elsewhere it is a 422.
type openaiError struct{ error }

func (e openaiError) Unwrap() error { return e.error }

// spoken is an error as the routes that were asked tell it.
func (v *visit) spoken(err error) error {
	if strings.HasPrefix(v.route, openaiPrefix) {
		return openaiError{err}
	}
	return err
}

// classify finds the row for err.
func classify(err error) failure {
	f := failureOf(err)
	if e := (openaiError{}); f.status == http.StatusUnprocessableEntity && errors.As(err, &e) {
		f.status = http.StatusBadRequest
	}
	return f
}

func failureOf(err error) failure {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f
		}
	}
	switch {
	case invalid.Is(err):
		return invalidRequest
	case errors.Is(err, context.Canceled):
		return clientGone
	case errors.Is(err, context.DeadlineExceeded):
		return tooSlow
	}
	return internal
}

// maxFaults bounds the list of faults in a body: a file of a million bad lines
// must not make an answer of a million entries.
const maxFaults = 200

// problem builds the body that tells err to the caller.
func problem(err error, requestID string) Problem {
	f := classify(err)
	faults := invalid.Faults(err)
	p := Problem{
		Type:      "about:blank",
		Title:     f.title,
		Status:    f.status,
		Code:      f.code,
		RequestID: requestID,
		Detail:    detail(f, err, faults),
		Errors:    faults,
	}
	if f.status >= http.StatusInternalServerError {
		p.Errors = nil
	} else if len(p.Errors) == 0 && f.param != "" {
		p.Errors = []invalid.Fault{{Field: f.param, Reason: p.Detail}}
	}
	if n := len(p.Errors); n > maxFaults {
		p.Errors = append(p.Errors[:maxFaults:maxFaults],
			invalid.Fault{Reason: fmt.Sprintf("and %d more", n-maxFaults)})
	}
	if p.Errors == nil {
		p.Errors = []invalid.Fault{}
	}
	p.Error = problemError{Message: p.Detail, Type: kindOf(f.status), Code: f.code, Param: f.param}
	if len(p.Errors) > 0 && p.Errors[0].Field != "" {
		p.Error.Param = p.Errors[0].Field
	}
	return p
}

// detail says in words what went wrong. Errors of the 5xx rows may hold paths and
// addresses of ours, so those get a fixed text.
func detail(f failure, err error, faults []invalid.Fault) string {
	switch {
	case f.code == "adapter_corrupt":
		return "the stored files of this adapter no longer match their digest; it is not served; register it again"
	case f.code == "hub_private_address": // which name has which address in our network is not for all to know
		return "the hub redirects this to an address that is not of the public internet, where this service does not follow"
	case f.code == "keys_unavailable":
		return "the keys cannot be read from the store just now; the log holds the cause under this request id"
	case f.status == http.StatusInternalServerError:
		return "internal error; the log holds the cause under this request id"
	case f.status == http.StatusInsufficientStorage:
		return "the server's disk is full; nothing was stored; free space and send the request again"
	case f.code == "store_denied":
		return "the server may not write or read its own store; nothing was stored; the log holds the cause under this request id"
	case f.code == "store_unavailable":
		return "the server's store cannot be reached; send the request again"
	case f.status == http.StatusGatewayTimeout:
		return "the request took too long and was given up"
	}
	const shown = 3
	switch n := len(faults); {
	case n == 0:
		return err.Error()
	case n == 1:
		return faults[0].Error()
	default:
		texts := make([]string, 0, shown+1)
		for _, fault := range faults[:min(n, shown)] {
			texts = append(texts, fault.Error())
		}
		if n > shown {
			texts = append(texts, "…")
		}
		return fmt.Sprintf("%d mistakes: %s", n, strings.Join(texts, "; "))
	}
}

// kindOf is the `type` that OpenAI clients branch on.
func kindOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request_error"
}

// retryAfter is how long to wait before a 429 or 503 is worth sending again. An
// error that knows better has a method RetryAfter. More than 120 s makes OpenAI
// clients give up instead of waiting.
func retryAfter(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if errors.As(err, &hint) {
		return min(max(hint.RetryAfter(), time.Second), 120*time.Second)
	}
	return time.Second
}

// fail writes err as a problem.
func fail(w http.ResponseWriter, requestID string, err error) Problem {
	p := problem(err, requestID)
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "ETag", "Last-Modified", "Content-Disposition", "Location"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(p.Code, ""))
	case http.StatusForbidden:
		var s scopeError
		if errors.As(err, &s) {
			h.Set("WWW-Authenticate", challenge(p.Code, s.wanted))
		}
	case http.StatusConflict:
		// OpenAI clients send a 409 again by themselves; none of ours gets better by it.
		h.Set("x-should-retry", "false")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter(err).Seconds()))))
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		// The rest of the body is still in the pipe; it will not be read.
		h.Set("Connection", "close")
	}
	body, _ := json.Marshal(p) // strings and numbers only: cannot fail
	body = append(body, '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the caller may be gone; there is no one left to tell
	return p
}
