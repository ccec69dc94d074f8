package openapi

import (
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"strings"
)

//go:embed page.html
var page []byte

// Page is the documentation as one HTML file. It reads /openapi.json and loads
// nothing from anywhere else.
func Page() []byte { return page }

// PagePolicy is the Content-Security-Policy under which Page works: its own script
// and style, by their digests, and requests to this server.
func PagePolicy() string {
	return "default-src 'none'; connect-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'" +
		"; script-src '" + digestOf("script") + "'; style-src '" + digestOf("style") + "'"
}

// digestOf is the digest of the one element of that name, as CSP writes it.
func digestOf(element string) string {
	_, rest, _ := strings.Cut(string(page), "<"+element+">")
	content, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
