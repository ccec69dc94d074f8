package text

import (
	"io/fs"

	"lorikeet/adapters/invalid"
)

func loadMarian(fs.FS, []byte, *config) (*Tokenizer, error) { return nil, noSPM }
func loadT5(fs.FS, []byte, *config) (*Tokenizer, error)     { return nil, noSPM }
func loadLlama(fs.FS, []byte, *config) (*Tokenizer, error)  { return nil, noSPM }

var noSPM = invalid.Field("", "SentencePiece models without a tokenizer.json are not supported")
