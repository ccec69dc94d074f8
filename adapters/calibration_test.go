package adapters

import (
	"strings"
	"testing"
)

func FuzzCalibration(f *testing.F) {
	for _, seed := range []string{`{"method":"temperature_scaling","temperature":1.5}`, `{"method":"temperature_scaling","temperature":0}`, `{}`, `null`, `[1]`, ``,
		`{"method":"temperature_scaling","temperature":1e400}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCalibration(b)
		if err != nil {
			return
		}
		if !(c.Temperature > 0 && c.Temperature < 1e4) {
			t.Fatalf("%q: temperature %v", b, c.Temperature)
		}
		if again, err := ParseCalibration(c.Marshal()); err != nil || again != c {
			t.Fatalf("%+v is read back as %+v: %v", c, again, err)
		}
	})
}

func TestCalibrationIsRefusedWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		`{"method":"isotonic","temperature":1}`:                "isotonic",
		`{"method":"temperature_scaling","temperature":-1}`:    "-1",
		`{"method":"temperature_scaling"}`:                     "between",
		`{"method":"temperature_scaling","temperature":"hot"}`: "calibration.json",
	} {
		if _, err := ParseCalibration([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
