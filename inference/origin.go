package inference

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"lorikeet/adapters"
	"lorikeet/inference/gguf"
)

// Origin is what a version that is made for this base carries of it.
func (b *Base) Origin(problem, software string) *adapters.Origin {
	return &adapters.Origin{BaseSource: adapters.PublicSource(b.Source), TokenizerDigest: b.TokenizerDigest, BaseLicense: b.License,
		Task: b.Task(), Problem: problem, Software: software}
}

// fits compares the fingerprint in a version's record with the base.
func (b *Base) fits(v adapters.Version) error {
	if v.Base != b.Name || v.BaseDigest != "" && v.BaseDigest != b.Digest {
		return fmt.Errorf("%w: %s was made for base %s (%s), not for %s (%s)", ErrWrongBase, v.Ref, v.Base, short(v.BaseDigest), b.Name, short(b.Digest))
	}
	if o := v.Origin; o != nil && o.TokenizerDigest != "" && b.TokenizerDigest != "" && o.TokenizerDigest != b.TokenizerDigest {
		return fmt.Errorf("%w: %s was made for base %s with another tokenizer (%s, here %s)", ErrWrongBase, v.Ref, v.Base, short(o.TokenizerDigest), short(b.TokenizerDigest))
	}
	return nil
}

// identify digests the tokenizer, and looks for a licence and a calibration.
func (b *Base) identify(dir fs.FS) error {
	b.License = license(dir)
	switch text, err := fs.ReadFile(dir, adapters.CalibrationFile); {
	case err == nil:
		c, err := adapters.ParseCalibration(text)
		if err != nil {
			return err
		}
		b.Calibration = &c
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := fs.Stat(dir, gguf.WeightsFile); err == nil {
		return nil
	}
	h := sha256.New()
	for _, name := range slices.Sorted(slices.Values(TokenizerFiles)) {
		f, err := dir.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s\n", name)
		n, err := io.Copy(h, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(h, "\n%d\n", n)
	}
	b.TokenizerDigest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return nil
}

// license reads the hub's field from the front matter of README.md, or of the MODEL.md of
// a built-in model. It is told, never relied on: what cannot be read is left out.
func license(dir fs.FS) string {
	for _, name := range []string{"README.md", "MODEL.md"} {
		f, err := dir.Open(name)
		if err != nil {
			continue
		}
		found := frontMatter(io.LimitReader(f, 64<<10), "license")
		_ = f.Close() // read only
		if found != "" {
			return found
		}
	}
	return ""
}

// frontMatter finds a plain field of the block between two lines of dashes at the start.
func frontMatter(r io.Reader, field string) string {
	lines := bufio.NewScanner(r)
	for n := 0; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " \r")
		if (n == 0) != (line == "---") {
			return "" // no block, or its end
		}
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			value = strings.Trim(strings.TrimSpace(value), `"'`)
			if len(value) <= 64 && !strings.ContainsAny(value, "[]{}|<>") {
				return value
			}
		}
	}
	return ""
}
