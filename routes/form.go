package routes

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"lorikeet/adapters/invalid"
)

// form reads the upload as multipart/form-data, part by part, as it arrives.
func (u upload) form(body io.Reader) (*multipart.Reader, error) {
	_, params, err := mime.ParseMediaType(u.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, fmt.Errorf("%w: multipart/form-data without a boundary; let the client set the Content-Type", errMediaType)
	}
	return multipart.NewReader(body, params["boundary"]), nil
}

// fieldText reads a form field that is a short text.
func fieldText(p *multipart.Part) (string, error) {
	const most = 4096
	value, err := io.ReadAll(io.LimitReader(p, most+1))
	if err != nil {
		return "", badForm(err)
	}
	if len(value) > most {
		return "", invalid.Field(brief(p.FormName()), "is longer than %d bytes", most)
	}
	return strings.TrimSpace(string(value)), nil
}

// badForm tells the errors of the form itself from those of the body under it.
func badForm(err error) error {
	for _, known := range []error{errTooLarge, errStalled, errCut} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the form has no end", errCut)
	}
	return invalid.Field("body", "is not a well-formed form: %v", err)
}
