package device

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxPlugin bounds what one member of an archive may unpack to.
const maxPlugin = 4 << 30

// extract writes the first regular file of the archive that match names to dst, durably,
// and returns the SHA-256 of its bytes in hex. The archive is a .tar.gz, or else a zip.
func extract(archive string, match func(name string) bool, dst string) (digest string, err error) {
	open := openZip
	if strings.HasSuffix(archive, ".tar.gz") {
		open = openTar
	}
	member, closeAll, err := open(archive, match)
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	defer closeAll()

	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755) // #nosec G302 G304 -- another user may run what one installs
	if err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), io.LimitReader(member, maxPlugin+1))
	if err == nil && n > maxPlugin {
		err = errors.New("larger than any plugin")
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("unpack: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func openZip(archive string, match func(string) bool) (io.Reader, func(), error) {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range r.File {
		if !f.Mode().IsRegular() || !match(f.Name) {
			continue
		}
		member, err := f.Open()
		if err != nil {
			_ = r.Close()
			return nil, nil, err
		}
		return member, func() { _, _ = member.Close(), r.Close() }, nil
	}
	_ = r.Close()
	return nil, nil, errors.New("no plugin in the archive")
}

func openTar(archive string, match func(string) bool) (io.Reader, func(), error) {
	f, err := os.Open(archive) // #nosec G304 -- of the installation under way
	if err != nil {
		return nil, nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			err = errors.New("no plugin in the archive")
		}
		if err != nil {
			_ = f.Close()
			return nil, nil, err
		}
		if h.Typeflag == tar.TypeReg && match(h.Name) {
			return r, func() { _ = f.Close() }, nil
		}
	}
}

// fileSHA256 is the SHA-256 of a file in hex.
func fileSHA256(path string) (string, error) {
	f, err := os.Open(path) // #nosec G304 -- of the installation under way
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
