package queuetest

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain also is the process whose clock is wrong: it prints how much its clocks have
// moved in half a second of the kernel's, and the wall clock.
func TestMain(m *testing.M) {
	rate, err := strconv.ParseFloat(os.Getenv("QUEUETEST_RATE"), 64)
	if err != nil {
		os.Exit(m.Run())
	}
	ahead, _ := time.ParseDuration(os.Getenv("QUEUETEST_AHEAD"))
	if err := (Clock{Ahead: ahead, Rate: rate}).Set(); err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(3)
	}
	begin := time.Now()
	sleep := exec.Command("sleep", "0.5") // by the right clock
	if err := sleep.Run(); err != nil {
		os.Exit(2)
	}
	end := time.Now()
	os.Stdout.WriteString(strings.Join([]string{
		end.Sub(begin).String(), end.Round(0).Sub(begin.Round(0)).String(), end.Format(time.RFC3339Nano)}, " "))
	os.Exit(0)
}

func TestAWrongClock(t *testing.T) {
	for _, c := range []Clock{{}, {Ahead: 7 * time.Hour}, {Ahead: -30 * time.Hour}, {Rate: 2}, {Ahead: -time.Hour, Rate: 0.5}} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "QUEUETEST_AHEAD="+c.Ahead.String(), "QUEUETEST_RATE="+strconv.FormatFloat(c.rate(), 'g', -1, 64))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == 3 {
				t.Skip(string(out))
			}
			if err != nil {
				t.Fatal(err, string(out))
			}
			said := strings.Fields(string(out))
			for i, clock := range []string{"monotonic", "wall"} {
				took, err := time.ParseDuration(said[i])
				if least := time.Duration(c.rate() * 0.5 * float64(time.Second)); err != nil || took < least || took > least+3*time.Second/2 {
					t.Errorf("%s clock: half a second took %v, %v", clock, took, err)
				}
			}
			at, err := time.Parse(time.RFC3339Nano, said[2])
			if off := time.Until(at.Add(-c.Ahead)); err != nil || off.Abs() > 10*time.Second {
				t.Errorf("it says %v, %v away from what it should", at, off)
			}
		})
	}
}

func TestTheClockOfACProgram(t *testing.T) {
	env, err := Clock{Ahead: 50 * time.Hour}.Environ()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("date", "+%s")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if off := time.Until(time.Unix(s, 0).Add(-50 * time.Hour)); err != nil || off.Abs() > 10*time.Second {
		t.Errorf("%s, %v away, %v", out, off, err)
	}
}
