package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxListing bounds the hub's answer; a repository of 100,000 files has 30 MB.
const maxListing = 128 << 20

// listed is what the hub says about a file of a commit. Everything but the name may
// be missing, since mirrors do not always say it.
type listed struct {
	name   string
	size   int64  // -1 where unknown
	oid    string // git object id of the file, or of the pointer to a large one
	sha256 string // of a large file
}

// listing is a commit and its files.
type listing struct {
	commit string
	files  []listed
}

// list asks the hub what a revision holds.
func (c *Client) list(ctx context.Context, r Ref, attempts int) (listing, error) {
	path := append([]string{"api", r.kind()}, strings.Split(r.id(), "/")...)
	u, err := c.url(append(path, "revision", r.revision())...)
	if err != nil {
		return listing{}, err
	}
	u.RawQuery = "blobs=true" // sizes and hashes
	var l listing
	err = c.retry(ctx, "list "+r.String(), attempts, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, headTimeout)
		defer cancel()
		resp, left, err := c.do(ctx, http.MethodGet, u, nil, nil)
		if err != nil {
			return false, err
		}
		if resp.StatusCode != http.StatusOK {
			return false, c.status(resp, left)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxListing+1))
		if err != nil {
			return false, &transient{err: fmt.Errorf("%s: %w", host(u), bare(err))}
		}
		l, err = parseListing(b)
		if err != nil {
			return false, fmt.Errorf("%s: %w; check HF_ENDPOINT", host(u), err)
		}
		return true, nil
	})
	if err != nil {
		return listing{}, fmt.Errorf("%s: %w", r, err)
	}
	return l, nil
}

// parseListing reads the answer of /api/models/{id}/revision/{revision}. The names
// in it are not to be used but by way of wanted.
func parseListing(b []byte) (listing, error) {
	if len(b) > maxListing {
		return listing{}, fmt.Errorf("the list of files has more than %d bytes", maxListing)
	}
	var answer struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name   string `json:"rfilename"`
			Size   *int64 `json:"size"`
			BlobID string `json:"blobId"`
			LFS    *struct {
				SHA256 string `json:"sha256"`
				Size   *int64 `json:"size"`
			} `json:"lfs"`
		} `json:"siblings"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return listing{}, fmt.Errorf("not an answer of the hub: %w", err)
	}
	if !commitID.MatchString(answer.SHA) {
		return listing{}, fmt.Errorf("not an answer of the hub: its commit is %.80q", answer.SHA)
	}
	l := listing{commit: answer.SHA}
	for _, s := range answer.Siblings {
		f := listed{name: s.Name, size: -1, oid: s.BlobID}
		if s.Size != nil {
			f.size = *s.Size
		}
		if s.LFS != nil {
			f.sha256 = s.LFS.SHA256
			if s.LFS.Size != nil {
				f.size = *s.LFS.Size
			}
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

// wanted is the files that want accepts, in the order of their names. It is an
// error if one of them has a name that leads out of the snapshot's folder.
func (l listing) wanted(want func(string) bool) ([]listed, error) {
	var all []listed
	for _, f := range l.files {
		if !want(f.name) {
			continue
		}
		if !localPath(f.name) {
			return nil, fmt.Errorf("refused: the file name %.200q leads out of its folder, or is none", f.name)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	for i, f := range all {
		if i > 0 && f.name == all[i-1].name {
			return nil, fmt.Errorf("refused: the file %.200q is listed twice", f.name)
		}
		if f.size < -1 {
			return nil, fmt.Errorf("refused: the file %.200q is listed with %d bytes", f.name, f.size)
		}
	}
	return all, nil
}

// tree is trees/<commit>.json, by which huggingface_hub 1.x and this package know
// whether a snapshot is complete without asking the hub.
type tree struct {
	Version int                 `json:"format_version"`
	Files   map[string]treeFile `json:"files"`
}

type treeFile struct {
	Size    int64  `json:"size"`
	BlobID  string `json:"blob_id"`
	SHA256  string `json:"lfs_sha256,omitempty"`
	LFSSize *int64 `json:"lfs_size,omitempty"`
	XetHash string `json:"xet_hash,omitempty"`
}

// readTree reads what is known of a commit; false where that is nothing.
func readTree(repo, commit string) (listing, bool) {
	b, err := os.ReadFile(filepath.Join(repo, "trees", commit+".json")) // #nosec G304 -- of the cache; names were checked
	if err != nil {
		return listing{}, false
	}
	var t tree
	if json.Unmarshal(b, &t) != nil || t.Version != 1 {
		return listing{}, false
	}
	l := listing{commit: commit}
	for name, f := range t.Files {
		e := listed{name: name, size: f.Size, oid: f.BlobID, sha256: f.SHA256}
		if f.LFSSize != nil {
			e.size = *f.LFSSize
		}
		l.files = append(l.files, e)
	}
	return l, true
}

// writeTree records l unless it is there already (huggingface_hub's knows more) or
// lacks what the format wants.
func writeTree(repo string, l listing) error {
	path := filepath.Join(repo, "trees", l.commit+".json")
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	t := tree{Version: 1, Files: map[string]treeFile{}}
	for _, f := range l.files {
		if f.size < 0 || f.oid == "" {
			return nil
		}
		e := treeFile{Size: f.size, BlobID: f.oid, SHA256: f.sha256}
		if f.sha256 != "" {
			e.LFSSize = &f.size
		}
		t.Files[f.name] = e
	}
	b, err := json.MarshalIndent(t, "", " ")
	if err != nil {
		return err
	}
	return replaceFile(path, b)
}
