package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
	"lorikeet/inference/builtin"
	"lorikeet/inference/device"
	"lorikeet/inference/nn"
	"lorikeet/service/cli"
)

// config is every setting, filled once from flags and environment.
type config struct {
	addr           string
	data           string
	bases          []string
	bf16           []string
	int8           []string
	backend        string
	kernels        string
	compileCache   string
	redis          string
	store          string
	cacheGB        int
	adapters       []string
	allow          []string
	slots          int
	maxRank        int
	maxBatchTokens int
	maxWait        time.Duration
	drainDelay     time.Duration
	variants       int
	workers        int
	devices        int
	class          string
	keys           bool
	insecure       bool
	rate           float64
	jobsPerTenant  int
	keepJobs       time.Duration
	origins        []string
	tlsCert        string
	tlsKey         string
	webhook        string
	webhookSecret  string
	logFormat      string
	logLevel       string
	metricsAddr    string
	debugAddr      string
	jobs           int
	idle           time.Duration

	given func(flag string) bool // nil: none was
}

func newConfig() *config { return &config{} }

const envPrefix = "LORIKEET_"

func (c *config) flags(f *pflag.FlagSet) {
	f.StringVar(&c.addr, "addr", "127.0.0.1:8080", "address to listen on")
	f.StringVar(&c.data, "data", dataFolder(), "folder for the record store, blobs and caches")
	f.StringArrayVar(&c.bases, "base", nil, "base model as NAME=SOURCE; SOURCE is a Hugging Face folder, a GGUF file, hf:owner/repo[@revision] or builtin:NAME (repeatable; default the built-in ones)")
	f.StringArrayVar(&c.bf16, "bf16", nil, "NAME of a base whose matrices are held and multiplied in bfloat16, as the weights of most decoders are: half the memory, scores that differ in the third digit, and about twice as fast on a processor with AVX-512's bfloat16 or AMX; slower on one without; tuning is as without (repeatable)")
	f.StringArrayVar(&c.int8, "int8", nil, "NAME of a base whose matrices are served from one byte a value instead of four: less memory, slightly other scores, and on a CPU slower at writing texts; tuning is as without (repeatable)")
	f.StringVar(&c.backend, "backend", "auto", "compute backend: auto, go, xla:cpu, xla:cuda or xla:PATH of a PJRT plugin")
	f.StringVar(&c.compileCache, "compile-cache", compileFolder(), "folder for what XLA has compiled for this processor, so that the next start need not compile it again; off: none")
	f.StringVar(&c.kernels, "kernels", "auto", "our own matrix products, attention and norms on a CPU with XLA: auto, off, or at most avx2, avx512, avx512bf16 or amx; bf16x3 is several times as fast for float32 on a processor with AMX, with a little less precision (each product within 2^-16 of itself, float32: 2^-24)")
	f.StringVar(&c.redis, "redis", "", "URL of Redis: redis://[user:password@]host:6379/0, rediss://… with TLS, redis+sentinel://host:26379/0?master_name=NAME&addr=HOST2:26379[&password=…], redis+cluster://host:6379?addr=HOST2:6379, unix:///path; empty: one embedded in the process")
	f.StringVar(&c.store, "store", "", "the record store that API and workers share: a folder, or s3://bucket/prefix?endpoint=https://host:9000&region=name with the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or the role of the machine; empty: below --data")
	f.IntVar(&c.cacheGB, "store-cache-gb", 10, "gigabytes of an S3 store's files that are kept below --data")
	f.StringArrayVar(&c.adapters, "adapter", nil, "PEFT folder to register at start as NAME=DIR or NAME=BASE:DIR (repeatable)")
	f.StringArrayVar(&c.allow, "allow-dir", nil, `folder that POST /adapters may read with "file:" sources (repeatable)`)
	f.IntVar(&c.slots, "slots", 64, "slots on the device for each base's adapters; a slot holds rank 8, an adapter of rank r takes r/8 of them")
	f.IntVar(&c.maxRank, "max-rank", 64, "highest LoRA rank served")
	f.IntVar(&c.maxBatchTokens, "max-batch-tokens", 4096, "padded tokens in one batch")
	f.DurationVar(&c.maxWait, "max-wait", 5*time.Second, "a text that would have to wait longer than this for the device is refused with 503 and Retry-After")
	f.DurationVar(&c.drainDelay, "drain-delay", 0, "after SIGTERM /readyz says 503, and for so long requests are still taken: until load balancers have noticed")
	f.IntVar(&c.variants, "variants", 2, "full fine-tunes held on the device at a time")
	f.IntVar(&c.workers, "workers", 1, "jobs that this process trains at a time")
	f.IntVar(&c.devices, "devices", 1, "devices of the backend that share the examples of each training step; each holds a copy of the model")
	f.StringVar(&c.class, "class", "", "worker class: take only jobs that ask for it (empty: those that ask for none)")
	f.BoolVar(&c.keys, "keys", false, "require API keys; they are required anyway where --addr is not this machine alone")
	f.BoolVar(&c.insecure, "insecure", false, "take requests of everyone without a key, wherever --addr listens")
	f.Float64Var(&c.rate, "rate", 100, "requests a second that one API key may send, twice as many at once, where keys are required; 0: any number")
	f.IntVar(&c.jobsPerTenant, "jobs-per-tenant", 100, "jobs that one tenant may have queued, running or paused, where keys are required; 0: any number")
	f.DurationVar(&c.keepJobs, "keep-jobs", 90*24*time.Hour, "how long a job is kept after its end; then it is deleted, with its events and checkpoints, while what it trained stays; 0: for ever")
	f.StringArrayVar(&c.origins, "cors-origin", nil, `origin of web pages that may use the API, as "https://app.example" (repeatable)`)
	f.StringVar(&c.tlsCert, "tls-cert", "", "file of the certificate chain, PEM; read again when it changes or at SIGHUP; empty: plain HTTP")
	f.StringVar(&c.tlsKey, "tls-key", "", "file of the certificate's private key, PEM")
	f.IntVar(&c.jobs, "jobs", 0, "worker: end after so many attempts at jobs, as a batch system wants it; 0: go on")
	f.DurationVar(&c.idle, "idle", 0, "worker: end when there was no job for so long; 0: wait")
	f.StringVar(&c.metricsAddr, "metrics-addr", "", "further address that gives /metrics, /livez and /readyz without a key: for a worker, and for a scraper that has none; empty: none")
	f.StringVar(&c.debugAddr, "debug-addr", "", "loopback address for Go's profiles, below /debug/pprof/; empty: none")
	f.StringVar(&c.webhook, "webhook", "", "address that is told by a signed POST when a job of any tenant is over; it may be a private one")
	f.StringVar(&c.webhookSecret, "webhook-secret", "", `secret that signs what --webhook is told: "whsec_" and base64; best given as LORIKEET_WEBHOOK_SECRET`)
	f.StringVar(&c.logFormat, "log-format", "text", "text or json")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
}

