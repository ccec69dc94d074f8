package hub

import (
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"lorikeet/adapters/invalid"
)

// Ref names a repository at a revision.
type Ref struct {
	Owner    string // empty for the few repositories that are older than owners, such as gpt2
	Name     string
	Revision string // branch, tag or commit; empty is main
	Dataset  bool
}

// Parse reads "hf:owner/name", with "@revision" or without, and
// "hf:datasets/owner/name" for a dataset. "hf:" may be left out where there is an
// owner. Errors are invalid.Faults.
func Parse(s string) (Ref, error) {
	rest, prefixed := strings.CutPrefix(s, "hf:")
	rest = strings.TrimPrefix(rest, "//") // hf://, as fsspec spells it
	var r Ref
	rest, revision, at := strings.Cut(rest, "@")
	if r.Revision = revision; at && revision == "" {
		return Ref{}, invalid.Field("", "%.200q: the revision after @ is empty", s)
	}
	parts := strings.Split(rest, "/")
	if len(parts) > 1 && (parts[0] == "datasets" || parts[0] == "models") {
		r.Dataset = parts[0] == "datasets"
		parts = parts[1:]
	}
	switch {
	case len(parts) == 2 && parts[0] != "":
		r.Owner, r.Name = parts[0], parts[1]
	case len(parts) == 1 && prefixed:
		r.Name = parts[0]
	default:
		return Ref{}, invalid.Field("", "%.200q: a repository is named hf:owner/name or hf:owner/name@revision", s)
	}
	return r, r.check()
}

// repoName is huggingface_hub's rule: letters, digits and -_. with a letter or
// digit (or _) at either end. "--" and ".." are kept out below: the first separates
// owner from name in the cache, the second climbs.
var repoName = regexp.MustCompile(`^\w([\w.-]{0,94}\w)?$`)

// check guards the paths that are made of a Ref, which may be a literal.
func (r Ref) check() error {
	for _, part := range []string{r.Owner, r.Name} {
		if part == "" && r.Name != "" {
			continue // no owner
		}
		if !repoName.MatchString(part) || strings.Contains(part, "--") || strings.Contains(part, "..") || strings.HasSuffix(part, ".git") {
			return invalid.Field("", "%.200q is not a repository of the hub: owner and name have letters, digits, '-', '_' and '.'", r.id())
		}
	}
	rev := r.revision()
	bad := func(c rune) bool {
		return unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(`\:?*[~^@`, c)
	}
	if len(rev) > 255 || strings.ContainsFunc(rev, bad) || strings.Contains(rev, "..") || !localPath(rev) {
		return invalid.Field("", "%.300q is not a branch, tag or commit", rev)
	}
	return nil
}

// localPath reports whether a slash-separated name from outside, joined to a
// folder, stays below it on every system.
func localPath(name string) bool {
	if name == "" || len(name) > 1024 || strings.ContainsAny(name, "\\:\x00") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 {
			return false
		}
	}
	return filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsFunc(name, unicode.IsControl)
}

func (r Ref) revision() string {
	if r.Revision == "" {
		return "main"
	}
	return r.Revision
}

// id is owner/name.
func (r Ref) id() string {
	if r.Owner == "" {
		return r.Name
	}
	return r.Owner + "/" + r.Name
}

// String is what Parse reads.
func (r Ref) String() string {
	s := "hf:"
	if r.Dataset {
		s += "datasets/"
	}
	s += r.id()
	if r.Revision != "" {
		s += "@" + r.Revision
	}
	return s
}

// kind is how routes and folders spell the type of repository.
func (r Ref) kind() string {
	if r.Dataset {
		return "datasets"
	}
	return "models"
}

// folder is the repository's folder in the cache.
func (r Ref) folder() string {
	return r.kind() + "--" + strings.ReplaceAll(r.id(), "/", "--")
}

// commitID is a full git object id, which no branch can be mistaken for.
var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
