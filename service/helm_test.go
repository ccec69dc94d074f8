package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const chartFolder = "../examples/helm/lorikeet"

// helmCommand finds Helm, on the path or where .ci/helm puts it.
func helmCommand(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("helm"); err == nil {
		return path
	}
	if cache, err := os.UserCacheDir(); err == nil {
		if found, _ := filepath.Glob(filepath.Join(cache, "lorikeet/ci/helm-*/helm")); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Skip("missing helm; .ci/helm installs it")
	return ""
}

// document is what the tests read of a rendered resource.
type document struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template     struct{ Spec podSpec }
		JobTargetRef struct {
			Template struct{ Spec podSpec }
		} `yaml:"jobTargetRef"`
		Triggers []struct {
			Type     string
			Metadata map[string]string
		}
		Groups []struct{ Rules []alert }
	}
}

type podSpec struct {
	EnableServiceLinks            *bool          `yaml:"enableServiceLinks"`
	TerminationGracePeriodSeconds int            `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               map[string]any `yaml:"securityContext"`
	Containers                    []struct {
		Name            string
		Args            []string
		Env             []struct{ Name string }
		SecurityContext map[string]any `yaml:"securityContext"`
	}
}

// TestTheChartSpeaksToThisProgram renders the chart with each of its ci values and reads
// the command lines, variables and metrics in it as the program itself does.
func TestTheChartSpeaksToThisProgram(t *testing.T) {
	helm := helmCommand(t)
	files, err := filepath.Glob(filepath.Join(chartFolder, "ci/*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files of values, %v", len(files), err)
	}
	containers, triggers, rules := 0, 0, 0
	for _, values := range files {
		out, err := exec.CommandContext(t.Context(), helm, "template", "lorikeet", chartFolder, "--kube-version", "1.34.0", "--values", values).Output()
		if err != nil {
			t.Fatalf("%s: %v", values, err)
		}
		dec := yaml.NewDecoder(strings.NewReader(string(out)))
		for {
			var d document
			if err := dec.Decode(&d); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", values, err)
			}
			for _, pod := range []podSpec{d.Spec.Template.Spec, d.Spec.JobTargetRef.Template.Spec} {
				containers += pod.check(t, fmt.Sprintf("%s: %s %s", filepath.Base(values), d.Kind, d.Metadata.Name))
			}
			for _, trigger := range d.Spec.Triggers {
				triggers++
				asked := trigger.Metadata["valueLocation"] + trigger.Metadata["query"]
				if !regexp.MustCompile(`^(max\()?lorikeet_job_queue_depth\{class="[a-z]+"`).MatchString(asked) {
					t.Errorf("%s: the trigger asks for %q", d.Metadata.Name, asked)
				}
			}
			for _, g := range d.Spec.Groups {
				rules += len(g.Rules)
			}
		}
	}
	if containers < 6 || triggers != 2 || rules != len(alerts(t)) {
		t.Errorf("%d containers, %d triggers and %d of %d alerts were found", containers, triggers, rules, len(alerts(t)))
	}
}

func (p podSpec) check(t *testing.T, where string) (containers int) {
	t.Helper()
	for _, k := range p.Containers {
		containers++
		c := newConfig()
		flags := pflag.NewFlagSet("service", pflag.ContinueOnError)
		c.flags(flags)
		if err := flags.Parse(k.Args[1:]); err != nil || flags.NArg() != 0 {
			t.Errorf("%s: %q: %v", where, k.Args, err)
		}
		c.redis = "redis://redis:6379/0"
		if err := c.check(); err != nil {
			t.Errorf("%s: %q: %v", where, k.Args, err)
		}
		if k.Args[0] != "serve" && k.Args[0] != "worker" {
			t.Errorf("%s: the command is %s", where, k.Args[0])
		}
		var environ []string
		for _, e := range k.Env {
			environ = append(environ, e.Name+"=x")
		}
		if err := c.environment(flags, environ); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		// A service called lorikeet would bring LORIKEET_PORT, which is no setting.
		if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
			t.Errorf("%s: enableServiceLinks is on", where)
		}
		if p.TerminationGracePeriodSeconds <= 30 || p.SecurityContext["runAsNonRoot"] != true || k.SecurityContext["readOnlyRootFilesystem"] != true {
			t.Errorf("%s: %d s to end in, %v, %v", where, p.TerminationGracePeriodSeconds, p.SecurityContext, k.SecurityContext)
		}
	}
	return containers
}
