package checkpoint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lorikeet/adapters/safetensors"
)

// WriteDir writes a model folder: config.json and one model.safetensors, which
// transformers reads (metadata should hold {"format":"pt"} for it). dir is made
// if it is not there. Each file appears whole or not at all, the configuration
// last, and everything is on the disk when WriteDir returns.
func WriteDir(dir string, config []byte, tensors []safetensors.Out, metadata map[string]string) error {
	if err := checkConfig(config); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- models are no secrets; less the umask
		return fmt.Errorf("write checkpoint: %w", err)
	}
	err := writeFile(dir, WeightsFile, func(w io.Writer) error {
		return safetensors.Write(w, tensors, metadata)
	})
	if err == nil {
		err = writeFile(dir, ConfigFile, func(w io.Writer) error {
			_, err := w.Write(config)
			return err
		})
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write checkpoint %s: %w", dir, err)
	}
	return nil
}

// writeFile writes dir/name by way of a temporary file beside it.
func writeFile(dir, name string, fill func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // twice where that is what failed
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10) // many small tensors; large ones pass through
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil { // CreateTemp keeps it to the owner
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the folder that the caller writes to
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
