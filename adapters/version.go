package adapters

import (
	"errors"
	"fmt"
	"time"
)

// Ref names one immutable version of an adapter or variant, and its contents.
type Ref struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Digest  string `json:"digest"` // "sha256:…" over the files
}

func (r Ref) String() string { return fmt.Sprintf("%s@%d", r.Name, r.Version) }

// The kinds of version.
const (
	KindAdapter = "adapter" // LoRA factors on a frozen base
	KindVariant = "variant" // a full fine-tune with weights of its own
)

// Version is the record of one version; it never changes.
type Version struct {
	Ref
	Kind       string             `json:"kind"`
	Base       string             `json:"base"`
	BaseDigest string             `json:"base_digest"`
	Files      map[string]File    `json:"files"`
	Rank       int                `json:"rank,omitempty"`
	Targets    []string           `json:"target_modules,omitempty"`
	Labels     []string           `json:"labels,omitempty"`
	Template   string             `json:"template,omitempty"` // what made the prompts it was taught; see inference/prompt
	Bytes      int64              `json:"bytes"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`
	Job        string             `json:"job,omitempty"`
	Source     string             `json:"source,omitempty"`
	Gate       *Gate              `json:"gate,omitempty"` // nil: it became current unasked
	Origin     *Origin            `json:"origin,omitempty"`
	Tenant     string             `json:"tenant,omitempty"` // whose name it is; empty: the default tenant
	CreatedAt  time.Time          `json:"created_at"`
}

// File is one file of a version, kept as a blob of the record store.
type File struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Errors that callers act on.
var (
	ErrNotFound = errors.New("no such adapter")
	ErrName     = errors.New("not a valid name")
	ErrOwner    = errors.New("the name belongs to another tenant")
	ErrCorrupt  = errors.New("the adapter's files do not match their digest")
)
