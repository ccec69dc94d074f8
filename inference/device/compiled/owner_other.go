//go:build !unix

package compiled

import "io/fs"

// writableByOthers cannot be told from the mode there: folders of a user's cache are the
// user's own.
func writableByOthers(fs.FileInfo) bool { return false }