func dataFolder() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "lorikeet")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "lorikeet-data"
	}
	return filepath.Join(home, ".local", "share", "lorikeet")
}

// environment fills in the flags that were not given from LORIKEET_…, and refuses a
// variable that is none of them. Lists are separated by commas.
func (c *config) environment(f *pflag.FlagSet, environ []string) error {
	c.given = f.Changed
	var errs []error
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(cli.Variables(), name) {
			continue
		}
		flag := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-")
		switch p := f.Lookup(flag); {
		case p == nil:
			errs = append(errs, fmt.Errorf("%s is not a setting; see service --help", name))
		case p.Changed:
		case p.Value.Type() == "stringArray":
			for v := range strings.SplitSeq(value, ",") {
				if v = strings.TrimSpace(v); v != "" { // an empty variable, as compose files have them, says nothing
					errs = append(errs, f.Set(flag, v))
				}
			}
		default:
			if err := f.Set(flag, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// check reports everything that is wrong with the settings.
func (c *config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.bases) == 0 {
		for _, name := range builtin.Names() {
			c.bases = append(c.bases, name+"=builtin:"+name)
		}
	}
	seen := map[string]bool{}
	for _, b := range c.bases {
		name, _, err := named(b)
		errs = append(errs, err)
		if seen[name] {
			bad("--base %s is given twice", name)
		}
		seen[name] = true
	}
	for _, a := range c.adapters {
		_, _, err := named(a)
		errs = append(errs, err)
	}
	pages := (c.maxRank + nn.PageRank - 1) / nn.PageRank
	if c.maxRank < 1 || c.maxRank > 256 {
		bad("--max-rank must be between 1 and 256, is %d", c.maxRank)
	} else if c.slots <= pages {
		bad("--slots %d cannot hold an adapter of --max-rank %d, which takes %d; slot 0 is the bare base", c.slots, c.maxRank, pages)
	}
	for _, p := range []struct {
		flag  string
		value int
		least int
	}{{"max-batch-tokens", c.maxBatchTokens, 16}, {"workers", c.workers, 0}, {"devices", c.devices, 1}, {"variants", c.variants, 1}, {"store-cache-gb", c.cacheGB, 1}} {
		if p.value < p.least {
			bad("--%s must be at least %d, is %d", p.flag, p.least, p.value)
		}
	}
	if c.maxWait <= 0 {
		bad("--max-wait must be above 0, is %v", c.maxWait)
	}
	if c.drainDelay < 0 {
		bad("--drain-delay must be at least 0, is %v", c.drainDelay)
	}
	if c.keepJobs != 0 && c.keepJobs < time.Hour {
		bad("--keep-jobs must be 0 (for ever) or at least 1h, so that who waits for a job sees how it ended; is %v", c.keepJobs)
	}
	if strings.HasPrefix(c.store, s3Scheme) {
		if _, err := store.ParseS3(c.store); err != nil {
			bad("--store: %w", err)
		}
	}
	if c.class != "" {
		if err := adapters.CheckName("--class", c.class); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, c.checkGuard(), c.checkObserved(), c.checkWebhook())
	if !slices.Contains([]string{"text", "json"}, c.logFormat) {
		bad("--log-format must be text or json, is %q", c.logFormat)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		bad("--log-level must be debug, info, warn or error, is %q", c.logLevel)
	}
	return errors.Join(errs...)
}

// compileFolder is the default of --compile-cache.
func compileFolder() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return off
	}
	return filepath.Join(dir, "lorikeet", "compiled")
}

