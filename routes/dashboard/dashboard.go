// Package dashboard is the page at /: bases and adapters, a playground, data sets, tunes
// and their curves. It is a client of the same API as any other; the page, its modules and
// its style are files of this folder, sent as they are. Nothing is built, and nothing is
// loaded from elsewhere.
//
// Everything that comes from the API is put into the page as text, never as HTML. The
// policy has the browser enforce that: no inline script or style, and (Trusted Types) no
// string is ever parsed as HTML.
package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"path"
)

//go:embed index.html icon.svg *.js *.css
var folder embed.FS

// File is one file of the page.
type File struct {
	Kind string // its content type
	ETag string // follows from the content
	Body []byte
}

// Page is the name of the file that is served at /; the others are below /dashboard/.
const Page = "index.html"

// Policy is the Content-Security-Policy under which the page works.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

var files = read()

func read() map[string]File {
	all := map[string]File{}
	entries, err := folder.ReadDir(".")
	if err != nil {
		panic(err) // an embedded folder can be read
	}
	for _, e := range entries {
		body, err := folder.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		all[e.Name()] = File{Kind: kinds[path.Ext(e.Name())], ETag: `"` + hex.EncodeToString(sum[:12]) + `"`, Body: body}
	}
	return all
}

// Open finds a file by its name.
func Open(name string) (File, bool) {
	f, ok := files[name]
	return f, ok
}
