package routes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/gin-gonic/gin"
)

// endpoint is a handler with its types erased, ready for the table.
type endpoint struct {
	request, response reflect.Type // nil for an endpoint made by serve
	shape             shape
	call              func(ctx context.Context, r *incoming) (any, error)
}

// incoming is a request as an endpoint reads it.
type incoming struct {
	*http.Request
	path   func(string) string
	limits Limits
	writer http.ResponseWriter // for the read deadline only
}

// handle makes an endpoint of a plain function from request to response: it
// decodes, calls and leaves the encoding to [operation.serve].
func handle[In, Out any](f func(context.Context, In) (Out, error)) endpoint {
	in := reflect.TypeFor[In]()
	s := shapeOf(in)
	return endpoint{
		request:  in,
		response: reflect.TypeFor[Out](),
		shape:    s,
		call: func(ctx context.Context, r *incoming) (any, error) {
			var request In
			v := reflect.ValueOf(&request).Elem()
			if err := s.bind(v, r.Request, r.path); err != nil {
				return nil, err
			}
			switch s.body {
			case jsonBody:
				body, err := readJSON(r)
				if err != nil {
					return nil, err
				}
				if err := decodeJSON(body, &request); err != nil {
					return nil, err
				}
			case streamBody:
				v.FieldByIndex(s.stream).Set(reflect.ValueOf(newUpload(r)))
			}
			return f(ctx, request)
		},
	}
}

// none is the request of an operation that takes nothing, and the response of one
// that answers nothing.
type none struct{}

// A response that is not simply "this status, this JSON" has one of these methods.
type (
	// header may set headers, and may change the status by returning one.
	header interface{ header(h http.Header) int }
	// writer writes the whole answer itself: a file, a stream, a page. Before the
	// first byte it may still return an error, which becomes a problem.
	writer interface {
		write(w http.ResponseWriter, r *http.Request) error
	}
)

// serve runs one operation for one HTTP request.
func (o operation) serve(h *Handler, c *gin.Context) {
	done, err := h.admit(o, c.Writer, c.Request)
	if err != nil {
		h.audit(o, c.Request, nil, err)
		h.fail(c.Writer, c.Request, err)
		return
	}
	defer done()
	ctx := c.Request.Context()
	if o.long {
		staying, leave, err := stay(ctx)
		if err != nil {
			h.fail(c.Writer, c.Request, err)
			return
		}
		defer leave()
		var stop context.CancelFunc
		ctx, stop = until(staying, h.drained)
		defer stop()
	}
	r := &incoming{Request: c.Request.WithContext(ctx), path: c.Param, limits: o.limits(h.limits), writer: c.Writer}
	var closeBody func()
	r.Body, closeBody = moving(c.Writer, r.Request, h.limits.Stall)
	defer closeBody()
	out, err := o.endpoint.call(ctx, r)
	h.audit(o, c.Request, out, err)
	if err == nil {
		err = encode(c.Writer, r.Request, o.status, out)
	}
	if err != nil {
		h.fail(c.Writer, c.Request, endedBy(ctx, err))
	}
}

// encode writes a response. The JSON is made before the status is sent, so that a
// number JSON cannot hold is an error and not half an answer.
func encode(w http.ResponseWriter, r *http.Request, status int, out any) error {
	if special, ok := out.(writer); ok {
		return special.write(w, r)
	}
	var body bytes.Buffer
	if _, empty := out.(none); !empty {
		enc := json.NewEncoder(&body)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out); err != nil {
			return fmt.Errorf("encode a %T: %w", out, err)
		}
	}
	if special, ok := out.(header); ok {
		if s := special.header(w.Header()); s != 0 {
			status = s
		}
	}
	if body.Len() > 0 {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the caller may have left: no one to tell
	return nil
}