const off = "off"

// deviceOptions are how backends are opened.
func (c *config) deviceOptions(log *slog.Logger) device.Options {
	o := device.FromEnv(os.Getenv)
	o.Install, o.Log, o.Progress = true, log, os.Stderr
	if c.compileCache != off {
		o.CompileCache = c.compileCache
	}
	o.Kernels = c.kernels
	return o
}

// named splits NAME=VALUE.
func named(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || value == "" {
		return name, "", fmt.Errorf("%q is not NAME=SOURCE", s)
	}
	return name, value, adapters.CheckName("name", name)
}

// storeFolder is where the records are; an address for a bucket.
func (c *config) storeFolder() string {
	if c.store != "" {
		return c.store
	}
	return filepath.Join(c.data, "store")
}

// logger writes to standard error.
func (c *config) logger() *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.logLevel)) // check has refused what is not a level
	o := &slog.HandlerOptions{Level: level}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// print tells at start what is set, without secrets.
func (c *config) print(log *slog.Logger) {
	log.Info("settings", "addr", c.addr, "data", c.data, "bases", c.bases, "backend", c.backend, "compile_cache", c.compileCache, "redis", masked(c.redis),
		"store", c.storeFolder(), "adapters", c.adapters, "slots", c.slots, "max_rank", c.maxRank,
		"max_batch_tokens", c.maxBatchTokens, "max_wait", c.maxWait, "workers", c.workers, "devices", c.devices, "class", c.class,
		"keys", c.needsKeys(), "rate", c.rate, "jobs_per_tenant", c.jobsPerTenant, "keep_jobs", c.keepJobs, "cors_origins", c.origins, "tls", c.tlsCert != "", "metrics_addr", c.metricsAddr, "debug_addr", c.debugAddr)
}

// masked is a URL without its passwords: Sentinel's is before the host, that of Redis
// behind it may be a parameter.
func masked(s string) string {
	if s == "" {
		return "embedded"
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" && u.Path == "" {
		return "(not a URL)"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		u.RawQuery = "xxxxx"
	} else if query.Has("password") {
		query.Set("password", "xxxxx")
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}
