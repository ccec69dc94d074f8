package routes

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzEventFrame(f *testing.F) {
	for _, text := range []string{"a", "\n\ndata: b", "\r", "é\u2028👩‍👩‍👧", "\xff", "\x00</script>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		frame, err := eventFrame("", textPiece{text})
		if err != nil {
			t.Fatal(err)
		}
		data, ok := strings.CutPrefix(frame, "data: ")
		data, end := strings.CutSuffix(data, "\n\n")
		if !ok || !end || strings.ContainsAny(data, "\r\n") || !utf8.ValidString(data) {
			t.Fatalf("%q is the frame %q", text, frame)
		}
		var back textPiece
		if err := json.Unmarshal([]byte(data), &back); err != nil || utf8.ValidString(text) && back.Text != text {
			t.Fatalf("%q came back as %q, %v", text, back.Text, err)
		}
	})
}
