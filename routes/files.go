package routes

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/store"
)

// fileRequest names one file of a version.
type fileRequest struct {
	Name    string `json:"-" path:"name"`
	Version int    `json:"-" path:"v"`
	File    string `json:"-" path:"file"`
}

// storedFile is a file on its way out.
type storedFile struct {
	blob    store.Blob
	name    string
	digest  string // "sha256:<hex>"
	created time.Time
	made    bool // on demand: another release of the service may make another
}

// file gives a PEFT file out.
//
//	@Summary		Download a file of a version
//	@Description	Gives out a file of a version as PEFT reads it: adapter_config.json, adapter_model.safetensors, and what else the version has; and README.md, its model card. Ranges and If-None-Match are honoured; the ETag is the digest.
//	@ID				getAdapterFile
//	@Tags			adapters
//	@Produce		application/octet-stream
//	@Produce		text/markdown
//	@Param			name	path		string	true	"the adapter"
//	@Param			v		path		int		true	"the version"	minimum(1)
//	@Param			file	path		string	true	"the file"
//	@Success		200		{file}		file	"the file"
//	@Failure		default	{object}	Problem
//	@Router			/adapters/{name}/versions/{v}/files/{file} [get]
func (a adapterRoutes) file(ctx context.Context, in fileRequest) (storedFile, error) {
	v, err := a.find(ctx, versionRequest{in.Name, in.Version})
	if err != nil {
		return storedFile{}, err
	}
	if _, ok := v.Files[in.File]; !ok {
		if in.File == adapters.CardFile {
			card, f := cardOf(v)
			return storedFile{blob: card, name: in.File, digest: f.Digest, created: v.CreatedAt, made: true}, nil
		}
		return storedFile{}, noFile(v, in.File)
	}
	blob, f, err := a.registry.OpenFile(ctx, v, in.File)
	if err != nil {
		return storedFile{}, err
	}
	return storedFile{blob: blob, name: in.File, digest: f.Digest, created: v.CreatedAt}, nil
}

func noFile(v adapters.Version, file string) error {
	names := append(keys(v.Files), adapters.CardFile)
	slices.Sort(names)
	return fmt.Errorf("%w: %q; %s has: %s", errNoFile, brief(file), v, strings.Join(names, ", "))
}

func (f storedFile) write(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if e := f.blob.Close(); err == nil {
			err = e
		}
	}()
	h := w.Header()
	h.Set("ETag", `"`+f.digest+`"`)
	if sum, err := hex.DecodeString(strings.TrimPrefix(f.digest, "sha256:")); err == nil {
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":") // RFC 9530
	}
	h.Set("Cache-Control", "private, max-age=31536000, immutable") // a version never changes
	if f.made {
		h.Set("Cache-Control", "private, no-cache")
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.name}))
	h.Set("Content-Type", "application/octet-stream")
	switch {
	case strings.HasSuffix(f.name, ".json"):
		h.Set("Content-Type", "application/json")
	case strings.HasSuffix(f.name, ".jsonl"):
		h.Set("Content-Type", "application/x-ndjson")
	case f.made:
		h.Set("Content-Type", "text/markdown; charset=utf-8")
	}
	guarded := &rangeGuard{ResponseWriter: w}
	http.ServeContent(guarded, r, "", f.created, io.NewSectionReader(f.blob, 0, f.blob.Size()))
	if guarded.refused {
		return fmt.Errorf("%w: %s; the file has %d bytes", errRange, brief(r.Header.Get("Range")), f.blob.Size())
	}
	return nil
}

// rangeGuard keeps back the plain text with which net/http refuses a range.
type rangeGuard struct {
	http.ResponseWriter
	refused bool
}

func (g *rangeGuard) WriteHeader(status int) {
	if g.refused = status == http.StatusRequestedRangeNotSatisfiable; !g.refused {
		g.ResponseWriter.WriteHeader(status)
	}
}

func (g *rangeGuard) Write(p []byte) (int, error) {
	if g.refused {
		return len(p), nil
	}
	return g.ResponseWriter.Write(p)
}
