package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// TestTheComposeFile reads the file as Docker Compose does, schema and references
// checked, and the command lines in it as this program does.
func TestTheComposeFile(t *testing.T) {
	for name, c := range map[string]struct {
		profiles []string
		env      types.Mapping
		want     []string
	}{
		"plain":      {nil, nil, []string{"api", "redis", "worker"}},
		"everything": {[]string{"s3", "monitoring"}, types.Mapping{"LORIKEET_STORE": "s3://lorikeet?endpoint=http://minio:9000&region=us-east-1"}, []string{"api", "bucket", "grafana", "minio", "prometheus", "redis", "worker"}},
	} {
		project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: "../examples", Environment: c.env,
			ConfigFiles: []types.ConfigFile{{Filename: "../examples/compose.yaml"}}}, loader.WithProfiles(c.profiles))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, c.want) {
			t.Errorf("%s: services %v, want %v", name, got, c.want)
		}
		for _, s := range []string{"api", "worker"} {
			service := project.Services[s]
			conf := newConfig()
			flags := pflag.NewFlagSet("service", pflag.ContinueOnError)
			conf.flags(flags)
			var environ []string
			for k, v := range service.Environment {
				if v != nil {
					environ = append(environ, k+"="+*v)
				}
			}
			// What the image sets, see the Dockerfile.
			environ = append(environ, "LORIKEET_ADDR=0.0.0.0:8080", "LORIKEET_DATA=/data")
			if err := flags.Parse(service.Command[1:]); err != nil {
				t.Errorf("%s: %q: %v", s, service.Command, err)
			}
			if err := conf.environment(flags, environ); err != nil {
				t.Errorf("%s: %v", s, err)
			}
			if err := conf.check(); err != nil {
				t.Errorf("%s: %v", s, err)
			}
			if s == "api" && (!conf.insecure || service.Ports[0].HostIP != "127.0.0.1") {
				t.Errorf("requests need no key, and the port is open to %s", service.Ports[0].HostIP)
			}
			if conf.redis == "" || conf.store == "" || conf.metricsAddr != "0.0.0.0:9100" {
				t.Errorf("%s: redis %q, store %q, metrics %q", s, conf.redis, conf.store, conf.metricsAddr)
			}
		}
		if n := project.Services["worker"].Deploy.Replicas; n == nil || *n != 2 {
			t.Errorf("%v workers, want 2", n)
		}
		for name, config := range project.Configs {
			var any map[string]any
			if err := yaml.Unmarshal([]byte(config.Content), &any); err != nil || len(any) == 0 {
				t.Errorf("config %s: %v", name, err)
			}
		}
	}
}
