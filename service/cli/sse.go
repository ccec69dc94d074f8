package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// event is one server-sent event; see
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type event struct{ ID, Name, Data string }

// largestEvent bounds what one event may hold.
const largestEvent = 8 << 20

var errEventTooLarge = errors.New("an event is larger than this command reads")

// events reads a stream to its end. An event that the end cuts off is not given, as the
// standard says. The last error is the reader's; io.EOF is none.
func events(r io.Reader) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), largestEvent)
		lines.Split(streamLines())
		var e event
		var data []string
		first, size := true, 0
		for lines.Scan() {
			line := lines.Text()
			if first {
				line, first = strings.TrimPrefix(line, "\uFEFF"), false
			}
			if line == "" {
				if data != nil {
					e.Data = strings.Join(data, "\n")
					if !yield(e, nil) {
						return
					}
				}
				e, data, size = event{ID: e.ID}, nil, 0
				continue
			}
			name, value, _ := strings.Cut(line, ":") // a comment has the name ""
			value = strings.TrimPrefix(value, " ")
			switch name {
			case "data":
				data = append(data, value)
			case "event":
				e.Name = value
			case "id":
				if !strings.Contains(value, "\x00") {
					e.ID = value
				}
			}
			if size += len(line); size > largestEvent {
				yield(event{}, errEventTooLarge)
				return
			}
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = errEventTooLarge
		}
		if err != nil {
			yield(event{}, fmt.Errorf("event stream: %w", err))
		}
	}
}

// streamLines splits at LF, CR or CR LF, wherever the reader cuts them. A CR ends its line
// at once, since what comes next may take a while; an LF that follows belongs to it.
func streamLines() bufio.SplitFunc {
	afterCR := false
	return func(text []byte, atEOF bool) (advance int, token []byte, err error) {
		skip := 0
		if afterCR && len(text) > 0 {
			if afterCR = false; text[0] == '\n' {
				skip, text = 1, text[1:]
			}
		}
		i := bytes.IndexAny(text, "\r\n")
		switch {
		case i >= 0:
			afterCR = text[i] == '\r'
			return skip + i + 1, text[:i:i], nil
		case atEOF:
			return skip + len(text), nil, nil // a line without an end is not complete
		}
		return skip, nil, nil
	}
}
