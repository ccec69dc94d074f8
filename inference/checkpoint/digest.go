package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"lorikeet/adapters/safetensors"
)

// Digest identifies what the checkpoint says: config.json, and each tensor's
// name, type, shape and bytes. It does not depend on how the tensors are cut
// into files, on their order in them, or on the files' metadata. It reads
// everything, at the speed of SHA-256 (1 to 2 GB/s), and is not remembered:
// callers who ask twice keep it.
//
// The text is "sha256:" and the hexadecimal SHA-256 of this, where str(s) is the
// length of s as a little-endian uint64 and then s, and u64 is little endian:
//
//	str("lorikeet checkpoint 1"), str(config.json), u64(number of tensors),
//	then for each tensor in the byte order of the names:
//	str(name), str(dtype), u64(rank), u64(dimension)…, str(bytes)
//
// A GGUF file is all of the model, and its digest is the file's own, as sha256sum tells it.
func (m *Model) Digest() (string, error) {
	if m.gguf != nil {
		return m.gguf.Digest()
	}
	h := sha256.New()
	str(h, []byte("lorikeet checkpoint 1"))
	str(h, m.config)
	u64(h, len(m.names))
	buf := make([]byte, 1<<20)
	for _, name := range m.names {
		f, ok := m.where[name].(*safetensors.File)
		if !ok {
			return "", fmt.Errorf("digest of checkpoint: tensor %s is not in a safetensors file", name)
		}
		info, _ := f.Info(name)
		r, err := f.Section(name)
		if err != nil {
			return "", fmt.Errorf("digest of checkpoint: %w", err)
		}
		str(h, []byte(name))
		str(h, []byte(info.DType))
		u64(h, len(info.Shape))
		for _, d := range info.Shape {
			u64(h, d)
		}
		u64(h, int(r.Size()))
		// A plain Writer, so that the buffer is used.
		if n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, buf); err != nil || n != r.Size() {
			return "", fmt.Errorf("digest of checkpoint: tensor %s: read %d of %d bytes: %w", name, n, r.Size(), orEOF(err))
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

func str(h hash.Hash, s []byte) { u64(h, len(s)); h.Write(s) }

func u64(h hash.Hash, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n)) // #nosec G115 -- a length
	h.Write(b[:])
}
