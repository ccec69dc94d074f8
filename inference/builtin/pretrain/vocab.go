package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"lorikeet/inference/builtin/wordpiece"
)

// alphabet are the characters that the vocabulary has whether the corpus has them or
// not: printable ASCII in lower case, and the marks that typography puts in its place.
const alphabet = "!\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~" + "’‘“”–—…£€°"

// writeVocab trains the WordPiece on the corpus and writes the tokenizer's files.
func writeVocab(dir string, sentences []string, size, length int) error {
	counts := map[string]int{}
	for _, s := range sentences {
		for _, w := range wordpiece.Words(s) {
			counts[w]++
		}
	}
	vocab := wordpiece.Train(counts, alphabet, size)
	config, err := json.MarshalIndent(map[string]any{"tokenizer_class": "BertTokenizer", "do_lower_case": true,
		"tokenize_chinese_chars": true, "strip_accents": nil, "model_max_length": length,
		"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(vocab, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), append(config, '\n'), 0o644)
}
